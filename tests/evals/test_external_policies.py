"""External inspectors and planners as policies: alone, with an image to edit, and after earlier steps."""

from dataclasses import replace

import pytest
from PIL import Image

from strokewise.errors import ConfigError, ServiceError
from strokewise.evals.strategies.external import (
    GraphPlanner,
    InspectorPolicy,
    PlannerPolicy,
    SpriteInspector,
)
from strokewise.evals.strategies.strategies import Helpers, make_strategy
from strokewise.inference import PROTOCOL_FORMATS, Request
from strokewise.inference.painter import Painter, raising
from strokewise.trajectory.values import Message

PROMPT = "a photo of a red apple left of a blue bus"
FAST = {"steps": 2, "text_guidance": 1.0, "max_images": 3}


@pytest.fixture(scope="module")
def nano():
    return Painter.load("nano", "cpu")


@pytest.fixture(scope="module")
def planned(nano):
    """The steps of a planned painting, to continue from."""
    return run(nano, Request(PROMPT), PlannerPolicy(GraphPlanner())).steps


@pytest.fixture(params=["plain", "source", "earlier steps"])
def request_of(request, planned):
    if request.param == "source":  # of noise nano makes nothing that satisfies it
        return Request(PROMPT, source=Image.new("RGB", (128, 128), "white"))
    if request.param == "earlier steps":
        return Request(PROMPT, before=tuple(planned[:1]))
    return Request(PROMPT)


def run(painter, request, policy, **options):
    engine = painter.start([request], policy=policy, check=False, **FAST | options)
    for _ in raising(engine.run()):
        pass
    (session,) = engine.sessions.values()
    return session


class Counting:
    """Asks another helper and counts."""

    def __init__(self, helper):
        self.helper, self.calls = helper, 0

    def plan(self, prompt, seed):
        self.calls += 1
        return self.helper.plan(prompt, seed)

    def inspect(self, trajectory):
        self.calls += 1
        return self.helper(trajectory) if callable(self.helper) else self.helper.inspect(trajectory)


def test_every_planned_stroke_is_painted_and_no_other(nano, request_of):
    planner = Counting(GraphPlanner())
    session = run(nano, request_of, PlannerPolicy(planner))
    plans = GraphPlanner().plan(PROMPT, 0)
    assert [step.message for step in session.steps] == plans
    assert all(step.image is not None for step in session.steps)
    assert (session.stop, session.usage.queries, planner.calls) == ("end", 1, 1)
    assert session.usage.text_tokens == 0
    assert session.usage.images == len(plans) - len(request_of.before)


def test_one_planner_serves_sessions_of_several_engines(nano):
    policy, other = PlannerPolicy(Counting(GraphPlanner())), "a photo of two dogs"
    for prompt in (PROMPT, other, PROMPT):
        session = run(nano, Request(prompt), policy)
        assert [step.message for step in session.steps] == GraphPlanner().plan(prompt, 0)
    assert policy.planner.calls == 2


def test_a_correction_is_painted_and_an_acceptance_continued(nano, request_of):
    first = max(len(request_of.before), 1)
    fix = Message(
        "the plan fits the prompt. the sketch shows no apple.", refine="add a red apple on the left"
    )
    accept = Message("the plan fits the prompt. the sketch shows the plan.")

    def inspect(trajectory):
        return fix if len(trajectory.steps) == first else accept

    inspector = Counting(inspect)
    session = run(nano, request_of, InspectorPolicy(inspector))
    messages = [step.message for step in session.steps]
    assert messages[first] == fix
    assert session.steps[first].image is not None
    assert all(message.inspect.startswith(accept.inspect) for message in messages[first + 1 :])
    assert session.usage.queries == inspector.calls


def test_where_the_inspector_knows_nothing_the_model_inspects(nano, request_of):
    session = run(nano, request_of, InspectorPolicy(Counting(lambda trajectory: None)), max_images=2)
    alone = run(nano, request_of, None, max_images=2)
    assert [step.message for step in session.steps] == [step.message for step in alone.steps]


def test_an_inspector_may_end_the_painting(nano, request_of):
    session = run(nano, request_of, InspectorPolicy(Counting(lambda trajectory: Message())))
    assert session.stop == "end"
    assert len(session.steps) == len(request_of.before) or len(session.steps) == 1


def test_the_oracle_inspects_in_the_language_of_the_records(nano):
    session = run(nano, Request(PROMPT), InspectorPolicy(SpriteInspector()))
    assert session.usage.queries >= 1
    assert all(step.verdict is not None for step in session.steps[1:])


def test_a_helper_that_fails_is_the_users_error(nano):
    def broken(trajectory):
        raise ServiceError("the judge is away")

    with pytest.raises(ServiceError, match="away"):
        run(nano, Request(PROMPT), InspectorPolicy(Counting(broken)))


@pytest.mark.parametrize("policy", [InspectorPolicy(SpriteInspector()), PlannerPolicy(GraphPlanner())])
def test_models_that_draw_at_their_own_words_cannot_be_led(nano, policy):
    painter = nano.with_format(PROTOCOL_FORMATS["thinkmorph"])
    with pytest.raises(ConfigError, match="nobody else"):
        painter.start([Request(PROMPT)], policy=policy, check=False)


def test_all_strategies_paint_what_their_policies_paint(nano):
    helpers = Helpers(inspector=SpriteInspector(), planner=GraphPlanner())
    for name, policy in (
        ("process", None),
        ("external-inspector", InspectorPolicy(SpriteInspector())),
        ("external-planner", PlannerPolicy(GraphPlanner())),
    ):
        (outcome,) = make_strategy(name, nano, helpers, **FAST).paint([Request(PROMPT)])
        session = run(nano, Request(PROMPT), policy)
        assert outcome.image.tobytes() == session.trajectory().images[-1].tobytes()
        assert replace(outcome.cost, seconds=0.0).passes == session.usage.passes
