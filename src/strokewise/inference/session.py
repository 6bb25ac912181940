"""Session: one painting under way, from its prompt to its end; its steps, its context, and what comes next.

It decides the order of the stages and the bounds, keeps the contexts in which every step began, and can
therefore be cut back, edited and forked without reading its past again. It knows texts, decisions and
pictures; it refuses to know how anything is written or painted (the engine does that, for many sessions at
once).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from itertools import takewhile
from typing import TYPE_CHECKING, Literal

from PIL import Image

from strokewise.errors import ConfigError, InputError
from strokewise.inference.context import Context
from strokewise.inference.formats import Following, ProtocolFormat
from strokewise.inference.options import PaintingOptions, Request
from strokewise.inference.policies import Begin, Instruct, PaintNow, Policy, Reply, Say
from strokewise.inference.usage import Usage
from strokewise.trajectory.events import Stamp
from strokewise.trajectory.values import Message, Stage, Step, StopReason, Trajectory, Verdict, planned_scene

if TYPE_CHECKING:
    from strokewise.inference.outlines import Chain

Ended = Literal["whole", "tokens", "context"]


class SessionState(StrEnum):
    """What a session waits for."""

    READ = "read"
    OUTLINE = "outline"
    WRITE = "write"
    PAINT = "paint"
    DONE = "done"


class Session:
    """A painting from its prompt to its end; opened by ``Engine.open``."""

    def __init__(
        self,
        name: str,
        request: Request,
        protocol: ProtocolFormat,
        options: PaintingOptions,
        policy: Policy,
        size: tuple[int, int],
        context: Context,
        model: str = "",
        keep: bool = True,
    ) -> None:
        """Begin a session.

        Args:
            name: unique among the sessions of an engine; events carry it.
            request: what to paint.
            protocol: how the model's texts are read.
            options: how it is painted.
            policy: who decides what is said and painted.
            size: (height, width) of its canvases in pixels.
            context: empty.
            model: name of the model, for the record.
            keep: keep the context of every step, so that the session can be edited and forked.
        """
        self.name, self.request, self.protocol, self.options = name, request, protocol, options
        self.policy, self.size, self.context, self.model, self.keep = policy, size, context, model, keep
        self.steps: list[Step] = []
        self.message = Message()
        self.seconds = 0.0
        self.state = SessionState.READ
        self.stop: StopReason | None = None
        self.error: Exception | None = None
        self.cancelled = False
        self.usage = Usage()
        self.stamp = Stamp(name)
        # Contexts in which each step's message, and each step's canvas, began; a session that keeps none has
        # empty ones before the last sketch, which a refinement may replace.
        self.before_message: list[Context] = []
        self.before_canvas: list[Context] = []
        # All plans, where they are written before anything is painted, and those under way.
        self.outline: tuple[Message, ...] = ()
        self.drafts: list[Chain] = []
        # An edit replaces the answers of the policy to the next question.
        self._given_message: Message | None = None
        self._given_verdict: Verdict | None = None
        self._given_canvas: Image.Image | None = None

    # --- where it stands ---------------------------------------------------------------------------------

    @property
    def number(self) -> int:
        """Number of the step under way, from 0."""
        return len(self.steps)

    @property
    def done(self) -> bool:
        """Whether nothing more follows, unless the session is edited."""
        return self.state is SessionState.DONE

    @property
    def refinements(self) -> int:
        """How often the last sketch was refined in a row."""
        last = takewhile(lambda step: step.message.refine is not None, reversed(self.steps))
        return sum(1 for _ in last)

    @property
    def last_sketch(self) -> int | None:
        """Number of the last step that is no refinement; None before the first."""
        return next((i for i in reversed(range(self.number)) if self.steps[i].message.refine is None), None)

    @property
    def replaces_sketch(self) -> bool:
        """Whether the canvas of the message under way is read in the place of the last sketch."""
        refines = self.message.refine is not None and self.last_sketch is not None
        return self.options.replace_refined and refines

    @property
    def keeps_better(self) -> bool:
        """Whether that canvas replaces the one before it only if it is better."""
        return self.options.keep_better and self.replaces_sketch and bool(self.message.des or self.planned)

    @property
    def planned(self) -> str:
        """The last description of the scene that a message gave; empty if there is none."""
        return planned_scene(self.steps)

    @property
    def outlines(self) -> int:
        """How many outlines may be written: none where somebody else supplies what stands before a plan."""
        request = self.request
        supplied = request.source is not None or request.before or request.instruct or request.canvases
        outlined = self.policy.model_plans and self.protocol.plan_state is not None and not supplied
        return self.options.outlines if outlined else 0

    @property
    def outlined(self) -> Message | None:
        """The plan of the outline that is due after the sketches painted so far; None where there is none."""
        return self.outline[self.sketches] if self.sketches < len(self.outline) else None

    @property
    def sketches(self) -> int:
        """How many canvases were painted that are no refinements."""
        return sum(step.image is not None and step.message.refine is None for step in self.steps)

    @property
    def stage(self) -> Stage:
        """The stage under way; a message begins with the inspection of the canvas before it, if any."""
        if self.state is SessionState.PAINT:
            return Stage.REFINE if self.message.refine is not None else Stage.SKETCH
        return Stage.INSPECT if self.steps else Stage.PLAN

    def seed(self, use: str) -> int:
        """Return the seed of this step's text or noise; the first canvas has the request's own."""
        if use == "noise" and self.number == 0:
            return self.request.seed
        # Hashed, so that the draws of different steps, and of text and noise, are independent; Python's own
        # hash of a text changes from process to process.
        text = f"{self.request.seed}/{use}/{self.number}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")

    def trajectory(self) -> Trajectory:
        """Return all that was made so far."""
        steps = [*self.steps]
        # A message whose canvas is still to be painted belongs to what was made.
        if self.state is SessionState.PAINT and self.message != Message():
            steps.append(self._step(None, None))
        request, stop = self.request, self.stop or StopReason.INTERRUPTED
        return Trajectory(
            request.prompt,
            tuple(steps),
            request.source,
            stop,
            self.model,
            request.seed,
            request.original_prompt,
        )

    def contexts(self) -> list[Context]:
        """Return every context the session holds; they share most of their keys and values."""
        drafts = [chain.context for chain in self.drafts]
        return [self.context, *self.before_message, *self.before_canvas, *drafts]

    # --- what comes next ---------------------------------------------------------------------------------

    def next_message(self) -> Reply | None:
        """Return who says what: an edit first, then the request, then the policy; None: the model.

        Raises:
            StrokewiseError: as the policy.
        """
        if self._given_message is not None:
            message, self._given_message = self._given_message, None
            return Say(message)
        given, at = self.request.instruct, self.number - len(self.request.before)
        if at < len(given):
            return Instruct(given[at])
        reply = self.policy.message(self)
        if reply is None and not self.number and self.protocol.bare_first:
            return PaintNow()
        if reply is None and self.number and self.protocol.begin is not None:
            return Begin(self.protocol.begin(self.number))
        return reply

    def next_canvas(self) -> Image.Image | None:
        """Return the canvas somebody supplies for this step; None: the model paints it."""
        if self._given_canvas is not None:
            image, self._given_canvas = self._given_canvas, None
            return image
        return self.request.canvases.get(self.number) or self.policy.canvas(self)

    # --- what happened, reported by the engine -----------------------------------------------------------

    def begin_message(self) -> None:
        """Begin the next step's message in the context as it stands."""
        # After a cut the list still holds later steps: they are dropped with the one that is replaced.
        self.before_message[self.number :] = [self.context.fork()]

    def begin_canvas(self) -> None:
        """Begin the canvas of the message in the context as it stands."""
        self.before_canvas[self.number :] = [self.context.fork()]
        if not self.keep and self.message.refine is None:
            for contexts in (self.before_message, self.before_canvas):
                contexts[: self.number] = [Context() for _ in range(self.number)]

    def read_step(self, step: Step) -> None:
        """Keep a step that was made before this session and was read."""
        self.steps.append(step)
        self.message = Message()

    def opened(self) -> None:
        """Begin to write: everything before the first message was read."""
        self.state = SessionState.OUTLINE if self.outlines else SessionState.WRITE

    def end_outline(self, plans: Sequence[Message]) -> None:
        """Begin to write the first message, which the outline states if there is one."""
        self.outline, self.drafts, self.state = tuple(plans), [], SessionState.WRITE

    def paint_silently(self) -> None:
        """Let a canvas follow without a message."""
        self.state = SessionState.PAINT

    def wrote(
        self, text: str, ended: Ended, following: Following, seconds: float, draws: bool = False
    ) -> tuple[Message, Verdict | None]:
        """Return a message was written; decide what it calls for. Returns it parsed, with its verdict.

        Args:
            text: as written.
            ended: ``whole``, or the bound that cut it short.
            following: what the model would continue with.
            seconds: it took.
            draws: whether a canvas that the message announces follows whatever the model would do.
        """
        self.message, self.seconds = self.protocol.readable(text), seconds
        parsed = self.message, self.verdict
        stop = self._stop_of(text, ended, following, draws)
        if stop is None:
            self.state = SessionState.PAINT
        else:
            self._end_step(None, None)
            self.finish(stop)
        return parsed

    def painted(self, image: Image.Image, seed: int | None, seconds: float) -> None:
        """Take a canvas that was made, or supplied: it then has no seed."""
        self.seconds += seconds
        # Queried while the step is still under way, as before it was painted.
        stop = self.policy.stops_after_canvas(self)
        self._end_step(image, seed)
        if stop is None:
            self.state = SessionState.WRITE
        else:
            self.finish(stop)

    def finish(self, reason: StopReason) -> None:
        """End: nothing more follows."""
        self.state, self.stop, self.drafts = SessionState.DONE, reason, []
        if not self.keep:
            self.release()

    def fail(self, error: Exception) -> None:
        """End with an error that went wrong in this session alone."""
        self.error = error
        self.finish(StopReason.FAILED)

    def release(self) -> None:
        """Drop all contexts, the bulk of a session's memory; it cannot be edited any more."""
        self.keep = False
        self.context = Context()
        self.before_message, self.before_canvas, self.drafts = [], [], []

    # --- editing and branching ---------------------------------------------------------------------------

    def fork(
        self, name: str, at: int | None = None, *, seed: int | None = None, policy: Policy | None = None
    ) -> "Session":
        """Return a second session with the same first steps, which are not read again.

        Args:
            name: of the new session.
            at: steps it keeps; default: all finished ones.
            seed: of everything random from here on; default: this session's.
            policy: of the new session; default: this session's.

        Raises:
            ConfigError: if there is no such step, or the contexts were not kept.
        """
        at = self.number if at is None else at
        context = self._context_before(at)
        request = self.request
        if seed is not None:
            request = replace(request, seed=seed)
        policy = policy or self.policy
        new = Session(name, request, self.protocol, self.options, policy, self.size, context, self.model)
        new.steps = self.steps[:at]
        new.outline = self.outline if seed is None else ()
        # Contexts are updated in place, so each session needs its own; their keys and values stay shared.
        new.before_message = [context.fork() for context in self.before_message[:at]]
        new.before_canvas = [context.fork() for context in self.before_canvas[:at]]
        new.state = SessionState.WRITE
        return new

    def replace(
        self,
        step: int,
        *,
        message: Message | None = None,
        verdict: Verdict | None = None,
        canvas: Image.Image | None = None,
    ) -> None:
        """Replace parts of a step; what came after it is dropped, and the session continues from there.

        Args:
            step: its number; a message whose canvas is still to be painted counts.
            message: in place of the one that was said; its canvas is painted anew unless one is given.
            verdict: what the message says of the canvas before, as values; default: read from the message.
            canvas: in place of the one that was painted.

        Raises:
            ConfigError: if there is no such step, nothing is replaced, or the contexts were not kept.
            InputError: if a canvas is given for a message that announces none.
        """
        unpainted = self.state is SessionState.PAINT and step == self.number
        if not 0 <= step < self.number + unpainted:
            raise ConfigError(
                f"there is no step {step} to replace; the session has {self.number + unpainted}"
            )
        if message is None and verdict is None and canvas is None:
            raise ConfigError("nothing to replace; give a message, a verdict or a canvas")
        old = self._step(None, None) if unpainted else self.steps[step]
        new = message or old.message
        self.outline = ()  # it does not know what is replaced
        if canvas is not None and self.protocol.tagged and not new.paints:
            raise InputError(f"step {step} announces no canvas; give it an instruction or a correction")
        if message is not None:
            new.text()  # a part that holds a tag is refused before anything is dropped
            self._cut(step)
            self._given_message, self._given_verdict, self._given_canvas = message, verdict, canvas
        elif canvas is not None:
            self._cut(step, after_message=True)
            self.message, self._given_canvas = old.message, canvas
            self._given_verdict = verdict or old.verdict
            self.state = SessionState.PAINT
        else:
            self._cut(step + 1)
            self.steps[step:] = [Step(old.message, old.image, verdict, old.seed, old.seconds)]

    def _cut(self, step: int, after_message: bool = False) -> None:
        """Go back to the beginning of a step, or of its canvas."""
        if after_message:
            if step >= len(self.before_canvas):
                raise ConfigError("the contexts of this session were not kept; it cannot be edited")
            self.context = self.before_canvas[step].fork()
        else:
            self.context = self._context_before(step)
        self.steps = self.steps[:step]
        del self.before_message[step + after_message :], self.before_canvas[step:]
        self.message, self.seconds = Message(), 0.0
        self.state, self.stop, self.error = SessionState.WRITE, None, None

    def _context_before(self, step: int) -> Context:
        if not 0 <= step <= self.number:
            raise ConfigError(f"there is no step {step}; the session has {self.number}")
        if not self.keep:
            raise ConfigError("the contexts of this session were not kept; it cannot be edited or forked")
        if step < len(self.before_message):
            return self.before_message[step].fork()
        if self.state is SessionState.READ:
            raise ConfigError("the session has not read its prompt yet; advance the engine first")
        return self.context.fork()

    # --- bounds ------------------------------------------------------------------------------------------

    def _stop_of(self, text: str, ended: Ended, following: Following, draws: bool) -> StopReason | None:
        """Return why nothing follows a message; None: its canvas does."""
        if ended != "whole":
            return StopReason(ended)
        decision = self.protocol.decide(text, following)
        if decision == "draw" or (draws and (self.message.paints or not self.protocol.tagged)):
            return self._bound()
        return StopReason(decision)

    def _bound(self) -> StopReason | None:
        """Return the bound that forbids another canvas."""
        # Rounds count sketches and images count canvases, so that refinements alone cannot run without end.
        images = [step for step in self.steps if step.image is not None]
        if len(images) >= self.options.max_images:
            return StopReason.IMAGES
        if self.message.refine is None and self.sketches >= self.options.max_rounds:
            return StopReason.ROUNDS
        return None

    def _end_step(self, image: Image.Image | None, seed: int | None) -> None:
        self.steps.append(self._step(image, seed))
        self.message, self.seconds, self._given_verdict = Message(), 0.0, None

    def _step(self, image: Image.Image | None, seed: int | None) -> Step:
        return Step(self.message, image, self.verdict, seed, round(self.seconds, 3))

    @property
    def verdict(self) -> Verdict | None:
        """What the message under way says of the canvas before; None where it says nothing."""
        if not self.number:
            return None
        return self._given_verdict or self.protocol.read_verdict(self.message)
