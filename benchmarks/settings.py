"""Accuracy over cost of painting options of a model of the sprite world, on the tuning prompts.

Every combination of the values given is painted; options that are not named have the model's own values.
What is chosen here is reported on other prompts (GenEval's, the free set). Prints a table and draws the
curve; what was painted before is kept in the folder.

python benchmarks/settings.py --out out/settings [--model nano] [--seeds 0-1] [--chart settings.svg]
    [--vary steps=4,12 --vary fault_bias=0,-1,-2 …]
"""

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from strokewise.errors import ConfigError
from strokewise.evals.benchmarks.free import score_run, summarize
from strokewise.evals.benchmarks.process.metrics import ProcessMetrics, measure
from strokewise.evals.benchmarks.process.run import judge_run
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

VARIED = ("text_guidance=1.0,1.5", "steps=2,3,4,6,8,12")


def run_of(folder: Path, painter: Painter, weights: str, seeds: list[int], options: dict[str, Any]) -> Run:
    """Return the finished run of one setting."""
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


def parse_values(text: str) -> tuple[str, list[Any]]:
    """Return the name and the values of an option, from a text such as ``steps=2,4``; values are JSON.

    Raises:
        ConfigError: if it is of another form.
    """
    name, equals, values = text.partition("=")
    try:
        parsed = json.loads(f"[{values}]")
    except json.JSONDecodeError as error:
        raise ConfigError(f"--vary {text!r} is not of a form such as steps=2,4: {error}") from error
    if not equals or not parsed:
        raise ConfigError(f"--vary {text!r} is not of a form such as steps=2,4")
    return name, parsed


def combinations(varied: list[str]) -> list[dict[str, Any]]:
    """Return every combination of the values of the options named."""
    options = dict(map(parse_values, varied))
    return [dict(zip(options, values, strict=True)) for values in itertools.product(*options.values())]


def figures_row(process: ProcessMetrics, ended: NamedShare) -> list[str]:
    """Return what a run shows of Inspect and Refine."""
    found = [
        f"{part.found}/{part.found + part.missed}, {part.alarms} alarms"
        for part in (process.plan, process.sketch)
    ]
    return [
        f"{ended.interval.value:.3f}",
        *found,
        f"{process.repaired.part}/{process.repaired.of}",
        f"{process.damaged.part}/{process.damaged.of}",
    ]


def main() -> None:
    """Paint every setting, and print what it reaches and costs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--seeds", default="0-1")
    parser.add_argument("--chart", type=Path)
    parser.add_argument("--vary", action="append", metavar="OPTION=VALUE,…", help="default: steps, guidance")
    arguments = parser.parse_args()
    painter, weights = Painter.load(arguments.model), fingerprint(find_checkpoint(arguments.model))
    table = Table("setting", "right (95 % interval)", "ended", "wrong plans found", "wrong sketches found")
    for column in ("repaired", "damaged", "passes", "images"):
        table.add_column(column)
    points: list[Point] = []
    for options in combinations(arguments.vary or list(VARIED)):
        name = " ".join(f"{key}={value}" for key, value in options.items())
        folder = arguments.out / name.replace(" ", "-")
        run = run_of(folder, painter, weights, parse_seeds(arguments.seeds), options)
        shares = {share.name: share for share in summarize(score_run(run))}
        right = shares["all"].interval
        cost = mean_cost([entry.cost for entry in run.entries()])
        points.append(Point(name, cost["passes"], *right))
        figures = figures_row(measure(judge_run(run)), shares["ended by itself"])
        table.add_row(name, str(right), *figures, f"{cost['passes']:.1f}", f"{cost['images']:.2f}")
        print(f"{name}: {right} right; {', '.join(figures)}; {cost['passes']:.1f} passes", flush=True)
    Console(width=160).print(table)
    if arguments.chart:
        write_text(arguments.chart, scatter(points, "network passes a picture", "right"))


if __name__ == "__main__":
    main()
