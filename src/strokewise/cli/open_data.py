"""Options of builds of the open world, and such a build: what it can cost, the build, what it gave."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from strokewise.cli.options import MAX_MONEY
from strokewise.cli.output import print_table, progress, tracked
from strokewise.errors import ConfigError

if TYPE_CHECKING:
    from strokewise.critics.vlm_client import VlmClient
    from strokewise.data.destination import Destination
    from strokewise.data.executor import Executor
    from strokewise.data.open_world.building import Yield
    from strokewise.data.open_world.costs import Estimate
    from strokewise.data.open_world.workshop import ModelChoice, PainterChoice, Workshop
    from strokewise.io.services import Spent

SPRITE_WORLD, OPEN_WORLD = "sprite", "open"
SHARE = "share (95 % interval)"
OPEN_SIZE = 512  # what the recipes train on

World = Annotated[str, typer.Option(help="sprite, or open: photographs, painted and judged by models.")]
PainterUrl = Annotated[
    str | None,
    typer.Option(help="URL of the served painter's API; default: OPENAI_BASE_URL, or OpenAI."),
]
TaxonomyPath = Annotated[
    Path | None,
    typer.Option(help="open: taxonomy file, or Generate Any Scene's metadata folder; default: ours."),
]
Samples = Annotated[
    list[Path] | None,
    typer.Option(
        help="conflict, alignment: paintings of a model (folder, data set, parquet), or GenRef's shards."
    ),
]
Measured = Annotated[
    list[Path] | None,
    typer.Option(
        help="open multi-turn: prompts by which models are measured, to keep out, beside GenEval's: a file"
        " of WISE's list, of GenEval's form, or a prompt a line."
    ),
]
MaxCost = Annotated[
    float | None,
    typer.Option(min=0, max=MAX_MONEY, help="open: most money for judge, painter and writer together."),
]
JudgePrice = Annotated[
    str | None,
    typer.Option(help="Price of a million tokens of queries and of answers, such as 0.15,0.60."),
]
WriterName = Annotated[
    str | None,
    typer.Option(
        help="open multi-turn: language model that words prompts and steps, read back by the judge; default:"
        " templates."
    ),
]
WriterUrl = Annotated[str | None, typer.Option(help="URL of the writer's API; default: the judge's.")]
WriterPrice = Annotated[str | None, typer.Option(help="As --judge-price, of the writer.")]
PainterPrice = Annotated[
    float | None, typer.Option(min=0, max=MAX_MONEY, help="Price of a picture of the served painter.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="open: print what the build can cost, and build nothing.")
]


def painter_chosen(
    kind: str, model: str | None, size: int | None, url: str | None, device: str, price: float | None
) -> "PainterChoice":
    """Return the painter that the options name; ConfigError if they name none."""
    from strokewise.data.canvas_painters import KONTEXT as RELEASED
    from strokewise.data.open_world.workshop import KONTEXT, PainterChoice
    from strokewise.io.services import Prices

    if model is None and kind != KONTEXT:
        raise ConfigError("name the painter's model: give --painter-model")
    prices = Prices(picture=price or 0.0)
    return PainterChoice(kind, model or RELEASED, size or OPEN_SIZE, url, device, prices)


def model_chosen(role: str, model: str, url: str | None, price: str | None) -> "ModelChoice":
    """Return the judge or writer that the options name; ConfigError if the price is no pair of numbers."""
    from strokewise.data.open_world.workshop import ModelChoice
    from strokewise.io.services import Prices

    if price is None:
        return ModelChoice(model, url)
    try:
        asked, answered = map(float, price.split(","))
        if not (0 <= asked <= MAX_MONEY and 0 <= answered <= MAX_MONEY):
            raise ValueError
    except ValueError:
        raise ConfigError(f"--{role}-price is {price!r}; give two numbers, such as 0.15,0.60") from None
    return ModelChoice(model, url, Prices(asked, answered))


def build_open_multi_turn(
    workshop: "Workshop",
    n: int,
    seed: int,
    taxonomy: Path | None,
    measured: list[Path] | None,
    edit_share: float | None,
    out: "Destination",
    executor: "Executor",
    dry_run: bool,
) -> None:
    """Build multi-turn data of the open world, or only say what it can cost."""
    from strokewise.data.open_world import multi_turn
    from strokewise.data.open_world.drafts import OpenMultiTurnMix
    from strokewise.data.open_world.taxonomy import load_taxonomy
    from strokewise.evals.prompt_sets import load_prompts

    mix = OpenMultiTurnMix() if edit_share is None else OpenMultiTurnMix(edit_share=edit_share)
    sources = ("geneval", *(measured or ()))
    texts = tuple(one.text for source in sources for one in load_prompts(str(source)))
    work = multi_turn.MultiTurnWork(workshop, seed, mix, load_taxonomy(taxonomy), texts)
    selection = multi_turn.select_drafts(work, n)
    for reason, count in selection.removed.items():
        print(f"left out, {reason}: {count:,}")
    _tell(multi_turn.multi_turn_estimate(work, selection))
    if dry_run:
        return
    with progress("building multi-turn", len(selection.numbers)) as update:
        found = multi_turn.build_multi_turn(work, selection, out, executor, update)
    _tell_yield(found, workshop, out)


def build_of_samples(
    workshop: "Workshop",
    subset: str,
    sources: list[Path],
    n: int,
    out: "Destination",
    executor: "Executor",
    dry_run: bool,
) -> None:
    """Build conflict or alignment data of samples, or only say what it can cost."""
    from strokewise.data.open_world import critiqued
    from strokewise.data.open_world.samples import places_of

    work = critiqued.CritiqueWork(workshop, subset)
    places = places_of(sources)[:n]
    _tell(critiqued.critique_estimate(work, places))
    if dry_run:
        return
    with progress(f"building {subset}", len(places)) as update:
        found = critiqued.build_critiqued(work, sources, places, out, executor, update)
    _tell_yield(found, workshop, out)


def _tell(estimate: "Estimate") -> None:
    for line in estimate.lines():
        print(line)


def _tell_yield(found: "Yield", workshop: "Workshop", out: "Destination") -> None:
    from strokewise.io.services import spent_in

    print(f"{found.records:,} records of {found.tried:,} tried in {out.name}")
    for reason, count in found.reasons.most_common():
        print(f"  rejected, {reason}: {count:,}")
    print(f"spent, with all runs before: {_worded(spent_in(workshop.ledger))}")


def _worded(spent: "Spent") -> str:
    money = f", {spent.cost:,.2f}" if spent.cost else ""
    return f"{spent.requests:,} requests, {spent.tokens:,} tokens{money}"


def second_opinions(folder: Path, judge: "VlmClient", count: int, seed: int) -> None:
    """Print on which claims of sampled records a judge disagrees, and how often, with intervals."""
    from strokewise.data.open_world.second_opinion import CANVAS, PLAN, opinions, sampled
    from strokewise.evals.intervals import NamedShare, shares_table

    places = sampled(folder, count, seed)
    found: dict[str, list[list[bool]]] = {PLAN: [], CANVAS: []}
    for place, said in tracked(opinions(judge, places), "judging", len(places)):
        for kind, groups in found.items():
            if of_kind := [not one.agrees for one in said if one.kind == kind]:
                groups.append(of_kind)
        for one in said:
            if not one.agrees:
                print(f"{place.path.name}, row {place.row}, step {one.step}, {one.kind}: {one.analysis}")
    shares = [NamedShare.of(kind, groups, seed) for kind, groups in found.items() if groups]
    if not shares:
        raise ConfigError(f"{judge.model} decides on none of the {len(places):,} records")
    note = f"{judge.model} on {len(places):,} records at random; it errs, too"
    print_table(
        replace(shares_table("Disagreement", "claims", shares, note), head=("claims", "disagree", SHARE))
    )
