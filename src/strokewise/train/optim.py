"""The optimizer, its schedule, and the averaged weights.

Knows named parameters; refuses to know what they are for.
"""

import math
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from strokewise.train.muon import Muon


class Schedule(Protocol):
    """The settings of a run that the optimizer reads; see ``TrainConfig``."""

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
    @property
    def muon(self) -> float | None: ...


def learning_rate(config: Schedule, step: int) -> float:
    """Return the rate of optimizer step ``step`` (from 0): linear warm-up, then a cosine to ``final_lr`` ·
    peak.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    share = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
    return config.learning_rate * (config.final_lr + (1 - config.final_lr) * cosine)


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return parameters with gradients, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def matrices(parameters: dict[str, nn.Parameter], pattern: str) -> list[str]:
    """Return names of the matrices among the parameters whose names begin with ``pattern``."""
    return [name for name, p in parameters.items() if p.dim() == 2 and re.match(pattern, name)]


class Optimizer:
    """AdamW; for the matrices between layers Muon, where a rate is given for them.

    Muon (https://kellerjordan.github.io/posts/muon) gives every matrix an update whose singular values are
    all about one. Small networks train several times faster with it (docs/nano.md).
    """

    def __init__(
        self, parameters: dict[str, nn.Parameter], config: Schedule, inner: Collection[str] = ()
    ) -> None:
        """Allocate the state, so that a checkpoint has a place to be read into.

        Args:
            parameters: the trained ones, by name.
            config: rates and constants.
            inner: names of the matrices, or of the kernels of convolutions, that Muon trains.
        """
        self.config, self.parameters = config, parameters
        # A kernel is a matrix from a patch to the channels; the view shares its memory.
        self._views = {name: nn.Parameter(parameters[name].detach().flatten(1)) for name in inner}
        rest = {name: p for name, p in parameters.items() if name not in self._views}
        self._adamw = _adamw(rest, config)
        self._muon = Muon(list(self._views.values()), config.weight_decay)

    def update(self, step: int) -> float:
        """Take optimizer step ``step`` (from 0), drop the gradients, and return AdamW's rate."""
        rate = learning_rate(self.config, step)
        for group in self._adamw.param_groups:
            group["lr"] = rate
        self._adamw.step()
        for name, view in self._views.items():
            gradient = self.parameters[name].grad
            view.grad = None if gradient is None else gradient.flatten(1)
        self._muon.step((self.config.muon or 0.0) * rate / self.config.learning_rate)
        for parameter in (*self.parameters.values(), *self._views.values()):
            parameter.grad = None
        return rate

    def tensors(self) -> dict[str, Tensor]:
        """Return the state by name, sharing memory with the optimizer."""
        named: dict[str, Tensor] = {}
        for name, parameter in self.parameters.items():
            view = self._views.get(name)
            found = self._adamw.state[parameter] if view is None else self._muon.state[view]
            named |= {f"{key}/{name}": value for key, value in found.items()}
        return named


def _adamw(parameters: dict[str, nn.Parameter], config: Schedule) -> torch.optim.AdamW:
    """Return AdamW with its state allocated; weights of matrices decay, those of norms and biases do not."""
    groups = [
        {"params": [p for p in parameters.values() if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters.values() if p.dim() <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=config.betas,
        eps=config.eps,
        fused=True,  # the other kernels hold copies of all moments for a while
    )
    for parameter in parameters.values():
        optimizer.state[parameter] = {
            "step": torch.zeros((), device=parameter.device),
            "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
            "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
        }
    return optimizer


class AveragedWeights:
    """Exponential moving average of the trainable weights (EMA), sharded as they are.

    Always float32: at a decay of 0.999 an update changes a weight by less than bfloat16 can tell.
    """

    def __init__(self, parameters: dict[str, nn.Parameter], decay: float, on_cpu: bool = False) -> None:
        """Begin with the present weights; ``on_cpu``: hold the averages in the memory of the host."""
        self.decay = decay
        self.parameters = parameters
        self.averages = {
            name: p.detach().to("cpu" if on_cpu else p.device, copy=True) for name, p in parameters.items()
        }

    @torch.no_grad()
    def update(self, number: int) -> None:
        """Average in the present weights, for the ``number``-th time (from 0); early averages are shorter."""
        # Otherwise the first weights, which are far off, would weigh in for a long time.
        decay = min(self.decay, (1 + number) / (10 + number))
        for average, parameter in self._pairs():
            average.lerp_(parameter.to(average.device), 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the averages into the model, and the present weights back at the end."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for average, parameter in self._pairs():
            # One parameter at a time: a second copy of the whole model may not fit into memory.
            present: Tensor = parameter.clone()
            parameter.copy_(average)
            average.copy_(present)

    def _pairs(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield each average with its parameter; of sharded ones what is held here."""
        for name, parameter in self.parameters.items():
            yield _local(self.averages[name]), _local(parameter.detach())


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
