"""Probes and the free set: what is right is counted right, what is spoiled wrong, by scripted painters."""

import hashlib
import json
from types import SimpleNamespace

import pytest
from PIL import Image

from strokewise.errors import ConfigError, InputError, RecordError
from strokewise.evals.benchmarks import free
from strokewise.evals.costs import NO_COST
from strokewise.evals.intervals import NamedShare
from strokewise.evals.probes import free_prompts as free_probe
from strokewise.evals.probes import language, strokes
from strokewise.evals.prompt_sets import FREE_KINDS, free_prompts, load_prompts
from strokewise.evals.run_store import Run, Writer, prepare
from strokewise.evals.strategies.strategies import Outcome
from strokewise.inference import Painted, PaintingOptions, Written
from strokewise.inference.painter import Painter
from strokewise.trajectory.values import Message, Step, Trajectory
from strokewise.world.language import parse_prompt
from strokewise.world.layout import place
from strokewise.world.render import render

BLANK = Image.new("RGB", (128, 128), "white")


class Scripted:
    """A painter whose model gives prepared answers; it records what each context was given."""

    defaults = PaintingOptions(steps=3)
    vocabulary = None
    name = "scripted"

    def __init__(self, images=(), texts=()):
        self.images, self.texts, self.options, self.seeds = list(images), list(texts), [], []
        self.contexts = []
        self.generator = self
        self.tokenizer = SimpleNamespace(
            encode=lambda text: list(map(ord, text)), decode=lambda ids: "".join(map(chr, ids))
        )

    def context(self):
        self.contexts.append([])
        return self.contexts[-1]

    def append(self, contexts, segments, guided=True):
        for context, new in zip(contexts, segments, strict=True):
            context += new

    def image_segments(self, image):
        return [image]

    def paint(self, contexts, sizes, options, seeds):
        self.options.append(options)
        self.seeds += seeds
        assert sizes == [(128, 128)] * len(contexts)
        yield Painted(tuple(self.images.pop(0) for _ in contexts), ())

    def write(self, contexts, options):
        yield Written(tuple(tuple(map(ord, self.texts.pop(0))) for _ in contexts), (None,) * len(contexts))

    def paint_many(self, prompts, seeds, batch):
        self.seeds += seeds
        found = [self.images.pop(0) for _ in prompts]
        return [
            Trajectory(prompt, (Step(Message(), image),) if image else (), stop="end" if image else "length")
            for prompt, image in zip(prompts, found, strict=True)
        ]


def drawn(prompt):
    return render(place(parse_prompt(prompt), seed=1), 128)


def shares(found):
    return {one.name: (one.right, one.total) for one in found}


# --- strokes ----------------------------------------------------------------------------------------------


def test_strokes_that_are_as_planned():
    cases = strokes.sample_strokes(20, seed=3)
    wrong = [case.before or BLANK for case in cases[:5]]
    painter = Scripted([*wrong, *(case.after for case in cases[5:])])
    images, scores = strokes.probe_strokes(painter, cases, guidance=2.0, seed=7)
    assert images[:5] == wrong
    assert [one.right for one in scores] == [False] * 5 + [True] * 15
    assert all(one.faults for one in scores[:5])
    assert painter.seeds == list(range(7, 27))
    assert {(o.num_steps, o.guidance.text_scale) for o in painter.options} == {(3, 2.0)}
    for context, case in zip(painter.contexts, cases, strict=True):
        assert context[:-1] == ([case.before] if case.before else [])
        assert context[-1].tokens.tolist() == list(map(ord, case.text))
    assert shares(strokes.summarize(scores, "g")) == {
        "g: as planned": (15, 20),
        "g: all recognized": (20, 20),
    }


def test_what_is_not_recognized_is_not_right(random_image):
    (case,) = strokes.sample_strokes(1)
    assert not strokes.score_stroke(random_image(128, 128), case).right


def test_strokes_depend_on_their_seed_alone():
    cases = strokes.sample_strokes(6, seed=1, layout_jitter=0.5)
    assert strokes.sample_strokes(3, seed=1, layout_jitter=0.5) == cases[:3]
    assert [c.text for c in strokes.sample_strokes(6, seed=2)] != [c.text for c in cases]
    assert {case.before is None for case in strokes.sample_strokes(20)} == {True, False}


def test_a_contact_sheet_holds_its_rows(random_image):
    rows = [[random_image(8, 4, 2 * r + c) for c in range(2)] for r in range(3)]
    sheet = strokes.contact_sheet(rows)
    assert sheet.size == (16, 12)
    assert sheet.crop((8, 4, 16, 8)).tobytes() == rows[1][1].tobytes()


# --- language ---------------------------------------------------------------------------------------------


def test_right_messages_are_right_in_every_part():
    cases = language.sample_cases(12)
    painter = Scripted(texts=[case.wanted.text() for case in cases])
    scores = list(language.probe_language(painter, 12))
    assert [one.case for one in scores] == cases
    assert all(all(one.right.values()) for one in scores)
    found = shares(language.summarize(scores))
    assert found["multi-turn: readable"] == (12, 12)
    assert {name.partition(": ")[2] for name in found} == {
        "pending things",
        "no false alarm",
        "fault found",
        "fault named",
        "correction",
        "next thing",
        "place of the next thing",
        "readable",
    }
    case = scores[0].case
    read = painter.contexts[0]
    assert [segment for segment in read if isinstance(segment, Image.Image)] == [
        step.image for step in case.trajectory.steps[: case.at]
    ]


def test_wrong_messages_are_wrong_in_the_right_part():
    cases = language.sample_cases(24)
    accepted = next(c for c in cases if c.wanted.refine is None and c.wanted.ins is not None)
    faulty = next(c for c in cases if c.wanted.refine is not None)
    assert language.score_message(accepted, "lorem <ins>ipsum").right == {"readable": False}
    swapped = Message(accepted.wanted.inspect, None, faulty.wanted.ins or "add a bus.", accepted.wanted.des)
    found = language.score_message(accepted, swapped.text()).right
    assert found.get("next thing", False) is False
    silent = language.score_message(faulty, accepted.wanted.text()).right
    assert silent["fault found"] is silent["fault named"] is silent["correction"] is False
    other = Message(faulty.wanted.inspect, "move everything.", faulty.wanted.ins, faulty.wanted.des)
    assert language.score_message(faulty, other.text()).right["correction"] is False
    assert language.score_message(faulty, other.text()).right["fault named"]


def test_cases_of_two_seeds_differ():
    assert language.sample_cases(2, seed=1) != language.sample_cases(2, seed=0)
    assert language.sample_cases(2, seed=1) == language.sample_cases(2, seed=1)


# --- free prompts -----------------------------------------------------------------------------------------


def test_the_free_set_is_fixed():
    found = load_prompts("free")
    assert len(found) == 1000
    assert [prompt.kinds for prompt in found] == [kinds for kinds in FREE_KINDS for _ in range(200)]
    for prompt in found:
        assert len(parse_prompt(prompt.text).objects) == prompt.kinds
    digest = hashlib.sha256("\n".join(prompt.text for prompt in found).encode()).hexdigest()
    assert (
        digest == "91a8235341467bdd53ea532890bebb1d38d5e829f3984f1f9fa9078824a96bbd"
    )  # scores are comparable only as long as the prompts are the same
    assert free_prompts(3, 5) == free_prompts(3)[:5]


def test_the_tuning_set_shares_no_prompt_with_what_is_reported():
    found = load_prompts("tuning")
    assert [prompt.kinds for prompt in found] == [kinds for kinds in FREE_KINDS for _ in range(40)]
    reported = {prompt.text for name in ("free", "geneval") for prompt in load_prompts(name)}
    assert not reported & {prompt.text for prompt in found}


def test_free_prompts_are_scored_by_number_of_kinds(monkeypatch):
    painted = []
    for kinds in FREE_KINDS:
        for number, prompt in enumerate(free_prompts(kinds)[:4]):
            wrong = None if kinds == 5 else BLANK
            painted += [drawn(prompt.text), drawn(prompt.text) if number % kinds == 0 else wrong]
    painter = Scripted(painted)
    scores = list(free_probe.probe_free_prompts(painter, 4, seeds=(7, 9)))
    assert painter.seeds == [7, 9] * 20
    found = shares(free.summarize(scores))
    assert found["1 kind of things"] == (8, 8)
    assert found["2 kinds of things"] == (6, 8)
    assert found["5 kinds of things"] == (5, 8)
    assert found["all"] == (8 + 6 + 6 + 5 + 5, 40)
    assert found["ended by itself"] == (37, 40)
    one = next(one for one in free.summarize(scores) if one.name == "2 kinds of things")
    assert one.interval == NamedShare.of("", [[True, True], [True, False]] * 2).interval
    with pytest.raises(ConfigError, match="200 prompts"):
        next(free_probe.probe_free_prompts(painter, 201))


@pytest.fixture
def free_run(tmp_path):
    prompts = [prompt for kinds in (1, 2) for prompt in free_prompts(kinds)[:2]]
    prepare(tmp_path, {"model": "m", "strategy": "s", "world": "sprite", "seeds": [0]}, prompts)
    with Writer(tmp_path, prompts, 0, 1) as writer:
        for number, prompt in enumerate(prompts):
            steps = (Step(Message(), BLANK if number == 2 else drawn(prompt.text)),) if number else ()
            writer.write(number, 0, 0, Outcome(Trajectory(prompt.text, steps, stop="end"), NO_COST))
    return Run(tmp_path)


def test_a_run_of_the_free_set(free_run, call, tmp_path):
    status, out, err = call("free", free_run.folder)
    assert status == 0, err
    scores = free.stored_scores(free_run)
    assert [one.right for one in scores] == [False, True, False, True]
    assert shares(free.summarize(scores))["2 kinds of things"] == (1, 2)
    assert "2 kinds of things" in out
    assert call("report", free_run.folder, "--out", tmp_path / "report")[0] == 0
    assert "Free prompts" in (tmp_path / "report" / "report.md").read_text()
    (free_run.folder / free.SCORES).write_text('{"kinds": 1}\n')
    with pytest.raises(RecordError, match=r"free.jsonl, line 1: "):
        free.stored_scores(free_run)


def test_other_runs_hold_no_free_prompts(tmp_path):
    prompts = load_prompts("geneval")[:1]
    prepare(tmp_path, {"world": "sprite", "seeds": [0]}, prompts)
    with pytest.raises(InputError, match="no pictures of the free set"):
        list(free.score_run(Run(tmp_path)))
    prepare(tmp_path / "real", {"world": "real", "seeds": [0]}, prompts)
    with pytest.raises(ConfigError, match="not a run of the sprite world"):
        list(free.score_run(Run(tmp_path / "real")))


# --- commands ---------------------------------------------------------------------------------------------


@pytest.fixture
def scripted(monkeypatch):
    """Let the commands load a prepared painter."""

    def use(painter):
        monkeypatch.setattr(Painter, "load", lambda *_, **__: painter)

    return use


def test_probes_as_commands(call, scripted, tmp_path):
    cases = strokes.sample_strokes(2)
    scripted(Scripted([case.after for case in cases] * 2))
    status, out, err = call("probe", "strokes", "m", "--n", 2, "--out", tmp_path / "s.png", "--json")
    assert status == 0, err
    found = json.loads(out)
    assert [one["name"] for one in found["shares"]][::2] == [
        "guidance 1: as planned",
        "guidance 2: as planned",
    ]
    assert found["shares"][0]["interval"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert found["settings"] == {"n": 2, "seed": 0, "layout_jitter": 0.0}
    assert Image.open(tmp_path / "s.png").size == (256, 512)

    scripted(Scripted(texts=["no message"] * 3))
    status, out, err = call("probe", "language", "m", "--n", 1, "--show")
    assert status == 0, err
    assert out.count("written:   no message") == 3
    assert "alignment: readable" in out

    scripted(Scripted([BLANK] * 10))
    status, out, err = call("probe", "free-prompts", "m", "--n", 1, "--seeds", "0,1", "--json")
    assert status == 0, err
    assert json.loads(out)["shares"][-2]["total"] == 10
    assert call("probe", "free-prompts", "m", "--n", 201)[0] == 2


def test_a_tiny_model_is_probed(call, tiny_folder):
    """The whole way with a real model; it knows nothing, and what it paints is too small to be read."""
    status, _, err = call("probe", "strokes", tiny_folder, "--n", 1, "--device", "cpu")
    assert status == 2
    assert err.count("\n") == 1
