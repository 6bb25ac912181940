"""The ``strokewise eval probe`` commands: single abilities of a model, measured with intervals."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strokewise.cli.options import MAX_VALUE
from strokewise.cli.output import print_table, tracked
from strokewise.cli.shared import Batch, Device, ModelArgument, Seeds
from strokewise.errors import ConfigError

if TYPE_CHECKING:
    from strokewise.evals.intervals import NamedShare

probe_app = typer.Typer(no_args_is_help=True, help="Measure single abilities of a model of the sprite world.")

SHOWN = 10  # strokes in the picture

CaseSeed = Annotated[
    int, typer.Option(min=0, max=MAX_VALUE, help="Random seed of cases, noise and intervals.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@probe_app.command()
def strokes(
    model: ModelArgument,
    n: Annotated[int, typer.Option("--n", min=1, max=MAX_VALUE, help="Strokes to paint.")] = 64,
    guidance: Annotated[
        list[float] | None,
        typer.Option(min=0, max=MAX_VALUE, help="Guidance scale of the text; repeatable. Default: 1 and 2."),
    ] = None,
    layout_jitter: Annotated[
        float, typer.Option(min=0, max=1, help="Variation of sizes and places within the cells, 0 to 1.")
    ] = 0.0,
    out: Annotated[
        Path | None, typer.Option(help="Picture to write: the first strokes before, as rendered, as painted.")
    ] = None,
    seed: CaseSeed = 0,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Given the right canvas and plan, is the next canvas as planned?"""
    from PIL import Image

    from strokewise.evals.probes.strokes import contact_sheet, probe_strokes, sample_strokes, summarize
    from strokewise.inference.painter import Painter
    from strokewise.world.vocabulary import CLASSES

    painter = Painter.load(model, device)
    classes = painter.vocabulary.classes if painter.vocabulary else CLASSES
    cases = sample_strokes(n, seed, classes, layout_jitter)
    blank = Image.new("RGB", cases[0].after.size, "gray")
    rows = [[case.before or blank for case in cases[:SHOWN]], [case.after for case in cases[:SHOWN]]]
    shares: list[NamedShare] = []
    for scale in guidance or [1.0, 2.0]:
        images, scores = probe_strokes(painter, cases, scale, seed)
        shares += summarize(scores, f"guidance {scale:g}", seed)
        rows.append(images[:SHOWN])
    if out is not None:
        contact_sheet(rows).save(out)
    _print("strokes", painter.name, shares, as_json, n=n, seed=seed, layout_jitter=layout_jitter)


@probe_app.command()
def language(
    model: ModelArgument,
    n: Annotated[
        int, typer.Option("--n", min=1, max=MAX_VALUE, help="Records of each training subset.")
    ] = 64,
    show: Annotated[bool, typer.Option("--show", help="Also print every message that is not right.")] = False,
    seed: CaseSeed = 0,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Given the right prompt, texts and canvases, is the next message right?"""
    from strokewise.evals.probes.language import probe_language, summarize
    from strokewise.inference.painter import Painter

    if show and as_json:
        raise ConfigError("give either --show or --json")
    painter = Painter.load(model, device)
    scores = list(probe_language(painter, n, seed))
    for score in scores if show else ():
        if wrong := ", ".join(part for part, right in score.right.items() if not right):
            print(f"prompt:    {score.case.trajectory.prompt}\nnot right: {wrong}")
            print(f"expected:  {score.case.wanted.text()}\nwritten:   {score.text}\n")
    _print("language", painter.name, summarize(scores, seed), as_json, n=n, seed=seed)


@probe_app.command()
def free_prompts(
    model: ModelArgument,
    n: Annotated[
        int, typer.Option("--n", min=1, max=200, help="Prompts of each number of kinds of things.")
    ] = 48,
    seeds: Seeds = "0",
    batch: Batch = 8,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """How many kinds of things may a prompt have? The whole set: eval run --prompts free, then eval free."""
    from strokewise.evals.benchmarks.free import summarize
    from strokewise.evals.generate import parse_seeds
    from strokewise.evals.probes.free_prompts import probe_free_prompts
    from strokewise.evals.prompt_sets import FREE_KINDS
    from strokewise.inference.painter import Painter

    numbers = parse_seeds(seeds)
    painter = Painter.load(model, device)
    scores = probe_free_prompts(painter, n, numbers, batch)
    found = list(tracked(scores, "painting", len(FREE_KINDS) * n * len(numbers)))
    _print("free-prompts", painter.name, summarize(found), as_json, n=n, seeds=numbers)


def _print(probe: str, model: str, shares: "Sequence[NamedShare]", as_json: bool, **settings: Any) -> None:
    """Print the shares of a probe as a table or as one JSON object."""
    from strokewise.evals.intervals import shares_table

    if as_json:
        values = [asdict(one) | {"interval": one.interval._asdict()} for one in shares]
        print(json.dumps({"probe": probe, "model": model, "settings": settings, "shares": values}, indent=2))
    else:
        print_table(shares_table(f"{probe}: {model}", "", shares))
