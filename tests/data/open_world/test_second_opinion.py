"""How often a second judge disagrees with open-world data."""

import re

import pytest
from PIL import Image
from typer.testing import CliRunner

from strokewise.cli.main import app
from strokewise.data.destination import Destination
from strokewise.data.executor import Executor
from strokewise.data.open_world.drafts import OpenMultiTurnMix, drafter
from strokewise.data.open_world.multi_turn import MultiTurnWork, build_multi_turn
from strokewise.data.open_world.overlap import select
from strokewise.data.open_world.second_opinion import CANVAS, PLAN, opinions_of, sampled
from strokewise.data.open_world.taxonomy import load_taxonomy
from strokewise.errors import ConfigError
from strokewise.trajectory.values import Message, Step, Trajectory, Verdict

TAXONOMY = load_taxonomy()


@pytest.fixture
def built(studio, make_workshop, tmp_path):
    """A data set of ten records, all accepted by its judge."""
    work = MultiTurnWork(make_workshop(), 1, OpenMultiTurnMix(), TAXONOMY)
    selection = select(drafter(1, work.mix, TAXONOMY), 10, [])
    build_multi_turn(work, selection, Destination(tmp_path / "out"), Executor())
    studio.seen.clear()
    return tmp_path / "out"


def check(studio, folder, *given):
    command = ["data", "check", folder, "--judge", "judge-2", "--judge-url", studio.url, *given]
    return CliRunner().invoke(app, list(map(str, command)))


def test_a_judge_that_agrees(studio, built):
    result = check(studio, built, "--sample", 4)
    assert result.exception is None, result.output
    assert re.search(r"plans +. +0 of \d+ . +0.000", result.output)
    assert re.search(r"canvases +. +0 of \d+ . +0.000", result.output)
    assert "judge-2 on 4 records at random" in result.output


def test_disagreement_is_counted_with_its_interval(studio, studio_server, built):
    studio.judge = lambda text, pictures: (
        studio_server.BAD if pictures[0].getpixel((0, 0))[0] < 90 else studio_server.GOOD
    )
    result = check(studio, built)
    assert result.exception is None, result.output
    wrong, total = map(int, re.search(r"canvases +. +(\d+) of (\d+)", result.output).groups())
    assert 0 < wrong < total == studio.count("completions") - len(plans_of(studio))
    assert result.output.count("One too few.") == wrong


def plans_of(studio):
    return [text for _, text in studio.seen if text.startswith("Prompt:")]


def test_samples_are_the_same_for_a_seed(built):
    assert sampled(built, 4, 1) == sampled(built, 4, 1) != sampled(built, 4, 2)
    assert len(sampled(built, 99, 1)) == 10


def test_faults_and_corrections_are_claims_too(studio, studio_server, make_workshop):
    """A wrong canvas is a claim that it is wrong, a correction one that it is right."""
    red, blue = (Image.new("RGB", (8, 8), color) for color in ("red", "blue"))
    steps = (
        Step(Message(ins="Paint it red.", des="a red wall"), blue),
        Step(Message("It is blue.", "Make it red."), red, Verdict(True, False)),
    )
    studio.judge = lambda text, pictures: (
        studio_server.GOOD if pictures[0].getpixel((0, 0))[0] > 200 else studio_server.BAD
    )
    judge = make_workshop().open().judge
    found = list(opinions_of(judge, Trajectory("a red wall", steps, stop="excerpt")))
    assert [(one.kind, one.step, one.agrees) for one in found] == [
        (PLAN, 0, True),
        (CANVAS, 0, True),
        (CANVAS, 1, True),
    ]
    assert "a red wall" in studio.seen[-1][1]


def test_a_judge_that_refuses_all(studio, studio_server, built):
    refusal = studio_server.status(400, "no", "content_policy_violation")
    studio.faults = [refusal] * 99
    result = check(studio, built)
    assert isinstance(result.exception, ConfigError)
    assert "decides on none of the 10 records" in str(result.exception)
