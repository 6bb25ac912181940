"""The ``strokewise data`` commands: parse, call one function, print."""

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from strokewise.cli.executing import Address, ExecutorName, Gpus, executor_named
from strokewise.cli.judging import (
    JudgeCache,
    JudgeName,
    JudgeUrl,
    MaxRequests,
    MaxTokens,
    client_named,
    judge_named,
)
from strokewise.cli.open_data import (
    OPEN_WORLD,
    SPRITE_WORLD,
    DryRun,
    JudgePrice,
    MaxCost,
    Measured,
    PainterPrice,
    PainterUrl,
    Samples,
    TaxonomyPath,
    World,
    WriterName,
    WriterPrice,
    WriterUrl,
    build_of_samples,
    build_open_multi_turn,
    model_chosen,
    painter_chosen,
    second_opinions,
)
from strokewise.cli.options import MAX_BATCH, MAX_RECORDS, MAX_SIDE, MAX_VALUE
from strokewise.cli.output import progress, tracked
from strokewise.cli.shared import Seed, local_data
from strokewise.errors import ConfigError, RecordError

if TYPE_CHECKING:
    from strokewise.data.destination import Destination
    from strokewise.data.executor import Executor

data_app = typer.Typer(no_args_is_help=True, help="Build, filter, inspect, check and convert training data.")

Folder = Annotated[
    Path, typer.Argument(parser=local_data, help="Folder of a built data set, or its URL (s3://...).")
]
EditorName = Annotated[
    str | None,
    typer.Option(
        help="FLUX.1-Kontext model that paints: hub id (default: the released one), or a downloaded folder."
    ),
]
EditorDevice = Annotated[str, typer.Option(help="Where the image editor computes: cuda, cuda:1, cpu.")]


@data_app.command()
def build(
    subset: Annotated[str, typer.Argument(help="multi-turn, conflict or alignment.")],
    out: Annotated[
        str, typer.Option(help="Folder or URL (s3://...) to write; an unfinished build there is resumed.")
    ],
    n: Annotated[
        int, typer.Option(min=1, max=MAX_RECORDS, help="Records to build; open: to try, rejects included.")
    ] = 1000,
    seed: Seed = 0,
    size: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_SIDE, help="Side of the canvases in pixels; default 128, open: 512."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=MAX_BATCH, help="Processes.")] = 1,
    edit_share: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="multi-turn: share of trajectories with a change among the steps."),
    ] = None,
    right_share: Annotated[
        float | None, typer.Option(min=0, max=1, help="conflict, alignment: share of right examples.")
    ] = None,
    painter: Annotated[
        str,
        typer.Option(
            help="sprite; kontext: canvases by an image editor; open, served: by an OpenAI-compatible API."
        ),
    ] = "sprite",
    painter_model: EditorName = None,
    device: EditorDevice = "cuda",
    world: World = SPRITE_WORLD,
    judge: Annotated[str | None, typer.Option(help="open: vision model that judges every canvas.")] = None,
    judge_url: JudgeUrl = None,
    painter_url: PainterUrl = None,
    taxonomy: TaxonomyPath = None,
    samples: Samples = None,
    measured: Measured = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="open: folder of canvases, answers and what was spent; default OUT.cache."),
    ] = None,
    max_requests: MaxRequests = None,
    max_tokens: MaxTokens = None,
    max_cost: MaxCost = None,
    judge_price: JudgePrice = None,
    painter_price: PainterPrice = None,
    writer: WriterName = None,
    writer_url: WriterUrl = None,
    writer_price: WriterPrice = None,
    executor: ExecutorName = None,
    address: Address = None,
    gpus: Gpus = 0.0,
    dry_run: DryRun = False,
) -> None:
    """Build one of the paper's three subsets from sampled scenes; can be interrupted and run again."""
    from strokewise.data.destination import Destination, beside
    from strokewise.data.open_world.workshop import Workshop
    from strokewise.data.records import LABELS
    from strokewise.io.services import QueryLimits

    place = Destination.of(out)
    run_on = executor_named(executor, workers, address, gpus)
    shares = {"edit_share": edit_share, "right_share": right_share}
    if world == SPRITE_WORLD:
        alien = {
            "judge": judge,
            "painter-url": painter_url,
            "taxonomy": taxonomy,
            "samples": samples,
            "measured": measured,
            "writer": writer,
            "max-cost": max_cost,
        }
        if given := [name for name, value in alien.items() if value is not None]:
            raise ConfigError(f"--{given[0]} is for --world open")
        _build_sprites(subset, n, seed, size or 128, shares, painter, painter_model, device, place, run_on)
        return
    if world != OPEN_WORLD:
        raise ConfigError(f"--world is {world!r}; it is {SPRITE_WORLD} or {OPEN_WORLD}")
    if subset not in LABELS:
        raise ConfigError(f"unknown subset {subset!r}; known are {', '.join(LABELS)}")
    if judge is None:
        raise ConfigError("the open world needs a judge: give --judge MODEL")
    workshop = Workshop(
        painter_chosen(painter, painter_model, size, painter_url, device, painter_price),
        model_chosen("judge", judge, judge_url, judge_price),
        QueryLimits(max_requests, max_tokens, max_cost),
        cache or beside(out),
        workers,
        None if writer is None else model_chosen("writer", writer, writer_url or judge_url, writer_price),
    )
    if right_share is not None:
        raise ConfigError("--right-share is for the sprite world; open samples are as right as they are")
    if subset == "multi-turn":
        if samples:
            raise ConfigError("--samples is for conflict and alignment data")
        build_open_multi_turn(workshop, n, seed, taxonomy, measured, edit_share, place, run_on, dry_run)
        return
    if not samples:
        raise ConfigError(f"{subset} data of the open world are made of samples: give --samples")
    if edit_share is not None or taxonomy is not None or measured or writer is not None:
        raise ConfigError("--edit-share, --taxonomy, --measured and --writer are for multi-turn data")
    build_of_samples(workshop, subset, samples, n, place, run_on, dry_run)


def _build_sprites(
    subset: str,
    n: int,
    seed: int,
    size: int,
    shares: dict[str, float | None],
    painter: str,
    painter_model: str | None,
    device: str,
    out: "Destination",
    executor: "Executor",
) -> None:
    from strokewise.data.build import SPRITE, Recipe
    from strokewise.data.build import build as build_subset
    from strokewise.data.canvas_painters import KONTEXT, KontextPainter

    painter_model = painter_model or KONTEXT
    if painter not in (SPRITE, "kontext"):
        raise ConfigError(f"--painter is {painter!r}; it is sprite or kontext")
    recipe = Recipe(subset, n, seed, size, painter=SPRITE if painter == SPRITE else painter_model)
    for name, share in shares.items():
        if share is None:
            continue
        if not hasattr(recipe.mix, name):
            raise ConfigError(f"--{name.replace('_', '-')} does not apply to the {subset} subset")
        recipe = replace(recipe, mix=replace(recipe.mix, **{name: share}))  # type: ignore[type-var]
    editor = None if painter == SPRITE else KontextPainter.load(painter_model, device, size)
    with progress(f"building {subset}", n) as update:
        build_subset(recipe, out, executor, lambda done, _: update(done), editor)
    print(f"{n:,} records in {out.name}")


@data_app.command("filter")
def filter_(
    folder: Folder,
    judge: JudgeName,
    out: Annotated[Path, typer.Option(help="Folder to write; an unfinished one is resumed.")],
    judge_url: JudgeUrl = None,
    cache: JudgeCache = None,
    max_requests: MaxRequests = None,
    max_tokens: MaxTokens = None,
) -> None:
    """Keep the multi-turn records whose every plan and canvas a judge accepts."""
    from strokewise.data.critiqued import filter_data

    found = judge_named(judge, judge_url, cache or out / ".judge-cache", max_requests, max_tokens)
    with progress("judging") as update:
        count = filter_data(found, judge, folder, out, update)
    print(f"{count:,} records in {out}")


@data_app.command()
def critique(
    source: Annotated[
        Path, typer.Argument(help="Folder of painted trajectories, a data set, or a parquet file of one.")
    ],
    judge: JudgeName,
    out: Annotated[Path, typer.Option(help="Folder of the two data sets; unfinished ones are resumed.")],
    painter_model: EditorName = None,
    device: EditorDevice = "cuda",
    judge_url: JudgeUrl = None,
    cache: JudgeCache = None,
    max_requests: MaxRequests = None,
    max_tokens: MaxTokens = None,
) -> None:
    """Make conflict and alignment data of painted trajectories: critiques by a judge, edits by a model."""
    from strokewise.data.canvas_painters import KONTEXT, KontextPainter
    from strokewise.data.critiqued import critique_data
    from strokewise.data.interop import trajectories

    painter_model = painter_model or KONTEXT
    found = judge_named(judge, judge_url, cache or out / ".judge-cache", max_requests, max_tokens)
    name = f"{source.resolve().name} by {judge}, corrected by {painter_model}"
    editor = KontextPainter.load(painter_model, device)
    with progress("judging") as update:
        counts = critique_data(found, name, trajectories(source), editor, out, update)
    for subset, count in counts.items():
        print(f"{count:,} records in {out / subset}")


@data_app.command("import")
def import_(
    shards: Annotated[list[Path], typer.Argument(help="GenRef's tar shards.")],
    out: Annotated[Path, typer.Option(help="Folder to write; an unfinished import is resumed.")],
) -> None:
    """Make an alignment data set of GenRef's pairs of good and bad images."""
    from strokewise.data.genref import import_genref

    with progress("importing", len(shards)) as update:
        count = import_genref(shards, out, update)
    print(f"{count:,} records in {out}")


@data_app.command()
def prompts(
    folder: Folder, out: Annotated[Path, typer.Option(help="File to write, a prompt a line.")]
) -> None:
    """Write the prompts of a data set, each once, without those of GenEval: a model is to paint them."""
    from strokewise.data import storage
    from strokewise.data.report import prompts_of
    from strokewise.io.atomic import write_text

    found = prompts_of(record for _, record in storage.read(folder))
    write_text(out, "".join(f"{prompt}\n" for prompt in found), ConfigError)
    print(f"{len(found):,} prompts in {out}")


@data_app.command()
def stats(folder: Folder) -> None:
    """Print the figures of a data set: records, labels, prompts, images, faults."""
    from rich.table import Table

    from strokewise.cli.output import console
    from strokewise.data import storage
    from strokewise.data.report import DataFigures

    figures = DataFigures()
    for _, record in storage.read(folder):
        figures.add(record)
    subset = storage.read_manifests(folder)[0].subset
    table = Table("", "", title=f"{subset}: {folder}", show_header=False)
    for name, value in figures.rows():
        table.add_row(name, value)
    console().print(table)


@data_app.command()
def show(
    folder: Folder,
    out: Annotated[Path | None, typer.Option(help="Page to write; default FOLDER.html.")] = None,
    n: Annotated[int, typer.Option(min=1, max=MAX_VALUE, help="Records on the page.")] = 30,
) -> None:
    """Write a self-contained page of a data set's first records."""
    from strokewise.data import report, storage

    folder = folder.resolve()
    page = out or folder.with_name(folder.name + ".html")
    records = (record for _, record in islice(storage.read(folder), n))
    report.write_records_page(records, page, f"{folder.name}: first {n} records")
    print(page)


@data_app.command()
def check(
    folder: Folder,
    look: Annotated[bool, typer.Option(help="Also have the pictures recognized (slow).")] = False,
    judge: Annotated[
        str | None, typer.Option(help="A second vision model, which judges a sample of the records.")
    ] = None,
    sample: Annotated[int, typer.Option(min=1, max=MAX_VALUE, help="Records for the second judge.")] = 100,
    seed: Seed = 0,
    judge_url: JudgeUrl = None,
    cache: JudgeCache = None,
    max_requests: MaxRequests = None,
    max_tokens: MaxTokens = None,
) -> None:
    """Check every claim of every record against the truth; exit status 1 if one is false.

    Photographs have no exact truth: with --judge, print how often another model disagrees with their records.
    """
    from strokewise.data import checking, storage
    from strokewise.data.destination import beside

    if judge is not None:
        client = client_named(judge, judge_url, cache or beside(str(folder)), max_requests, max_tokens)
        second_opinions(folder, client, sample, seed)
        return
    total = sum(manifest.count for manifest in storage.read_manifests(folder))
    bad = checked = 0
    for where, record in tracked(storage.read(folder), "checking", total):
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
    source: Annotated[
        Path, typer.Argument(help="A data set, a parquet file of any format, or a folder of trajectories.")
    ],
    out: Annotated[Path, typer.Argument(help="Parquet file to write.")],
    to: Annotated[str, typer.Option(help="irg, bagel, or strokewise.")],
) -> None:
    """Convert to or from other trainers' parquet formats."""
    from strokewise.data import interop

    print(f"{interop.convert(source, out, to):,} records in {out}")
