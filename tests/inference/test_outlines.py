"""Outlines: all plans written in words before anything is painted, on the shipped model."""

import pytest

from strokewise.critics.conclusions import PlanState, plan_state
from strokewise.errors import ConfigError
from strokewise.inference import PaintingOptions, Request, outlines
from strokewise.inference.context import Context
from strokewise.inference.painter import Painter
from strokewise.inference.policies import SinglePass
from strokewise.inference.session import SessionState
from strokewise.trajectory.values import Message, StopReason, planned_scene

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


def outlined(painter, requests, options=2):
    """An engine in which the last of the sessions has an outline, or is known to get none."""
    engine = painter.start(requests, outlines=options)
    session = list(engine.sessions.values())[-1]
    while session.state in (SessionState.READ, SessionState.OUTLINE):
        list(engine.advance())
    return engine, session


def test_others_beside_it_change_no_outline(nano_painter):
    _, alone = outlined(nano_painter, [Request(HARD, 0)])
    engine, beside = outlined(nano_painter, [Request("two red cats", 1), Request(HARD, 0)])
    assert alone.outline == beside.outline
    other = next(iter(engine.sessions.values()))
    assert other.steps, "nobody waits for another's outlines"


def test_a_session_that_is_cancelled_while_it_is_outlined_frees_its_memory(nano_painter):
    engine = nano_painter.engine(1)
    session = nano_painter.open(engine, Request(HARD, 0), keep=True, outlines=4)
    read = [list(engine.advance()), engine.memory()][1]
    list(engine.advance())
    assert session.state is SessionState.OUTLINE
    assert engine.memory() > read
    engine.cancel(session)
    list(engine.run())
    assert session.stop is StopReason.CANCELLED
    assert session.drafts == []
    assert engine.memory() == read


def test_branches_stand_in_for_chains_that_went_wrong(nano_painter):
    engine = nano_painter.start([Request(HARD)], outlines=4)
    (session,) = engine.sessions.values()
    first, second = (
        Message(ins="add a dog in the center.", des="a dog in the center."),
        Message(ins="x", des="y"),
    )
    states = [PlanState.WRONG, PlanState.UNFINISHED, PlanState.WRONG]
    chains = [outlines.Chain(session, n + 1, Context(), [second], state) for n, state in enumerate(states)]
    session.drafts, chains[1].messages = chains, [first]
    continued = outlines._continued(nano_painter.generator, session)
    assert continued[1] is chains[1]
    assert [(one.number, one.messages, one.state) for one in continued] == [
        (n, [first], PlanState.UNFINISHED) for n in (1, 2, 3)
    ]
    assert len({id(one.messages) for one in continued}) == len({one.seed for one in continued}) == 3


def test_after_one_chain_more_are_begun_up_to_the_number_that_is_stated(nano_painter):
    engine = nano_painter.start([Request(HARD)], outlines=6)
    (session,) = engine.sessions.values()
    numbers, session.drafts = [], outlines._begun(nano_painter.generator, session, 0)
    while session.drafts:
        numbers.append([chain.number for chain in session.drafts])
        for chain in session.drafts:
            chain.state = PlanState.WRONG
        session.drafts = outlines._continued(nano_painter.generator, session)
    assert numbers == [[0], [1, 2, 3], [4, 5]]


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
