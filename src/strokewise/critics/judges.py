"""Judges: critics of the process. Does a plan fit its prompt, does a canvas show its plan?

The oracle is exact and knows the sprite world only; a vision model behind an API knows every world, but errs.
What is merely not painted yet is no fault (arXiv 2604.04746, section 3). This file knows texts and pictures.
It refuses to know how a service is queried (``vlm_client``) and what a critique is used for.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, TypeVar

from PIL import Image

from strokewise.critics.canvas_reader import read_canvas
from strokewise.critics.oracle import judge_plan, judge_sketch
from strokewise.critics.vlm_client import VlmClient
from strokewise.errors import LanguageError
from strokewise.scene_graph import RELATIONS, SceneGraph
from strokewise.trajectory.values import TAG, Message, Trajectory
from strokewise.world.language import parse_description, parse_prompt

if TYPE_CHECKING:
    from pydantic import BaseModel

Item = TypeVar("Item")
Result = TypeVar("Result")

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
class Critique:
    """What a judge finds in one plan or one canvas.

    Attributes:
        consistent: whether nothing is wrong.
        analysis: the reasons, in words.
        refine: what to correct; None if nothing is wrong.
        instruction, description: a right plan in place of a wrong one; None otherwise.
    """

    consistent: bool
    analysis: str
    refine: str | None = None
    instruction: str | None = None
    description: str | None = None


class Judge(Protocol):
    """A critic of the process: of plans, of canvases, and of what a prompt asks for.

    Every method raises a StrokewiseError if the judge cannot decide.
    """

    def plan(self, prompt: str, message: Message) -> Critique:
        """Return whether the plan (<ins>, <des>) of a message is consistent with the whole prompt."""

    def sketch(self, message: Message, canvas: Image.Image) -> Critique:
        """Return whether a canvas shows the plan of the message before it."""

    def graph(self, prompt: str) -> SceneGraph:
        """Return what a prompt asks for, as a scene graph."""


class OracleJudge:
    """The exact judge of the sprite world; canvases are read by the recognizer."""

    def plan(self, prompt: str, message: Message) -> Critique:
        """See :class:`Judge`; a LanguageError if a text is not of the sprite world."""
        found = judge_plan(parse_prompt(prompt), parse_description(message.des or ""))
        return _critique_of_faults([fault.message for fault in found.plan or ()])

    def sketch(self, message: Message, canvas: Image.Image) -> Critique:
        """See :class:`Judge`; a LanguageError if the canvas holds what is no sprite."""
        described, seen = parse_description(message.des or ""), read_canvas(canvas)
        if seen is None:
            raise LanguageError("parts of the canvas are not recognized; the oracle knows sprites only")
        return _critique_of_faults([fault.message for fault in judge_sketch(described, seen)])

    def graph(self, prompt: str) -> SceneGraph:
        """See :class:`Judge`; a LanguageError that states what is not understood."""
        return parse_prompt(prompt)


def _critique_of_faults(faults: list[str]) -> Critique:
    stated = "; ".join(faults)
    return Critique(not faults, stated or "nothing is wrong", stated or None)


class VlmJudge:
    """A vision model behind an OpenAI-compatible API."""

    def __init__(self, client: VlmClient) -> None:
        """Query through ``client``, which sets model, limits and cache."""
        self.client = client

    def plan(self, prompt: str, message: Message) -> Critique:
        """See :class:`Judge`."""
        text = f"Prompt: {prompt}\n{stated_plan(message)}"
        return Critique(**self.client.query(PLAN_TASK, text, _answers().critique).model_dump())

    def sketch(self, message: Message, canvas: Image.Image) -> Critique:
        """See :class:`Judge`."""
        found = self.client.query(SKETCH_TASK, stated_plan(message), _answers().critique, [canvas])
        return Critique(**found.model_dump())

    def graph(self, prompt: str) -> SceneGraph:
        """See :class:`Judge`; classes and colors need not be of the sprite world."""
        found = self.client.query(PARSE_TASK, f"Prompt: {prompt}", _answers().graph)
        return SceneGraph.from_json(found.model_dump())


def critiques_of_steps(judge: Judge, trajectory: Trajectory) -> Iterator[tuple[int, Critique, Critique]]:
    """Yield for each canvas: the number of its step, and the critiques of its plan and of the canvas.

    A canvas that was only refined is compared with the plan it was refined for.
    """
    planned, plan = Message(), None
    for number, step in enumerate(trajectory.steps):
        if step.image is None:
            continue
        if step.message.ins is not None:
            planned, plan = step.message, judge.plan(trajectory.prompt, step.message)
        if plan is not None:
            yield number, plan, judge.sketch(planned, step.image)


def stated_plan(message: Message) -> str:
    """Return the plan of a message as a judge is given it."""
    return f"Instruction: {message.ins or message.refine or ''}\nScene after it: {message.des or ''}"


def judge_many(
    judge: Judge, function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[tuple[Item, Result]]:
    """Return items with a function's results, several at once where the judge is queried over a network."""

    def paired(item: Item) -> tuple[Item, Result]:
        return item, function(item)

    return judge.client.map(paired, items) if isinstance(judge, VlmJudge) else map(paired, items)


def stated_text(text: str) -> str:
    """Return a text that can stand in a message, for schemas; ValueError if it is empty or holds a tag."""
    if not text.strip() or TAG.search(text):
        raise ValueError("a text is expected, without the tags <refine>, <ins> and <des>")
    return text.strip()


def optional_text(text: str | None) -> str | None:
    """Return the same, or None where there is no text."""
    return stated_text(text) if text and text.strip() else None


def _check_ids(graph: Any) -> Any:
    """Refuse ids that the judge mixed up; any other contradiction may be the prompt's own."""
    ids = [entry.id for entry in graph.objects]
    named = {name for relation in graph.relations for name in (relation.subject, relation.target)}
    if len(set(ids)) < len(ids) or not named <= set(ids):
        raise ValueError("each object needs an id of its own, and relations name these ids")
    return graph


@cache
def _answers() -> Any:
    """Return the schemas of answers; made when they are first needed, because pydantic takes its time."""
    from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model, model_validator

    class Strict(BaseModel):
        model_config = ConfigDict(extra="forbid")

    text: Any = (Annotated[str, AfterValidator(stated_text)], ...)
    optional: Any = (Annotated[str | None, AfterValidator(optional_text)], ...)
    texts: dict[str, Any] = dict.fromkeys(("refine", "instruction", "description"), optional)
    # The name is part of the digests under which answers are cached.
    critique = create_model("Opinion", __base__=Strict, consistent=(bool, ...), analysis=text, **texts)
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
    return _Answers(critique, graph)


@dataclass(frozen=True)
class _Answers:
    critique: "type[BaseModel]"
    graph: "type[BaseModel]"
