"""Judges: whether a plan fits a prompt and a canvas its plan, and what a prompt asks for. One interface.

The oracle is exact and knows the sprite world only; a vision model behind an API knows everything, inexactly.
What is merely not painted yet is no fault (paper, section 3). This file knows texts and pictures; how an API
is asked is settled in ``asking``.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from PIL import Image

from strokewise.data.asking import Asker
from strokewise.data.conflict import EXCERPT
from strokewise.data.oracle import judge_plan, judge_sketch
from strokewise.data.painters import Painter
from strokewise.data.records import Record
from strokewise.data.sampled import read_canvas
from strokewise.errors import InputError, LanguageError
from strokewise.scene_graph import RELATIONS, SceneGraph
from strokewise.trajectory import TAG, Message, Step, Trajectory, Verdict
from strokewise.world.language import parse_description, parse_prompt

if TYPE_CHECKING:
    from pydantic import BaseModel

PLAN_TASK = """\
A painter works on a picture in strokes. You are given the whole prompt, and the plan of one stroke: an
instruction, and a description of the scene after it. Decide whether the plan is consistent with the prompt.
Things of the prompt that are merely not painted yet are no fault; things nobody asked for, wrong attributes,
wrong numbers and wrong relations are. If it is inconsistent, say what to correct (refine) and give a revised
instruction and description; otherwise leave these three null."""
SKETCH_TASK = """\
A painter works on a picture in strokes. You are given the plan of one stroke (an instruction, and a
description of the scene after it) and the picture that was painted. Decide whether the picture shows what the
plan describes. If it does not, say how to correct the picture (refine); otherwise leave that null. Leave the
revised instruction and description null."""
PARSE_TASK = """\
Write down what an image prompt asks for as a scene graph: objects, each with a short id, a class name in the
singular, a color or null, and a count; relations between object ids; and a background or null. Add nothing
that the prompt does not say."""


@dataclass(frozen=True)
class Opinion:
    """What a judge says.

    Attributes:
        consistent: whether nothing is wrong.
        analysis: why, in words.
        refine: what to correct; None if nothing is.
        instruction, description: a right plan in place of a wrong one; None otherwise.
    """

    consistent: bool
    analysis: str
    refine: str | None = None
    instruction: str | None = None
    description: str | None = None


class Judge(Protocol):
    """Whoever can tell."""

    def plan(self, prompt: str, message: Message) -> Opinion:
        """Whether the plan (<ins>, <des>) of a message is consistent with the whole prompt.

        Raises:
            StrokewiseError: if it cannot be told.
        """

    def sketch(self, message: Message, canvas: Image.Image) -> Opinion:
        """Whether a canvas shows the plan of the message before it.

        Raises:
            StrokewiseError: if it cannot be told.
        """

    def graph(self, prompt: str) -> SceneGraph:
        """What a prompt asks for.

        Raises:
            StrokewiseError: if it cannot be told.
        """


class OracleJudge:
    """The exact judge of the sprite world; canvases are read by the recogniser."""

    def plan(self, prompt: str, message: Message) -> Opinion:
        """See :class:`Judge`; a LanguageError if a text is not of the sprite world."""
        found = judge_plan(parse_prompt(prompt), parse_description(message.des or ""))
        return _opinion([fault.message for fault in found.plan or ()])

    def sketch(self, message: Message, canvas: Image.Image) -> Opinion:
        """See :class:`Judge`; a LanguageError if the canvas holds what is no sprite."""
        described, seen = parse_description(message.des or ""), read_canvas(canvas)
        if seen is None:
            raise LanguageError("parts of the canvas are not recognised; the oracle knows sprites only")
        return _opinion([fault.message for fault in judge_sketch(described, seen)])

    def graph(self, prompt: str) -> SceneGraph:
        """See :class:`Judge`; a LanguageError saying what was not understood."""
        return parse_prompt(prompt)


def _opinion(faults: list[str]) -> Opinion:
    told = "; ".join(faults)
    return Opinion(not faults, told or "nothing is wrong", told or None)


class ApiJudge:
    """A vision model behind an OpenAI-compatible API."""

    def __init__(self, asker: Asker) -> None:
        """Ask through ``asker``, which sets model, limits and cache."""
        self.asker = asker

    def plan(self, prompt: str, message: Message) -> Opinion:
        """See :class:`Judge`."""
        text = f"Prompt: {prompt}\n{_plan(message)}"
        return _opinion_of(self.asker.ask(PLAN_TASK, text, _answers().opinion))

    def sketch(self, message: Message, canvas: Image.Image) -> Opinion:
        """See :class:`Judge`."""
        return _opinion_of(self.asker.ask(SKETCH_TASK, _plan(message), _answers().opinion, [canvas]))

    def graph(self, prompt: str) -> SceneGraph:
        """See :class:`Judge`; classes and colors need not be of the sprite world."""
        told = self.asker.ask(PARSE_TASK, f"Prompt: {prompt}", _answers().graph)
        return SceneGraph.from_json(told.model_dump())


def parse_prompt_with(judge: Judge, prompt: str) -> SceneGraph:
    """The graph of any prompt: by the sprite world's own parser, or else by the judge.

    Raises:
        StrokewiseError: if the judge cannot tell either.
    """
    try:
        return parse_prompt(prompt)
    except LanguageError:
        return judge.graph(prompt)


def opinions(judge: Judge, trajectory: Trajectory) -> Iterator[tuple[int, Opinion, Opinion]]:
    """For each canvas: the number of its step, and what the judge says of its plan and of it.

    A canvas that was only refined is held against the plan it was refined for.
    """
    planned, plan = Message(), None
    for number, step in enumerate(trajectory.steps):
        if step.image is None:
            continue
        if step.message.ins is not None:
            planned, plan = step.message, judge.plan(trajectory.prompt, step.message)
        if plan is not None:
            yield number, plan, judge.sketch(planned, step.image)


def filtered(judge: Judge, records: Iterable[Record]) -> Iterator[Record]:
    """The records whose every plan and canvas the judge accepts (how the paper filters multi-turn data).

    What the judge cannot tell is not accepted. A plan that the record itself leaves unjudged, because
    something stands in that will go again, need not fit the prompt.

    Raises:
        ServiceError: if the judge is a service that fails or costs too much.
    """

    def kept(record: Record) -> bool:
        trajectory = record.trajectory
        try:
            return all(
                sketch.consistent and (plan.consistent or _left_open(trajectory, number))
                for number, plan, sketch in opinions(judge, trajectory)
            )
        except InputError:
            return False

    yield from (record for record, keep in _ahead(judge, records, kept) if keep)


def critiques(judge: Judge, trajectories: Iterable[Trajectory], painter: Painter) -> Iterator[Record]:
    """Records of a model's own trajectories, whatever world they are of.

    Each goes up to the first step the judge finds fault with, or to its last. A wrong plan makes a conflict
    record, a wrong canvas an alignment record, each with analysis, correction and the canvas that ``painter``
    makes of it; accepted ones make a right record of both subsets. What comes after a correction of what was
    accepted, or after a step the judge cannot tell, is left out.

    Raises:
        ServiceError: if the judge is a service that fails or costs too much.
    """

    def judged(trajectory: Trajectory) -> list[tuple[int, Opinion, Opinion]]:
        found: list[tuple[int, Opinion, Opinion]] = []
        with suppress(InputError):
            for entry in opinions(judge, trajectory):
                if found and trajectory.steps[entry[0]].message.refine is not None:
                    break
                found.append(entry)
                if not (entry[1].consistent and entry[2].consistent):
                    break
        return found

    for trajectory, found in _ahead(judge, trajectories, judged):
        if found:
            number, plan, sketch = found[-1]
            yield from _records(trajectory, number, plan, sketch, painter)


def _left_open(trajectory: Trajectory, number: int) -> bool:
    """Whether the next step judges the canvas of this one, but not its plan."""
    verdicts = [step.verdict for step in trajectory.steps[number + 1 : number + 2]]
    return any(verdict is not None and verdict.plan is None for verdict in verdicts)


def _records(
    trajectory: Trajectory, number: int, plan: Opinion, sketch: Opinion, painter: Painter
) -> Iterator[Record]:
    """What can be learnt from one judged step."""
    steps = trajectory.steps[: number + 1]
    verdict = Verdict(plan.consistent, sketch.consistent)
    if plan.consistent and sketch.consistent:
        message = Message(f"{plan.analysis} {sketch.analysis}")
        ended = replace(trajectory, steps=(*steps, Step(message, None, verdict)), stop=EXCERPT)
        yield Record("conflict", "right", ended)
        yield Record("alignment", "positive", ended)
        return
    wrong = sketch if plan.consistent else plan
    if wrong.refine is None or (wrong is plan and (wrong.instruction is None or wrong.description is None)):
        return  # found wrong, but nothing said that could be learnt from it
    message = Message(wrong.analysis, wrong.refine)
    if wrong is plan:
        message = replace(message, ins=wrong.instruction, des=wrong.description)
    described = [*(step.message.des for step in steps), message.des]
    wanted = next((text for text in reversed(described) if text), "")
    canvas = painter.paint(steps[-1].image, wrong.refine, wanted, None, 0)
    mended = replace(trajectory, steps=(*steps, Step(message, canvas, verdict)), stop=EXCERPT)
    yield Record("conflict", "wrong", mended) if wrong is plan else Record("alignment", "negative", mended)


def _ahead(judge: Judge, items: Iterable[Any], function: Any) -> Iterator[tuple[Any, Any]]:
    """Items with their results, several questions at once where the judge is asked over a network."""

    def paired(item: Any) -> tuple[Any, Any]:
        return item, function(item)

    return judge.asker.ahead(paired, items) if isinstance(judge, ApiJudge) else map(paired, items)


def _plan(message: Message) -> str:
    return f"Instruction: {message.ins or message.refine or ''}\nScene after it: {message.des or ''}"


def _opinion_of(told: "BaseModel") -> Opinion:
    return Opinion(**told.model_dump())


def _said(text: str) -> str:
    """A text that can stand in a message; ValueError if it is empty or holds a tag."""
    if not text.strip() or TAG.search(text):
        raise ValueError("a text is expected, without the tags <refine>, <ins> and <des>")
    return text.strip()


def _perhaps(text: str | None) -> str | None:
    return _said(text) if text and text.strip() else None


def _check_ids(told: Any) -> Any:
    """Refuse ids that the judge mixed up; any other contradiction may be the prompt's own."""
    ids = [entry.id for entry in told.objects]
    named = {name for relation in told.relations for name in (relation.subject, relation.target)}
    if len(set(ids)) < len(ids) or not named <= set(ids):
        raise ValueError("each object needs an id of its own, and relations name these ids")
    return told


@cache
def _answers() -> Any:
    """The schemas of answers; made when they are first needed, because pydantic takes its time."""
    from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model, model_validator

    class Strict(BaseModel):
        model_config = ConfigDict(extra="forbid")

    # Checked here and not by the schema: strict services take few keywords for texts.
    said: Any = (Annotated[str, AfterValidator(_said)], ...)
    perhaps: Any = (Annotated[str | None, AfterValidator(_perhaps)], ...)
    texts: dict[str, Any] = dict.fromkeys(("refine", "instruction", "description"), perhaps)
    opinion = create_model("Opinion", __base__=Strict, consistent=(bool, ...), analysis=said, **texts)
    name = (str, Field(min_length=1))
    entry = create_model(
        "Object", __base__=Strict, id=name, name=name, color=(str | None, ...), count=(int, Field(ge=1))
    )
    kind: Any = (Literal[RELATIONS], ...)
    relation = create_model("Relation", __base__=Strict, subject=name, kind=kind, target=name)
    checks: dict[str, Any] = {"ids": model_validator(mode="after")(_check_ids)}
    graph = create_model(
        "Graph",
        __base__=Strict,
        objects=(list[entry], Field(min_length=1)),  # type: ignore[valid-type]
        relations=(list[relation], ...),  # type: ignore[valid-type]
        background=(str | None, ...),
        __validators__=checks,
    )
    return _Answers(opinion, graph)


@dataclass(frozen=True)
class _Answers:
    opinion: "type[BaseModel]"
    graph: "type[BaseModel]"
