"""Trajectories per second of the three subsets, from scene to parquet bytes, and where the time goes.

python benchmarks/data.py [--n 1024] [--size 128] [--workers 2] [--executor processes]
"""

import argparse
import cProfile
import pstats
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

import machine
from strokewise.data.build import MAKERS, Recipe, build, build_shard
from strokewise.data.executor import KINDS, Executor
from strokewise.data.report import DataFigures
from strokewise.data.storage import read

# The functions whose share of the time is reported, by name.
PARTS = {"rendering": "render_array", "PNG": "encode_png", "placing": "place", "describing": "describe"}


def rate(recipe: Recipe, executor: Executor) -> tuple[float, DataFigures]:
    """Return records per second of a whole build, and the figures of what was built."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        build(recipe, Path(folder), executor)
        seconds = time.perf_counter() - start
        figures = DataFigures()
        for _, record in read(Path(folder)):
            figures.add(record)
    return recipe.count / seconds, figures


def shares(recipe: Recipe) -> dict[str, float]:
    """Share of the time of one shard in some functions."""
    profile = cProfile.Profile()
    with tempfile.TemporaryDirectory() as folder:
        profile.runcall(build_shard, recipe, 0, Path(folder))
    stats = pstats.Stats(profile)
    total = stats.total_tt  # type: ignore[attr-defined]
    spent = {name: entry[3] for (_, _, name), entry in stats.stats.items()}  # type: ignore[attr-defined]
    return {part: spent.get(name, 0.0) / total for part, name in PARTS.items()}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--n", type=int, default=1024)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--executor", choices=KINDS, default="processes")
    options = parser.parse_args()
    executor = Executor(options.executor, options.workers)
    console = Console(width=120)
    console.print(machine.describe("cpu"))
    console.print(f"{options.n} records, {options.size} px, {options.workers} workers ({options.executor})")
    start = time.perf_counter()
    rate(Recipe("conflict", 1, size=options.size), executor)
    console.print(f"the first record after {time.perf_counter() - start:.1f} s, which rates leave out")
    table = Table("subset", "records/s", "images/s", "images a record", *PARTS)
    for subset in MAKERS:
        found, figures = rate(Recipe(subset, options.n, size=options.size), executor)
        images = figures.images / figures.records
        spent = shares(Recipe(subset, 256, size=options.size)).values()
        row = [subset, f"{found:.0f}", f"{found * images:.0f}", f"{images:.2f}"]
        table.add_row(*row, *(f"{share:.0%}" for share in spent))
    console.print(table)


if __name__ == "__main__":
    main()
