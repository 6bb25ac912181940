"""GenEval 2: Soft-TIFA by hand, its file of prompts, runs and folders judged by a local server."""

import base64
import io
import json

import pytest
from PIL import Image
from tests.critics import judge_server as fake
from tests.evals.stored_runs import colored_run

from strokewise.critics import soft_tifa
from strokewise.critics.vlm_client import VlmClient
from strokewise.errors import RecordError
from strokewise.evals.benchmarks import geneval2
from strokewise.evals.image_folders import write_metadata, write_picture
from strokewise.evals.prompt_sets import load_prompts
from strokewise.evals.run_store import Run

CUPS = {
    "prompt": "three red cups",
    "atom_count": 3,
    "vqa_list": [["How many cups are shown?", "three"], ["Are the cups red?", "Yes"]],
    "skills": ["count", "attribute"],
}
BUS = {"prompt": "a bus", "atom_count": 1, "vqa_list": [["Is a bus shown?", "Yes"]], "skills": ["object"]}
# What the judge answers, by question and by what the picture shows.
RED = {
    "How many": {"3": 0.5, " three": 0.25, "Three": 0.0625, "four": 0.125, "thr": 0.01},
    "Are the": {"Yes": 0.5, " yes": 0.3125, "No": 0.1, "YES": 0.01},
    "Is a bus": {" Yes": 0.25, "No": 0.75},
}
BLUE = {"How many": {"two": 0.75}, "Are the": {"No": 0.75, "Yes": 0.25}, "Is a bus": {"Yes": 1.0}}


def answer(handler, body):
    picture, question = body["messages"][0]["content"]
    data = base64.b64decode(picture["image_url"]["url"].partition(",")[2])
    known = RED if Image.open(io.BytesIO(data)).getpixel((0, 0)) == (255, 0, 0) else BLUE
    (tokens,) = [tokens for begin, tokens in known.items() if question["text"].startswith(begin)]
    fake.beginning(tokens)(handler, body)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    with fake.serving(answer) as server:
        yield server


@pytest.fixture
def prompts_file(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text(f"{json.dumps(CUPS)}\n{json.dumps(BUS)}\n")
    return path


@pytest.fixture
def run(tmp_path, prompts_file):
    return colored_run(tmp_path / "run", load_prompts(str(prompts_file)), ("red", "blue"))


def words(server, *more):
    return ("geneval2", *more, "--judge", "judge-1", "--judge-url", server.url)


def test_means_by_hand():
    assert soft_tifa.arithmetic_mean([0.5, 0.25, 1, 0.25]) == 0.5
    assert soft_tifa.geometric_mean([0.5, 0.25, 1, 0.5]) == 0.5
    assert soft_tifa.geometric_mean([0.9, 0.0]) == 0
    assert soft_tifa.right_words("How many cups are shown?", "seven") == {"seven", "Seven", "7"}
    assert soft_tifa.right_words("Are the cups red?", "Yes") == {"Yes", "yes"}


def test_a_run_is_scored_and_never_asked_twice(call, server, run):
    status, printed, err = call(*words(server, run.folder))
    assert status == 0, err
    assert len(server.requests) == 6
    assert call(*words(server, run.folder))[0] == 0
    assert len(server.requests) == 6
    scores = geneval2.stored_scores(Run(run.folder))
    assert [one.chances for one in scores] == [
        pytest.approx(chances) for chances in ((0.8125, 0.8125), (0, 0.25), (0.25,), (1.0,))
    ]
    means = {one.name: one for one in geneval2.summarize(scores)}
    found = {name: one.interval.value for name, one in means.items()}
    assert found == pytest.approx(
        {
            "Soft-TIFA AM": (0.8125 + 0.125 + 0.25 + 1) / 4,
            "Soft-TIFA GM": (0.8125 + 0 + 0.25 + 1) / 4,
            "AM, object (answers)": 0.625,
            "AM, attribute (answers)": (0.8125 + 0.25) / 2,
            "AM, count (answers)": 0.40625,
            "GM, 1 atoms": 0.625,
            "GM, 3 atoms": 0.40625,
        }
    )
    # Two prompts are resampled, each with both of its pictures: the bounds are their own means.
    assert means["Soft-TIFA AM"].interval[1:] == pytest.approx((0.46875, 0.625))
    assert (means["Soft-TIFA AM"].prompts, means["Soft-TIFA AM"].results) == (2, 4)
    flat = " ".join(printed.split())
    assert "0.547 (0.469 to 0.625)" in flat
    assert "a number in 6 of 6 answers" in flat
    assert "counts as 0, in 1." in flat
    assert call("report", run.folder, "--out", run.folder / "report")[0] == 0
    assert "0.547 (0.469 to 0.625)" in (run.folder / "report" / "report.md").read_text()


def test_what_was_not_painted_is_0_without_a_query(call, server, tmp_path, prompts_file):
    run = colored_run(tmp_path / "none", load_prompts(str(prompts_file)), (None,))
    status, printed, err = call(*words(server, run.folder))
    assert status == 0, err
    assert not server.requests
    assert [one.chances for one in geneval2.stored_scores(run)] == [(0, 0), (0,)]
    assert "in 0 of 0 answers" in " ".join(printed.split())


def test_a_folder_of_any_generator_is_scored(call, server, tmp_path):
    for number, metadata in enumerate((CUPS, BUS)):
        write_metadata(tmp_path / "images", number, metadata, soft_tifa.check_metadata)
        write_picture(tmp_path / "images", number, 0, Image.new("RGB", (8, 8), "red"))
    out = tmp_path / "scores.jsonl"
    status, printed, err = call(*words(server, "--images", tmp_path / "images", "--out", out))
    assert status == 0, err
    assert "0.531" in printed  # (.8125 + .25) / 2
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(line["prompt"], line["said"]) for line in lines] == [(0, ["3", "Yes"]), (1, ["No"])]
    assert len(server.requests) == 3
    assert call(*words(server, "--images", tmp_path / "images"))[0] == 0
    assert len(server.requests) == 3  # the answers are kept in the folder
    (tmp_path / "images" / "00001" / "metadata.jsonl").write_text(json.dumps(BUS | {"skills": ["objects"]}))
    status, _, err = call(*words(server, "--images", tmp_path / "images"))
    assert status == 2
    assert "00001/metadata.jsonl: skills.0" in err


def test_from_python(server, run):
    client = VlmClient("judge-1", server.url)
    scores = list(geneval2.score_pictures(geneval2.BENCHMARK.of_run(run), client, tokens=7))
    assert geneval2.summarize(scores)[0].interval.value == pytest.approx(2.1875 / 4)
    assert {sent["top_logprobs"] for sent in server.requests} == {7}
    assert geneval2.stored_scores(run) == []


def test_a_limit_ends_it_and_it_resumes(call, server, run):
    status, _, err = call(*words(server, run.folder, "--max-requests", "4"))
    assert status == 2
    assert "limit of 4 requests is reached" in err
    assert not (run.folder / "geneval2.jsonl").exists()
    assert call(*words(server, run.folder))[0] == 0
    assert len(server.requests) == 6


def test_a_judge_without_log_probabilities_is_refused(call, server, run):
    server.always = "Yes"
    status, _, err = call(*words(server, run.folder))
    assert status == 2
    assert "states no log-probabilities" in err
    assert not (run.folder / "geneval2.jsonl").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vqa_list": None}, "vqa_list"),
        ({"vqa_list": []}, "vqa_list"),
        ({"vqa_list": [["Are the cups red?"], ["Are the cups red?", "Yes"]]}, r"vqa_list\.0"),
        ({"skills": ["count"]}, r"2 questions \(vqa_list\) have 1 skills"),
        ({"skills": ["count", "color"]}, r"skills\.1"),
        ({"atom_count": "3"}, "atom_count"),
        ({"atom_count": 0}, "atom_count"),
        ({"prompt": ""}, "prompt"),
        ({"vqa_list": [["How many cups are shown?", "12"], ["Red?", "Yes"]]}, "is '12', not one or two"),
        ({"vqa_list": [["How many cups are shown?", "two"], ["Red?", "No"]]}, "is 'No', not Yes"),
    ],
)
def test_damaged_prompts_are_named_by_file_and_line(prompts_file, change, message):
    prompts_file.write_text(f"{json.dumps(BUS)}\n{json.dumps(CUPS | change)}\n")
    with pytest.raises(RecordError, match=rf"prompts\.jsonl, line 2: .*{message}"):
        load_prompts(str(prompts_file))


def test_mistakes_of_users(call, server, run, tmp_path):
    others = colored_run(tmp_path / "others", load_prompts("tuning")[:1], ("red",))
    for more, message in (
        ((), "give either folders of runs or --images"),
        ((run.folder, "--images", tmp_path), "give either"),
        ((run.folder, "--out", tmp_path / "a"), "--out goes with --images"),
        ((others.folder,), "holds no pictures of GenEval 2's prompts"),
    ):
        status, _, err = call(*words(server, *more))
        assert (status, message in err) == (2, True), err
    assert not server.requests
