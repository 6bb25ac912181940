"""``strokewise eval ablate``: parse, call, print. Everything heavy is imported when it is needed."""

from pathlib import Path
from typing import Annotated

import typer

from strokewise.cli.options import MAX_VALUE
from strokewise.cli.shared import Batch, Seeds


def ablate(
    base: Annotated[Path, typer.Option(help="Model folder all variants start from.")],
    self_sampled: Annotated[
        Path,
        typer.Option(
            "--self-sampled", "--own", help="Conflict and alignment data from strokewise train sample."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of models and runs; unfinished ones are resumed.")],
    table: Annotated[
        list[str] | None, typer.Option(help="instructions, critiques, supervision; default: all.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, max=MAX_VALUE, help="Training steps of each variant.")] = 300,
    seeds: Seeds = "0",
    prompts: Annotated[str, typer.Option(help="geneval, or a file as for eval run.")] = "geneval",
    batch: Batch = 16,
) -> None:
    """Run the paper's ablations: train variants of the process data alike, paint, score, tabulate."""
    from strokewise.cli.output import print_table
    from strokewise.evals.ablations import TABLES, Ablation
    from strokewise.evals.ablations import ablate as run
    from strokewise.evals.generate import parse_seeds
    from strokewise.evals.prompt_sets import load_prompts
    from strokewise.evals.report.files import write_report
    from strokewise.evals.report.tables import ReportContent

    ablation = Ablation(base, self_sampled, out, steps, load_prompts(prompts), parse_seeds(seeds), batch)
    found = run(ablation, table or list(TABLES))
    for one in found:
        print_table(one)
    for path in write_report(ReportContent(list(found)), out, "Ablations"):
        print(path)
