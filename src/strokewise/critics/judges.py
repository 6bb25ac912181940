"""Judges: whether a plan fits a prompt and a canvas its plan, and what a prompt asks for. One interface.

The oracle is exact and knows the sprite world only; a vision model behind an API knows everything, inexactly.
What is merely not painted yet is no fault (paper, section 3). This file knows texts and pictures; how an API
is asked is settled in ``asking``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from PIL import Image

from strokewise.critics.canvas_reader import read_canvas
from strokewise.critics.oracle import judge_plan, judge_sketch
from strokewise.critics.vlm_client import Asker
from strokewise.errors import LanguageError
from strokewise.scene_graph import RELATIONS, SceneGraph
from strokewise.trajectory.values import TAG, Message, Trajectory
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
