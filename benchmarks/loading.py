"""How full packs are and how evenly they cost, on eight ranks; and how fast a worker prepares samples.

    python benchmarks/loading.py MODEL [--data DATA] [--steps 200]

Simulates the input of ``bagel-7b-process``: its mixture (rendered, or the data sets in DATA), its packs, one
lane for each of eight ranks. Sizes are BAGEL-7B's, texts are encoded by the tokenizer in the folder MODEL. No
weights are read, and nothing is trained. Padding is the share of packs that holds no token; the spread is
that of the operations of a step's packs, (largest - smallest) / mean; idle is the time that the other ranks
wait for the largest, if equal operations take equal time. For comparison the same samples in packs that are
closed before the first one that does not fit.
"""

import argparse
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import machine
from strokewise.datasets.loader import Loader
from strokewise.datasets.mixture import Mixture
from strokewise.datasets.prepare import PreparedSample, Preparer
from strokewise.models import find_checkpoint
from strokewise.models.bagel import ARCHITECTURE, ModelConfig, bagel_7b
from strokewise.recipes.registry import recipe_config
from strokewise.sequence import Tokenizer
from strokewise.train.config import TrainConfig
from strokewise.train.workload import sample_flops

RANKS = 8
# What each GPU is assumed to reach, as in docs/replicate.md.
FLOPS = 400e12


@dataclass(frozen=True)
class Packs:
    """Tokens and operations of the packs of a run, (steps, ranks), and samples of them all."""

    tokens: NDArray[np.float64]
    flops: NDArray[np.float64]
    samples: int
    room: int

    @property
    def padding(self) -> float:
        """Share of all packs that holds no token."""
        return float(1 - self.tokens.mean() / self.room)

    @property
    def spreads(self) -> NDArray[np.float64]:
        """Spread of each step between ranks."""
        return np.asarray(np.ptp(self.flops, axis=1) / self.flops.mean(1))

    @property
    def idle(self) -> float:
        """Share of all ranks' time that is spent waiting."""
        return float(1 - self.flops.sum() / (RANKS * self.flops.max(1).sum()))


def packs_of(steps: list[list[list[tuple[int, float]]]], room: int) -> Packs:
    """Sum up packs of (tokens, operations)."""
    sums = np.array([[np.sum(pack, axis=0) for pack in step] for step in steps])
    count = sum(len(pack) for step in steps for pack in step)
    return Packs(sums[..., 0], sums[..., 1], count, room)


def simulated(
    config: TrainConfig, sizes: ModelConfig, tokenizer: Tokenizer, steps: int
) -> tuple[Packs, Packs]:
    """Return the packs of a run on eight ranks, and what closing packs at the first that does not fit
    gives.
    """
    opened = [entry.source.open(tokenizer) for entry in config.sources]
    names, weights = [x.name for x in config.sources], [x.weight for x in config.sources]
    mixture = Mixture(names, opened, weights, config.seed)
    preparer = Preparer(sizes, tokenizer.special, config.dropout, config.time_shift, config.noised_copies)
    cost = partial(sample_flops, costs=ARCHITECTURE.costs(sizes))
    room, seen = config.pack_tokens, list[list[list[tuple[int, float]]]]()

    def facts(sample: PreparedSample) -> tuple[int, float]:
        return sample.length, cost(sample)

    loader = Loader(mixture, preparer, cost, room, range(RANKS), RANKS)
    for _ in range(steps):
        seen.append([[facts(sample) for sample in pack] for pack in loader.step()])
    every = [one for step in seen for pack in step for one in pack]
    np.random.default_rng(0).shuffle(every)
    return packs_of(seen, room), packs_of(closed_early([(int(n), c) for n, c in every], room), room)


def closed_early(samples: list[tuple[int, float]], room: int) -> list[list[list[tuple[int, float]]]]:
    """Packs in the given order, each closed before the first sample that does not fit."""
    packs, free = [list[tuple[int, float]]()], room
    for length, cost in samples:
        if length > free:
            packs.append([])
            free = room
        packs[-1].append((length, cost))
        free -= length
    return [packs[i : i + RANKS] for i in range(0, len(packs) - RANKS, RANKS)]


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--steps", type=int, default=200)
    arguments = parser.parse_args()
    config = recipe_config("bagel-7b-process", arguments.model, arguments.data)
    sizes = bagel_7b().limited(config.canvas_side, config.view_side)
    tokenizer = Tokenizer.load(find_checkpoint(arguments.model))
    start = time.perf_counter()
    ahead, early = simulated(config, sizes, tokenizer, arguments.steps)
    rate = ahead.samples / (time.perf_counter() - start)
    table = Table("packs", "padding", "spread", "spread, 95 % of steps below", "idle", "samples a step")
    for name, packs in (("chosen with look-ahead", ahead), ("closed early", early)):
        table.add_row(
            name,
            f"{packs.padding:.1%}",
            f"{packs.spreads.mean():.1%}",
            f"{np.percentile(packs.spreads, 95):.1%}",
            f"{packs.idle:.1%}",
            f"{packs.samples / len(packs.tokens):.1f}",
        )
    console = Console(width=110)
    console.print(machine.describe("cpu"))
    console.print(table)
    needed = ahead.samples / len(ahead.flops) * FLOPS / ahead.flops.mean()
    console.print(
        f"a worker reads, prepares and chooses {rate:.1f} samples/s (what waits at the end not counted);"
        f" {RANKS} GPUs at {FLOPS / 1e12:.0f} TFLOP/s each need {needed:.1f} samples/s:"
        f" {needed / rate / RANKS:.2f} workers for each GPU"
    )


if __name__ == "__main__":
    main()
