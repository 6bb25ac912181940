"""Check on a GPU what a CPU cannot show: kernels, memory, rates. A table with pass or fail a row.

    python benchmarks/gpu.py [--device cuda|cpu] [--tiny]

Exit status 1 if a row fails. Weights are random. ``--tiny`` takes small sizes, with which the rows that need
no GPU run anywhere; the others then say so, and are not counted as passed.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import engine
import machine
import train
from strokewise.datasets.latents import LatentEncoder
from strokewise.inference import Generator
from strokewise.models import Parallelism, module_of
from strokewise.models.attention import Visible, attend
from strokewise.models.bagel import ARCHITECTURE, UnifiedModel, fresh_model, save_model
from strokewise.models.visibility import block_mask, pieces
from strokewise.sequence import Packed, pack
from strokewise.train.checkpoint import _copied
from strokewise.train.config import Lora, Running, TrainConfig
from strokewise.train.estimate import _memory
from strokewise.train.model import trainable_model
from strokewise.train.objectives import TrainedModel
from strokewise.train.objectives.sft import SupervisedFineTuning
from strokewise.train.optim import trainable

# Shares of the measured rates that are asked of the engine, and what two kernels may differ by in bfloat16.
FLOW, TEXT, TOLERANCE = 0.6, 0.5, 0.02


@dataclass(frozen=True)
class Row:
    """What was found; ``passed`` is None where it could not be checked here."""

    name: str
    found: str
    wanted: str
    passed: bool | None


@dataclass(frozen=True)
class Setting:
    """Where the rows run, and whether at small size."""

    device: str
    tiny: bool


@contextmanager
def packed_model(setting: Setting, tokens: int, size: str = "nano") -> Iterator[tuple[UnifiedModel, Packed]]:
    """Yield a small model in training mode, and a pack of random trajectories in one row."""
    config, side = (engine.tiny(), 32) if setting.tiny else train.sizes(size)
    model = fresh_model(config, 0).to(setting.device).train()
    prepared = train.trajectories(config, side, tokens)
    encoder = LatentEncoder(model, 0)
    latents = iter(encoder.encode([canvas for sample in prepared for canvas in sample.canvases]))
    samples = [sample.filled([next(latents) for _ in sample.canvases]) for sample in prepared]
    yield model, pack([samples], model.pack_spec(train.SPECIAL)).to(setting.device)


def flex_attention(setting: Setting) -> Iterator[Row]:
    """Compare flex attention with the same pack piece by piece, values and gradients."""
    for tokens in (300,) if setting.tiny else (2_000, 8_000, 30_000):
        with packed_model(setting, tokens) as (_, packed):
            columns = packed.positions.shape[1]
            dtype = torch.bfloat16 if setting.device == "cuda" else torch.float32
            draw = torch.Generator().manual_seed(0)
            heads = [(1, columns, 8, 64), (1, 2, columns, 64), (1, 2, columns, 64)]
            inputs = [torch.randn(*s, generator=draw).to(setting.device, dtype) for s in heads]
            flex = _with_gradients(inputs, block_mask(packed.layout))
            wanted = _with_gradients(inputs, pieces(packed.layout))
        valid = packed.layout.valid[0]
        apart = [float((a - b).norm() / b.norm()) for a, b in zip(flex[1:], wanted[1:], strict=True)]
        apart.append(float((flex[0] - wanted[0])[:, valid].norm() / wanted[0][:, valid].norm()))
        kind = "flex attention" if setting.device == "cuda" else "rule of flex attention"
        name = f"{kind}, {columns:,} tokens"
        yield Row(name, f"{max(apart):.1e}", f"at most {TOLERANCE}", max(apart) <= TOLERANCE)
    if setting.device != "cuda":
        yield Row("compiled flex attention", "not run: needs CUDA", f"at most {TOLERANCE}", None)


def _with_gradients(inputs: list[Tensor], seen: Visible) -> list[Tensor]:
    """Return attention's values and its gradients in queries, keys and values."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    values = attend(leaves[0], leaves[1], leaves[2], seen)
    return [values.detach(), *torch.autograd.grad(values.square().sum(), leaves)]


def step_memory(setting: Setting) -> Iterator[Row]:
    """Compare the peak of a training step with the estimate: two layers of 7B, recomputed, averages on the
    host.
    """
    name, wanted = "memory of a step, of the estimate", "90% to 110%"
    if setting.device != "cuda":
        yield Row(name, "not run: needs CUDA", wanted, None)
        return
    share = memory_share(setting, 2_000 if setting.tiny else 16_000)
    # What a tiny step takes is mostly what no estimate counts.
    yield Row(name, f"{share:.0%}", wanted, None if setting.tiny else 0.9 <= share <= 1.1)


def memory_share(setting: Setting, tokens: int) -> float:
    """Return the measured peak over the estimate."""
    with packed_model(setting, tokens, "7b-layers") as (model, packed):
        model.requires_grad_(True).autoencoder.requires_grad_(False)
        ARCHITECTURE.parallelize(model, Parallelism(checkpointing=True, compile=False))
        columns = packed.positions.shape[1]
        running = Running(checkpointing=True, ema_on_cpu=True)
        config = TrainConfig("step", "", (), 1, 1e-5, 0, columns, columns, 1, running=running)
        trained = TrainedModel(model, config.objective)
        optimizer = torch.optim.AdamW(trainable(model).values(), lr=1e-5, fused=True)
        train.step(trained, optimizer, packed, True)  # the optimizer's state appears
        peak = machine.peak_memory(partial(train.step, trained, optimizer, packed, True), setting.device)
        sizes, patches = ARCHITECTURE.costs(model.config).sizes, len(packed.patches) / columns
        return peak / _memory(config, sizes, sizes.trained, 1, patches).total


def nf4_step(setting: Setting) -> Iterator[Row]:
    """Take some steps of adapters beside a base in four bits: the loss falls."""
    name = "adapters beside NF4"
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        yield Row(name, "not run: needs bitsandbytes", "the loss falls", None)
        return
    with packed_model(setting, 300) as (model, packed), tempfile.TemporaryDirectory() as folder:
        save_model(model.eval(), Path(folder))
        made = trainable_model(folder, Lora(8, 16, "nf4"), True, torch.device(setting.device))
        trained = TrainedModel(made, SupervisedFineTuning())
        optimizer = torch.optim.AdamW(trainable(module_of(made)).values(), lr=1e-2)
        losses = [_loss(trained, packed)]
        for _ in range(4):
            train.step(trained, optimizer, packed, True)
        losses.append(_loss(trained, packed))
    yield Row(name, f"{losses[0]:.3f} to {losses[1]:.3f}", "the loss falls", losses[1] < losses[0])


@torch.no_grad()
def _loss(trained: TrainedModel, packed: Packed) -> float:
    with torch.autocast(packed.ids.device.type, torch.bfloat16):
        return float(sum(trained(packed).values()))


def checkpoint_copy(setting: Setting) -> Iterator[Row]:
    """Copy tensors to the memory of the host as a checkpoint in the background does."""
    tensors = {str(i): torch.randn(1000 if setting.tiny else 2**26, device=setting.device) for i in range(4)}
    copied = _copied(tensors)
    same = all(torch.equal(copied[name], tensor.cpu()) for name, tensor in tensors.items())
    apart = all(copied[name].data_ptr() != tensor.data_ptr() for name, tensor in tensors.items())
    where = {tensor.device.type for tensor in copied.values()} == {"cpu"}
    kind = "copy of a checkpoint" if setting.device == "cuda" else "copy of a checkpoint on the host"
    yield Row(kind, "equal" if same else "differs", "equal, apart", same and apart and where)
    if setting.device != "cuda":
        yield Row("copy of a checkpoint from a GPU", "not run: needs CUDA", "equal, apart", None)


def rates(setting: Setting) -> Iterator[Row]:
    """Compare painting and writing with the machine's own rates."""
    names = {"flow step, share of bound": FLOW, "text decoding, share of bound": TEXT}
    if setting.device != "cuda":
        for name, share in names.items():
            yield Row(name, "not run: needs CUDA", f"at least {share:.0%}", None)
        return
    case, dtype = engine.CASES["tiny" if setting.tiny else "7b"](), torch.bfloat16
    engines = engine.Engines(case, Generator(engine.random_model(case.config, "cuda", dtype), engine.SPECIAL))
    measured, contexts = machine.rates("cuda", dtype), engines.begin(1)
    text = machine.seconds(partial(engines.write_forks, contexts), "cuda", 2)
    engines.write(contexts)
    image = machine.seconds(partial(engines.paint_first, contexts), "cuda", 1)
    bounds = (engine.bound_image(engines, 1, 2, measured), engine.bound_text(engines, 1, 2, measured))
    for (name, share), bound, taken in zip(names.items(), bounds, (image, text), strict=True):
        yield Row(name, f"{bound / taken:.0%}", f"at least {share:.0%}", bound / taken >= share)


CHECKS: tuple[Callable[[Setting], Iterator[Row]], ...] = (
    flex_attention,
    step_memory,
    nf4_step,
    checkpoint_copy,
    rates,
)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("there is no CUDA device; --device cpu --tiny runs what needs none", file=sys.stderr)
        return 2
    rows = [row for check in CHECKS for row in check(Setting(options.device, options.tiny))]
    table = Table("check", "found", "wanted", "result", title=machine.describe(options.device))
    for row in rows:
        result = {True: "pass", False: "FAIL", None: "not run"}[row.passed]
        table.add_row(row.name, row.found, row.wanted, result)
    Console(width=110).print(table)
    return int(any(row.passed is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
