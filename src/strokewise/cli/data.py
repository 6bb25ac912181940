"""The ``strokewise data`` commands: parse, call one function, print."""

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from strokewise.cli.options import MAX_BATCH, MAX_RECORDS
from strokewise.errors import ConfigError, RecordError

data_app = typer.Typer(no_args_is_help=True, help="Build, look at and check training data.")

Folder = Annotated[Path, typer.Argument(help="Folder of a built data set.")]


@data_app.command()
def build(
    subset: Annotated[str, typer.Argument(help="multi-turn, conflict or alignment.")],
    out: Annotated[Path, typer.Option(help="Folder to write; an unfinished build there goes on.")],
    n: Annotated[int, typer.Option(min=1, max=MAX_RECORDS, help="Records to build.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    size: Annotated[int, typer.Option(help="Side of the canvases in pixels.")] = 128,
    workers: Annotated[int, typer.Option(min=1, max=MAX_BATCH, help="Processes.")] = 1,
    edit_share: Annotated[
        float | None, typer.Option(help="multi-turn: share of trajectories with a change among the steps.")
    ] = None,
    right_share: Annotated[
        float | None, typer.Option(help="conflict, alignment: share of right examples.")
    ] = None,
) -> None:
    """Build one of the paper's three subsets in the sprite world; can be interrupted and run again."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from strokewise.data import building

    recipe = building.Recipe(subset, n, seed, size)
    shares = {"edit_share": edit_share, "right_share": right_share}
    for name, share in shares.items():
        if share is None:
            continue
        if not 0 <= share <= 1:
            raise ConfigError(f"--{name.replace('_', '-')} is {share}; a share lies in 0..1")
        if not hasattr(recipe.mix, name):
            raise ConfigError(f"--{name.replace('_', '-')} does not apply to the {subset} subset")
        recipe = replace(recipe, mix=replace(recipe.mix, **{name: share}))  # type: ignore[type-var]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task(f"building {subset}", total=n)
        building.build(recipe, out, workers, lambda done, _: bar.update(task, completed=done))
    print(f"{n:,} records in {out}")


@data_app.command()
def stats(folder: Folder) -> None:
    """Print the figures of a data set: records, labels, prompts, images, faults."""
    from rich.console import Console
    from rich.table import Table

    from strokewise.data import building
    from strokewise.data.report import Figures

    figures = Figures()
    for _, record in building.read(folder):
        figures.add(record)
    table = Table("", "", title=f"{building.read_manifest(folder).subset}: {folder}", show_header=False)
    for name, value in figures.rows():
        table.add_row(name, value)
    Console().print(table)


@data_app.command()
def show(
    folder: Folder,
    out: Annotated[Path | None, typer.Option(help="Page to write; default FOLDER.html.")] = None,
    n: Annotated[int, typer.Option(help="Records on the page.")] = 30,
) -> None:
    """Write a self-contained page of a data set's first records."""
    from strokewise.data import building, report

    if n < 1:
        raise ConfigError(f"--n is {n}; show at least one record")
    folder = folder.resolve()
    page = out or folder.with_name(folder.name + ".html")
    records = (record for _, record in islice(building.read(folder), n))
    report.write_page(records, page, f"{folder.name}: first {n} records")
    print(page)


@data_app.command()
def check(
    folder: Folder,
    look: Annotated[bool, typer.Option(help="Also have the pictures recognised (slow).")] = False,
) -> None:
    """Check every claim of every record against the truth; exit status 1 if one is false."""
    from rich.progress import track

    from strokewise.data import building, checking

    total = building.read_manifest(folder).count
    bad = checked = 0
    for where, record in track(building.read(folder), "checking", total=total):
        checked += 1
        faults = list(checking.faults_of(record, look))
        for fault in faults:
            print(f"{where}: {fault}")
        bad += bool(faults)
    if checked != total:
        raise RecordError(f"{folder}: the manifest states {total} records, {checked} are there")
    print(f"{checked:,} records checked, {bad:,} with faults")
    if bad:
        raise typer.Exit(1)


@data_app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="A built data set, or a parquet file of the other format.")],
    out: Annotated[Path, typer.Argument(help="Parquet file to write.")],
    to: Annotated[str, typer.Option(help="irg, bagel, or strokewise.")],
) -> None:
    """Convert to or from other trainers' parquet formats."""
    from strokewise.data import interop

    print(f"{interop.convert(source, out, to):,} records in {out}")
