"""What happens while a picture is painted, as values with a ``type``, for terminal, server, logs and tests.

Every event carries all that a listener who joins late needs: the step it belongs to and its stage. Where
events are streamed or stored they travel in an :class:`Envelope`, which states the painting, the place in its
stream and the time. Knows no pixels but PNG bytes, and nothing of who listens.
"""

import base64
import binascii
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from strokewise.io.schema import checked, json_schema
from strokewise.trajectory.values import Message, Stage, StopReason, Verdict


def _decoded(value: object) -> object:
    """Return PNG bytes from base64 text; anything else is left to pydantic, which refuses it."""
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("is not base64") from error


def _encoded(png: bytes) -> str:
    return base64.b64encode(png).decode("ascii")


Png = Annotated[
    bytes,
    BeforeValidator(_decoded),
    PlainSerializer(_encoded),
    WithJsonSchema({"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"}),
]


@dataclass(frozen=True)
class Event:
    """The base of all events.

    Attributes:
        type: name of the kind of event.
        step: number of the step it belongs to, from 0.
    """

    type: str = field(default="", kw_only=True)
    step: int

    def to_json(self) -> dict[str, Any]:
        """Return plain values; PNG bytes as base64 text."""
        return {key: _encoded(v) if isinstance(v, bytes) else v for key, v in asdict(self).items()}


@dataclass(frozen=True)
class TextStarted(Event):
    """The model begins to write; ``stage`` is plan, or inspect where there is a canvas to inspect first."""

    type: Literal["text_started"] = field(default="text_started", kw_only=True)
    stage: Stage = Stage.PLAN


@dataclass(frozen=True)
class TextDelta(Event):
    """The next piece of the text."""

    type: Literal["text_delta"] = field(default="text_delta", kw_only=True)
    text: str


@dataclass(frozen=True)
class TextFinished(Event):
    """The whole text.

    Attributes:
        text: as the model wrote it, tags included.
        seconds: time of writing.
        message: its parts; None where it was not parsed.
        verdict: what it says of the canvas before, as values; None where it was not read.
    """

    type: Literal["text_finished"] = field(default="text_finished", kw_only=True)
    text: str
    seconds: float
    message: Message | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True)
class ImageStarted(Event):
    """The model begins to paint; ``stage`` is sketch or refine, sizes are in pixels."""

    type: Literal["image_started"] = field(default="image_started", kw_only=True)
    stage: Stage
    width: int
    height: int
    num_steps: int


@dataclass(frozen=True)
class ImagePreview(Event):
    """The clean estimate after some flow steps."""

    type: Literal["image_preview"] = field(default="image_preview", kw_only=True)
    flow_step: int
    num_steps: int
    png: Png


@dataclass(frozen=True)
class ImageFinished(Event):
    """The canvas."""

    type: Literal["image_finished"] = field(default="image_finished", kw_only=True)
    stage: Stage
    png: Png
    seconds: float


@dataclass(frozen=True)
class Finished(Event):
    """The trajectory has ended; ``reason`` is end, or the bound that was met."""

    type: Literal["finished"] = field(default="finished", kw_only=True)
    reason: StopReason


@dataclass(frozen=True)
class Failed(Event):
    """Something went wrong; ``message`` says what and what to do."""

    type: Literal["error"] = field(default="error", kw_only=True)
    message: str


AnyEvent = Annotated[
    TextStarted | TextDelta | TextFinished | ImageStarted | ImagePreview | ImageFinished | Finished | Failed,
    Field(discriminator="type"),
]


@dataclass(frozen=True)
class Envelope:
    """An event in the stream of a painting.

    Attributes:
        painting: id of the painting.
        sequence: number of the event in the painting's stream, from 0 without gaps; a listener who lost the
            stream resumes after the last number it has seen.
        time: when it happened, in seconds since 1970-01-01 UTC.
        event: what happened.
    """

    painting: str
    sequence: int
    time: float
    event: AnyEvent

    def to_json(self) -> dict[str, Any]:
        """Return plain values, of the same shape for one painting and for many."""
        return vars(self) | {"event": self.event.to_json()}

    @classmethod
    def from_json(cls, value: object, where: object = "envelope") -> "Envelope":
        """Invert :meth:`to_json`; ``where`` names the value in errors.

        Raises:
            RecordError: naming each field that is missing, unknown or of another type.
        """
        return checked(cls, value, where)


class Stamp:
    """Puts the events of one painting into envelopes, numbered in the order of the calls."""

    def __init__(self, painting: str, first: int = 0, clock: Callable[[], float] = time.time) -> None:
        """Give numbers to the events of ``painting`` from ``first``, at the times of ``clock`` in seconds."""
        self.painting, self.next, self.clock = painting, first, clock

    def __call__(self, event: Event) -> Envelope:
        """Return the event in the next envelope."""
        envelope = Envelope(self.painting, self.next, self.clock(), cast(AnyEvent, event))
        self.next += 1
        return envelope


def events_schema() -> dict[str, Any]:
    """Return the JSON schema of an envelope with any event: the contract of ``paint --json`` and servers."""
    return json_schema(Envelope)
