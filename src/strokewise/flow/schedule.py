"""Time in rectified flow: t = 1 is noise, t = 0 is the clean latent, velocity = noise - clean.

Knows numbers and tensors of any shape; refuses to know what the latents are and who predicts the velocity.
"""

from typing import TypeVar

import torch
from torch import Tensor

from strokewise.errors import ConfigError

Time = TypeVar("Time", float, Tensor)


def shift_time(time: Time, shift: float) -> Time:
    """Move times towards noise: s·t / (1 + (s - 1)·t). ``shift`` 1 changes nothing (BAGEL, FLUX)."""
    return shift * time / (1 + (shift - 1) * time)


def timesteps(num_steps: int, shift: float = 1.0) -> list[float]:
    """Return the ``num_steps + 1`` times from 1 to 0 that bound ``num_steps`` velocity evaluations.

    BAGEL's ``num_timesteps=50`` names the points, so it is ``num_steps=49`` here. The arithmetic is
    float32, as in the released sampler, so that interval borders fall on the same side.

    Raises:
        ConfigError: if ``num_steps`` < 1 or ``shift`` <= 0.
    """
    if num_steps < 1:
        raise ConfigError(f"num_steps is {num_steps}; it counts velocity evaluations and must be at least 1")
    if not shift > 0:
        raise ConfigError(f"timestep shift is {shift}; it must be positive (1 means no shift)")
    return shift_time(torch.linspace(1, 0, num_steps + 1), shift).tolist()


def training_times(normal: Tensor, shift: float = 1.0) -> Tensor:
    """Map Standard-normal draws to shifted logit-normal times in (0, 1); -inf gives 0, a clean image."""
    return shift_time(torch.sigmoid(normal), shift)


def interpolate(clean: Tensor, noise: Tensor, time: Tensor | float) -> Tensor:
    """Return the noised latent (1 - t)·clean + t·noise (paper, rectified flow)."""
    return (1 - time) * clean + time * noise


def velocity_target(clean: Tensor, noise: Tensor) -> Tensor:
    """Return what the network is trained to predict: noise - clean."""
    return noise - clean


def clean_estimate(noised: Tensor, velocity: Tensor, time: float) -> Tensor:
    """Return the clean latent that a velocity at time t points at: x - t·v."""
    return noised - time * velocity
