"""External inspectors and planners in place of the model, and the policies that use them.

The sprite world's helpers are the oracle, and write its language as the training data do; the others are
vision models through the ``Judge`` interface. What a message leads to is decided in ``inference.session``.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from strokewise.critics.judges import Judge
from strokewise.data.alignment import judge_sketches
from strokewise.data.canvas_painters import NoPainter
from strokewise.data.conflict import judge_sampled
from strokewise.data.critiqued import critiques
from strokewise.data.multi_turn import strokes
from strokewise.data.records import Record
from strokewise.data.sampled_plans import plans_of
from strokewise.data.scenes import later_to_earlier
from strokewise.data.wording import inspect, plan_message
from strokewise.errors import ConfigError, InputError
from strokewise.inference import Policy, ProtocolFormat, Request, Session
from strokewise.inference.policies import Begin, End, Reply, Say
from strokewise.scene_graph import SceneGraph
from strokewise.trajectory.values import Message, Trajectory
from strokewise.world.language import PlainWording, parse_prompt
from strokewise.world.layout import place

AGREED = "The plan fits the prompt and the picture shows the plan."


class Inspector(Protocol):
    """An inspector in place of the model."""

    def inspect(self, trajectory: Trajectory) -> Message | None:
        """Return what is to be said of the last canvas: a correction or an acceptance; None: nothing is
        known.
        """


class Planner(Protocol):
    """A planner in place of the model."""

    def plan(self, prompt: str, seed: int) -> list[Message]:
        """Return the messages of all strokes, in order.

        Raises:
            StrokewiseError: if the prompt is not understood.
        """


class SpriteInspector:
    """The oracle, in the wording of the conflict and alignment subsets."""

    def inspect(self, trajectory: Trajectory) -> Message | None:
        """See :class:`Inspector`."""
        plans = list(plans_of([trajectory]))
        if not plans or len(plans[-1].steps) != len(trajectory.steps):
            return None
        wording_rng = PlainWording(trajectory.seed)
        found = [
            *judge_sampled(iter(plans[-1:]), NoPainter(), wording_rng),
            *judge_sketches(iter(plans[-1:]), NoPainter(), wording_rng),
        ]
        return _said(found)


class JudgeInspector:
    """Any judge, in its own words."""

    def __init__(self, judge: Judge) -> None:
        """Query ``judge``."""
        self.judge = judge

    def inspect(self, trajectory: Trajectory) -> Message | None:
        """See :class:`Inspector`."""
        last = replace(trajectory, steps=trajectory.steps[-1:])
        return _said(list(critiques(self.judge, [last], NoPainter())))


def _said(records: Sequence[Record]) -> Message | None:
    """Return the last message of a record that corrects, else of one that accepts."""
    messages = [record.trajectory.steps[-1].message for record in records]
    return next((m for m in messages if m.paints), messages[0] if messages else None)


class GraphPlanner:
    """One stroke for each object of the scene graph that a judge reads out of the prompt."""

    def __init__(self, graph: Callable[[str], SceneGraph] = parse_prompt) -> None:
        """Read prompts by ``graph``: the sprite world's parser, or ``judge.graph``."""
        self.graph = graph

    def plan(self, prompt: str, seed: int) -> list[Message]:
        """See :class:`Planner`; in the sprite world's language where the graph is of that world."""
        graph, wording_rng = later_to_earlier(self.graph(prompt)), PlainWording(seed)
        try:
            canvases = strokes(place(graph, seed, layout_jitter=0.0), wording_rng, in_order=True)
            found = [None, *(inspect(graph, canvas, wording_rng) for canvas in canvases)]
            pairs = zip(canvases, found, strict=False)  # the last canvas is inspected by the model
            return [plan_message(canvas, wording_rng, one)[0] for canvas, one in pairs]
        except InputError:
            return list(_plain_strokes(graph))


def _plain_strokes(graph: SceneGraph) -> Iterator[Message]:
    """Yield strokes of a graph whose things are of no known world."""
    for number, part in enumerate(graph.nested_subgraphs()):
        things = [str(obj.thing) for obj in part.objects]
        relations = [f"{part[r.subject].thing} {r.kind} {part[r.target].thing}" for r in part.relations]
        background = [f"background: {part.background}"] if part.background else []
        added = next(o for o in part.objects if o.id == graph.painting_order()[number])
        scene = "; ".join([", ".join(things), *relations, *background])
        yield Message(AGREED if number else "", ins=f"Add {added.thing}.", des=scene)


class InspectorPolicy(Policy):
    """The process, but somebody else inspects; where the inspector knows nothing the model does it."""

    def __init__(self, inspector: Inspector) -> None:
        """Query ``inspector`` after every canvas."""
        self.inspector = inspector

    def check(self, request: Request, protocol: ProtocolFormat) -> None:
        """See :class:`Policy`."""
        _check_can_be_led(protocol)

    def message(self, session: Session) -> Reply | None:
        """See :class:`Policy`."""
        if not session.steps:
            return None
        session.usage.queries += 1
        found = self.inspector.inspect(session.trajectory())
        if found is None:
            return None
        if found == Message():
            return End()
        return Say(found) if found.paints else Begin(found.inspect)


class PlannerPolicy(Policy):
    """Somebody else plans all strokes beforehand; the model paints them, without inspections of its own."""

    model_plans = False

    def __init__(self, planner: Planner) -> None:
        """Query ``planner`` once for each prompt and seed."""
        self.planner = planner
        # By what a plan depends on: one policy may serve the sessions of several engines, and their branches.
        self.plans: dict[tuple[str, int], list[Message]] = {}

    def check(self, request: Request, protocol: ProtocolFormat) -> None:
        """See :class:`Policy`."""
        _check_can_be_led(protocol)

    def message(self, session: Session) -> Reply:
        """See :class:`Policy`. Steps that were made before the session count as the first strokes."""
        key = session.request.prompt, session.request.seed
        if key not in self.plans:
            session.usage.queries += 1
            self.plans[key] = self.planner.plan(*key)
        rest = self.plans[key][session.number :]
        return Say(rest[0]) if rest and rest[0] != Message() else End()


def _check_can_be_led(protocol: ProtocolFormat) -> None:
    if protocol.trigger == "marker":
        raise ConfigError(
            f"models of the format {protocol.name} draw only at words of their own; nobody else can plan"
            " or inspect for them"
        )
