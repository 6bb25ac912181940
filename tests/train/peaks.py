"""Measures the peak of a training step; run by a test as one process or as two.

python peaks.py OUT TOKENS [--set NAME=VALUE]...

Prints, as JSON, the bytes that this process held at most, and those of the estimate. Every allocation on the
CPU is tracked by torch's profiler.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch
from torch.distributed.tensor import DTensor
from torch.profiler import ProfilerActivity, profile

from strokewise.recipes.registry import recipe_config
from strokewise.train.config import Running, override
from strokewise.train.estimate import Speed, estimate
from strokewise.train.trainer import Trainer


def held(tensors):
    """Bytes of the memory behind tensors, of sharded ones what is held here."""
    local = [tensor.to_local() if isinstance(tensor, DTensor) else tensor for tensor in tensors]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in local}.values())


def peak(run):
    """Bytes that are allocated at most while running, beside those that are there before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        run()
    events = profiled.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    now = most = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path), parser.add_argument("tokens", type=int)
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = replace(
        recipe_config("bagel-7b-process", "nano"),
        canvas_side=None,
        view_side=None,
        pack_tokens=arguments.tokens,
        row_tokens=arguments.tokens,
        packs_per_step=2,
        running=Running(checkpointing=True, num_samples=0, tensorboard=False, cache_mb=1),
    )
    for change in arguments.set:
        config = override(config, change)
    trainer = Trainer(config, arguments.out)
    trainer._ahead = trainer._load()
    model = trainer.trained
    lasting = [*model.parameters(), *model.buffers()]
    lasting += [*trainer.averages.averages.values(), *trainer.optimizer.tensors().values()]
    measured = held(lasting) + peak(trainer.train_step)
    found = estimate(config, trainer.data, trainer.world.size, Speed.stated(1e12)).memory.total
    print(json.dumps({"measured": measured, "estimated": found}))
    trainer.loader.close()
    trainer.world.leave()


if __name__ == "__main__":
    main()
