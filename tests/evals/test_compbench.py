"""T2I-CompBench++: scores by hand, its files of prompts, runs and folders graded by a local server."""

import json

import pytest
from PIL import Image
from tests.critics import judge_server as fake
from tests.evals.stored_runs import colored_run

from strokewise.critics import compbench_grades
from strokewise.errors import InputError
from strokewise.evals.benchmarks import compbench
from strokewise.evals.image_folders import write_metadata, write_picture
from strokewise.evals.prompt_sets import load_prompts
from strokewise.evals.run_store import Run

PHRASES = ["a green bench", "a blue bowl"]
FILES = {"color_val.txt": "a green bench and a blue bowl\r\n", "numeracy_val.txt": "two boys\n"}


@pytest.fixture
def server(monkeypatch):
    """A judge that grades phrases 4 and 3, and whole prompts 2."""

    def answer(handler, body):
        task, query = (message["content"] for message in body["messages"][:2])
        if task == compbench_grades.PHRASES_TASK:
            found = {"phrases": PHRASES}
        elif "numbered" in task:
            assert query[0]["text"] == "1. a green bench\n2. a blue bowl"
            found = {"explanation": "both", "grades": [4, 3]}
        else:
            found = {"explanation": "three boys", "grades": [2]}
        fake.completion(found)(handler, body)

    monkeypatch.setenv("OPENAI_API_KEY", "any")
    with fake.serving(answer) as server:
        yield server


@pytest.fixture
def prompts(tmp_path):
    """A folder with two categories, and a file that is none."""
    folder = tmp_path / "dataset"
    folder.mkdir()
    for name, text in {**FILES, "color.txt": "a red cup\n"}.items():
        (folder / name).write_bytes(text.encode())
    return folder


def words(server, *more):
    return ("compbench", *more, "--judge", "judge-1", "--judge-url", server.url)


def test_scores_by_hand():
    assert compbench_grades.score_of("texture", (4, 3, 2)) == pytest.approx(1 * 0.75 * 0.2)
    assert compbench_grades.score_of("shape", (1,)) == 0.1
    assert [compbench_grades.score_of("spatial", (one,)) for one in range(1, 6)] == [0.2, 0.4, 0.6, 0.8, 1.0]


def test_prompts_of_a_folder_and_of_one_file(prompts):
    found = load_prompts(str(prompts))
    assert [(one.text, one.metadata["t2i_compbench"]) for one in found] == [
        ("a green bench and a blue bowl", "color"),
        ("two boys", "numeracy"),
    ]
    assert load_prompts(str(prompts / "numeracy_val.txt")) == found[1:]
    assert not load_prompts(str(prompts / "color.txt"))[0].compbench


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"two boys\ntwo\x00 girls\n", r"numeracy_val\.txt, line 2: it holds control characters"),
        (b"\n", "holds no prompts"),
        (b"two boys \xff", r"numeracy_val\.txt cannot be read as a text"),
        (b"<!DOCTYPE html><p>two boys", "is a web page"),
    ],
)
def test_damaged_files_are_named(prompts, data, message):
    (prompts / "color_val.txt").unlink()
    (prompts / "numeracy_val.txt").write_bytes(data)
    with pytest.raises(InputError, match=message):
        load_prompts(str(prompts))


def test_a_folder_without_its_files(tmp_path):
    with pytest.raises(InputError, match=r"expected one of color_val\.txt"):
        load_prompts(str(tmp_path))


def test_a_run_is_graded_and_never_asked_twice(call, server, prompts, tmp_path):
    run = colored_run(tmp_path / "run", load_prompts(str(prompts)), ("red", "blue", None))
    status, _, err = call(*words(server, run.folder, "--max-requests", "3"))
    assert (status, "limit of 3 requests" in err) == (2, True), err
    status, printed, err = call(*words(server, run.folder))
    assert status == 0, err
    assert len(server.requests) == 5  # the phrases of a prompt are found once for all of its pictures
    assert call(*words(server, run.folder))[0] == 0
    assert len(server.requests) == 5
    scores = compbench.stored_scores(Run(run.folder))
    assert [one.score for one in scores] == pytest.approx([0.75, 0.75, 0, 0.4, 0.4, 0])
    assert scores[0].grades == compbench_grades.Grades(tuple(PHRASES), (4, 3), "both")
    means = compbench.summarize(scores)
    assert [(one.name, one.prompts, one.results) for one in means] == [("color", 1, 3), ("numeracy", 1, 3)]
    assert [one.interval.value for one in means] == pytest.approx([0.5, 0.8 / 3])
    assert "0.500 (0.500 to 0.500)" in printed
    assert call("report", run.folder, "--out", tmp_path / "report")[0] == 0
    assert "not comparable with scores by BLIP-VQA" in (tmp_path / "report" / "report.md").read_text()


def test_grades_that_do_not_fit_are_asked_again(call, server, tmp_path):
    metadata = {"prompt": "a cat behind a boy", "t2i_compbench": "3d_spatial"}
    write_metadata(tmp_path / "images", 0, metadata, compbench_grades.check_metadata)
    write_picture(tmp_path / "images", 0, 0, Image.new("RGB", (8, 8), "red"))
    server.script = [{"explanation": "x", "grades": grades} for grades in ([6], [1, 2])]
    out = tmp_path / "scores.jsonl"
    status, printed, err = call(*words(server, "--images", tmp_path / "images", "--out", out))
    assert status == 0, err
    assert len(server.requests) == 3
    assert json.loads(out.read_text())["score"] == 0.4
    assert "3d_spatial" in printed
    (tmp_path / "images" / "00000" / "metadata.jsonl").write_text('{"prompt": "a cat"}')
    status, _, err = call(*words(server, "--images", tmp_path / "images"))
    assert (status, "metadata.jsonl: t2i_compbench: is missing" in err) == (2, True), err
