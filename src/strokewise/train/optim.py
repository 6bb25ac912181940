"""The optimizer, its schedule, and the averaged weights. Knows named parameters, not what they are for."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn


class Schedule(Protocol):
    """What the optimizer needs to know of a run; see ``TrainConfig``."""

    @property
    def steps(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def warmup_steps(self) -> int: ...
    @property
    def final_lr(self) -> float: ...
    @property
    def betas(self) -> tuple[float, float]: ...
    @property
    def eps(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...


def learning_rate(config: Schedule, step: int) -> float:
    """The rate of optimizer step ``step`` (from 0): linear warm-up, then a cosine to ``final_lr`` · peak."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    share = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
    return config.learning_rate * (config.final_lr + (1 - config.final_lr) * cosine)


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters with gradients, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def adamw(parameters: dict[str, nn.Parameter], config: Schedule) -> torch.optim.AdamW:
    """AdamW with its state in place; matrices decay, norms and biases do not."""
    groups = [
        {"params": [p for p in parameters.values() if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters.values() if p.dim() <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=config.betas,
        eps=config.eps,
    )
    for parameter in parameters.values():
        # Made here and not at the first step, so that a checkpoint has a place to be read into.
        optimizer.state[parameter] = {
            "step": torch.zeros(()),
            "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
            "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
        }
    return optimizer


class AveragedWeights:
    """Exponential moving average of the trainable weights (EMA), sharded as they are."""

    def __init__(self, parameters: dict[str, nn.Parameter], decay: float) -> None:
        """Start at the present weights."""
        self.decay = decay
        self.parameters = parameters
        self.averages = {name: p.detach().clone() for name, p in parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after optimizer step ``step`` (from 0); early averages are shorter."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, parameter in self.parameters.items():
            self.averages[name].lerp_(parameter.detach(), 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the model hold the averages for a while."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, parameter in self.parameters.items():
            present: Tensor = parameter.detach().clone()
            parameter.copy_(self.averages[name])
            self.averages[name].copy_(present)
