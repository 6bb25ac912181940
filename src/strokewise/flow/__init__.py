"""Rectified-flow math: schedule, guidance, sampler. Tensors in and out; knows no models."""

from strokewise.flow.extrapolation import Extrapolation, is_computed
from strokewise.flow.guidance import RENORMS, Guidance, combine
from strokewise.flow.sampler import SOLVERS, FlowStep, integrate
from strokewise.flow.schedule import (
    clean_estimate,
    interpolate,
    shift_time,
    timesteps,
    training_times,
    velocity_target,
)

__all__ = [
    "RENORMS",
    "SOLVERS",
    "Extrapolation",
    "FlowStep",
    "Guidance",
    "clean_estimate",
    "combine",
    "integrate",
    "interpolate",
    "is_computed",
    "shift_time",
    "timesteps",
    "training_times",
    "velocity_target",
]
