"""``strokewise train``: run a recipe, say what it would cost, export its weights. Parses and calls.

Mount with ``app.add_typer(commands.app, name="train")``; torch is imported only when a command runs.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from strokewise.cli.options import MAX_RECORDS

if TYPE_CHECKING:
    from strokewise.inference.options import OptionChanges

app = typer.Typer(no_args_is_help=True, help="Fine-tune a model, or export what was trained.")


@app.command()
def run(
    recipe: Annotated[
        str,
        typer.Argument(
            help="nano-base, nano-process, bagel-7b-process, bagel-7b-lora, or PACKAGE.MODULE:FUNCTION that"
            " returns a training configuration of your own."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run; if it holds a checkpoint, the run goes on.")],
    model: Annotated[
        str | None, typer.Option(help="Checkpoint to start from: folder, built-in name or hub id.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of the built subsets; without it the sprite world is rendered on the fly."),
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Such as steps=500 or running.workers=8; repeatable.")
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop, with a checkpoint, after so long.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would cost.")] = False,
) -> None:
    """Train a recipe, or go on with it. Under torchrun all processes share the run."""
    from rich.console import Console

    from strokewise.errors import ConfigError
    from strokewise.recipes.bagel import named, own
    from strokewise.train.config import override
    from strokewise.train.distributed import World
    from strokewise.train.estimate import estimate, table
    from strokewise.train.inputs import Inputs
    from strokewise.train.trainer import Trainer

    if ":" in recipe:
        config = own(recipe)
    elif model is None:
        raise ConfigError(f"--model is missing: the checkpoint that {recipe} starts from")
    else:
        config = named(recipe, model, data)
    for change in changes or []:
        config = override(config, change)
    world = World.join()
    try:
        if dry_run:
            found = estimate(config, Inputs.open(config), world.size, world.device)
            Console().print(table(config, found, world.size))
        else:
            Trainer(config, out, world).fit(minutes=minutes)
    finally:
        world.leave()


@app.command()
def export(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run.")],
    out: Annotated[Path, typer.Argument(help="Folder the model is written to.")],
    last: Annotated[bool, typer.Option("--last", help="The last weights instead of their average.")] = False,
    model: Annotated[str | None, typer.Option(help="Where the start of the run is, if it moved.")] = None,
) -> None:
    """Write the weights of a run as a model folder, adapters folded in."""
    from strokewise.train.build import export as write

    write(run_folder, out, averaged=not last, model=model)


@app.command()
def nano(
    out: Annotated[Path, typer.Option(help="Folder of all stages; what is there goes on.")],
) -> None:
    """Make the shipped model from nothing: hours on a CPU; can be interrupted and run again."""
    from strokewise.recipes.nano.pipeline import train_nano

    print(train_nano(out, print))


@app.command()
def sample(
    model: Annotated[str, typer.Option(help="Folder, built-in name or hub id.")],
    out: Annotated[Path, typer.Option(help="Folder for the two data sets; what is there goes on.")],
    n: Annotated[int, typer.Option(min=1, max=MAX_RECORDS, help="Prompts to paint.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    right_share: Annotated[float, typer.Option(help="Largest share of right records.")] = 0.45,
    layout_jitter: Annotated[
        float, typer.Option(help="Chance in sizes and places of corrections, 0 to 1.")
    ] = 1.0,
    plain: Annotated[
        bool, typer.Option(help="Tell inspections in one wording, as nano learnt them.")
    ] = False,
    temperature: Annotated[float, typer.Option(help="Of the model's own texts.")] = 1.0,
    steps: Annotated[int | None, typer.Option(min=1, help="Flow steps of each canvas.")] = None,
    text_guidance: Annotated[float | None, typer.Option(help="Guidance of the texts; 1 is off.")] = None,
) -> None:
    """Have a model paint, and judge it: conflict and alignment data of its own faults (self-sampling)."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from strokewise.data.scenes import SceneMix
    from strokewise.data.self_sampling import PainterSampler, Sampling, self_sample
    from strokewise.inference.painter import Painter
    from strokewise.world.vocabulary import CLASSES

    painter = Painter.load(model)
    classes = painter.vocabulary.classes if painter.vocabulary else CLASSES
    chosen = {"temperature": temperature, "steps": steps, "text_guidance": text_guidance}
    painting = cast("OptionChanges", {name: value for name, value in chosen.items() if value is not None})
    scenes = SceneMix(classes=classes, layout_jitter=layout_jitter, plain=plain)
    sampling = Sampling(painter.name, n, seed, scenes, right_share, painting)
    sampler = PainterSampler(painter, painting)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task("painting and judging", total=n)
        self_sample(sampling, sampler, out, lambda done, _: bar.update(task, completed=done))
    print(f"{out / 'conflict'}, {out / 'alignment'}")
