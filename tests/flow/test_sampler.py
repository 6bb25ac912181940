"""The sampler on velocity fields whose end is known."""

import math
from itertools import pairwise

import pytest
import torch

from strokewise.flow import SOLVERS, integrate, timesteps, velocity_target

NOISE = torch.tensor([[1.0, -2.0, 0.5]])


@pytest.mark.parametrize(("num_steps", "shift"), [(1, 1.0), (3, 3.0), (10, 0.5)])
def test_a_constant_velocity_goes_straight(num_steps, shift):
    slope = torch.tensor([0.5, 1.0, -2.0])
    *_, last = integrate(lambda latents, time: slope, NOISE, timesteps(num_steps, shift))
    torch.testing.assert_close(last.latents, NOISE - slope)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(("num_steps", "shift"), [(1, 1.0), (7, 3.0)])
def test_the_true_velocity_ends_exactly_at_the_clean_latent(num_steps, shift, solver):
    clean = torch.tensor([[0.3, 0.1, -4.0]])
    velocity = velocity_target(clean, NOISE)
    for step in integrate(lambda latents, time: velocity, NOISE, timesteps(num_steps, shift), solver):
        torch.testing.assert_close(step.clean, clean)
    torch.testing.assert_close(step.latents, clean)


def test_a_linear_velocity_gives_the_product_of_its_steps():
    """dx/dt = a·x: each Euler step multiplies by 1 - a·Δt, and the limit is the exponential."""
    rate, times = 0.7, timesteps(5, 3.0)
    *_, last = integrate(lambda latents, time: rate * latents, NOISE, times)
    factor = math.prod(1 - rate * (a - b) for a, b in pairwise(times))
    torch.testing.assert_close(last.latents, NOISE * factor)
    *_, fine = integrate(lambda latents, time: rate * latents, NOISE, timesteps(2000))
    torch.testing.assert_close(fine.latents, NOISE * math.exp(-rate), atol=1e-3, rtol=0)


def test_a_velocity_of_time_is_evaluated_at_the_beginning_of_each_step():
    times = timesteps(4)
    *_, last = integrate(lambda latents, time: torch.full_like(latents, time), NOISE, times)
    area = sum(a * (a - b) for a, b in pairwise(times))
    torch.testing.assert_close(last.latents, NOISE - area)


@pytest.mark.parametrize("solver", SOLVERS)
def test_steps_are_numbered_and_evaluated_once_each(solver):
    asked = []

    def velocity(latents, time):
        asked.append(time)
        return torch.zeros_like(latents)

    times = timesteps(6, 3.0)
    steps = list(integrate(velocity, NOISE, times, solver))
    assert asked == [step.time for step in steps] == times[:-1]
    assert [step.index for step in steps] == list(range(6))
    assert {step.num_steps for step in steps} == {6}


def mixture(latents, time):
    """The velocity of noise that becomes one of three blurred points: curved, and known in closed form."""
    points, blur = torch.tensor([-2.0, 1.0, 3.0], dtype=torch.float64), 0.3
    variance = ((1 - time) * blur) ** 2 + time**2
    away = latents[..., None] - (1 - time) * points
    weights = (-(away**2) / (2 * variance)).softmax(-1)
    clean = (weights * (points + (1 - time) * blur**2 / variance * away)).sum(-1)
    return (latents - clean) / time


def error(solver, num_steps):
    """Mean distance from the end of the flow of a mixture."""
    noise = torch.randn(300, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    *_, exact = integrate(mixture, noise, timesteps(2000, 3.0), "adams")
    *_, last = integrate(mixture, noise, timesteps(num_steps, 3.0), solver)
    return float((last.latents - exact.latents).abs().mean())


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("adams", 2)])
def test_the_error_falls_with_the_order_of_the_solver(solver, order):
    assert math.log2(error(solver, 48) / error(solver, 96)) == pytest.approx(order, abs=0.3)


@pytest.mark.parametrize("solver", ["dpm", "unipc"])
def test_second_order_in_the_log_ratio_is_far_better_than_first(solver):
    """Not by its order: the steps beside t = 1 and t = 0 are infinitely long there, and of first order."""
    assert error(solver, 24) < 0.5 * error("euler", 24)
    assert error(solver, 96) < 0.1 * error("euler", 96)


@pytest.mark.parametrize("solver", ["dpm", "unipc"])
@pytest.mark.parametrize("num_steps", [1, 2, 5])
def test_solvers_in_the_log_ratio_take_the_steps_of_the_released_ones(solver, num_steps):
    """Compared with diffusers' schedulers at the same times, strictly between noise and clean."""
    diffusers = pytest.importorskip("diffusers")
    schedulers = {
        "dpm": (diffusers.DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++"}),
        "unipc": (diffusers.UniPCMultistepScheduler, {"solver_type": "bh2", "predict_x0": True}),
    }
    kind, options = schedulers[solver]
    scheduler = kind(
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        solver_order=2,
        lower_order_final=False,
        final_sigmas_type="sigma_min",
        **options,
    )
    times = timesteps(num_steps + 2, 3.0)[1:-1]
    scheduler.set_timesteps(num_steps)
    scheduler.sigmas = torch.tensor(times, dtype=torch.float64)
    scheduler.timesteps = torch.arange(num_steps)
    noise = torch.randn(1, 1, 1, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = noise
    for index, time in zip(scheduler.timesteps, times, strict=False):
        expected = scheduler.step(mixture(expected, time), index, expected).prev_sample
    *_, last = integrate(mixture, noise, times, solver)
    torch.testing.assert_close(last.latents, expected, atol=1e-6, rtol=0)


def test_second_order_by_hand():
    """Adams-Bashforth on dx/dt = t² with uneven steps, starting with Euler."""
    times = [1.0, 0.7, 0.2]
    *_, last = integrate(lambda latents, time: torch.full_like(latents, time**2), NOISE, times, "adams")
    middle = 0.49 + (0.49 - 1.0) * (0.5 / 0.3) / 2
    torch.testing.assert_close(last.latents, NOISE - 0.3 - 0.5 * middle)


@pytest.mark.parametrize("solver", SOLVERS)
def test_noise_is_left_as_it_was(solver):
    noise = NOISE.clone()
    list(integrate(lambda latents, time: latents, noise, timesteps(3), solver))
    torch.testing.assert_close(noise, NOISE, atol=0, rtol=0)
