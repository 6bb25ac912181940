"""Processor seconds of commands in fresh processes, in turn: help, torch alone, a painting.

    python benchmarks/startup.py [--model nano] [--prompt TEXT] [--repeat 5]

Process time counts, so that other work on the machine does not wait in it; all threads are added up.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile

from rich.console import Console
from rich.table import Table

import machine

PROMPT = "a photo of a red apple left of a blue bus"
HELP, TORCH, PAINT = "strokewise --help", "import torch", "strokewise paint"


def seconds(arguments: list[str]) -> float:
    """Return processor seconds of Python with these arguments."""

    def used() -> float:
        found = resource.getrusage(resource.RUSAGE_CHILDREN)
        return found.ru_utime + found.ru_stime

    before = used()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return used() - before


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--prompt", default=PROMPT)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    found: dict[str, list[float]] = {HELP: [], TORCH: [], PAINT: []}
    for _ in range(options.repeat):
        found[HELP].append(seconds(["-m", "strokewise", "--help"]))
        found[TORCH].append(seconds(["-c", "import torch"]))
        with tempfile.TemporaryDirectory() as folder:
            words = ["paint", options.prompt, "--model", options.model, "--out", f"{folder}/painting"]
            found[PAINT].append(seconds(["-m", "strokewise", *words]))
    found[f"{PAINT}, beyond torch"] = [a - b for a, b in zip(found[PAINT], found[TORCH], strict=True)]
    console = Console(width=110)
    console.print(machine.describe("cpu"))
    table = Table("", "median, s", "fastest, s")
    for name, times in found.items():
        table.add_row(name, f"{statistics.median(times):.2f}", f"{min(times):.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
