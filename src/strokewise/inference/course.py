"""One painting under way: its steps so far, the message being written, and what must come next.

This file settles the order of the stages and the bounds. It knows texts, decisions and pictures; it refuses
to know how anything is written or painted (``loop`` asks the generator for that, for many at once).
"""

import hashlib
from typing import Literal

from PIL import Image

from strokewise.errors import LanguageError
from strokewise.inference.context import Context
from strokewise.inference.formats import Following, ProtocolFormat
from strokewise.inference.options import PaintingOptions, Request
from strokewise.trajectory.values import Message, Step, Trajectory, Verdict
from strokewise.world.language import parse_inspection

Doing = Literal["write", "paint", "done"]
Ended = Literal["whole", "tokens", "context"]
UNFINISHED = "interrupted"


class Course:
    """A painting from its prompt to its end."""

    def __init__(
        self,
        index: int,
        request: Request,
        protocol_format: ProtocolFormat,
        options: PaintingOptions,
        context: Context,
        size: tuple[int, int],
    ) -> None:
        """Begin; ``index`` is its place among all, ``size`` the (height, width) of its canvases."""
        self.index = index
        self.request, self.protocol_format, self.options = request, protocol_format, options
        self.context, self.size = context, size
        self.steps = list(request.before)
        self.message = Message()
        self.seconds = 0.0
        self.doing: Doing = "paint" if options.single_pass else "write"
        self.stop: str | None = None

    @property
    def number(self) -> int:
        """Of the step under way, from 0."""
        return len(self.steps)

    @property
    def instruction(self) -> str | None:
        """The caller's words for this step."""
        given, at = self.request.instruct, self.number - len(self.request.before)
        return given[at] if at < len(given) else None

    @property
    def replacement(self) -> Image.Image | None:
        """The caller's picture for this step."""
        return self.request.canvases.get(self.number)

    @property
    def stage(self) -> str:
        """What the next canvas is."""
        return "refine" if self.message.refine is not None else "sketch"

    def seed(self, use: str) -> int:
        """The seed of this step's text or noise; the first canvas has the request's own."""
        if use == "noise" and self.number == 0:
            return self.request.seed
        text = f"{self.request.seed}/{use}/{self.number}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")

    def wrote(self, text: str, ended: Ended, following: Following, seconds: float) -> None:
        """A message was written; settle what it calls for.

        Args:
            text: as written.
            ended: ``whole``, or the bound that cut it short.
            following: what the model would go on with.
            seconds: it took.
        """
        instructed = self.instruction is not None
        self.message, self.seconds = self.protocol_format.readable(text), seconds
        decision: str = self.protocol_format.decide(text, following) if ended == "whole" else ended
        if ended == "whole" and instructed and (self.message.paints or not self.protocol_format.tagged):
            # Whoever gives an instruction wants to see it painted, whatever the model would do.
            decision = "draw"
        if decision == "draw":
            decision = self._bound() or decision
        if decision == "draw":
            self.doing = "paint"
        else:
            self._end_step(None, None)
            self.finish(decision)

    def painted(self, image: Image.Image, seed: int | None, seconds: float, ends: bool = False) -> None:
        """A canvas was made (or given, without a seed); ``ends``: the model ended the sequence after it."""
        self.seconds += seconds
        self._end_step(image, seed)
        if self.options.single_pass or ends:
            self.finish("single-pass" if self.options.single_pass else "end")
        else:
            self.doing = "write"

    def finish(self, reason: str) -> None:
        """Nothing more follows."""
        self.doing, self.stop = "done", reason
        self.context = Context()  # its keys and values are the bulk of a painting's memory

    def trajectory(self, model: str) -> Trajectory:
        """All that was made so far."""
        steps = [*self.steps]
        if self.doing == "paint" and self.message != Message():
            steps.append(self._step(None, None))
        request = self.request
        stop = self.stop or UNFINISHED
        return Trajectory(request.prompt, tuple(steps), request.source, stop, model, request.seed)

    def _bound(self) -> str | None:
        """The bound that forbids another canvas."""
        images = [step for step in self.steps if step.image is not None]
        if len(images) >= self.options.max_images:
            return "images"
        sketches = sum(step.message.refine is None for step in images)
        if self.message.refine is None and sketches >= self.options.max_rounds:
            return "rounds"
        return None

    def _end_step(self, image: Image.Image | None, seed: int | None) -> None:
        self.steps.append(self._step(image, seed))
        self.message, self.seconds = Message(), 0.0

    def _step(self, image: Image.Image | None, seed: int | None) -> Step:
        verdict = verdict_of(self.message) if self.number and self.protocol_format.tagged else None
        return Step(self.message, image, verdict, seed, round(self.seconds, 3))


def verdict_of(message: Message) -> Verdict | None:
    """The inspection as two answers; None where it is not told in the sprite world's words."""
    try:
        found = parse_inspection(message.inspect)
    except LanguageError:
        return None
    plan, sketch = found.plan, found.sketch
    return Verdict(None if plan is None else not plan, None if sketch is None else not sketch)
