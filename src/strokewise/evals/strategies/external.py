"""The process with somebody else's words in it: another's inspections, or another's plans.

The sprite world's helpers are the oracle, and speak its language as the training data do; the others are
vision models through the ``Judge`` interface. This file knows whose turn it is. What a message leads to is
settled in ``process.course``, what is right in ``data``.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from time import perf_counter
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
from strokewise.evals.costs import Cost, image_cost
from strokewise.inference import Painted, Process, Written
from strokewise.inference.course import Course, Ended
from strokewise.inference.formats import Following
from strokewise.inference.messages import has_room
from strokewise.inference.painter import Painter
from strokewise.scene_graph import SceneGraph
from strokewise.sequence import Segment
from strokewise.trajectory.values import Message, Trajectory
from strokewise.world.language import PlainWording, parse_prompt
from strokewise.world.layout import place

Told = tuple[Trajectory, Cost]
AGREED = "The plan fits the prompt and the picture shows the plan."


class Inspector(Protocol):
    """Whoever inspects in place of the model."""

    def inspect(self, trajectory: Trajectory) -> Message | None:
        """What is to be said of the last canvas: a correction or an acceptance; None: nothing is known."""


class Planner(Protocol):
    """Whoever plans in place of the model."""

    def plan(self, prompt: str, seed: int) -> list[Message]:
        """The messages of all strokes, in order.

        Raises:
            StrokewiseError: if the prompt is not understood.
        """


class SpriteInspector:
    """The oracle, in the words in which the conflict and alignment subsets are told."""

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
        """Ask ``judge``."""
        self.judge = judge

    def inspect(self, trajectory: Trajectory) -> Message | None:
        """See :class:`Inspector`."""
        last = replace(trajectory, steps=trajectory.steps[-1:])
        return _said(list(critiques(self.judge, [last], NoPainter())))


def _said(records: Sequence[Record]) -> Message | None:
    """The last message of a record that corrects, else of one that accepts."""
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
            return [
                plan_message(canvas, wording_rng, one) for canvas, one in zip(canvases, found, strict=False)
            ]
        except InputError:
            return list(_plain_strokes(graph))


def _plain_strokes(graph: SceneGraph) -> Iterator[Message]:
    """Strokes of a graph whose things are of no known world."""
    for number, part in enumerate(graph.nested_subgraphs()):
        told = [str(obj.thing) for obj in part.objects]
        relations = [f"{part[r.subject].thing} {r.kind} {part[r.target].thing}" for r in part.relations]
        background = [f"background: {part.background}"] if part.background else []
        added = next(o for o in part.objects if o.id == graph.painting_order()[number])
        scene = "; ".join([", ".join(told), *relations, *background])
        yield Message(AGREED if number else "", ins=f"Add {added.thing}.", des=scene)


# --- painting ---------------------------------------------------------------------------------------------


def inspected(painter: Painter, process: Process, inspector: Inspector) -> list[Told]:
    """Paint, each canvas inspected by ``inspector``; where it knows nothing the model does it.

    Args:
        painter: who paints.
        process: not run yet.
        inspector: who inspects.

    Raises:
        ConfigError: if the painter's protocol_format has no way to be corrected.
        StrokewiseError: if the inspector fails.
    """

    def say(course: Course) -> tuple[Message | None, int]:
        if not course.steps:
            return None, 0
        return inspector.inspect(course.trajectory(painter.name)), 1

    return _Table(painter, process).run(say)


def planned(painter: Painter, process: Process, planner: Planner) -> list[Told]:
    """Paint the strokes of ``planner``; arguments and errors as for :func:`inspected`."""
    plans: dict[int, list[Message]] = {}

    def say(course: Course) -> tuple[Message | None, int]:
        asked = course.index not in plans
        if asked:
            plans[course.index] = planner.plan(course.request.prompt, course.request.seed)
        rest = plans[course.index][course.number :]
        return (rest[0] if rest else Message(), int(asked))

    return _Table(painter, process).run(say)


Say = Callable[[Course], tuple[Message | None, int]]


class _Table:
    """Some paintings at which others may speak; ``say`` gives a message, part of one, or None."""

    def __init__(self, painter: Painter, process: Process) -> None:
        if painter.protocol_format.trigger == "marker":
            raise ConfigError(
                f"the protocol_format {painter.protocol_format.name} draws only at its own words; nobody can"
            )
        self.painter, self.process, self.generator = painter, process, painter.generator
        self.courses, self.options = process.courses, process.options
        self.costs = [Cost()] * len(self.courses)

    def run(self, say: Say) -> list[Told]:
        """Paint to the end."""
        start, courses, encode = perf_counter(), self.courses, self.painter.tokenizer.encode
        contexts = [course.context for course in courses]
        if self.painter.protocol_format.system:
            system = encode(self.painter.protocol_format.system)
            self.generator.read(contexts, [system] * len(contexts), guided=False)
        self.generator.read(contexts, [encode(course.request.prompt) for course in courses])
        while any(course.doing != "done" for course in courses):
            self._message([course for course in courses if course.doing == "write"], say)
            painting = [course for course in courses if course.doing == "paint"]
            for seen in (False, True):
                self._paint([c for c in painting if c.context.has_image is seen], seen)
        share = Cost(seconds=(perf_counter() - start) / max(1, len(courses)))
        return [
            (course.trajectory(self.painter.name), cost + share)
            for course, cost in zip(courses, self.costs, strict=True)
        ]

    def _message(self, courses: Sequence[Course], say: Say) -> None:
        """The next message of each: another's, another's beginning, or the model's own."""
        heads: list[tuple[Course, str]] = []
        for course in courses:
            told, questions = say(course)
            self.costs[course.index] += Cost(questions=questions)
            if not has_room(self.generator, course.context, self._length(told)):
                course.finish("context")
            elif told == Message():
                course.finish("end")
            elif told is not None and told.paints:
                self.generator.read([course.context], [self._encode(told.text())])
                course.wrote(told.text(), "whole", "image", 0.0)
            else:
                heads.append((course, told.inspect if told else ""))
        if heads:
            self._write(heads)

    def _write(self, heads: Sequence[tuple[Course, str]]) -> None:
        """Let the model write, in some after the beginning that another gave."""
        start, special, generator = perf_counter(), self.generator.special, self.generator
        for course, head in heads:
            if head:
                generator.append([course.context], [[Segment.text(self._encode(head), closes=False)]])
        contexts = [course.context for course, _ in heads]
        opens: dict[int | None, Following] = {special.image_start: "image", special.sequence_end: "end"}
        decided = opens if self.painter.protocol_format.trigger == "token" else {}
        stops = frozenset(token for token in decided if token is not None)
        seeds = [course.seed("text") for course, _ in heads]
        *_, written = generator.write(contexts, self.options.writing(stops), seeds)
        assert isinstance(written, Written), "a text ends so"
        following, seconds = generator.continuations(contexts), perf_counter() - start
        for (course, head), row, end, next_ in zip(
            heads, written.ids, written.stop_ids, following, strict=True
        ):
            self.costs[course.index] += Cost(text_tokens=len(row))
            text = head + self.painter.tokenizer.decode(list(row))
            ended: Ended = "tokens" if end is None else "whole"
            course.wrote(text, ended, decided.get(end, next_), seconds)

    def _paint(self, courses: Sequence[Course], after_image: bool) -> None:
        """Paint one canvas in each; guidance depends on whether there is an image already."""
        for course in courses:
            if not has_room(self.generator, course.context, 2):
                course.finish("context")
        courses = [course for course in courses if course.doing == "paint"]
        if not courses:
            return
        start, seeds = perf_counter(), [course.seed("noise") for course in courses]
        contexts, sizes = [course.context for course in courses], [course.size for course in courses]
        *_, painted = self.generator.paint(contexts, sizes, self.options.painting(after_image), seeds)
        assert isinstance(painted, Painted), "a canvas ends so"
        seconds = perf_counter() - start
        for course, image, seed in zip(courses, painted.images, seeds, strict=True):
            self.costs[course.index] += image_cost(self.options, after_image)
            course.painted(image, seed, seconds)

    def _length(self, told: Message | None) -> int:
        given = 0 if told is None else len(self._encode(told.text()))
        return 4 + given + (0 if told is not None and told.paints else self.options.max_tokens)

    def _encode(self, text: str) -> list[int]:
        return self.painter.tokenizer.encode(text)
