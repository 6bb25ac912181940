"""A toy world for tests of training, and a program that trains on it (run by the tests as a process).

python toy.py START OUT [--steps N] [--crash-after N] ...
"""

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from strokewise.datasets.samples import Sample, SampleImage, SampleText
from strokewise.train.config import Dropout, Lora, Running, TrainConfig, WeightedSource

PALETTE = ((255, 0, 0), (0, 160, 0), (0, 0, 255), (240, 200, 0))


def canvas(colors, size=16):
    """Squares of some colors side by side on white."""
    pixels = np.full((size, size, 3), 255, np.uint8)
    for i, color in enumerate(colors):
        pixels[4:12, 8 * i : 8 * i + 8] = PALETTE[color]
    return pixels


@dataclass(frozen=True)
class Toy:
    """Trajectories of two rounds: prompt, then plan, canvas, inspection. Ids 10-13 are colors."""

    count: int | None = 8
    broken: int | None = None

    def open(self, tokenizer):
        return self

    @property
    def size(self):
        return self.count

    def sample(self, index):
        from strokewise.errors import RecordError

        if index == self.broken:
            raise RecordError("the shard is cut off; build it again")
        first, second = index % 4, index // 4 % 4
        parts = (
            SampleText((10 + first, 10 + second)),
            SampleText((20, 10 + first), loss=True),
            SampleImage(canvas([first]), loss=True),
            SampleText((21, 22), loss=True),
            SampleText((20, 10 + second), loss=True),
            SampleImage(canvas([first, second]), loss=True),
            SampleText((21, 23), loss=True),
        )
        return Sample(parts)


@dataclass(frozen=True)
class Captions:
    """Prompt and picture, nothing else."""

    def open(self, tokenizer):
        return self

    @property
    def size(self):
        return 4

    def sample(self, index):
        return Sample((SampleText((10 + index,)), SampleImage(canvas([index]), loss=True)), ends=False)


@dataclass(frozen=True)
class Words(Captions):
    """Prompt and text, no picture."""

    def sample(self, index):
        return Sample((SampleText((10 + index,)), SampleText((20, 10 + index), loss=True)))


def config(start, steps=6, **changes):
    """A run of a few steps on the CPU."""
    running = Running(log_every=1, save_every=2, sample_every=10**6, num_samples=0, tensorboard=False)
    base = TrainConfig(
        name="toy",
        model=str(start),
        sources=(
            WeightedSource("strokes", 0.75, Toy(None)),
            WeightedSource("captions", 0.25, Captions()),
        ),
        steps=steps,
        learning_rate=3e-3,
        warmup_steps=2,
        pack_tokens=400,
        row_tokens=200,
        packs_per_step=2,
        precision="float32",
        ema_decay=0.9,
        dropout=Dropout(),
        running=running,
    )
    return replace(base, **changes)


def digest(trainer):
    """Everything a step may change, as one number per tensor."""
    from torch.distributed.tensor import DTensor

    tensors = trainer._tensors()
    whole = {k: v.full_tensor() if isinstance(v, DTensor) else v for k, v in tensors.items()}
    return {name: tensor.double().flatten().tolist() for name, tensor in whole.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("start"), parser.add_argument("out")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--stop-after", type=int)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--ema-on-cpu", action="store_true")
    parser.add_argument("--async-save", action="store_true")
    parser.add_argument("--lora", action="store_true")
    parser.add_argument("--paint", action="store_true")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--digest", type=Path)
    arguments = parser.parse_args()
    import torch

    from strokewise.train.trainer import Trainer

    torch.set_num_threads(1)
    lora = Lora(2, 4) if arguments.lora else None
    made = config(arguments.start, arguments.steps, precision=arguments.precision, lora=lora)
    running = replace(
        made.running,
        workers=arguments.workers,
        checkpointing=arguments.checkpointing,
        ema_on_cpu=arguments.ema_on_cpu,
        async_save=arguments.async_save,
    )
    if arguments.paint:
        running = replace(running, num_samples=2, sample_every=2, sample_steps=3)
    trainer = Trainer(replace(made, running=running), Path(arguments.out))
    print("from", trainer.step, flush=True)
    train_step = trainer.train_step

    def announced():
        report = train_step()
        print("step", report.step, flush=True)
        return report

    trainer.train_step = announced
    trainer.fit(max_steps=arguments.stop_after)
    values = digest(trainer)
    if arguments.digest and trainer.world.leads:
        arguments.digest.write_text(json.dumps(values))
    trainer.world.leave()


if __name__ == "__main__":
    main()
