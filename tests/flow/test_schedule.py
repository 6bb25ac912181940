"""Times, shift and interpolation, against their formulas."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from strokewise.errors import ConfigError
from strokewise.flow import (
    clean_estimate,
    interpolate,
    shift_time,
    timesteps,
    training_times,
    velocity_target,
)

TIMES = st.floats(0, 1)
SHIFTS = st.floats(0.1, 10)


@pytest.mark.parametrize(
    ("time", "shift", "expected"),
    [(0.5, 3.0, 0.75), (0.0, 3.0, 0.0), (1.0, 3.0, 1.0), (0.25, 1.0, 0.25), (0.2, 0.5, 1 / 9)],
)
def test_shift_time_by_hand(time, shift, expected):
    assert shift_time(time, shift) == pytest.approx(expected)


@given(TIMES.filter(lambda t: t > 1e-3), SHIFTS)
def test_shift_is_the_exponential_shift_of_flux(time, shift):
    mu = math.log(shift)
    assert shift_time(time, shift) == pytest.approx(math.exp(mu) / (math.exp(mu) + (1 / time - 1)))


@given(TIMES, SHIFTS)
def test_shifting_back_undoes_a_shift(time, shift):
    assert shift_time(shift_time(time, shift), 1 / shift) == pytest.approx(time, abs=1e-9)


def test_shift_of_a_tensor_is_that_of_its_elements():
    times = torch.tensor([0.1, 0.5, 0.9])
    expected = torch.tensor([shift_time(t, 3.0) for t in times.tolist()])
    torch.testing.assert_close(shift_time(times, 3.0), expected)


@pytest.mark.parametrize(("num_steps", "shift"), [(1, 1.0), (4, 1.0), (49, 3.0), (7, 0.5)])
def test_timesteps_are_a_shifted_line_from_1_to_0(num_steps, shift):
    times = timesteps(num_steps, shift)
    line = [1 - i / num_steps for i in range(num_steps + 1)]
    assert times == pytest.approx([shift * t / (1 + (shift - 1) * t) for t in line], abs=1e-6)
    assert (times[0], times[-1]) == (1.0, 0.0)
    assert all(a > b for a, b in pairwise(times))


def test_timesteps_without_shift_are_evenly_spaced():
    assert timesteps(4) == [1.0, 0.75, 0.5, 0.25, 0.0]


@pytest.mark.parametrize("num_steps", [0, -3])
def test_timesteps_need_a_step(num_steps):
    with pytest.raises(ConfigError, match=rf"num_steps is {num_steps}\b"):
        timesteps(num_steps)


@pytest.mark.parametrize("shift", [0.0, -1.0, float("nan")])
def test_timesteps_need_a_positive_shift(shift):
    with pytest.raises(ConfigError, match="timestep shift is"):
        timesteps(4, shift)


def test_training_times_are_shifted_logistic_draws():
    normal = torch.tensor([0.0, 1.0, -2.0, -math.inf])
    assert training_times(normal)[0] == 0.5
    expected = [3 * s / (1 + 2 * s) for s in (0.5, 1 / (1 + math.exp(-1)), 1 / (1 + math.exp(2)))]
    assert training_times(normal, 3.0).tolist() == pytest.approx([*expected, 0.0])


def test_interpolation_ends_at_clean_and_noise():
    clean, noise = torch.tensor([1.0, 2.0]), torch.tensor([5.0, -2.0])
    torch.testing.assert_close(interpolate(clean, noise, 0.0), clean)
    torch.testing.assert_close(interpolate(clean, noise, 1.0), noise)
    torch.testing.assert_close(interpolate(clean, noise, 0.25), torch.tensor([2.0, 1.0]))
    times = torch.tensor([0.0, 1.0])
    torch.testing.assert_close(interpolate(clean, noise, times), torch.tensor([1.0, -2.0]))


@given(TIMES, TIMES)
def test_velocity_target_is_the_slope_of_the_interpolation(one, other):
    clean, noise = torch.tensor([1.0, -0.5]), torch.tensor([0.25, 2.0])
    rise = interpolate(clean, noise, one) - interpolate(clean, noise, other)
    torch.testing.assert_close(rise, (one - other) * velocity_target(clean, noise), atol=1e-6, rtol=0)


@given(TIMES)
def test_clean_estimate_of_the_true_velocity_is_the_clean_latent(time):
    clean, noise = torch.tensor([1.0, -0.5]), torch.tensor([0.25, 2.0])
    estimate = clean_estimate(interpolate(clean, noise, time), velocity_target(clean, noise), time)
    torch.testing.assert_close(estimate, clean, atol=1e-6, rtol=0)
