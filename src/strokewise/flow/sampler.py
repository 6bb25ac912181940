"""The sampler: Euler steps along a velocity field.

It sees latents of any shape and a callable; it refuses to know networks and guidance.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from strokewise.flow.schedule import clean_estimate

Velocity = Callable[[Tensor, float], Tensor]


@dataclass(frozen=True)
class FlowStep:
    """One Euler step: ``latents`` after it, ``clean`` the estimate of the finished latent before it."""

    index: int
    num_steps: int
    time: float
    latents: Tensor
    clean: Tensor


def euler(velocity: Velocity, noise: Tensor, times: Sequence[float]) -> Iterator[FlowStep]:
    """Integrate from ``times[0]`` to ``times[-1]``; the last step's ``latents`` are the result."""
    latents = noise
    for index, (time, following) in enumerate(pairwise(times)):
        v = velocity(latents, time)
        clean = clean_estimate(latents, v, time)
        latents = latents - v * (time - following)
        yield FlowStep(index, len(times) - 1, time, latents, clean)
