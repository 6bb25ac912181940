"""What the machine can do and where we are: rates, peak memory, a line to print. Shared by the benchmarks."""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch


def describe(device: str) -> str:
    """Return one line on hardware and versions."""
    name = torch.cuda.get_device_name() if device == "cuda" else _processor()
    threads = "" if device == "cuda" else f", {torch.get_num_threads()} threads"
    return f"{name}{threads}, torch {torch.__version__}, Python {platform.python_version()}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [x for x in info.read_text().splitlines() if x.startswith("model name")] if info.exists() else []
    return f"{names[0].partition(':')[2].strip() if names else platform.processor()} x {os.cpu_count()}"


def wait(device: str) -> None:
    """Until the device has finished."""
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(run: Callable[[], object], device: str, repeat: int) -> float:
    """Return the fastest of ``repeat`` runs after one to warm up."""
    run()
    times = []
    for _ in range(repeat):
        wait(device)
        start = time.perf_counter()
        run()
        wait(device)
        times.append(time.perf_counter() - start)
    return min(times)


def rates(device: str, dtype: torch.dtype) -> tuple[float, float]:
    """Operations of a large matrix product, and bytes read and written by a large copy, per second."""
    side, count = (8192, 2**28) if device == "cuda" else (1024, 2**25)
    a = torch.randn(side, side, device=device, dtype=dtype)
    source = torch.randn(count, device=device)
    target = torch.empty_like(source)
    product = seconds(lambda: a @ a, device, 8)
    copy = seconds(lambda: target.copy_(source), device, 8)
    return 2 * side**3 / product, 2 * source.numel() * source.itemsize / copy


def peak_memory(run: Callable[[], object], device: str) -> float:
    """Most memory held while running, in bytes: of the device, or of the process (Linux)."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        run()
        return float(torch.cuda.max_memory_allocated())
    Path("/proc/self/clear_refs").write_text("5")
    run()
    status = Path("/proc/self/status").read_text().splitlines()
    return float(next(x for x in status if x.startswith("VmHWM")).split()[1]) * 1024
