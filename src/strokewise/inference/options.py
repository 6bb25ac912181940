"""What is requested of a painting, and how it is to be made. Values only; no model, no files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from numbers import Integral
from typing import Any, Literal

import numpy as np
from PIL import Image
from typing_extensions import TypedDict

from strokewise.errors import ConfigError, InputError
from strokewise.flow import Guidance
from strokewise.inference.painting import PaintOptions
from strokewise.inference.writing import WriteOptions
from strokewise.io.schema import checked_row
from strokewise.trajectory.files import MAX_STEPS
from strokewise.trajectory.values import TAG, Step

LARGEST = 1_000_000  # number among the options
MOST_OUTLINES = 64


@dataclass(frozen=True)
class PaintingOptions:
    """How a trajectory is painted.

    Attributes:
        steps: flow steps of each canvas.
        shift: timestep shift; above 1 moves steps towards noise.
        text_guidance: guidance scale of the texts since the last canvas; at most 1 is off.
        image_guidance: guidance scale of the earlier canvases, where there are any; at most 1 is off.
        interval: times low < t <= high at which guidance acts; by default BAGEL's, 0.4,1 for a first canvas
            and 0,1 for those after another.
        renorm: scale the guided velocity back to the norm of the unguided one: of the whole image (global),
            of each token (channel), or of each token before image guidance (text_channel); by default
            BAGEL's, global for a first canvas and text_channel for those after another.
        max_rounds: sketches at most; refinements belong to the round of their sketch.
        max_images: canvases at most, refinements included.
        max_tokens: tokens of one message at most.
        size: of the canvases in pixels (in Python: height, width); by default the model's own, or the shape
            of an image given to edit.
        temperature: sampling temperature of the texts; 0 is greedy.
        top_p: share of probability kept when texts are sampled.
        previews: intermediate pictures emitted for each canvas.
        feedback: how the model reads its canvas: decoded and encoded again (pixels), or the painted latents
            themselves with the ViT's view of the decoded canvas (latents).
        solver: integrator of the flow; all but euler are of second order and need fewer steps.
        evaluate_every: the velocity is computed at every n-th step and extrapolated in between.
        guide_every: the unconditional velocities of guidance are computed at every n-th step and
            extrapolated in between.
        max_refinements: refinements of one sketch at most; the canvas is then kept. With words compared, the
            next inspection still says what is wrong with it, while the model reads that nothing is.
        replace_refined: read a refined canvas in the place of the sketch that it corrects, which is dropped
            from the context, so that it is inspected as any other; otherwise after it, with the correction.
        look: begin each inspection with what the model sees on the canvas alone, without its plan in
            context.
        compare_words: with look on, compare what the model says that it sees with its plan, and the plan
            with the prompt, by the rules of the protocol format's language, in place of the model's own
            verdict; the correction of a sketch follows too.
        fault_margin: with look on, a canvas is taken to show its plan unless what the model says that it sees
            is likelier than the plan's words, for the canvas alone, by more than so much (log-likelihood in
            nats). 0: whatever it says counts.
        outlines: before anything is painted, up to so many chains of all plans are written in words, until
            one holds all of the prompt by the rules of the protocol format's language; it is painted. 0:
            each plan is written when it is due.
        keep_better: keep the canvas before a refinement where the model, seeing each canvas alone, finds the
            description that is planned likelier for it than for the refined one.
        fault_bias: added to the logits of the words with which an inspection finds a fault: below 0, it
            finds fewer and raises fewer false alarms.
    """

    steps: int = 49
    shift: float = 3.0
    text_guidance: float = 4.0
    image_guidance: float = 2.0
    interval: tuple[float, float] | None = None
    renorm: Literal["global", "channel", "text_channel"] | None = None
    max_rounds: int = 8
    max_images: int = 16
    max_tokens: int = 512
    size: tuple[int, int] | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    previews: int = 0
    feedback: Literal["pixels", "latents"] = "pixels"
    solver: Literal["euler", "adams", "dpm", "unipc"] = "euler"
    evaluate_every: int = 1
    guide_every: int = 1
    max_refinements: int = MAX_STEPS
    replace_refined: bool = False
    look: bool = False
    compare_words: bool = False
    fault_margin: float = 0.0
    outlines: int = 0
    keep_better: bool = False
    fault_bias: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values that have no meaning; those of one text or canvas are checked where they are used."""
        plain = {name: one.item() if isinstance(one, np.generic) else one for name, one in vars(self).items()}
        for name, value in checked_row(OptionChanges, plain, "options", ConfigError).items():
            object.__setattr__(self, name, value)
            numbers = value if isinstance(value, tuple) else [value]
            if any(isinstance(one, int | float) and not abs(one) <= LARGEST for one in numbers):
                raise ConfigError(f"{name} is {value}; numbers lie within ±{LARGEST:,}")
        for name in ("max_rounds", "max_images"):
            value = getattr(self, name)
            if not 1 <= value < MAX_STEPS:
                raise ConfigError(f"{name} is {value}; it must lie in 1..{MAX_STEPS - 1}")
        for name in ("max_refinements", "fault_margin"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it cannot be negative")
        if not 0 <= self.outlines <= MOST_OUTLINES:
            raise ConfigError(f"outlines is {self.outlines}; it must lie in 0..{MOST_OUTLINES}")
        if self.previews < 0:
            raise ConfigError(f"previews is {self.previews}; it cannot be negative")
        if self.feedback not in ("pixels", "latents"):
            raise ConfigError(f"unknown feedback {self.feedback!r}; known are pixels, latents")
        self.writing(frozenset())
        for after_image in (False, True):
            self.painting(after_image)

    def changed(self, changes: Mapping[str, Any]) -> "PaintingOptions":
        """Return these options with some others in place.

        Raises:
            ConfigError: if there is no option of such a name, or its value has no meaning.
        """
        known = [f.name for f in fields(self)]
        if unknown := sorted(set(changes) - set(known)):
            raise ConfigError(f"unknown options {', '.join(unknown)}; known are {', '.join(known)}")
        return replace(self, **changes)

    def writing(self, stop_ids: frozenset[int]) -> WriteOptions:
        """Return how each message is written."""
        return WriteOptions(self.max_tokens, self.temperature, self.top_p, stop_ids)

    def painting(self, after_image: bool) -> PaintOptions:
        """Return how a canvas is painted; BAGEL guides otherwise where it sees an image already."""
        base = Guidance.editing() if after_image else Guidance()
        guidance = replace(
            base,
            text_scale=self.text_guidance,
            image_scale=self.image_guidance if after_image else 1.0,
            interval=self.interval or base.interval,
            renorm=self.renorm or base.renorm,
        )
        previews = max(0, min(self.previews, self.steps - 1))
        return PaintOptions(
            self.steps,
            self.shift,
            guidance,
            previews,
            self.feedback,
            self.solver,
            self.evaluate_every,
            self.guide_every,
        )


class OptionChanges(TypedDict, total=False):
    """Some of the :class:`PaintingOptions`, for methods that take them as keywords."""

    steps: int
    shift: float
    text_guidance: float
    image_guidance: float
    interval: tuple[float, float] | None
    renorm: Literal["global", "channel", "text_channel"] | None
    max_rounds: int
    max_images: int
    max_tokens: int
    size: tuple[int, int] | None
    temperature: float
    top_p: float
    previews: int
    feedback: Literal["pixels", "latents"]
    solver: Literal["euler", "adams", "dpm", "unipc"]
    evaluate_every: int
    guide_every: int
    max_refinements: int
    replace_refined: bool
    look: bool
    compare_words: bool
    fault_margin: float
    outlines: int
    keep_better: bool
    fault_bias: float


@dataclass(frozen=True)
class Request:
    """One painting that is requested, and what its caller supplies of it.

    Attributes:
        prompt: what to paint.
        seed: random seed.
        source: an image to edit, read before the prompt.
        instruct: instructions of the next strokes; afterwards the model plans for itself.
        canvases: images in place of painted ones, by number of the step.
        before: steps that were made already; each ends in a canvas. The painting continues after them.
        original_prompt: the prompt as it was written, where ``prompt`` is a rewriting of it; for the record.
    """

    prompt: str
    seed: int = 0
    source: Image.Image | None = None
    instruct: Sequence[str] = ()
    canvases: Mapping[int, Image.Image] = field(default_factory=dict)
    before: tuple[Step, ...] = ()
    original_prompt: str = ""

    def __post_init__(self) -> None:
        """Refuse what no painting can begin with."""
        _check_text(self.prompt, "the prompt")
        if not self.prompt.strip():
            raise InputError("the prompt is empty")
        if isinstance(self.instruct, str) or not isinstance(self.instruct, Sequence):
            raise InputError(f"instruct is a list of texts, one a stroke, not {self.instruct!r:.60}")
        object.__setattr__(self, "instruct", tuple(self.instruct))
        for text in self.instruct:
            _check_text(text, "an instruction")
            if not text.strip() or TAG.search(text):
                raise InputError(f"an instruction is plain words without tags, not {text!r}")
        if any(step.image is None for step in self.before):
            raise InputError("a painting continues after a canvas; leave out the steps behind the last one")
        if not isinstance(self.seed, Integral) or not 0 <= self.seed < 2**63:
            raise InputError(f"seed {self.seed!r} must be a whole number in 0..2^63-1")
        object.__setattr__(self, "seed", int(self.seed))  # numpy's integers cannot be stored as JSON


def _check_text(text: object, what: str) -> None:
    """Refuse what is no text, or cannot be encoded."""
    if not isinstance(text, str):
        raise InputError(f"{what} is a text, not {text!r:.60}")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InputError(f"{what} holds half a character: {text!a:.60}")
