"""Processes and devices: who we are, what is agreed among ranks, and how a model is spread over them.

Parallelism is applied from outside: the architecture treats its own layers, and what is left around them is
sharded here (FSDP2). The model never depends on ranks.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from strokewise.errors import ConfigError
from strokewise.models import Architecture, Parallelism
from strokewise.train.config import TrainConfig
from strokewise.train.objectives import TrainedModel

TIMEOUT = timedelta(minutes=30)
Value = TypeVar("Value")


@dataclass(frozen=True)
class World:
    """This process among its peers.

    Attributes:
        rank, size: which of how many.
        device: ours.
        group: through which they agree; None: the one that torchrun's processes begin with.
    """

    rank: int
    size: int
    device: torch.device
    group: dist.ProcessGroup | None = None

    @classmethod
    def join(cls) -> "World":
        """Return alone, or one of torchrun's processes; on CUDA devices if there are any."""
        rank, size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        device = torch.device("cpu")
        if torch.cuda.is_available():
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        world = cls(rank, size, device)
        world.occupy()
        if size > 1 and not dist.is_initialized():
            # Counts and positions are summed on the CPU in float64, gradients on the device.
            backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
            dist.init_process_group(backend, timeout=TIMEOUT)
        return world

    def apart(self) -> "World":
        """Return the same ranks with a group of their own, for another thread; all ranks call it.

        What threads agree on through one group would be mixed up.
        """
        if self.size == 1:
            return self
        return replace(self, group=dist.new_group(backend="gloo", timeout=TIMEOUT))

    def occupy(self) -> None:
        """Make our device the current one of this thread."""
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)

    @property
    def leads(self) -> bool:
        """Whether this process writes logs and folders."""
        return self.rank == 0

    def lanes(self, count: int) -> range:
        """Return which of ``count`` lanes this rank serves.

        Raises:
            ConfigError: if they cannot be shared evenly.
        """
        if count % self.size:
            raise ConfigError(
                f"packs_per_step is {count}, which {self.size} processes cannot share evenly;"
                f" start as many processes as divide {count}"
            )
        each = count // self.size
        return range(self.rank * each, (self.rank + 1) * each)

    def total(self, values: Sequence[float]) -> list[float]:
        """Return sums over all ranks."""
        if self.size == 1:
            return list(values)
        summed = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(summed, group=self.group)
        return summed.tolist()

    def gather(self, values: Sequence[Value]) -> list[Value]:
        """Return the values of all ranks, in the order of ranks."""
        if self.size == 1:
            return list(values)
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, list(values), group=self.group)
        return [value for part in found for value in part]

    def wait(self) -> None:
        """Wait until all ranks are here."""
        if self.size > 1:
            self.total([0.0])

    def leave(self) -> None:
        """End the group."""
        if dist.is_initialized():
            dist.destroy_process_group()


def arithmetic(config: TrainConfig, device: torch.device) -> AbstractContextManager[object]:
    """Autocast to bfloat16 if the configuration says so.

    Weights stay float32 and need no second copy: Adam's steps at small rates are below bfloat16's resolution.
    Under FSDP weights are gathered in bfloat16, so traffic and gathered memory are those of bfloat16 weights.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16")


def parallelize(trained: TrainedModel, architecture: Architecture, world: World, config: TrainConfig) -> None:
    """Apply activation checkpointing, compilation and sharding, in that order, in place."""
    mesh = policy = None
    if world.size > 1:
        mesh = init_device_mesh(world.device.type, (world.size,))
        low = torch.bfloat16 if config.precision == "bfloat16" else None
        policy = MixedPrecisionPolicy(param_dtype=low, reduce_dtype=torch.float32 if low else None)
    running = config.running
    architecture.parallelize(trained.model, Parallelism(running.checkpointing, running.compile, mesh, policy))
    if mesh is not None and policy is not None:
        # The autoencoder is frozen and used by itself; each rank keeps a whole one.
        whole = set(trained.model.autoencoder.parameters())
        fully_shard(trained, mesh=mesh, mp_policy=policy, ignored_params=whole)


def sync_gradients(trained: TrainedModel, last: bool) -> None:
    """Reduce gradients over ranks in the next backward pass only if it is the last of the step."""
    if isinstance(trained, FSDPModule):
        trained.set_requires_gradient_sync(last)


@contextmanager
def whole_root(trained: TrainedModel) -> Iterator[None]:
    """Let the weights outside the layers be whole for a while; layers gather theirs as they are called."""
    if not isinstance(trained, FSDPModule):
        yield
        return
    trained.unshard()
    try:
        yield
    finally:
        trained.reshard()
