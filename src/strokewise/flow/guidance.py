"""Classifier-free guidance with a text and an image scale, as in BAGEL, norms taken per sample.

Knows velocities only; which contexts they come from is decided in ``inference``.

Shape legend: (samples, tokens, channels) for velocities; norms are taken over the last one or two of them.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.linalg import vector_norm

from strokewise.errors import ConfigError

RENORMS = ("global", "channel", "text_channel")
EPSILON = 1e-8  # as in BAGEL; keeps padding, whose velocity is zero, from becoming 0 / 0


@dataclass(frozen=True)
class Guidance:
    """How the velocity is guided; the defaults are BAGEL's for text-to-image.

    Attributes:
        text_scale: weight of the full context against the one without its last texts; <= 1 is no guidance.
        image_scale: weight against the texts alone, where there is an image; <= 1 leaves that branch out.
        interval: guidance acts at times low < t <= high.
        renorm: ``global`` (one norm an image), ``channel`` (one a token), ``text_channel`` (one a token,
            before the image guidance).
        renorm_min: lower bound of the renorm factor; the upper bound is 1.
    """

    text_scale: float = 4.0
    image_scale: float = 1.5
    interval: tuple[float, float] = (0.4, 1.0)
    renorm: str = "global"
    renorm_min: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values that have no meaning."""
        for name, scale in (("text", self.text_scale), ("image", self.image_scale)):
            if not math.isfinite(scale):
                raise ConfigError(f"{name} guidance scale is {scale}; it must be a finite number (1 is off)")
        if self.renorm not in RENORMS:
            raise ConfigError(f"unknown renorm {self.renorm!r}; known are {', '.join(RENORMS)}")
        low, high = self.interval
        if not 0 <= low <= high <= 1:
            raise ConfigError(f"guidance interval {self.interval} must be 0 <= low <= high <= 1")
        if not 0 <= self.renorm_min <= 1:
            raise ConfigError(f"renorm_min is {self.renorm_min}; it must lie in 0..1")

    @classmethod
    def editing(cls, **changes: Any) -> "Guidance":
        """Return BAGEL's defaults when an image stands in the context."""
        base = cls(text_scale=4.0, image_scale=2.0, interval=(0.0, 1.0), renorm="text_channel")
        return replace(base, **changes)

    @classmethod
    def off(cls) -> "Guidance":
        """Return no guidance: one network pass a step."""
        return cls(text_scale=1.0, image_scale=1.0)

    def acts_at(self, time: float) -> bool:
        """Return whether the other branches are needed at this time."""
        # Times are float32 values; a border such as .8 must be rounded the same way to fall on its timestep.
        low, high = torch.tensor(self.interval, dtype=torch.float32).tolist()
        return self.text_scale > 1 and low < time <= high

    @property
    def uses_image_branch(self) -> bool:
        """Whether the texts-only branch enters the result at all."""
        return self.text_scale > 1 and self.image_scale > 1


def combine(
    velocity: Tensor, without_text: Tensor, without_image: Tensor | None, guidance: Guidance
) -> Tensor:
    """Return guided velocity of a batch.

    Args:
        velocity: of the full context, shape (samples, tokens, channels); padding tokens are zero.
        without_text: the same without the last texts.
        without_image: the same for the texts alone; None leaves image guidance out.
        guidance: scales and renorm.
    """
    guided = without_text + guidance.text_scale * (velocity - without_text)
    if guidance.renorm == "text_channel":
        guided = guided * _factor(velocity, guided, (-1,), guidance.renorm_min)
    if without_image is not None:
        guided = without_image + guidance.image_scale * (guided - without_image)
    if guidance.renorm == "global":
        guided = guided * _factor(velocity, guided, (-2, -1), guidance.renorm_min)
    elif guidance.renorm == "channel":
        guided = guided * _factor(velocity, guided, (-1,), guidance.renorm_min)
    return guided


def _factor(reference: Tensor, guided: Tensor, dims: tuple[int, ...], minimum: float) -> Tensor:
    """Return how much to shrink ``guided`` so that its norm does not pass the reference's."""
    # Guidance extrapolates, which makes velocities longer; colors then saturate. It is only ever shortened.
    largest = vector_norm(reference, dim=dims, keepdim=True)
    found = vector_norm(guided, dim=dims, keepdim=True)
    return (largest / (found + EPSILON)).clamp(min=minimum, max=1.0)
