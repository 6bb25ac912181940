"""Time training steps: packed rows against one padded row a sample, in one run, on the same samples.

    python benchmarks/train.py [--size nano|7b-layers] [--dtype float32|bfloat16] [--tokens 8192] [--repeat 3]

Weights and samples are random: trajectories of one to five rounds (plan of 30 to 60 tokens, image of the
model's default size as noised, clean and ViT tokens, inspection of 20 to 80 tokens). A step is forward,
backward and AdamW over one pack. Tokens are those of the samples, padding not counted; operations are the
model's, as `strokewise.train.workload` counts them; the peak is a large matrix product measured on the spot.
``7b-layers`` is BAGEL-7B with two layers at 512 pixels, for a GPU.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import machine
from strokewise.datasets.latents import LatentEncoder
from strokewise.datasets.prepare import PreparedSample, Preparer
from strokewise.datasets.rows import arrange
from strokewise.datasets.samples import Sample, SampleImage, SamplePart, SampleText
from strokewise.models.bagel import ARCHITECTURE, ModelConfig, UnifiedModel, bagel_7b, fresh_model, nano
from strokewise.sequence import Packed, Segment, SpecialTokens, pack
from strokewise.train.config import Dropout
from strokewise.train.objectives import TrainedModel
from strokewise.train.objectives.sft import SupervisedFineTuning
from strokewise.train.optim import trainable
from strokewise.train.workload import Workload

SPECIAL = SpecialTokens(1, 2, 3, 4, 0)


def sizes(name: str) -> tuple[ModelConfig, int]:
    """Return the model, and the side of its images."""
    if name == "nano":
        return nano(), 128
    big = bagel_7b()
    return replace(big, language=replace(big.language, num_layers=2)), 512


def trajectories(config: ModelConfig, side: int, tokens: int) -> list[PreparedSample]:
    """Random trajectories of that many tokens in all."""
    draw = np.random.default_rng(0)
    preparer = Preparer(config, SPECIAL, Dropout(0, 0, 0, 0), 1.0)
    found: list[PreparedSample] = []

    def text(low: int, high: int, loss: bool = True) -> SampleText:
        ids = draw.integers(5, config.language.vocab_size, draw.integers(low, high))
        return SampleText(tuple(ids.tolist()), loss)

    while sum(sample.length for sample in found) < tokens:
        parts: list[SamplePart] = [text(10, 40, False)]
        for _ in range(draw.integers(1, 6)):
            pixels = draw.integers(0, 256, (side, side, 3), dtype=np.uint8)
            parts += [text(30, 60), SampleImage(pixels, True), text(20, 80)]
        found.append(preparer.prepare(Sample(tuple(parts)), len(found)))
    return found


@dataclass(frozen=True)
class Way:
    """A way to lay the same samples out."""

    name: str
    packed: Packed

    @property
    def filled(self) -> float:
        """Share of columns that are no padding."""
        return float(self.packed.layout.valid.float().mean())


def ways(samples: Sequence[Sequence[Segment]], model: UnifiedModel, device: str) -> list[Way]:
    """Packed rows of several lengths, and padded ones."""
    spec = model.pack_spec(SPECIAL)
    longest = max(sum(segment.length for segment in sample) for sample in samples)
    rows = {f"packed, rows up to {n}": arrange(samples, n) for n in (longest, 2 * longest)}
    rows["packed, one row"] = [[*samples]]
    rows["padded, a sample a row"] = [[sample] for sample in samples]
    return [Way(name, pack(value, spec).to(device)) for name, value in rows.items()]


def step(trained: TrainedModel, optimizer: torch.optim.Optimizer, packed: Packed, low: bool) -> None:
    """One optimizer step."""
    with torch.autocast(packed.ids.device.type, torch.bfloat16, enabled=low):
        sums = trained(packed)
    loss = sums["text"] / len(packed.text_labels) + sums["velocity"] / max(1, len(packed.latent_slots))
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", choices=["nano", "7b-layers"], default="nano")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = getattr(torch, arguments.dtype)
    low = dtype is torch.bfloat16
    config, side = sizes(arguments.size)
    model = fresh_model(config, 0).to(device)
    model.autoencoder.requires_grad_(False)
    trained = TrainedModel(model, SupervisedFineTuning())
    optimizer = torch.optim.AdamW(trainable(model).values(), lr=1e-5)
    peak, _ = machine.rates(device, dtype)

    start = time.perf_counter()
    prepared = trajectories(config, side, arguments.tokens)
    laid = time.perf_counter() - start
    autocast = partial(torch.autocast, device, torch.bfloat16, enabled=low)
    encoder, start = LatentEncoder(model, 0, autocast), time.perf_counter()
    latents = iter(encoder.encode([canvas for sample in prepared for canvas in sample.canvases]))
    machine.wait(device)
    encoded = time.perf_counter() - start
    samples = [sample.filled([next(latents) for _ in sample.canvases]) for sample in prepared]
    work = sum((Workload.of(sample) for sample in samples), Workload())
    flops = work.flops(ARCHITECTURE.costs(config))

    title = f"{arguments.size}, {arguments.dtype}: {work.samples} trajectories, {work.tokens:,} tokens a step"
    table = Table(
        "layout", "rows x columns", "filled", "s/step", "tokens/s", "FLOP/s", "of peak", title=title
    )
    for way in ways(samples, model, device):
        packed = way.packed
        once = partial(step, trained, optimizer, packed, low)
        seconds = machine.seconds(once, device, arguments.repeat)
        rows, columns = packed.positions.shape
        table.add_row(
            way.name,
            f"{rows} x {columns}",
            f"{way.filled:.0%}",
            f"{seconds:.3f}",
            f"{work.tokens / seconds:,.0f}",
            f"{flops / seconds / 1e9:,.1f} G",
            f"{flops / seconds / peak:.0%}",
        )
    console = Console(width=110)
    console.print(machine.describe(device))
    console.print(f"peak: {peak / 1e9:,.0f} GFLOP/s in a large {arguments.dtype} matrix product")
    console.print(table)
    canvases = sum(len(sample.canvases) for sample in prepared)
    console.print(
        f"before a step: {1e3 * laid:.0f} ms to draw and lay out the samples,"
        f" {1e3 * encoded:.0f} ms to encode {canvases} pictures with the autoencoder"
    )


if __name__ == "__main__":
    main()
