"""Sessions as they are stored and sent: a painting is a tree of steps, of which nothing is overwritten.

Values only; who paints, keeps and sends them is the business of ``worker``, ``store`` and ``routes``.
"""

import time
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from types import GenericAlias, UnionType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StringConstraints,
    create_model,
)

from strokewise.inference.options import PaintingOptions
from strokewise.trajectory.events import Event
from strokewise.trajectory.values import Message, Stage, StopReason, Verdict

Until = Literal["end", "canvas", "stage"]
Status = Literal["queued", "running", "paused", "finished"]
EditedPart = Literal["inspect", "refine", "ins", "des", "verdict", "canvas"]
MAX_SEED = 2**63 - 1

Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


def _whole(text: str) -> str:
    """Return a text that can be stored and sent; ValueError if it holds half a character or a zero."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"holds half a character ({text[error.start]!r})") from error
    if "\0" in text:
        raise ValueError("holds a character of number 0")
    return text


Text = Annotated[str, StringConstraints(max_length=8_000), AfterValidator(_whole)]
Name = Annotated[str, StringConstraints(max_length=200), AfterValidator(_whole)]


class Strict(BaseModel):
    """A value from outside: unknown fields are refused, types are not coerced."""

    model_config = ConfigDict(extra="forbid", strict=True)


# What the numbers of an option may be in a request; where nothing is said, DEFAULT_BOUNDS. They keep out what
# no painting needs; PaintingOptions checks the meaning.
BOUNDS = {
    "steps": Field(ge=1, le=1000),
    "shift": Field(gt=0, le=100),
    "interval": Field(ge=0, le=1),
    "max_rounds": Field(ge=1, le=63),
    "max_images": Field(ge=1, le=63),
    "max_tokens": Field(ge=1, le=4096),
    "size": Field(ge=1, le=8192),
    "temperature": Field(ge=0, le=10),
    "top_p": Field(gt=0, le=1),
    "evaluate_every": Field(ge=1, le=100),
    "guide_every": Field(ge=1, le=100),
}
DEFAULT_BOUNDS = Field(ge=0, le=100)


def _on_the_wire(name: str, kind: Any) -> Any:
    """Return the type in JSON of an option of type ``kind``: numbers are bounded, tuples are lists."""
    if kind in (int, float):
        return Annotated[FiniteFloat if kind is float else int, BOUNDS.get(name, DEFAULT_BOUNDS)]
    if get_origin(kind) is tuple:
        each, length = get_args(kind)[0], len(get_args(kind))
        return Annotated[
            GenericAlias(list, _on_the_wire(name, each)), Field(min_length=length, max_length=length)
        ]
    if isinstance(kind, UnionType):
        return reduce(or_, (_on_the_wire(name, each) for each in get_args(kind)))
    return kind


def _stated() -> type[Strict]:
    """Return a model with the fields of ``PaintingOptions``, each of which may be left out."""
    hints = get_type_hints(PaintingOptions)
    kinds = {name: (_on_the_wire(name, kind) | None, None) for name, kind in hints.items()}
    return create_model("Options", __base__=Strict, **kinds)  # type: ignore[call-overload]


class Options(_stated()):  # type: ignore[misc]
    """Some options of painting; null or absent is the model's default. ``size`` is [height, width]."""

    def changes(self) -> dict[str, Any]:
        """Return those that are stated, as ``PaintingOptions`` has them."""
        stated = self.model_dump(exclude_none=True)
        return {key: tuple(value) if isinstance(value, list) else value for key, value in stated.items()}


class CanvasThing(Strict):
    """A thing of the sprite world on a canvas; ``box`` is (x0, y0, x1, y1) in 0..1 from the upper left."""

    name: Name
    color: Name | None = None
    box: Annotated[
        list[Annotated[float, Field(ge=-1, le=2, allow_inf_nan=False)]], Field(min_length=4, max_length=4)
    ]
    confidence: float | None = None


class Critic(BaseModel):
    """What the critic says of a node's plan and canvas.

    Attributes:
        by: who judged.
        prompt: whether the canvas shows all that the prompt asks for, and nothing else.
        plan: whether the plan contradicts nothing of the prompt; None: not decided.
        sketch: whether the canvas shows the plan; None: not decided.
        says: the faults in a sentence.
        faults: each of them.
        things: what was recognized.
        unknown: things that were not.
    """

    by: str
    prompt: bool | None
    plan: bool | None
    sketch: bool | None
    says: str
    faults: list[str]
    things: list[CanvasThing]
    unknown: int


class Node(BaseModel):
    """A step of the tree: a message and the canvas after it; see docs/serving.md."""

    id: Annotated[int, Field(ge=0)]
    parent: int | None
    step: Annotated[int, Field(ge=0)]
    state: Literal["written", "finished"]
    author: Literal["model", "person"] = "model"
    edited_from: int | None = None
    edited: list[EditedPart] = []
    message: Message
    text: str
    verdict: Verdict | None = None
    stages: list[Stage] = []
    canvas: str | None = None
    seed: int | None = None
    seconds: float | None = None
    stop: StopReason | None = None
    critic: Critic | None = None
    name: Name = ""
    star: bool = False
    created: float = Field(default_factory=time.time)


class UnderWay(BaseModel):
    """The step that is being made; ``preview`` is base64 of a PNG."""

    parent: int | None
    step: int
    stage: Stage | None = None
    text: str = ""
    flow_step: int | None = None
    num_steps: int | None = None
    preview: str | None = None


class State(BaseModel):
    """A session without its nodes."""

    id: str
    name: Name = ""
    star: bool = False
    prompt: str
    original_prompt: str = ""
    seed: Seed
    model: str
    size: tuple[int, int]
    options: PaintingOptions
    source: str | None = None
    status: Status
    position: int | None = None
    pausing: bool = False
    until: Until = "end"
    stop: StopReason | None = None
    error: str | None = None
    head: int | None = None
    under_way: UnderWay | None = None
    created: float = Field(default_factory=time.time)
    updated: float = Field(default_factory=time.time)


class SessionValue(State):
    """A session with its tree."""

    nodes: list[Node]
    event_id: str


class Summary(BaseModel):
    """A session in a list."""

    id: str
    name: str
    star: bool
    prompt: str
    original_prompt: str
    seed: int
    model: str
    size: tuple[int, int]
    source: str | None
    status: Status
    position: int | None
    pausing: bool
    until: Until
    stop: StopReason | None
    error: str | None
    head: int | None
    created: float
    updated: float
    node_count: int
    thumbnail: str | None


# --- events of the server; those of painting are in ``trajectory.events`` -----------------------------------


@dataclass(frozen=True)
class Snapshot(Event):
    """All there is to know of a session, in place of the events before."""

    type: Literal["snapshot"] = field(default="snapshot", kw_only=True)
    session: dict[str, Any]


@dataclass(frozen=True)
class StateChanged(Event):
    """Status, place in the queue, head, bounds or name of a session."""

    type: Literal["state"] = field(default="state", kw_only=True)
    session: dict[str, Any]


@dataclass(frozen=True)
class NodeChanged(Event):
    """A node is new, or has got its canvas, a name, a star or the critic's word."""

    type: Literal["node"] = field(default="node", kw_only=True)
    node: dict[str, Any]


@dataclass(frozen=True)
class Deleted(Event):
    """The session is no more."""

    type: Literal["deleted"] = field(default="deleted", kw_only=True)
