"""Rectified-flow math: schedule, guidance, sampler. Tensors in and out; knows no models."""

from strokewise.flow.guidance import RENORMS, Guidance, combine
from strokewise.flow.sampler import FlowStep, euler
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
    "FlowStep",
    "Guidance",
    "clean_estimate",
    "combine",
    "euler",
    "interpolate",
    "shift_time",
    "timesteps",
    "training_times",
    "velocity_target",
]
