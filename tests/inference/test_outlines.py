"""Outlines: all plans written in words before anything is painted, on the shipped model."""

import pytest

from strokewise.critics.conclusions import PlanState, plan_state
from strokewise.errors import ConfigError
from strokewise.inference import PaintingOptions, Request
from strokewise.inference.painter import Painter
from strokewise.inference.policies import SinglePass
from strokewise.trajectory.values import Message, planned_scene

# The model's own first plan of it puts something where a later thing has to stand, with most seeds.
HARD = "a green dog left of a red bus, two cats above the red bus and an apple below the green dog"


@pytest.mark.parametrize(
    ("planned", "state"),
    [
        ("a red apple on the left; a white background.", PlanState.UNFINISHED),
        ("a red apple on the left; a blue bus on the right; a white background.", PlanState.COMPLETE),
        ("a red apple on the right; a blue bus on the left; a white background.", PlanState.WRONG),
        ("a red apple on the left; a blue bus on the left; a white background.", PlanState.WRONG),
        ("a green apple on the left; a white background.", PlanState.WRONG),
        ("something else entirely", PlanState.WRONG),
    ],
)
def test_the_state_of_a_plan(planned, state):
    assert plan_state("a red apple left of a blue bus", planned) is state


@pytest.fixture(scope="module")
def nano_painter():
    return Painter.load("nano", "cpu")


def plans(session):
    return [step.message for step in session.steps if step.message.refine is None and step.message.ins]


def test_the_outline_is_what_is_painted(nano_painter):
    engine = nano_painter.start([Request(HARD, 3)], outlines=16)
    (session,) = engine.sessions.values()
    for _ in engine.run():
        pass
    assert session.outline, "one of sixteen outlines holds all of the prompt"
    painted = plans(session)
    assert [(one.ins, one.des) for one in painted] == [(one.ins, one.des) for one in session.outline]
    assert plan_state(HARD, planned_scene(session.steps)) is PlanState.COMPLETE


def test_without_a_rule_or_with_something_supplied_nothing_is_outlined(nano_painter):
    supplied = Request(HARD, instruct=["add a red bus on the right."])
    engine = nano_painter.start([supplied], outlines=4)
    assert [session.outlines for session in engine.sessions.values()] == [0]
    engine = nano_painter.start([Request(HARD)], outlines=4, policy=SinglePass())
    assert [session.outlines for session in engine.sessions.values()] == [0]


def test_what_is_replaced_ends_the_outline(nano_painter):
    engine = nano_painter.engine(1)
    session = nano_painter.open(engine, Request("a red apple left of a blue bus", 1), keep=True, outlines=2)
    while not session.steps:
        list(engine.advance())
    assert len(session.outline) == 2
    branch = engine.fork(session, 1)
    assert branch.outline == session.outline
    assert engine.fork(session, 1, seed=7).outline == ()
    branch.replace(0, message=Message(ins="add a dog in the center.", des="a dog in the center."))
    assert branch.outline == ()


@pytest.mark.parametrize("outlines", [-1, 65])
def test_senseless_numbers_are_refused(outlines):
    with pytest.raises(ConfigError, match="outlines"):
        PaintingOptions(outlines=outlines)
