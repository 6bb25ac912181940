"""The ``strokewise eval`` commands: parse, call, print. Everything heavy is imported when it is needed."""

from pathlib import Path
from typing import Annotated

import typer

eval_app = typer.Typer(no_args_is_help=True, help="Score pictures by published benchmarks.")


@eval_app.callback()
def root() -> None:
    """Score pictures by published benchmarks."""


@eval_app.command()
def geneval(
    images: Annotated[Path, typer.Option(help="Folder in GenEval's layout: 00000/samples/0000.png.")],
    detector: Annotated[str, typer.Option(help="sprite, or mask2former for real pictures.")],
    out: Annotated[Path | None, typer.Option(help="Results to write, JSON lines as GenEval's own.")] = None,
    device: Annotated[str, typer.Option(help="Where mask2former computes: cpu, cuda, cuda:1.")] = "cpu",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap intervals.")] = 0,
) -> None:
    """Score pictures by GenEval's rules."""
    from rich.console import Console
    from rich.progress import track

    from strokewise.evals.detectors import load_detector
    from strokewise.evals.folders import read_samples
    from strokewise.evals.scoring import score_samples, write_results
    from strokewise.evals.summary import Judged, summarise, table

    samples = read_samples(images)
    console = Console(stderr=True)
    found = score_samples(samples, load_detector(detector, device))
    results = list(track(found, "scoring", total=len(samples), console=console))
    summary = summarise((Judged(one.metadata, one.correct) for one in results), seed)
    if out is not None:
        write_results(results, out)
    Console().print(table(summary, f"GenEval: {images}, by {detector}"))
