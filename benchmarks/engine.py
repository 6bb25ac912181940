"""Time the engine: text, images and three-image trajectories, beside a naive engine in the same run.

    python benchmarks/engine.py [--size tiny|small|nano|7b] [--dtype float32|bfloat16] [--rows 1 4 16]

Weights are random. ``7b`` needs a CUDA device, the others run anywhere. A trajectory is
a prompt of 40 tokens and three rounds of: write 40 tokens, paint an image, read it back. Bounds come from the
counts of ``strokewise info`` and from the matrix-product and copy rates measured on the spot.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import machine
from naive import NaiveEngine
from strokewise.flow import Guidance, timesteps
from strokewise.inference import Context, Generator, Painted, PaintOptions, WriteOptions
from strokewise.models.bagel import (
    AutoencoderConfig,
    LanguageConfig,
    ModelConfig,
    UnifiedModel,
    VisionConfig,
    bagel_7b,
    costs,
    nano,
)
from strokewise.models.products import choose_products
from strokewise.sequence import SpecialTokens

PROMPT_TOKENS = TEXT_TOKENS = 40
ROUNDS = 3
SPECIAL = SpecialTokens(1, 2, 3, 4)


@dataclass(frozen=True)
class Case:
    """A model size, and the image side and the flow steps it is timed at."""

    config: ModelConfig
    side: int
    num_steps: int
    shift: float = 3.0
    solver: str = "euler"


def small() -> ModelConfig:
    """Return a small model of BAGEL's proportions."""
    return ModelConfig(
        language=LanguageConfig(1024, 256, 768, num_layers=6, num_heads=8, num_kv_heads=2),
        vision=VisionConfig(128, 512, num_layers=4, num_heads=4, patch_size=16, image_size=256, side=16),
        autoencoder=AutoencoderConfig(channels=32),
        latent_side=16,
        canvas_min=64,
        vision_min=64,
        vision_max=256,
    )


def tiny() -> ModelConfig:
    """Return a model so small that what is timed is the engine, not the arithmetic."""
    return ModelConfig(
        language=LanguageConfig(256, 64, 192, num_layers=3, num_heads=4, num_kv_heads=2),
        vision=VisionConfig(48, 96, num_layers=2, num_heads=3, patch_size=8, image_size=64, side=8),
        autoencoder=AutoencoderConfig(32, (1, 1, 2), 1, 4),
        latent_side=8,
        canvas_min=32,
        vision_min=32,
        vision_max=64,
    )


CASES: dict[str, Callable[[], Case]] = {
    "tiny": lambda: Case(tiny(), 32, 24),
    "small": lambda: Case(small(), 128, 24),
    "nano": lambda: Case(nano(), 128, 24),
    "7b": lambda: Case(bagel_7b(), 1024, 49),
}


def random_model(config: ModelConfig, device: str, dtype: torch.dtype) -> UnifiedModel:
    """Random weights, made in place on the device."""
    torch.manual_seed(0)
    with torch.device("meta"):
        model = UnifiedModel(config).to(dtype)
    model = model.to_empty(device=device).eval().requires_grad_(False)
    for name, tensor in model.state_dict().items():
        if name.endswith("norm.weight"):
            tensor.fill_(1.0)
        else:
            tensor.normal_(0, 0.02)
    # Half of another token's logit is never the largest, so every text gets its full length.
    head = model.language.head.weight
    head[SPECIAL.text_end] = head[-1] / 2
    return choose_products(model)


def guidance_of(round_number: int) -> Guidance:
    """BAGEL's defaults: text-to-image first, editing once an image is in the context."""
    return Guidance.editing() if round_number else Guidance()


@dataclass(frozen=True)
class Engines:
    """Both engines on the same weights."""

    case: Case
    generator: Generator

    def prompts(self, rows: int) -> list[list[int]]:
        """Return prompts of 40 ids; the first is the same for any number of rows."""
        draw = torch.Generator().manual_seed(1)
        high = self.case.config.language.vocab_size
        return torch.randint(10, high, (rows, PROMPT_TOKENS), generator=draw).tolist()

    def begin(self, rows: int) -> list[Context]:
        """Contexts that have read a prompt."""
        contexts = [self.generator.context() for _ in range(rows)]
        self.generator.read(contexts, self.prompts(rows))
        return contexts

    def write(self, contexts: Sequence[Context]) -> None:
        """Write 40 tokens in each context."""
        for _ in self.generator.write(contexts, WriteOptions(max_tokens=TEXT_TOKENS)):
            pass

    def paint(self, contexts: Sequence[Context], round_number: int, feedback: Any = "pixels") -> list[Tensor]:
        """Paint one image in each context; their latents."""
        options = PaintOptions(
            self.case.num_steps,
            self.case.shift,
            guidance_of(round_number),
            feedback=feedback,
            solver=self.case.solver,
        )
        sizes = [(self.case.side, self.case.side)] * len(contexts)
        *_, painted = self.generator.paint(contexts, sizes, options, [round_number] * len(contexts))
        assert isinstance(painted, Painted)
        return list(painted.latents)

    def write_forks(self, contexts: Sequence[Context]) -> None:
        """Write in forks, so that the contexts stay as they are."""
        self.write([context.fork() for context in contexts])

    def paint_first(self, contexts: Sequence[Context]) -> None:
        """Paint a first image in forks, and do not read it back."""
        self.paint([context.fork() for context in contexts], 0, feedback="none")

    def trajectory(self, rows: int, feedback: Any = "pixels") -> list[list[Tensor]]:
        """Return a prompt, then three rounds of text and image; latents by round and row."""
        contexts, results = self.begin(rows), []
        for round_number in range(ROUNDS):
            self.write(contexts)
            # Nothing follows the last image, so nobody reads it.
            last = round_number == ROUNDS - 1
            results.append(self.paint(contexts, round_number, "none" if last else feedback))
        return results

    @torch.inference_mode()
    def naive_trajectory(self) -> list[Tensor]:
        """Return the same for one prompt by the naive engine; latents by round."""
        engine, results = NaiveEngine(self.generator, [self.prompts(1)[0]]), []
        size = (self.case.side, self.case.side)
        tokens = (self.case.side // self.case.config.latent_stride) ** 2
        for round_number in range(ROUNDS):
            engine.write(TEXT_TOKENS)
            draw = torch.Generator().manual_seed(round_number)
            noise = torch.randn(tokens, self.case.config.token_channels, generator=draw)
            noise = noise.to(self.generator.model.device)
            results.append(engine.paint(size, self.case.num_steps, 3.0, guidance_of(round_number), noise))
        return results


def bound_text(engines: Engines, rows: int, itemsize: int, rates: tuple[float, float]) -> float:
    """Return the least seconds in which 40 tokens can be written in ``rows`` contexts."""
    steps = range(PROMPT_TOKENS + 2, PROMPT_TOKENS + 2 + TEXT_TOKENS)
    return sum(costs.text_token(engines.case.config, n, itemsize, rows).seconds(*rates) for n in steps)


def bound_image(engines: Engines, rows: int, itemsize: int, rates: tuple[float, float]) -> float:
    """Return the least seconds in which the first image's flow can be integrated, guidance included."""
    case, guidance = engines.case, guidance_of(0)
    times = timesteps(case.num_steps, 3.0)[:-1]
    passes = [2 * rows if guidance.acts_at(time) else rows for time in times]
    context = PROMPT_TOKENS + TEXT_TOKENS + 4
    cost = partial(costs.velocity, case.config, case.side, case.side)
    return sum((cost(context, itemsize, rows) + cost(0, itemsize, n - rows)).seconds(*rates) for n in passes)


def compare_numbers(engines: Engines, console: Console) -> None:
    """Say how far the two engines' latents lie apart, so that a gain in speed is not bought with numbers."""
    ours, naive = engines.trajectory(1), engines.naive_trajectory()
    apart = [float((a[0] - b).abs().max() / b.abs().max()) for a, b in zip(ours, naive, strict=True)]
    console.print("latents against the naive engine, image by image: " + ", ".join(f"{x:.1e}" for x in apart))
    kept = engines.trajectory(1, feedback="latents")
    apart = [float((a[0] - b[0]).abs().max() / b[0].abs().max()) for a, b in zip(kept, ours, strict=True)]
    shown = ", ".join(f"{x:.1e}" for x in apart)
    console.print(f"latents fed back without decoding and encoding, against with: {shown}")


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", choices=CASES, default="small")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"))
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if options.size == "7b" and device == "cpu":
        print("--size 7b needs a CUDA device", file=sys.stderr)
        return 2
    dtype = getattr(torch, options.dtype or ("bfloat16" if device == "cuda" else "float32"))
    case, console = CASES[options.size](), Console(width=110)
    engines = Engines(case, Generator(random_model(case.config, device, dtype), SPECIAL))
    rates = machine.rates(device, dtype)
    console.print(f"{machine.describe(device)}; {options.size} model, {dtype}")
    console.print(f"measured: {rates[0] / 1e9:.0f} GFLOP/s in a product, {rates[1] / 1e9:.0f} GB/s in a copy")
    console.print(
        f"images {case.side}x{case.side}, {case.num_steps} flow steps, texts of {TEXT_TOKENS} tokens"
    )
    compare_numbers(engines, console)

    naive = machine.seconds(engines.naive_trajectory, device, options.repeat)
    table = Table("rows", "text tokens/s", "of bound", "s per first image", "of bound", "s per trajectory")
    table.add_column("against naive")
    table.add_column("peak memory")
    for rows in options.rows:
        contexts = engines.begin(rows)
        text = machine.seconds(partial(engines.write_forks, contexts), device, options.repeat)
        engines.write(contexts)
        image = machine.seconds(partial(engines.paint_first, contexts), device, options.repeat)
        whole = machine.seconds(partial(engines.trajectory, rows), device, options.repeat)
        memory = machine.peak_memory(partial(engines.trajectory, rows), device)
        table.add_row(
            str(rows),
            f"{rows * TEXT_TOKENS / text:,.0f}",
            f"{bound_text(engines, rows, dtype.itemsize, rates) / text:.0%}",
            f"{image / rows:.3f}",
            f"{bound_image(engines, rows, dtype.itemsize, rates) / image:.0%}",
            f"{whole / rows:.3f}",
            f"{naive * rows / whole:.2f} x",
            f"{memory / 2**20:,.0f} MiB",
        )
    memory = machine.peak_memory(engines.naive_trajectory, device)
    table.add_row("naive", "", "", "", "", f"{naive:.3f}", "1 x", f"{memory / 2**20:,.0f} MiB")
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
