"""Texts worded by a language model and read back: against a server that writes, reads, paints and judges."""

import dataclasses
import json
import random
import re
import signal
import subprocess
import time
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from strokewise.cli.main import _run, app
from strokewise.critics.stated_facts import StatedRelation, StatedThing, Statement
from strokewise.data.destination import Destination
from strokewise.data.executor import Executor
from strokewise.data.open_world.building import rejects_of
from strokewise.data.open_world.drafts import OpenMultiTurnMix, drafter
from strokewise.data.open_world.facts import Facts
from strokewise.data.open_world.multi_turn import MultiTurnWork, build_multi_turn, multi_turn_estimate
from strokewise.data.open_world.overlap import select
from strokewise.data.open_world.scene import OpenObject, OpenRelation, OpenScene
from strokewise.data.open_world.steps import OpenStep
from strokewise.data.open_world.taxonomy import load_taxonomy
from strokewise.data.open_world.writer import TRIES, VOICES, _request
from strokewise.data.storage import read
from strokewise.datasets.records import Shards
from strokewise.datasets.samples import SampleText
from strokewise.errors import ConfigError, ServiceError
from strokewise.evals.prompt_sets import load_prompts

TAXONOMY = load_taxonomy()
FACTS = Facts(TAXONOMY)
DRAFT = drafter(1, OpenMultiTurnMix(), TAXONOMY)
N = 6

CUPS, CAT = OpenObject("cup", 2, {"size": "small", "color": "red"}), OpenObject("cat")
KITCHEN = OpenScene(
    (CUPS, CAT), (OpenRelation("cup", "left of", "cat"),), "in a kitchen", "an oil painting of"
)
READ = Statement(
    (StatedThing("cups", 2, ("red", "Small")), StatedThing("cat", 1, ())),
    (StatedRelation("cat", "to the right of", "cup"),),
    "kitchen",
    "oil painting",
)


class TestFacts:
    def test_the_same_in_other_words(self):
        assert FACTS.of_scene(KITCHEN).difference(FACTS.of_statement(READ)) == ""

    @pytest.mark.parametrize(
        ("change", "fault"),
        [
            ({"things": READ.things[:1]}, 'it lacks "number of cat: 1"; it lacks "thing: cat"'),
            ({"things": (*READ.things, StatedThing("dog", None, ()))}, 'it adds "thing: dog"'),
            (
                {"things": (StatedThing("cup", 3, ("small", "red")), READ.things[1])},
                'it lacks "number of cup: 2"; it adds "number of cup: 3"',
            ),
            (
                {"things": (StatedThing("cup", 2, ("small", "blue")), READ.things[1])},
                'it lacks "cup is red"; it adds "cup is blue"',
            ),
            ({"things": (*READ.things, READ.things[1])}, 'it adds "cat is stated as several things"'),
            ({"relations": ()}, 'it lacks "cat right cup"'),
            (
                {"relations": (StatedRelation("cup", "right of", "cat"),)},
                'it lacks "cat right cup"; it adds "cat left cup"',
            ),
            ({"place": "on a kitchen floor"}, 'it lacks "place: kitchen"; it adds "place: kitchen floor"'),
            ({"style": None}, 'it lacks "style: oil painting"'),
        ],
    )
    def test_every_difference_is_named(self, change, fault):
        found = FACTS.of_statement(dataclasses.replace(READ, **change))
        assert FACTS.of_scene(KITCHEN).difference(found) == fault

    def test_photos_need_not_be_called_so(self):
        photo = FACTS.of_scene(dataclasses.replace(KITCHEN, style="a photo of"))
        for style in (None, "photo"):
            assert photo.difference(FACTS.of_statement(dataclasses.replace(READ, style=style))) == ""
        assert "oil painting" in photo.difference(FACTS.of_statement(READ))

    BLUE = dataclasses.replace(CUPS, attributes={"size": "small", "color": "blue"})
    BLUE_CUPS = StatedThing("cup", None, ("blue",))

    @pytest.mark.parametrize(
        ("step", "stated", "fault"),
        [
            (
                OpenStep("add", None, CUPS, KITCHEN),
                Statement(READ.things[:1], READ.relations, None, None, "add"),
                "",
            ),
            (
                OpenStep("add", None, CUPS, KITCHEN),
                Statement(READ.things[:1], (), "in the kitchen", None, "add"),
                'it lacks "cat right cup"',
            ),
            (  # only what changes has to be said
                OpenStep("modify", BLUE, CUPS, KITCHEN),
                Statement((StatedThing("cup", None, ("red",)),), (), None, None, "modify", BLUE_CUPS),
                "",
            ),
            (
                OpenStep("modify", BLUE, CUPS, KITCHEN),
                Statement((StatedThing("cup", 4, ("red",)),), (), None, None, "modify", BLUE_CUPS),
                'it adds "number of cup: 4"',
            ),
            (
                OpenStep("swap", OpenObject("dog"), CAT, KITCHEN),
                Statement(READ.things[1:], (), None, None, "swap", StatedThing("dog", 1, ("wet",))),
                'it adds "before: dog is wet"',
            ),
            (
                OpenStep("remove", OpenObject("dog"), None, KITCHEN),
                Statement((), (), None, None, "remove", StatedThing("bird", 1, ())),
                'it lacks "before: thing: dog"; it adds "before: number of bird: 1"; '
                'it adds "before: thing: bird"',
            ),
        ],
    )
    def test_instructions(self, step, stated, fault):
        assert FACTS.of_step(step).difference(FACTS.of_statement(stated)) == fault

    @given(st.integers(0, 10**6))
    def test_scenes_that_differ_have_other_facts(self, number):
        first, second = DRAFT(number), DRAFT(number + 1)
        wanted = FACTS.of_scene(first.scene)
        assert wanted.difference(wanted.required) == ""
        if first.scene != second.scene:
            assert wanted.difference(FACTS.of_scene(second.scene).required) != ""


@pytest.fixture
def make_work(make_workshop):
    def make(measured=(), writer="pen-1", **workshop):
        return MultiTurnWork(
            make_workshop(writer=writer, **workshop), 1, OpenMultiTurnMix(), TAXONOMY, measured
        )

    return make


@pytest.fixture
def build(make_work, tmp_path):
    def make(out="out", count=N, **work):
        chosen = select(DRAFT, count, [])
        return build_multi_turn(make_work(**work), chosen, Destination(tmp_path / out), Executor())

    return make


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def asked(studio, mark):
    return [text for path, text in studio.seen if path.endswith("completions") and mark in text]


class TestWriter:
    def test_words_all_texts(self, studio, studio_server, build, tmp_path):
        found = build()
        assert found.records == N
        for number, (_, record) in enumerate(read(tmp_path / "out")):
            steps = record.trajectory.steps[:-1]
            assert record.trajectory.prompt.split(":")[0] in {voice.split()[0] for voice in VOICES}
            for step, drafted in zip(steps, DRAFT(number).steps, strict=True):
                assert step.message.ins.partition("! ")[2].startswith(drafted.step.action)
                assert step.message.des.startswith("see: ")
        recipe = json.loads((tmp_path / "out" / "recipe.json").read_text())
        assert recipe["writer"] == "pen-1"
        assert (
            "are worded by pen-1, and each text is read back" in (tmp_path / "out" / "README.md").read_text()
        )
        assert len(asked(studio, "Manner: ")) == N

    def spoiled(self, studio, studio_server, spoil, times=99):
        """A writer whose first answers for the first draft are spoiled."""
        left, lock = [times], studio.lock

        def write(text):
            texts = studio_server.write(text)
            with lock:
                if left[0] and studio_server.facts_of(text) == first:
                    left[0] -= 1  # the prompts differ, as those of a model do
                    return spoil(texts | {"prompt": f"{left[0]}{texts['prompt']}"})
            return texts

        first = studio_server.facts_of(_request(DRAFT(0)))
        studio.writer = write

    @pytest.mark.parametrize(
        ("spoil", "step", "fault"),
        [
            (  # omits the first thing
                lambda texts: texts | {"prompt": re.sub(": .*?; ", ": ", texts["prompt"])},
                0,
                "the prompt (.*): it lacks",
            ),
            (
                lambda texts: texts | {"prompt": texts["prompt"] + "; 1 [wet] unicorn"},
                0,
                'it adds "number of unicorn: 1"',
            ),
            (
                lambda texts: texts["strokes"][1].update(description="see: 1 [] cat; = a photo of") or texts,
                1,
                "the description of stroke 2",
            ),
            (
                lambda texts: texts["strokes"][2].update(instruction="so! remove > 1 [] yeti >  > ") or texts,
                2,
                'the instruction of stroke 3 .*it adds "before: thing: yeti"',
            ),
            (lambda texts: texts | {"strokes": texts["strokes"][1:]}, 0, "strokes, and texts of"),
        ],
    )
    def test_what_stays_wrong_is_rejected_and_no_template_takes_its_place(
        self, studio, studio_server, build, tmp_path, spoil, step, fault
    ):
        self.spoiled(studio, studio_server, spoil)
        found = build()
        assert found.reasons == {"wording": 1}
        (reject,) = rejects_of(tmp_path / "out")
        assert (reject.number, reject.step) == (0, step)
        assert re.search(fault, reject.analysis)
        assert len(asked(studio, "Manner: ")) == N - 1 + TRIES
        assert len(asked(studio, "does not agree with the facts")) == TRIES - 1
        assert DRAFT(0).prompt not in {record.trajectory.prompt for _, record in read(tmp_path / "out")}

    def test_what_is_right_at_the_second_try_is_kept(self, studio, studio_server, build, tmp_path):
        self.spoiled(
            studio, studio_server, lambda texts: texts | {"prompt": texts["prompt"] + "; 1 [] yeti"}, times=1
        )
        assert build().records == N
        (again,) = asked(studio, "does not agree with the facts")
        assert 'it adds "number of yeti: 1"; it adds "thing: yeti"' in again
        needed = len(studio.seen)
        assert build("again").records == N  # of the same answers
        assert len(studio.seen) == needed
        assert files_of(tmp_path / "again") == files_of(tmp_path / "out")

    def test_garbage_is_requested_again_and_ends_the_build_in_the_end(self, studio, build):
        studio.writer = lambda text: {"prompt": "a <ins>cat</ins>"}
        with pytest.raises(ServiceError, match="pen-1 gave 3 answers that are not of the schema"):
            build()

    def test_one_garbled_answer_is_no_failure(self, studio, studio_server, build):
        answers = [{"prompt": 3}, {"prompt": "a\u0007b", "strokes": []}]
        studio.writer = lambda text: answers.pop() if answers else studio_server.write(text)
        assert build().records == N

    def test_what_a_service_refuses_to_write_is_left_out(self, studio, studio_server, build):
        studio.faults = [studio_server.status(400, "not allowed", "content_policy_violation")]
        assert build().reasons == {"not decided": 1}

    def test_new_words_must_not_be_those_of_a_measured_prompt(self, studio, studio_server, build, tmp_path):
        build("first")
        (prompt, *_) = [record.trajectory.prompt for _, record in read(tmp_path / "first")]
        assert build(measured=(prompt.upper(),)).reasons == {"too like a measured prompt": 1}

    def test_the_temperature_is_sent_and_part_of_what_is_kept(self, studio, make_work):
        sent, complete = [], studio.RequestHandlerClass.complete

        class Noting(studio.RequestHandlerClass):
            def complete(self, fields, text):
                sent.append((fields["model"], fields.get("temperature")))
                complete(self, fields, text)

        studio.RequestHandlerClass = Noting
        next(make_work()()([0]))
        assert set(sent) == {("pen-1", 1.0), ("judge-1", None)}


class TestLimits:
    def test_the_estimate_bounds_what_is_spent(self, studio, studio_server, make_work, build):
        expected = multi_turn_estimate(make_work(), select(DRAFT, N, []))
        assert (expected.writings, expected.readings) == (3 * N, 3 * (N + 2 * expected.canvases))
        assert expected.cost > multi_turn_estimate(make_work(writer=None), select(DRAFT, N, [])).cost
        wrong = count()
        studio.writer = lambda text: studio_server.write(text) | {"prompt": f"so: 1 [{next(wrong)}] cat"}
        with pytest.raises(ConfigError, match="wording: 6"):
            build()
        assert len(asked(studio, "Manner: ")) == expected.writings
        studio.writer = studio_server.write
        studio.seen.clear()
        build("other", cache="other")
        once = N + (N + 2 * expected.canvases) + 2 * expected.canvases
        assert 0.9 * once <= len(studio.seen) <= once  # equal texts are read once

    def test_they_count_what_is_written_and_read(self, studio, build, tmp_path):
        whole = build("whole", cache="other")
        needed = len(studio.seen)
        studio.seen.clear()
        for _ in range(2):
            with pytest.raises(ServiceError, match="limit of 30 requests is reached"):
                build(requests=30)
        assert len(studio.seen) == 30
        assert build() == whole
        assert len(studio.seen) == needed
        assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


class TestCommand:
    @pytest.fixture
    def command(self, studio, tmp_path):
        where = ("--judge-url", studio.url, "--painter-url", studio.url, "--cache", tmp_path / "cache")
        given = ("--world", "open", "--painter", "served", "--painter-model", "brush-1", "--judge", "judge-1")
        asked = ("--writer", "pen-1", "--n", 12, "--size", 16, "--seed", 1)
        return ("data", "build", "multi-turn", *given, *asked, *where)

    def run(self, *command):
        result = CliRunner().invoke(app, list(map(str, command)))
        assert result.exception is None, result.output + repr(result.exception)
        return result.output

    def test_tells_the_cost_and_is_read_by_training(self, studio, command, tmp_path, tiny_tokenizer):
        prices = ("--writer-price", "1000,2000", "--out", tmp_path / "out")
        told = self.run(*command, *prices, "--dry-run")
        assert "at most 36 requests to the writer and 312 queries to the judge that read its texts" in told
        assert "tokens of judge and writer; 64.80 by the prices given" in told
        assert not studio.seen
        told = self.run(*command, *prices)
        assert "12 records of 12 tried in" in told
        source = Shards(str(tmp_path / "out"), "process").open(tiny_tokenizer)
        assert source.size == 12
        for number, (_, record) in enumerate(read(tmp_path / "out")):
            parts = source.sample(number).parts
            texts = [list(one.ids) for one in parts if isinstance(one, SampleText)]
            assert texts[0] == tiny_tokenizer.encode(record.trajectory.prompt)
            for step, text in zip(record.trajectory.steps[:-1], texts[1:], strict=False):
                plan = f"<ins>{step.message.ins}</ins> <des>{step.message.des}</des>"
                assert tiny_tokenizer.decode(tiny_tokenizer.encode(plan)) in tiny_tokenizer.decode(text)

    def test_a_build_that_is_killed_is_resumed_and_the_same(
        self, forks, studio, command, make_work, tmp_path
    ):
        measured = tuple(one.text for one in load_prompts("geneval"))
        work = make_work(measured, cache="other")
        build_multi_turn(work, select(DRAFT, 12, []), Destination(tmp_path / "whole"), Executor())
        needed = len(studio.seen)
        rng = random.Random(0)
        for _ in range(2):
            studio.seen.clear()
            enough = rng.randrange(20, 60)
            process = forks.start(
                *("-m", "strokewise", *command, "--out", tmp_path / "out"),
                stderr=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
            while process.poll() is None and len(studio.seen) < enough:
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
            process.wait()
        studio.seen.clear()
        _run(list(map(str, (*command, "--out", tmp_path / "out"))))
        assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
        assert len(studio.seen) < needed

    def test_samples_are_not_worded(self, studio, command, tmp_path):
        given = [str(one) for one in (*command, "--samples", tmp_path, "--out", tmp_path / "out")]
        given[2] = "conflict"
        result = CliRunner().invoke(app, given)
        assert "--writer are for multi-turn data" in str(result.exception)
