"""What happens while a picture is painted, as values with a ``type``, for terminal, server, logs and tests.

Every event carries all that a listener who comes late needs: the step it belongs to and its stage. Knows no
pixels but PNG bytes, and nothing of who listens.
"""

import base64
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from strokewise.errors import RecordError


@dataclass(frozen=True)
class Event:
    """The base of all events."""

    type: ClassVar[str]
    step: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values; PNG bytes as base64 text."""
        values = {key: _plain(value) for key, value in asdict(self).items()}
        return {"type": self.type, **values}


@dataclass(frozen=True)
class TextStarted(Event):
    """The model begins to write."""

    type: ClassVar[str] = "text_started"


@dataclass(frozen=True)
class TextDelta(Event):
    """Some more of the text."""

    type: ClassVar[str] = "text_delta"
    text: str


@dataclass(frozen=True)
class TextFinished(Event):
    """The whole text, as written."""

    type: ClassVar[str] = "text_finished"
    text: str
    seconds: float


@dataclass(frozen=True)
class ImageStarted(Event):
    """The model begins to paint; ``stage`` is sketch or refine."""

    type: ClassVar[str] = "image_started"
    stage: str
    width: int
    height: int
    num_steps: int


@dataclass(frozen=True)
class ImagePreview(Event):
    """The clean estimate after some flow steps."""

    type: ClassVar[str] = "image_preview"
    flow_step: int
    num_steps: int
    png: bytes


@dataclass(frozen=True)
class ImageFinished(Event):
    """The canvas."""

    type: ClassVar[str] = "image_finished"
    stage: str
    png: bytes
    seconds: float


@dataclass(frozen=True)
class Finished(Event):
    """The trajectory has ended; ``reason`` is end, or the bound that was met."""

    type: ClassVar[str] = "finished"
    reason: str


@dataclass(frozen=True)
class Failed(Event):
    """Something went wrong; ``message`` says what and what to do."""

    type: ClassVar[str] = "error"
    message: str


KINDS: dict[str, type[Event]] = {
    kind.type: kind
    for kind in (
        TextStarted,
        TextDelta,
        TextFinished,
        ImageStarted,
        ImagePreview,
        ImageFinished,
        Finished,
        Failed,
    )
}


def from_dict(value: object) -> Event:
    """The inverse of ``Event.to_dict``.

    Raises:
        RecordError: if the type is unknown or an entry is missing, unknown or of another type.
    """
    kind = KINDS.get(str(value.get("type"))) if isinstance(value, dict) else None
    if kind is None or not isinstance(value, dict):
        known = ", ".join(KINDS)
        raise RecordError(f"not an event: {str(value)[:80]!r}; its type must be one of {known}")
    wanted = {f.name: f.type for f in fields(kind)}
    given = {key: entry for key, entry in value.items() if key != "type"}
    if set(given) != set(wanted):
        found = ", ".join(map(str, given))
        raise RecordError(f"a {kind.type} event has the entries {', '.join(wanted)}, not {found}")
    return kind(**{key: _typed(kind.type, key, entry, wanted[key]) for key, entry in given.items()})


def _plain(value: object) -> object:
    return base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else value


def _typed(event: str, key: str, value: object, kind: Any) -> Any:
    if kind is bytes and isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except ValueError as error:
            raise RecordError(f"{event}: {key} is not base64") from error
    allowed = (int, float) if kind is float else kind
    if not isinstance(value, allowed) or isinstance(value, bool):
        raise RecordError(f"{event}: {key} is of another type ({value!r})")
    return value
