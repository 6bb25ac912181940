"""Seconds from a prompt to the finished picture: in a fresh process, and once the model is loaded.

python benchmarks/paint.py [--model nano] [--prompt "a photo of a red apple left of a blue bus"] [--seeds 3]
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time

from rich.console import Console
from rich.table import Table

import machine
from strokewise import Painter
from strokewise.inference import SinglePass

PROMPT = "a photo of a red apple left of a blue bus"


def cold(model: str, prompt: str, seed: int) -> float:
    """Seconds of the whole command in a process of its own, files written."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["paint", prompt, "--model", model, "--seed", str(seed), "--out", f"{folder}/painting"]
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "strokewise", *arguments], check=True, stdout=subprocess.DEVNULL
        )
        return time.perf_counter() - start


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--prompt", default=PROMPT)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    console = Console(width=110)
    console.print(machine.describe("cpu"))
    painter = Painter.load(options.model)
    table = Table("seed", "images", "cold, s", "loaded, s", "single pass, s", "ended", title=options.prompt)
    found = []
    for seed in range(options.seeds):
        start = time.perf_counter()
        trajectory = painter.paint(options.prompt, seed=seed)
        loaded = time.perf_counter() - start
        start = time.perf_counter()
        painter.paint(options.prompt, seed=seed, policy=SinglePass())
        once = time.perf_counter() - start
        fresh = cold(options.model, options.prompt, seed)
        found.append((fresh, loaded, once))
        figures = [f"{value:.2f}" for value in found[-1]]
        table.add_row(str(seed), str(len(trajectory.images)), *figures, str(trajectory.stop))
    medians = [f"{statistics.median(column):.2f}" for column in zip(*found, strict=True)]
    table.add_row("median", "", *medians, "")
    console.print(table)


if __name__ == "__main__":
    main()
