"""Policies: who decides what a session says and paints next.

A policy answers three questions before each step: what the message is, whether a canvas is supplied, and
whether the session ends after it. The default answer to each is "the model decides". This file knows
messages and canvases as values; how they are written, read and painted is the engine's business.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from strokewise.errors import ConfigError
from strokewise.trajectory.values import Message, StopReason

if TYPE_CHECKING:
    from strokewise.inference.formats import ProtocolFormat
    from strokewise.inference.options import Request
    from strokewise.inference.session import Session


@dataclass(frozen=True)
class Say:
    """A whole message; the model writes nothing. The canvas it announces is painted."""

    message: Message


@dataclass(frozen=True)
class Begin:
    """The beginning of a message, which the model continues."""

    text: str


@dataclass(frozen=True)
class Instruct:
    """The instruction of the next stroke, in plain words.

    In a tagged format the model writes the inspection before it and the description after it; otherwise the
    instruction is the whole message. A canvas follows whatever the model would do.
    """

    instruction: str


@dataclass(frozen=True)
class PaintNow:
    """A canvas without any message before it."""


@dataclass(frozen=True)
class End:
    """Nothing more follows."""

    reason: StopReason = StopReason.END


Reply = Say | Begin | Instruct | PaintNow | End


class Policy:
    """The base of all policies: the model decides everything (the paper's process).

    Attributes:
        model_plans: whether the plans are the model's own, so that it may outline them beforehand.
    """

    model_plans = True

    def check(self, request: "Request", protocol: "ProtocolFormat") -> None:
        """Refuse a request or a format that this policy cannot work with (ConfigError)."""

    def message(self, session: "Session") -> Reply | None:
        """Return the next message or a part of it; None: the model writes it.

        Raises:
            StrokewiseError: if a service it queries fails; the session then fails, and no other one.
        """
        return None

    def canvas(self, session: "Session") -> Image.Image | None:
        """Return the canvas of this step, in the session's size; None: the model paints it."""
        return None

    def stops_after_canvas(self, session: "Session") -> StopReason | None:
        """Return why the session ends after this step's canvas, which is then not read back; None: it
        continues.
        """
        return None


class PromptAsInstruction(Policy):
    """The prompt is the first stroke on a picture that is given; then the model decides.

    For models that were trained on strokes of their own world, and never saw a picture before a prompt.
    """

    def message(self, session: "Session") -> Reply | None:
        """See :class:`Policy`."""
        return None if session.steps else Instruct(session.request.prompt)


class SinglePass(Policy):
    """One canvas right after the prompt, without a message: plain text-to-image or editing."""

    model_plans = False

    def check(self, request: "Request", protocol: "ProtocolFormat") -> None:
        """See :class:`Policy`."""
        if request.instruct or request.before:
            raise ConfigError("a single pass follows no instructions and continues no earlier steps")

    def message(self, session: "Session") -> Reply:
        """See :class:`Policy`."""
        return PaintNow()

    def stops_after_canvas(self, session: "Session") -> StopReason:
        """See :class:`Policy`."""
        return StopReason.SINGLE_PASS


class Think(Policy):
    """One message before one canvas.

    A model of a tagged format is instructed to paint the whole prompt in one stroke and describes the
    scene; any other writes what it likes (its sessions are opened with ``always_draws`` of their format).
    """

    model_plans = False

    def message(self, session: "Session") -> Reply | None:
        """See :class:`Policy`."""
        return Instruct(session.request.prompt) if session.protocol.tagged else None

    def stops_after_canvas(self, session: "Session") -> StopReason:
        """See :class:`Policy`."""
        return StopReason.THINK
