"""Outlines: all plans written in words before anything is painted, on the shipped model."""

import pytest

from strokewise.critics.conclusions import PlanState, plan_state
from strokewise.errors import ConfigError
from strokewise.inference import PaintingOptions, Request, outlines
from strokewise.inference.context import Context
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
    engine = nano_painter.start([Request(HARD, 0)], outlines=4)
    (session,) = engine.sessions.values()
    for _ in engine.run():
        pass
    assert session.outline, "one of four outlines holds all of the prompt"
    painted = plans(session)
    assert [(one.ins, one.des) for one in painted] == [(one.ins, one.des) for one in session.outline]
    assert plan_state(HARD, planned_scene(session.steps)) is PlanState.COMPLETE


def test_others_beside_it_change_no_outline(nano_painter):
    def outline(requests):
        engine = nano_painter.start(requests, outlines=2)
        next(iter(engine.run()))
        return [session.outline for session in engine.sessions.values()][-1]

    alone = outline([Request(HARD, 0)])
    assert alone == outline([Request("two red cats", 1), Request(HARD, 0)])


def test_branches_stand_in_for_chains_that_went_wrong(nano_painter):
    engine = nano_painter.start([Request(HARD)], outlines=4)
    (session,) = engine.sessions.values()
    first, second = (
        Message(ins="add a dog in the center.", des="a dog in the center."),
        Message(ins="x", des="y"),
    )
    states = [PlanState.WRONG, PlanState.UNFINISHED, PlanState.WRONG, PlanState.WRONG]
    chains = [outlines._Chain(session, n, Context(), [second], state) for n, state in enumerate(states)]
    chains[1].messages = [first]
    continued = outlines._continued(nano_painter.generator, chains)
    assert continued[1] is chains[1]
    assert [(one.number, one.messages, one.state) for one in continued] == [
        (n, [first], PlanState.UNFINISHED) for n in range(4)
    ]
    assert len({id(one.messages) for one in continued}) == len({one.seed for one in continued}) == 4
    chains[1].state = PlanState.WRONG
    assert outlines._continued(nano_painter.generator, chains) == []
    assert not session.outline
    chains[2].state = PlanState.COMPLETE
    assert outlines._continued(nano_painter.generator, chains) == []
    assert session.outline == (second,)


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
