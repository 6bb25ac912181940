"""The ``strokewise eval`` commands: parse, call, print. Everything heavy is imported when it is needed."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strokewise.cli.executing import Address, ExecutorName, Gpus, executor_named
from strokewise.cli.judging import JudgeCache, JudgeUrl, MaxRequests
from strokewise.cli.options import MAX_BATCH, MAX_SEED, PAINTING_OPTIONS, options_of
from strokewise.cli.output import print_table, progress, tracked
from strokewise.cli.shared import (
    Device,
    Dtype,
    FittingBatch,
    FormatName,
    ModelArgument,
    PresetName,
    Quantize,
    Seeds,
    System,
)
from strokewise.errors import ConfigError, InputError

if TYPE_CHECKING:
    from strokewise.critics.vlm_client import VlmClient
    from strokewise.data.executor import Executor
    from strokewise.evals.run_store import Run
    from strokewise.evals.strategies.strategies import Helpers, Strategy
    from strokewise.inference.painter import Painter

eval_app = typer.Typer(no_args_is_help=True, help="Paint benchmarks, score pictures, compare runs.")

Runs = Annotated[list[Path], typer.Argument(help="Folders of runs, or folders that hold some.")]
DetectorDevice = Annotated[str, typer.Option(help="Where mask2former computes: cpu, cuda, cuda:1.")]
BootstrapSeed = Annotated[
    int, typer.Option("--seed", min=0, max=MAX_SEED, help="Seed of the bootstrap intervals.")
]


@eval_app.callback()
def root() -> None:
    """Paint benchmarks, score pictures, compare runs."""


@eval_app.command()
@options_of(PAINTING_OPTIONS, without=("previews",))
def run(
    *,
    model: ModelArgument,
    out: Annotated[
        Path, typer.Option(help="Folder to write, with a run of each strategy; an unfinished run is resumed.")
    ],
    prompts: Annotated[
        str,
        typer.Option(
            help="geneval, free, tuning, or a file: GenEval's or GenEval 2's .jsonl, WISE's .json,"
            " T2I-CompBench's color_val.txt (or the folder with its others), else a prompt a line."
        ),
    ] = "geneval",
    strategy: Annotated[
        list[str] | None, typer.Option(help="How to paint; repeatable. Default: the preset's, or process.")
    ] = None,
    preset: PresetName = None,
    protocol_format: FormatName = None,
    system: System = "",
    seeds: Seeds = "0-3",
    candidates: Annotated[int, typer.Option(min=1, max=MAX_BATCH, help="Images of best-of-n and parm.")] = 3,
    world: Annotated[
        str | None, typer.Option(help="sprite or real; default: sprite if the model states its vocabulary.")
    ] = None,
    shard: Annotated[str, typer.Option(help="Part i of n of the pictures, i/n with i from 0.")] = "0/1",
    batch: FittingBatch = "8",
    unknown: Annotated[
        str, typer.Option(help="Prompts the model does not know: refuse, skip, or paint (all fed untouched).")
    ] = "refuse",
    options: dict[str, Any],
    judge: Annotated[
        str | None,
        typer.Option(help="Vision model that verifies, inspects and plans outside the sprite world."),
    ] = None,
    judge_url: JudgeUrl = None,
    cache: JudgeCache = None,
    max_requests: MaxRequests = None,
    device: Device = None,
    dtype: Dtype = None,
    quantize: Quantize = None,
    executor: ExecutorName = None,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="Processes or Ray actors that paint.")] = 1,
    address: Address = None,
    gpus: Gpus = 0.0,
) -> None:
    """Paint prompts with one strategy or several; can be interrupted at any moment and run again."""
    from strokewise.cli.arguments import parse_dtype
    from strokewise.cli.batches import fitted_batch, parse_batch
    from strokewise.data.executor import INLINE
    from strokewise.evals.generate import Shard, known_prompts, parse_seeds
    from strokewise.evals.prompt_sets import load_prompts
    from strokewise.evals.run_store import WORLDS
    from strokewise.evals.strategies.strategies import make_strategy
    from strokewise.inference.painter import Painter
    from strokewise.inference.presets import set_up

    if world not in (None, *WORLDS):
        raise ConfigError(f"--world is {world!r}; it is one of {', '.join(WORLDS)}")
    together = parse_batch(batch)
    wanted, part, numbers = load_prompts(prompts), Shard.parse(shard), parse_seeds(seeds)
    run_on = executor_named(executor, workers, address, gpus)
    if run_on.kind != INLINE and max_requests is not None:
        raise ConfigError("--max-requests is counted in one process; leave it out, or take --executor inline")
    load_helpers = partial(_helpers_named, judge, judge_url, cache, max_requests)
    setup = set_up(preset, protocol_format, system, options)
    options, precision = setup.options, None if dtype is None else parse_dtype(dtype)
    load = partial(
        Painter.load, model, device, precision, quantize=quantize, protocol_format=setup.protocol_format
    )
    painter = load()
    kept = known_prompts(painter, wanted, unknown, partial(print, file=sys.stderr))
    place = world or ("real" if painter.vocabulary is None else "sprite")
    untouched = unknown == "paint" and painter.vocabulary is not None
    if untouched:
        painter = painter.unchecked()
    settings = {
        **_identity(model, painter, options),
        "seeds": numbers,
        "world": place,
        "left_out": len(wanted) - len(kept),
        "judge": judge,
        **({"untouched": True} if untouched else {}),
    }
    helpers, together = load_helpers(place), fitted_batch(together, painter)
    for name in strategy or [setup.strategy]:
        here = make_strategy(name, painter, helpers, candidates, **options)
        there = partial(_loaded, load, untouched, partial(load_helpers, place), name, candidates, options)
        bound = settings | {"strategy": name, "candidates": candidates}
        _paint(out / name, bound, kept, here, shard=part, batch=together, executor=run_on, load=there)


@eval_app.command()
def geneval(
    runs: Annotated[list[Path] | None, typer.Argument(help="Folders of runs; or give --images.")] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder in GenEval's layout: 00000/samples/0000.png.")
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            help="sprite, or mask2former for real pictures, with other weights mask2former:FOLDER; default:"
            " the one that fits a run's world."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Results to write, JSON lines as of GenEval's scorer.")
    ] = None,
    device: DetectorDevice = "cpu",
    seed: BootstrapSeed = 0,
) -> None:
    """Score pictures by GenEval's rules; those of runs are stored there as geneval.jsonl."""
    from strokewise.evals.benchmarks.geneval.score import (
        SCORES,
        benchmark_name,
        detector_for,
        prompt_set,
        score_run,
    )
    from strokewise.evals.run_store import find_runs

    if (images is None) == (not runs):
        raise ConfigError("give either folders of runs or --images FOLDER")
    if images is not None:
        from strokewise.critics.detectors import load_detector
        from strokewise.evals.benchmarks.geneval.images import score_pictures
        from strokewise.evals.image_folders import read_pictures

        if detector is None:
            raise ConfigError("--images needs --detector: sprite, or mask2former for real pictures")
        samples = read_pictures(images)
        found = score_pictures(samples, load_detector(detector, device))
        name = f"{benchmark_name(detector == 'sprite')}: {images}, by {detector}"
        _score(found, len(samples), out, name, seed)
        return
    if out is not None:
        raise ConfigError("--out goes with --images; the results of a run are stored in its folder")
    for one in find_runs(runs or []):
        results = score_run(one, detector_for(one, detector, device))
        name = f"{benchmark_name(one.sprite)}: {one.name} (prompts: {prompt_set(one)})"
        _score(results, len(one.entries()), one.folder / SCORES, name, seed)
        report_unfinished(one)


@eval_app.command()
def convert_detector(
    file: Annotated[Path, typer.Argument(help="Mask2Former checkpoint of mmdetection 2.x (.pth).")],
    out: Annotated[Path, typer.Argument(help="Folder to write, for --detector mask2former:FOLDER.")],
) -> None:
    """Convert the detector weights of GenEval's own harness; files that could run code are refused."""
    from strokewise.critics.mmdet_weights import convert_detector as convert

    convert(file, out)
    print(out)


@eval_app.command()
def process(
    runs: Runs,
    judge: Annotated[
        str | None, typer.Option(help="Vision model that judges; default: the sprite world's oracle.")
    ] = None,
    judge_url: JudgeUrl = None,
    cache: JudgeCache = None,
    max_requests: MaxRequests = None,
) -> None:
    """Judge the trajectories of runs: Inspect, Refine, growth of errors, rounds, cost."""
    from strokewise.evals.benchmarks.process.metrics import measure, tables
    from strokewise.evals.benchmarks.process.run import judge_run, store
    from strokewise.evals.run_store import find_runs

    for one in find_runs(runs):
        total, critic = len(one.entries()), None
        if judge is not None:
            from strokewise.critics.judges import VlmJudge

            critic = VlmJudge(_asker(judge, judge_url, cache or one.folder / "judge-cache", max_requests))
        judged = list(tracked(judge_run(one, critic), "judging", total))
        store(one, judged)
        for table in tables(measure(judged), f"process: {one.name}"):
            print_table(table)
        report_unfinished(one)


@eval_app.command()
def wise(
    runs: Runs,
    judge: Annotated[str, typer.Option(help="Vision model that rates, such as gpt-4o-2024-05-13.")],
    mode: Annotated[
        str, typer.Option(help="legacy (0 to 2, WiScore) or verified (right or wrong).")
    ] = "verified",
    judge_url: JudgeUrl = None,
    cache: JudgeCache = None,
    max_requests: MaxRequests = None,
) -> None:
    """Have pictures of WISE's prompts rated by a vision model; stored in the run as wise-MODE.jsonl."""
    from strokewise.evals.benchmarks.wise import rate_run, score, scores_file, table
    from strokewise.evals.run_store import find_runs, write_objects

    name = scores_file(mode)
    for one in find_runs(runs):
        asker = _asker(judge, judge_url, cache or one.folder / "judge-cache", max_requests)
        ratings = list(tracked(rate_run(one, asker, mode), "rating", len(one.entries())))
        write_objects(one.folder / name, (rating.to_json() for rating in ratings))
        print_table(table(score(ratings, mode), f"WISE, {mode}: {one.name}, judged by {judge}"))
        report_unfinished(one)


@eval_app.command()
def free(runs: Runs, seed: BootstrapSeed = 0) -> None:
    """Score pictures of the free prompts by number of kinds of things; stored in the run as free.jsonl."""
    from strokewise.evals.benchmarks.free import score_run, store, summarize
    from strokewise.evals.intervals import shares_table
    from strokewise.evals.run_store import find_runs

    for one in find_runs(runs):
        scores = list(tracked(score_run(one), "scoring", len(one.entries())))
        store(one, scores)
        print_table(shares_table(f"free prompts: {one.name}", "prompts", summarize(scores, seed)))
        report_unfinished(one)


@eval_app.command()
def report(
    runs: Runs,
    out: Annotated[Path, typer.Option(help="Folder to write report.md, report.html and chart.svg to.")],
    title: Annotated[str, typer.Option(help="Title of the page.")] = "Evaluation",
    seed: BootstrapSeed = 0,
) -> None:
    """Compare any number of runs: tables, accuracy over cost, failures by task and fault."""
    from strokewise.evals.report.files import write_report
    from strokewise.evals.report.tables import collect
    from strokewise.evals.run_store import find_runs

    for path in write_report(collect(find_runs(runs), seed), out, title):
        print(path)


# --- painting ---------------------------------------------------------------------------------------------


def _identity(model: str, painter: "Painter", options: dict[str, Any]) -> dict[str, Any]:
    """Return what decides how a model paints."""
    from dataclasses import asdict

    from strokewise.evals.generate import fingerprint
    from strokewise.models import find_checkpoint

    used = asdict(painter.defaults.changed(options))
    spoken = {"format": painter.protocol_format.name, "system": painter.protocol_format.system}
    weights = fingerprint(find_checkpoint(model))
    return {"model": painter.name, "weights": weights, "options": used, **spoken}


def _helpers(world: str, asker: "VlmClient | None") -> "Helpers":
    """Return the verifier, inspector and planner of strategies: a vision model, or the sprite world's."""
    from strokewise.critics.judges import VlmJudge
    from strokewise.critics.verifiers import SpriteVerifier, VlmVerifier
    from strokewise.evals.strategies.external import GraphPlanner, JudgeInspector, SpriteInspector
    from strokewise.evals.strategies.strategies import Helpers

    if asker is not None:
        judge = VlmJudge(asker)
        return Helpers(VlmVerifier(asker), JudgeInspector(judge), GraphPlanner(judge.graph))
    if world == "sprite":
        return Helpers(SpriteVerifier(), SpriteInspector(), GraphPlanner())
    return Helpers()


def _helpers_named(
    judge: str | None, url: str | None, cache: Path | None, requests: int | None, world: str
) -> "Helpers":
    """Return the helpers of a world, with the vision model that the options name."""
    return _helpers(world, None if judge is None else _asker(judge, url, cache, requests))


def _loaded(
    load: Callable[[], "Painter"],
    untouched: bool,
    load_helpers: Callable[[], "Helpers"],
    name: str,
    candidates: int,
    options: dict[str, Any],
) -> "Strategy":
    """Return a strategy in a worker, which loads the model for itself."""
    from strokewise.evals.strategies.strategies import make_strategy

    painter = load()
    painter = painter.unchecked() if untouched else painter
    return make_strategy(name, painter, load_helpers(), candidates, **options)


def _paint(
    folder: Path,
    settings: dict[str, Any],
    prompts: list[Any],
    strategy: "Strategy",
    *,
    shard: Any,
    batch: int,
    executor: "Executor",
    load: Callable[[], "Strategy"],
) -> None:
    """Paint one run, with a bar and an estimate of the time."""
    from strokewise.evals.generate import paint_run

    with progress(settings["strategy"]) as update:
        made = paint_run(
            folder,
            settings,
            prompts,
            strategy,
            shard=shard,
            batch=batch,
            executor=executor,
            load=load,
            on_progress=update,
        )
    print(f"{made:,} pictures painted, {folder}")


# --- shared -----------------------------------------------------------------------------------------------


def _asker(model: str, url: str | None, cache: Path | None, requests: int | None) -> "VlmClient":
    from strokewise.critics.vlm_client import VlmClient
    from strokewise.io.services import QueryLimits

    return VlmClient(model, url, cache=cache, limits=QueryLimits(requests=requests))


def _score(results: Any, total: int, out: Path | None, name: str, seed: int) -> None:
    """Score, store and print."""
    from strokewise.evals.benchmarks.geneval.images import write_results
    from strokewise.evals.benchmarks.geneval.summary import Judged, summarize, table

    scored = list(tracked(results, "scoring", total))
    summary = summarize((Judged(one.metadata, one.correct) for one in scored), seed)
    if out is not None:
        write_results(scored, out)
    print_table(table(summary, name))


def report_unfinished(one: "Run") -> None:
    """Print so where a run has not all of its pictures yet."""
    there = len(one.entries())
    if not there:
        raise InputError(f"{one.folder} holds no pictures yet")
    if there < one.expected:
        print(f"{one.folder}: {there:,} of {one.expected:,} pictures so far")
