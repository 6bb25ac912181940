"""Where the time of a three-image trajectory goes: by phase, and by kind of operation.

    python benchmarks/parts.py [--size tiny|small|nano|7b] [--dtype float32|bfloat16] [--rows 1] [--repeat 3]

The trajectory is that of ``engine.py``. Phases are timed by the clock. Kinds of operations are timed by the
profiler of torch in a run of its own; what the clock shows beyond them is Python and the profiler's own work.
"""

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from rich.console import Console
from rich.table import Table
from torch.profiler import ProfilerActivity, profile

import machine
from engine import CASES, SPECIAL, Engines, random_model
from strokewise.inference import Generator
from strokewise.inference.painting import Painting
from strokewise.models.bagel import UnifiedModel

# Where each phase is spent. None of them calls another.
PHASES: dict[str, tuple[type, str]] = {
    "text tokens": (UnifiedModel, "read_ids"),
    "velocities": (Painting, "_velocity"),
    "autoencoder, decoding": (Generator, "decode"),
    "autoencoder, encoding": (UnifiedModel, "encode_image"),
    "ViT": (UnifiedModel, "read_patches"),
}
# Kinds of operations by what their names contain; the first that fits counts.
KINDS = {
    "attention": ("attention",),
    "convolutions": ("conv",),
    "norms": ("norm",),
    "products": ("linear", "mm", "matmul"),
    "copies": ("copy", "cat", "index", "clone"),
}


@contextmanager
def timed(seconds: dict[str, float], device: str) -> Iterator[None]:
    """Within, the time of each phase is added up."""

    def clocked(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            machine.wait(device)
            start = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                machine.wait(device)
                seconds[name] += time.perf_counter() - start

        return call

    with ExitStack() as stack:
        for name, (owner, method) in PHASES.items():
            stack.enter_context(patch.object(owner, method, clocked(name, getattr(owner, method))))
        yield


def phases(engines: Engines, rows: int, device: str, repeat: int) -> dict[str, float]:
    """Seconds of each phase in ``repeat`` trajectories, and of the rest."""
    seconds: dict[str, float] = defaultdict(float)
    with timed(seconds, device):
        start = time.perf_counter()
        for _ in range(repeat):
            engines.trajectory(rows)
        machine.wait(device)
        whole = time.perf_counter() - start
    return {**seconds, "prefill, packing, sampling": whole - sum(seconds.values())}


def operations(engines: Engines, rows: int, device: str) -> dict[str, float]:
    """Seconds of each kind of operation in a trajectory, and of Python."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    seconds: dict[str, float] = defaultdict(float)
    start = time.perf_counter()
    with profile(activities=activities) as profiler:
        engines.trajectory(rows)
        machine.wait(device)
        whole = time.perf_counter() - start
    for event in profiler.key_averages():
        own = event.self_device_time_total if device == "cuda" else event.self_cpu_time_total
        kind = next(
            (k for k, parts in KINDS.items() if any(p in event.key for p in parts)), "other operations"
        )
        seconds[kind] += own / 1e6
    return {**seconds, "Python": max(0.0, whole - sum(seconds.values()))}


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", choices=CASES, default="small")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"))
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = getattr(torch, options.dtype or ("bfloat16" if device == "cuda" else "float32"))
    case, console = CASES[options.size](), Console(width=110)
    engines = Engines(case, Generator(random_model(case.config, device, dtype), SPECIAL))
    console.print(f"{machine.describe(device)}; {options.size} model, {dtype}, {options.rows} prompts")
    engines.trajectory(options.rows)  # to warm up
    for title, seconds in (
        ("phase", phases(engines, options.rows, device, options.repeat)),
        ("operations", operations(engines, options.rows, device)),
    ):
        table = Table(title, "share")
        for name, part in sorted(seconds.items(), key=lambda item: -item[1]):
            table.add_row(name, f"{part / sum(seconds.values()):.1%}")
        console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
