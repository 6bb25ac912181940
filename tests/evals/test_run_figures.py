"""Figures of stored runs: the process against hand counts, WISE against a real server, reports."""

import json
import random
from dataclasses import replace

import pytest
from PIL import Image
from tests.critics import judge_server as fake

from strokewise.critics.judges import OracleJudge
from strokewise.data.canvas_painters import SpritePainter
from strokewise.data.multi_turn import strokes
from strokewise.data.scenes import unused_class, with_object
from strokewise.data.wording import write_steps
from strokewise.errors import ConfigError, InputError, RecordError
from strokewise.evals.benchmarks import wise
from strokewise.evals.benchmarks.geneval.score import stored_verdicts, summary_of
from strokewise.evals.benchmarks.process.judging import JudgedCanvas, JudgedTrajectory, judge_trajectory
from strokewise.evals.benchmarks.process.metrics import Share, measure
from strokewise.evals.benchmarks.process.run import judge_run, store, stored_metrics
from strokewise.evals.costs import Cost
from strokewise.evals.prompt_sets import Prompt
from strokewise.evals.run_store import Run, Writer, prepare
from strokewise.evals.strategies.strategies import Outcome
from strokewise.trajectory.values import Message, Step, Trajectory, Verdict
from strokewise.world.language import geneval_metadata, geneval_prompts, parse_prompt
from strokewise.world.layout import place
from strokewise.world.vocabulary import CLASSES

RIGHT, WRONG = Verdict(True, True), Verdict(True, False)
GENEVAL = {one.tag: one for one in geneval_prompts()}


def painted(prompt, seed, spoilt=False):
    """A trajectory of the exact oracle; ``spoilt``: the last canvas shows another class, nobody says so."""
    rng = random.Random(seed)
    graph = parse_prompt(prompt)
    canvases = strokes(place(graph, seed), rng)
    steps = write_steps(graph, canvases, SpritePainter(), rng)
    if spoilt:
        plan = canvases[-1].plan
        obj = plan.graph.objects[-1]
        other = with_object(plan, replace(obj, name=unused_class(plan.graph, CLASSES, rng)))
        image = SpritePainter().paint(None, "", "", other, 0)
        last = max(i for i, step in enumerate(steps) if step.image is not None)
        steps[last] = replace(steps[last], image=image)
    return Trajectory(prompt, tuple(steps))


def write_run(folder, prompts, trajectories, **settings):
    """A run's folder as the runner leaves it."""
    prepare(
        folder, {"model": "m", "strategy": "process", "world": "sprite", "seeds": [0], **settings}, prompts
    )
    with Writer(folder, prompts, 0, 1) as writer:
        for number, trajectory in enumerate(trajectories):
            images = len(trajectory.images)
            writer.write(
                number, 0, 0, Outcome(trajectory, Cost(24 * images, 48 * images, 30, images, 0, 0.0))
            )
    return Run(folder)


@pytest.fixture
def sprite_run(tmp_path):
    """A prompt of every task, every other picture wrong."""
    prompts = [Prompt(one.text, geneval_metadata(one)) for one in GENEVAL.values()]
    made = [painted(prompt.text, seed, seed % 2 == 1) for seed, prompt in enumerate(prompts)]
    return write_run(tmp_path / "oracle", prompts, made)


# --- the process ------------------------------------------------------------------------------------------


def canvas(plan=0, sketch=0, said=None, right=False, refines=False):
    return JudgedCanvas(refines, plan, sketch, said, right)


def test_counts_by_hand():
    """A sketch fault found and repaired, one missed, a false alarm that does damage, a refinement in vain."""
    every = [
        JudgedTrajectory((canvas(sketch=1, said=WRONG), canvas(said=RIGHT, right=True, refines=True))),
        JudgedTrajectory((canvas(sketch=2, said=RIGHT),)),
        JudgedTrajectory((canvas(said=WRONG, right=True), canvas(sketch=1, said=RIGHT, refines=True))),
        JudgedTrajectory(
            (canvas(sketch=1, said=WRONG), canvas(sketch=1, said=RIGHT, refines=True)), valid=False
        ),
        JudgedTrajectory((canvas(said=RIGHT, right=True),)),
        JudgedTrajectory(()),
    ]
    found = measure(every)
    assert (found.pictures, found.right, found.valid) == (6, Share(2, 6), Share(5, 6))
    assert found.sketch.precision == Share(2, 3)
    assert found.sketch.recall == Share(2, 5)
    assert found.plan.recall == Share(0, 0)
    assert found.plan.recall.value is None
    assert found.refined_right == Share(1, 2)
    assert found.refined_wrong == Share(1, 1)
    assert found.repaired == Share(1, 4)
    assert found.damaged == Share(1, 2)
    assert [one.part for one in found.by_budget] == [2, 2, 2, 2]
    assert [(one.canvas, one.canvases, one.faulty) for one in found.by_step] == [
        (1, 5, Share(3, 5)),
        (2, 3, Share(2, 3)),
    ]


def test_what_is_not_known_is_in_no_share():
    found = measure([JudgedTrajectory((canvas(plan=None, sketch=None, said=WRONG, right=None),))])
    assert found.whole.unknown == 1
    assert found.whole.precision == Share(0, 0)
    assert found.right == Share(0, 0)
    assert str(found.right) == "–"


@pytest.mark.parametrize("tag", GENEVAL)
def test_the_oracles_own_trajectories_are_faultless(tag):
    metadata = geneval_metadata(GENEVAL[tag])
    good = judge_trajectory(painted(GENEVAL[tag].text, 4), metadata)
    assert good.valid
    assert good.right
    assert not any(one.faulty for one in good.canvases)
    assert all(one.said == Verdict(True, True) for one in good.canvases)
    spoilt = judge_trajectory(painted(GENEVAL[tag].text, 4, spoilt=True), metadata)
    assert not spoilt.right
    assert spoilt.canvases[-1].sketch_faults


def test_a_refinement_belongs_to_the_plan_before_it():
    good = painted(GENEVAL["single_object"].text, 4)
    first = good.steps[0]
    refined = Step(Message("the sketch is too dark.", "lighten it"), first.image, Verdict(True, False))
    found = judge_trajectory(replace(good, steps=(first, refined, *good.steps[1:])))
    assert [one.refines for one in found.canvases] == [False, True]
    assert found.canvases[0].said == Verdict(True, False)
    assert found.canvases[1].sketch_faults == 0


def test_stored_figures_are_those_judged(sprite_run):
    assert stored_metrics(sprite_run) is None
    judged = list(judge_run(sprite_run))
    store(sprite_run, judged)
    assert stored_metrics(sprite_run) == measure(judged)
    assert measure(judged).right == Share(3, 6)
    assert measure(judged).cost["images"] >= 1
    (sprite_run.folder / "process.jsonl").write_text('{"canvases": 3}\n')
    with pytest.raises(RecordError):
        stored_metrics(sprite_run)


def test_runs_of_another_world_have_no_oracle(tmp_path):
    run = write_run(tmp_path, [Prompt("x")], [painted("a red bus", 0)], world="real")
    with pytest.raises(ConfigError, match="not a run of the sprite world"):
        list(judge_run(run))


def test_elsewhere_a_judge_is_asked(sprite_run, tmp_path):
    """The oracle behind the judge's interface says what it says by itself."""
    exact, asked = list(judge_run(sprite_run)), list(judge_run(sprite_run, OracleJudge()))
    for one, other in zip(exact, asked, strict=True):
        assert [c.said for c in one.canvases] == [c.said for c in other.canvases]
        assert [c.faulty for c in one.canvases] == [c.faulty for c in other.canvases]
        assert one.valid == other.valid
    assert measure(asked).right == Share(0, 0)


# --- WISE -------------------------------------------------------------------------------------------------


@pytest.fixture
def wise_run(tmp_path):
    ids = (1, 401, 700, 701, 880, 1000)
    prompts = [Prompt(f"hint {i}", {"prompt_id": i, "Explanation": "it shows a bus"}) for i in ids]
    return write_run(tmp_path / "hints", prompts, [painted("a red bus", i) for i in ids], world="real")


def test_legacy_weights():
    assert wise.wiscore(2, 2, 2) == pytest.approx(1)
    assert wise.wiscore(2, 0, 0) == pytest.approx(0.7)
    assert wise.wiscore(0, 2, 0) == pytest.approx(0.2)
    assert wise.wiscore(0, 0, 1) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("number", "legacy", "verified"),
    [
        (400, "culture", "culture"),
        (521, "time", "space"),
        (567, "time", "space"),
        (568, "space", "space"),
        (701, "biology", "biology"),
        (881, "physics", "chemistry"),
    ],
)
def test_categories_of_both_forms(number, legacy, verified):
    assert wise.category_of(number, "legacy") == legacy
    assert wise.category_of(number, "verified") == verified


def test_both_overalls():
    ratings = [wise.Rating(i, 0, s, {}) for i, s in ((1, 1.0), (2, 0.0), (450, 1.0), (600, 0.5))]
    some = wise.score(ratings, "verified")
    assert some.weighted is None
    assert some.plain == pytest.approx((0.5 + 1 + 0.5) / 3)
    ratings += [wise.Rating(i, 0, 0.0, {}) for i in (700, 800, 1000)]
    every = wise.score(ratings, "verified")
    assert every.weighted == pytest.approx(0.4 * 0.5 + 0.12 * 1 + 0.12 * 0.5)
    assert every.plain == pytest.approx(2 / 6)
    for wrong in (0, 1001):
        with pytest.raises(InputError, match="no prompt"):
            wise.category_of(wrong, "verified")


def test_rated_by_a_server_and_never_asked_twice(call, wise_run, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    with fake.serving() as server:
        server.script = [{"score": 2}, "no JSON", {"score": 1}]  # malformed answers are asked for again
        server.always = {"score": 0}
        words = ("wise", wise_run.folder, "--judge", "judge-1", "--judge-url", server.url)
        status, printed, err = call(*words)
        assert status == 0, err
        asked = len(server.requests)
        assert asked == 6 + 2
        assert call(*words)[0] == 0
        assert len(server.requests) == asked
        lines = [
            json.loads(line) for line in (wise_run.folder / "wise-verified.jsonl").read_text().splitlines()
        ]
        assert sorted(line["score"] for line in lines) == [0, 0, 0, 0, 0, 1]
        assert "overall, WISE's weights" in printed
        server.always = {"consistency": 2, "realism": 1, "aesthetics": 0}
        status, _, err = call(*words, "--mode", "legacy")
        assert status == 0, err
        assert wise.stored_score(Run(wise_run.folder), "legacy").plain == pytest.approx(0.8)
        status, _, err = call(*words, "--mode", "newest")
        assert status == 2
        assert "unknown WISE mode" in err


# --- commands and reports ---------------------------------------------------------------------------------


def test_from_runs_to_a_report(call, sprite_run, tmp_path):
    status, printed, err = call("geneval", sprite_run.folder)
    assert status == 0, err
    assert "sprite GenEval" in printed
    assert "0.5000" in printed
    status, printed, err = call("process", sprite_run.folder)
    assert status == 0, err
    other = tmp_path / "unscored"
    odd = Prompt("<script>alert('x')</script> & co")
    write_run(other, [odd], [replace(painted("a red bus", 1), prompt=odd.text)], strategy="single-pass")
    out = tmp_path / "report"
    status, printed, err = call("report", sprite_run.folder, other, "--out", out, "--title", "Two <runs>")
    assert status == 0, err
    page, text = (out / "report.html").read_text(), (out / "report.md").read_text()
    assert "<script>" not in page
    assert "Two &lt;runs&gt;" in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page
    assert page.count("data:image/") >= 3
    assert "sprite GenEval" in text
    assert "official: 6 of 553" in text
    assert "m single-pass" in text
    assert (out / "chart.svg").read_text().startswith("<svg")


def test_unpainted_pictures_count_as_wrong(call, sprite_run, tmp_path):
    prompts = [Prompt(one.text, geneval_metadata(one)) for one in list(GENEVAL.values())[:2]]
    nothing = Trajectory(prompts[0].text, (Step(Message("no")),))
    run = write_run(tmp_path / "silent", prompts, [nothing, painted(prompts[1].text, 1)])
    status, _, err = call("geneval", run.folder)
    assert status == 0, err
    lines = [json.loads(line) for line in (run.folder / "geneval.jsonl").read_text().splitlines()]
    assert [line["correct"] for line in lines] == [False, True]
    assert lines[0]["reason"] == lines[0]["fault"] == "nothing was painted"


@pytest.mark.parametrize("command", ["geneval", "process", "report"])
def test_folders_that_hold_no_run(call, tmp_path, command):
    more = ("--out", tmp_path / "out") if command == "report" else ()
    status, _, err = call(command, tmp_path, *more)
    assert status == 2
    assert "holds no run" in err
    assert "Traceback" not in err


def test_pictures_that_are_missing(call, sprite_run):
    (sprite_run.folder / "images" / "00000" / "samples" / "0000.png").unlink()
    status, _, err = call("geneval", sprite_run.folder)
    assert status == 2
    assert "0000.png" in err


def test_blank_pictures_are_reported_as_missing_things(call, tmp_path):
    prompt = Prompt(GENEVAL["two_object"].text, geneval_metadata(GENEVAL["two_object"]))
    blank = Image.new("RGB", (128, 128), "white")
    run = write_run(tmp_path / "blank", [prompt], [Trajectory(prompt.text, (Step(Message(), blank),))])
    assert call("geneval", run.folder)[0] == 0
    assert call("report", run.folder, "--out", tmp_path / "report")[0] == 0
    assert "missing" in (tmp_path / "report" / "report.html").read_text()


def test_scores_stored_before_kinds_of_faults_are_read(call, sprite_run, tmp_path):
    """Files of version 0.1 give the same score; their failures are listed without a kind."""
    assert call("geneval", sprite_run.folder)[0] == 0
    path, before = sprite_run.folder / "geneval.jsonl", summary_of(sprite_run)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert {line["fault"] for line in lines if line["correct"]} == {None}
    assert all(line["fault"] for line in lines if not line["correct"])
    for line in lines:
        line.pop("fault")
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert summary_of(sprite_run) == before
    assert call("report", sprite_run.folder, "--out", tmp_path / "report")[0] == 0
    assert "not stored (score the run again)" in (tmp_path / "report" / "report.md").read_text()
    path.write_text(json.dumps({**lines[0], "fault": "ugly"}) + "\n")
    with pytest.raises(RecordError, match="score the run again"):
        stored_verdicts(sprite_run)
