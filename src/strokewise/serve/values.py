"""Sessions as they are stored and sent: a painting is a tree of steps, of which nothing is overwritten.

Values only; who paints, keeps and sends them is the business of ``worker``, ``store`` and ``routes``.
"""

import time
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from strokewise.inference.options import PaintingOptions
from strokewise.trajectory.events import Event
from strokewise.trajectory.values import Message, Stage, StopReason, Verdict

Until = Literal["end", "canvas", "stage"]
Status = Literal["queued", "running", "paused", "finished"]
Part = Literal["inspect", "refine", "ins", "des", "verdict", "canvas"]
MAX_SEED = 2**63 - 1

Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Unit = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Scale = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


def _whole(text: str) -> str:
    """A text that can be stored and sent; ValueError if it holds half a character or a zero."""
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


class Options(Strict):
    """Some options of painting; null or absent is the model's default. ``size`` is [height, width]."""

    steps: Annotated[int, Field(ge=1, le=1000)] | None = None
    shift: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] | None = None
    text_guidance: Scale | None = None
    image_guidance: Scale | None = None
    interval: Annotated[list[Unit], Field(min_length=2, max_length=2)] | None = None
    renorm: Literal["global", "channel", "text_channel"] | None = None
    max_rounds: Annotated[int, Field(ge=1, le=63)] | None = None
    max_images: Annotated[int, Field(ge=1, le=63)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=4096)] | None = None
    size: Annotated[list[Annotated[int, Field(ge=1, le=8192)]], Field(min_length=2, max_length=2)] | None = (
        None
    )
    temperature: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    previews: Annotated[int, Field(ge=0, le=100)] | None = None
    feedback: Literal["pixels", "latents"] | None = None
    solver: Literal["euler", "adams", "dpm", "unipc"] | None = None
    evaluate_every: Annotated[int, Field(ge=1, le=100)] | None = None
    guide_every: Annotated[int, Field(ge=1, le=100)] | None = None
    look: bool | None = None

    def changes(self) -> dict[str, Any]:
        """Those that are stated, as ``PaintingOptions`` has them."""
        stated = self.model_dump(exclude_none=True)
        return {key: tuple(value) if isinstance(value, list) else value for key, value in stated.items()}


class Thing(Strict):
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
    things: list[Thing]
    unknown: int


class Node(BaseModel):
    """A step of the tree: a message and the canvas after it; see docs/serving.md."""

    id: Annotated[int, Field(ge=0)]
    parent: int | None
    step: Annotated[int, Field(ge=0)]
    state: Literal["written", "finished"]
    author: Literal["model", "person"] = "model"
    edited_from: int | None = None
    edited: list[Part] = []
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
