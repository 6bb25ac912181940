"""Accuracy over cost of the painting settings of a model of the sprite world, on the tuning prompts.

What is chosen here is reported on other prompts (GenEval's, the free set). Prints a table and draws the
curve; what was painted before is kept in the folder.

python benchmarks/settings.py --out out/settings [--model nano] [--seeds 0-1] [--chart settings.svg]
"""

import argparse
import itertools
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from strokewise.evals.benchmarks.free import score_run, summarize
from strokewise.evals.costs import mean_cost
from strokewise.evals.generate import fingerprint, paint_run, parse_seeds
from strokewise.evals.intervals import NamedShare
from strokewise.evals.prompt_sets import load_prompts
from strokewise.evals.report.chart import Point, scatter
from strokewise.evals.run_store import Run
from strokewise.evals.strategies.strategies import make_strategy
from strokewise.inference.painter import Painter
from strokewise.io.atomic import write_text
from strokewise.models import find_checkpoint

STEPS = (2, 3, 4, 6, 8, 12)
GUIDANCE = (1.0, 1.5)


def run_of(folder: Path, painter: Painter, weights: str, seeds: list[int], options: dict[str, Any]) -> Run:
    """The finished run of one setting."""
    settings: dict[str, Any] = {
        "model": painter.name,
        "weights": weights,
        "strategy": "process",
        "world": "sprite",
    }
    settings |= {"options": options, "seeds": seeds}
    strategy = make_strategy("process", painter, **options)
    paint_run(folder, settings, load_prompts("tuning"), strategy, batch=48)
    return Run(folder)


def main() -> None:
    """Paint every setting, and print what it reaches and costs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--seeds", default="0-1")
    parser.add_argument("--chart", type=Path)
    arguments = parser.parse_args()
    painter, weights = Painter.load(arguments.model), fingerprint(find_checkpoint(arguments.model))
    table = Table(
        "steps", "guidance", "right (95 % interval)", "ended", "passes", "images", title="tuning prompts"
    )
    points: list[Point] = []
    for guidance, steps in itertools.product(GUIDANCE, STEPS):
        folder = arguments.out / f"{steps}-{guidance}"
        options: dict[str, Any] = {"steps": steps, "text_guidance": guidance}
        run = run_of(folder, painter, weights, parse_seeds(arguments.seeds), options)
        shares: dict[str, NamedShare] = {share.name: share for share in summarize(score_run(run))}
        right, ended = shares["all"], shares["ended by itself"]
        cost = mean_cost([entry.cost for entry in run.entries()])
        interval = right.interval
        points.append(Point(f"{steps} × {guidance:g}", cost["passes"], *interval))
        passes, images, itself = (
            f"{cost['passes']:.1f}",
            f"{cost['images']:.2f}",
            f"{ended.interval.value:.3f}",
        )
        table.add_row(str(steps), f"{guidance:g}", str(interval), itself, passes, images)
        print(f"{steps} steps, guidance {guidance:g}: {interval} right, {passes} passes", flush=True)
    Console().print(table)
    if arguments.chart:
        write_text(arguments.chart, scatter(points, "network passes a picture", "right"))


if __name__ == "__main__":
    main()
