"""The sampler on velocity fields whose end is known."""

import math
from itertools import pairwise

import pytest
import torch

from strokewise.flow import euler, timesteps, velocity_target

NOISE = torch.tensor([[1.0, -2.0, 0.5]])


@pytest.mark.parametrize(("num_steps", "shift"), [(1, 1.0), (3, 3.0), (10, 0.5)])
def test_a_constant_velocity_goes_straight(num_steps, shift):
    slope = torch.tensor([0.5, 1.0, -2.0])
    *_, last = euler(lambda latents, time: slope, NOISE, timesteps(num_steps, shift))
    torch.testing.assert_close(last.latents, NOISE - slope)


@pytest.mark.parametrize(("num_steps", "shift"), [(1, 1.0), (7, 3.0)])
def test_the_true_velocity_ends_exactly_at_the_clean_latent(num_steps, shift):
    clean = torch.tensor([[0.3, 0.1, -4.0]])
    velocity = velocity_target(clean, NOISE)
    for step in euler(lambda latents, time: velocity, NOISE, timesteps(num_steps, shift)):
        torch.testing.assert_close(step.clean, clean)
    torch.testing.assert_close(step.latents, clean)


def test_a_linear_velocity_gives_the_product_of_its_steps():
    """dx/dt = a·x: each Euler step multiplies by 1 - a·Δt, and the limit is the exponential."""
    rate, times = 0.7, timesteps(5, 3.0)
    *_, last = euler(lambda latents, time: rate * latents, NOISE, times)
    factor = math.prod(1 - rate * (a - b) for a, b in pairwise(times))
    torch.testing.assert_close(last.latents, NOISE * factor)
    *_, fine = euler(lambda latents, time: rate * latents, NOISE, timesteps(2000))
    torch.testing.assert_close(fine.latents, NOISE * math.exp(-rate), atol=1e-3, rtol=0)


def test_a_velocity_of_time_is_evaluated_at_the_beginning_of_each_step():
    times = timesteps(4)
    *_, last = euler(lambda latents, time: torch.full_like(latents, time), NOISE, times)
    area = sum(a * (a - b) for a, b in pairwise(times))
    torch.testing.assert_close(last.latents, NOISE - area)


def test_steps_are_numbered_and_evaluated_once_each():
    asked = []

    def velocity(latents, time):
        asked.append(time)
        return torch.zeros_like(latents)

    times = timesteps(6, 3.0)
    steps = list(euler(velocity, NOISE, times))
    assert asked == [step.time for step in steps] == times[:-1]
    assert [step.index for step in steps] == list(range(6))
    assert {step.num_steps for step in steps} == {6}


def test_noise_is_left_as_it_was():
    noise = NOISE.clone()
    list(euler(lambda latents, time: latents, noise, timesteps(3)))
    torch.testing.assert_close(noise, NOISE, atol=0, rtol=0)
