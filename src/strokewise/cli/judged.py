"""The ``strokewise eval`` commands by which a vision model judges pictures, of runs and of folders."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strokewise.cli.evals import BootstrapSeed, report_unfinished
from strokewise.cli.judging import JudgeCache, JudgeUrl, MaxRequests, client_named
from strokewise.cli.options import MAX_VALUE
from strokewise.cli.output import print_table, tracked
from strokewise.errors import ConfigError

if TYPE_CHECKING:
    from strokewise.critics.vlm_client import VlmClient
    from strokewise.evals.benchmarks.pictures import JudgedBenchmark, Picture
    from strokewise.evals.text_table import TextTable

RunsOrNone = Annotated[list[Path] | None, typer.Argument(help="Folders of runs; or give --images.")]
Images = Annotated[
    Path | None,
    typer.Option(help="Folder in GenEval's layout: 00000/metadata.jsonl, 00000/samples/0000.png."),
]
Out = Annotated[
    Path | None, typer.Option(help="Scores of --images to write, JSON lines; those of runs are stored there.")
]
JudgeModel = Annotated[str, typer.Option(help="Vision model that judges.")]


def geneval2(
    *,
    runs: RunsOrNone = None,
    images: Images = None,
    judge: JudgeModel,
    top_logprobs: Annotated[
        int,
        typer.Option(
            min=1, max=MAX_VALUE, help="First words whose probabilities the judge states; most services: 20."
        ),
    ] = 20,
    judge_url: JudgeUrl = None,
    cache: JudgeCache = None,
    max_requests: MaxRequests = None,
    out: Out = None,
    seed: BootstrapSeed = 0,
) -> None:
    """Score pictures of GenEval 2's prompts by Soft-TIFA; stored in a run as geneval2.jsonl."""
    from strokewise.evals.benchmarks.geneval2 import BENCHMARK, score_pictures, table

    named = (judge, judge_url, cache, max_requests)
    score = partial(score_pictures, tokens=top_logprobs)
    _judge(BENCHMARK, runs, images, out, named, score, partial(table, seed=seed))


def compbench(
    *,
    runs: RunsOrNone = None,
    images: Images = None,
    judge: JudgeModel,
    judge_url: JudgeUrl = None,
    cache: JudgeCache = None,
    max_requests: MaxRequests = None,
    out: Out = None,
    seed: BootstrapSeed = 0,
) -> None:
    """Have pictures of T2I-CompBench++'s prompts graded; stored in a run as compbench.jsonl."""
    from strokewise.evals.benchmarks.compbench import BENCHMARK, score_pictures, table

    named = (judge, judge_url, cache, max_requests)
    _judge(BENCHMARK, runs, images, out, named, score_pictures, partial(table, seed=seed))


def _judge(
    benchmark: "JudgedBenchmark",
    runs: list[Path] | None,
    images: Path | None,
    out: Path | None,
    judge: tuple[str, str | None, Path | None, int | None],
    score: "Callable[[list[Picture], VlmClient], Iterator[Any]]",
    table: "Callable[[list[Any], str], TextTable]",
) -> None:
    """Judge, store and print the pictures of a folder, or those of runs.

    Args:
        benchmark: where its pictures and scores are.
        runs: folders of runs; none if ``images`` is given.
        images: folder of pictures.
        out: file of the scores of ``images``.
        judge: model, URL, folder of answers and largest number of requests.
        score: yields a dataclass for each picture.
        table: of these, under a title.

    Raises:
        ConfigError: unless either runs or images are given.
    """
    from strokewise.evals.run_store import find_runs, write_objects

    if (images is None) == (not runs):
        raise ConfigError("give either folders of runs or --images FOLDER")
    if out is not None and images is None:
        raise ConfigError("--out goes with --images; the results of a run are stored in its folder")
    model, url, cache, requests = judge

    def judged(pictures: "list[Picture]", folder: Path, name: str, scores: Path | None) -> None:
        asker = client_named(model, url, cache or folder / "judge-cache", requests, None)
        found = list(tracked(score(pictures, asker), "judging", len(pictures)))
        if scores is not None:
            write_objects(scores, map(asdict, found))
        print_table(table(found, f"{benchmark.name}: {name}, judged by {model}"))

    if images is not None:
        judged(benchmark.of_folder(images), images, str(images), out)
        return
    for run in find_runs(runs or []):
        judged(benchmark.of_run(run), run.folder, run.name, run.folder / benchmark.scores)
        report_unfinished(run)
