"""Trajectories: a prompt and the steps in which it was painted, as values and as texts and images in turn.

A step is the model's message between two canvases, and the canvas that follows. A message is one text: the
inspection of the canvas before, optionally a correction, optionally a plan:

    inspection <refine>correction</refine> <ins>stroke</ins> <des>scene after it</des>

This file knows the tags and the order of the stages. It refuses to know what the texts mean
(``world.language``) and how they become tokens (``sequence``, ``inference``). It needs no torch.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from PIL import Image

from strokewise.errors import ProtocolError

TAGS = ("refine", "ins", "des")
TAG = re.compile(r"</?(?:refine|ins|des)>")


class Stage(StrEnum):
    """The four stages of a round (paper, section 3)."""

    PLAN = "plan"
    SKETCH = "sketch"
    INSPECT = "inspect"
    REFINE = "refine"


class StopReason(StrEnum):
    """Why a painting ended."""

    END = "end"  # the model ended the sequence
    ROUNDS = "rounds"
    IMAGES = "images"
    TOKENS = "tokens"
    CONTEXT = "context"
    PROTOCOL = "protocol"  # the model broke the grammar
    SINGLE_PASS = "single-pass"
    THINK = "think"
    EXCERPT = "excerpt"  # a record that leaves out what came after
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True)
class Message:
    """The model's text between two canvases, in parts; None where a part is missing.

    Attributes:
        inspect: the inspection of the canvas before; empty in the first step.
        refine: the correction; the next canvas is then a refinement.
        ins: the stroke to paint next, or the revised one.
        des: the description of the scene after that stroke.
    """

    inspect: str = ""
    refine: str | None = None
    ins: str | None = None
    des: str | None = None

    @property
    def paints(self) -> bool:
        """Whether a canvas must follow."""
        return self.refine is not None or self.ins is not None

    def text(self) -> str:
        """Return the message as the model writes it.

        Raises:
            ProtocolError: if a part holds a tag, which would read as one of the message's tags.
        """
        for name, part in vars(self).items():
            if part is not None and TAG.search(part):
                raise ProtocolError(f"the {name} part holds a tag: {part!r}")
        tagged = [f"<{tag}>{getattr(self, tag)}</{tag}>" for tag in TAGS if getattr(self, tag) is not None]
        return " ".join(filter(None, [self.inspect, *tagged]))

    @classmethod
    def parse(cls, text: str) -> "Message":
        """Return the message of a text; total: a value or a ProtocolError, for any string.

        Raises:
            ProtocolError: if a tag is not closed, stands twice or out of order, or text follows the tags.
        """
        first = TAG.search(text)
        inspect, rest = (text[: first.start()], text[first.start() :]) if first else (text, "")
        found: dict[str, str] = {}
        for tag in TAGS:
            match = re.match(rf"<{tag}>(.*?)</{tag}>\s*", rest, re.DOTALL)
            if match and not TAG.search(match[1]):
                found[tag], rest = match[1].strip(), rest[match.end() :]
        if rest.strip():
            raise ProtocolError(
                f"not a message: {rest.strip()[:80]!r}; expected <refine>…</refine> <ins>…</ins>"
                " <des>…</des>, each at most once, closed, in this order, and nothing after them"
            )
        return cls(inspect.strip(), **found)


@dataclass(frozen=True)
class Verdict:
    """Whether the plan fits the prompt and the sketch the plan; None: not judged.

    Attributes:
        plan: whether the plan fits the prompt.
        sketch: whether the sketch shows the plan.
        plan_text: what the inspection says of the plan alone, so that it can be trained on without the
            canvas; empty if it says nothing, None if that is not known. Verdicts are equal if they judge
            alike, however they are worded.
        seen_text: what the inspection says that the canvas shows, likewise.
    """

    plan: bool | None = None
    sketch: bool | None = None
    plan_text: str | None = field(default=None, compare=False)
    seen_text: str | None = field(default=None, compare=False)

    @property
    def accepted(self) -> bool:
        """Whether nothing was found wrong."""
        return self.plan is not False and self.sketch is not False


@dataclass(frozen=True)
class Step:
    """A message and the canvas that follows it.

    Attributes:
        message: the text before the canvas.
        image: the canvas painted after it; None in the last step, which only inspects.
        verdict: the inspection's judgment of the canvas before, as values; None in the first step.
        seed: seed of the canvas's noise, where a model painted it.
        seconds: time of writing and painting in seconds, where it was measured.
    """

    message: Message
    image: Image.Image | None = None
    verdict: Verdict | None = None
    seed: int | None = None
    seconds: float | None = None

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of this step in order."""
        found = []
        if self.message.inspect:
            found.append(Stage.INSPECT)
        if self.message.ins is not None:
            found.append(Stage.PLAN)
        if self.image is not None:
            found.append(Stage.REFINE if self.message.refine is not None else Stage.SKETCH)
        return tuple(found)


def planned_scene(steps: Sequence[Step]) -> str:
    """Return the last description of a scene that the steps give; empty if there is none."""
    return next((step.message.des for step in reversed(steps) if step.message.des), "")


@dataclass(frozen=True)
class Trajectory:
    """A prompt and the steps in which it was painted.

    Attributes:
        prompt: the text that states what to paint.
        steps: in order.
        source: the image to edit, where one was given with the prompt.
        stop: why it ended.
        model: name of the model that painted it.
        seed: seed of the whole trajectory.
    """

    prompt: str
    steps: tuple[Step, ...]
    source: Image.Image | None = None
    stop: StopReason = StopReason.END
    model: str = ""
    seed: int | None = None
    original_prompt: str = ""

    @property
    def images(self) -> list[Image.Image]:
        """The canvases in order."""
        return [step.image for step in self.steps if step.image is not None]

    def check_protocol(self) -> None:
        """Refuse an order of stages that no complete trajectory has.

        Raises:
            ProtocolError: naming the step and what it lacks.
        """
        if not self.steps:
            raise ProtocolError("a trajectory has at least one step")
        for number, step in enumerate(self.steps):
            last, message = number == len(self.steps) - 1, step.message
            if (message.ins is None) != (message.des is None):
                raise ProtocolError(f"step {number}: <ins> and <des> come together")
            if number == 0 and (message.inspect or message.refine is not None or message.ins is None):
                raise ProtocolError("step 0: the first step plans; there is nothing to inspect or refine yet")
            if number > 0 and not message.inspect:
                raise ProtocolError(f"step {number}: a canvas is inspected before the next is planned")
            if message.paints != (step.image is not None):
                lacks = "lacks the canvas it announces" if message.paints else "paints without a plan"
                raise ProtocolError(f"step {number} {lacks}")
            if not message.paints and not last:
                raise ProtocolError(f"step {number} announces no canvas but is not the last")
            if last and message.paints and self.stop == StopReason.END:
                raise ProtocolError(f"step {number} paints a canvas that is never inspected")


TextOrImage = str | Image.Image


def to_parts(trajectory: Trajectory) -> list[TextOrImage]:
    """Return what the model sees, in order: the source image, the prompt, then texts and canvases in turn."""
    parts: list[TextOrImage] = [] if trajectory.source is None else [trajectory.source]
    parts.append(trajectory.prompt)
    for step in trajectory.steps:
        parts.append(step.message.text())
        if step.image is not None:
            parts.append(step.image)
    return parts


def from_parts(parts: Sequence[TextOrImage]) -> Trajectory:
    """Return the trajectory of a sequence; total: a value or a ProtocolError.

    Raises:
        ProtocolError: if texts and images do not take turns, or a text is no message.
    """
    rest = list(parts)
    source, prompt = _image(rest), rest.pop(0) if rest else None
    if not isinstance(prompt, str):
        raise ProtocolError("a sequence begins with a prompt, or an image and a prompt")
    steps: list[Step] = []
    while rest:
        text = rest.pop(0)
        if not isinstance(text, str):
            raise ProtocolError(f"step {len(steps)}: two images follow each other")
        image = _image(rest)
        if image is None and rest:
            raise ProtocolError(f"step {len(steps)}: two texts follow each other")
        steps.append(Step(Message.parse(text), image))
    return Trajectory(prompt, tuple(steps), source)


def _image(rest: list[TextOrImage]) -> Image.Image | None:
    """Return the next part, taken off, if it is an image."""
    first = rest[0] if rest else None
    if not isinstance(first, Image.Image):
        return None
    del rest[0]
    return first
