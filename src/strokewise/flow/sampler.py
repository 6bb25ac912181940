"""The sampler: solvers of first and second order along a velocity field, one evaluation a step.

It sees latents of any shape and a callable; it refuses to know networks and guidance. Time falls from 1
(noise) to 0 (clean), so every step subtracts.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from strokewise.flow.schedule import clean_estimate

Velocity = Callable[[Tensor, float], Tensor]
SOLVERS = ("euler", "adams", "dpm", "unipc")


@dataclass(frozen=True)
class FlowStep:
    """One step: ``latents`` after it, ``clean`` the estimate of the finished latent before it."""

    index: int
    num_steps: int
    time: float
    latents: Tensor
    clean: Tensor


def integrate(
    velocity: Velocity, noise: Tensor, times: Sequence[float], solver: str = "euler"
) -> Iterator[FlowStep]:
    """Integrate from ``times[0]`` to ``times[-1]``; the last step's ``latents`` are the result.

    Args:
        velocity: at latents and a time; evaluated once a step.
        noise: latents at the first time.
        times: falling.
        solver: what is taken for constant along a step, and how it is made better. ``euler``: the velocity.
            ``adams``: the velocity, continued as a line over time (Adams-Bashforth 2). ``dpm``: the clean
            estimate, continued as a line over log((1 - t)/t) (DPM-Solver++ 2M, arXiv:2211.01095). ``unipc``:
            the same, and each step is corrected with the evaluation at its end (UniC-2, arXiv:2302.04867).
    """
    latents, begin, past = noise, noise, list[tuple[float, Tensor]]()  # past: where slopes were found
    for index, (time, following) in enumerate(pairwise(times)):
        v = velocity(latents, time)
        clean = clean_estimate(latents, v, time)
        if solver == "unipc" and past:
            latents = _move(begin, times[index - 1], time, _corrected(past, log_ratio(time), clean))
        begin = latents
        past = [*past[-1:], (time, v) if solver == "adams" else (log_ratio(time), clean)]
        if solver == "euler":
            latents = latents - v * (time - following)
        elif solver == "adams":
            latents = latents - _continued(past, following) * (time - following)
        else:
            latents = _move(latents, time, following, _continued(past, log_ratio(following)))
        yield FlowStep(index, len(times) - 1, time, latents, clean)


def log_ratio(time: float) -> float:
    """Return half the log signal-to-noise ratio, log((1 - t)/t)."""
    return -math.inf if time >= 1 else math.inf if time <= 0 else math.log((1 - time) / time)


def _move(latents: Tensor, time: float, following: float, clean: Tensor) -> Tensor:
    """Return latents at the following time if the clean estimate stays what it is (exact)."""
    return clean + (latents - clean) * (following / time)


def _continued(past: Sequence[tuple[float, Tensor]], end: float) -> Tensor:
    """Return the value in the middle of a step on the line through the last two, or the last alone."""
    (at, value), step = past[-1], end - past[-1][0]
    if len(past) < 2 or math.isinf(step):
        return value
    before, older = past[-2]
    return value + (value - older) * (step / (at - before) / 2)


def _corrected(past: Sequence[tuple[float, Tensor]], end: float, found: Tensor) -> Tensor:
    """Return the clean estimate along a step, now that it is known at the end too."""
    (at, value), step = past[-1], end - past[-1][0]
    if len(past) < 2 or math.isinf(step):
        return (value + found) / 2
    # The terms of UniPC's released code (variant bh2), its linear system solved for two points by hand:
    # ``one`` is B(h) = e^-h - 1, ``first`` and ``second`` are the right-hand sides b_1 and b_2.
    (before, older), one = past[-2], math.expm1(-step)
    two = -one / step - 1
    first, second = two / one, 2 * (-two / step - 0.5) / one
    ratio = (before - at) / step  # negative; minus infinity where the older one is at t = 1
    weight = (first - second) / (1 - ratio)
    return value + (found - value) * (first - weight) + (older - value) * (weight / ratio)
