"""``strokewise train``: run a recipe, estimate its cost, export its weights. Parses and calls.

Torch is imported only when a command runs, so that help is fast.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from strokewise.cli.executing import Address, ExecutorName, Gpus, executor_named
from strokewise.cli.judging import JudgeCache, JudgeName, JudgeUrl, MaxRequests, MaxTokens, critic_named
from strokewise.cli.options import MAX_BATCH, MAX_RECORDS, MAX_VALUE
from strokewise.cli.output import progress
from strokewise.cli.shared import Minutes, ModelOption, Seed, local_data

if TYPE_CHECKING:
    from strokewise.data.self_sampling import PainterSampler
    from strokewise.inference.options import OptionChanges

app = typer.Typer(no_args_is_help=True, help="Fine-tune a model, or export the weights of a run.")


@app.command()
def run(
    recipe: Annotated[
        str,
        typer.Argument(
            help="Name of a recipe (nano-base, nano-process, bagel-7b-process, bagel-7b-lora, ...), or"
            " PACKAGE.MODULE:FUNCTION, which returns a TrainConfig."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run; resumes from its last checkpoint if any.")],
    model: Annotated[
        str | None,
        typer.Option(help="Checkpoint to start from: folder, built-in name or hub id."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            parser=local_data,
            help="Folder of the built subsets, or its URL; without it the sprite world is rendered.",
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Such as steps=500 or running.workers=8; repeatable."),
    ] = None,
    max_steps: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_RECORDS, help="Stop, with a checkpoint, after so many optimizer steps."),
    ] = None,
    minutes: Minutes = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Estimate parameters, memory and time; train nothing.")
    ] = False,
    devices: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_BATCH, help="With --dry-run: GPUs to estimate for, here or elsewhere."),
    ] = None,
    tflops: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=MAX_VALUE,
            help="With --dry-run: TFLOP/s that training reaches on each; default: from a product timed here.",
        ),
    ] = None,
) -> None:
    """Train a recipe, or resume it. Under torchrun all processes share the run."""
    from strokewise.cli.output import console
    from strokewise.errors import ConfigError
    from strokewise.recipes.registry import imported_config, recipe_config
    from strokewise.train.config import override
    from strokewise.train.distributed import World
    from strokewise.train.estimate import PROBED_WELL, Speed, estimate, refuse_dropped, table
    from strokewise.train.run_data import RunData
    from strokewise.train.trainer import Trainer

    if not dry_run and (devices is not None or tflops is not None):
        raise ConfigError("--devices and --tflops belong to --dry-run; torchrun states the GPUs of a run")
    if ":" in recipe:
        config = imported_config(recipe)
    elif model is None:
        raise ConfigError(f"--model is missing: the checkpoint that {recipe} starts from")
    else:
        config = recipe_config(recipe, model, data)
    for change in changes or []:
        config = override(config, change)
    world = World.join()
    try:
        if dry_run:
            if tflops is None:
                speed = Speed.measured(world.device, config.precision)
            else:
                speed = Speed.stated(1e12 * tflops)
            count = devices or world.size
            found = estimate(config, RunData.open(config), count, speed, PROBED_WELL)
            console().print(table(config, found, count))
            refuse_dropped(config, found)
        else:
            Trainer(config, out, world).fit(max_steps, minutes)
    finally:
        world.leave()


@app.command()
def reinforce(
    recipe: Annotated[str, typer.Argument(help="nano-rl or bagel-7b-rl.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; resumes where it was interrupted.")],
    model: Annotated[str, typer.Option(help="Checkpoint to start from: folder, built-in name or hub id.")],
    objective: Annotated[
        str, typer.Option(help="raft (best of groups), grpo (texts) or nft (canvases).")
    ] = "raft",
    prompts: Annotated[
        Path | None, typer.Option(help="File of prompts, one a line; default: scenes of the sprite world.")
    ] = None,
    judge: JudgeName = "oracle",
    judge_url: JudgeUrl = None,
    cache: JudgeCache = None,
    max_requests: MaxRequests = None,
    max_tokens: MaxTokens = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Such as training.learning_rate=1e-5 or sampling.groups=64; repeatable."),
    ] = None,
    minutes: Minutes = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Paint a first part, print what the run costs; train nothing.")
    ] = False,
) -> None:
    """Reinforce a model by the rewards of a critic, in rounds of rollouts and training; or resume it."""
    from strokewise.cli.output import console
    from strokewise.data.rollouts import ListedPrompts
    from strokewise.io.outside import read_lines
    from strokewise.recipes.registry import reinforcement_config
    from strokewise.train.config import override
    from strokewise.train.reinforcement import Reinforcement, costs

    listed = None if prompts is None else ListedPrompts(tuple(read_lines(prompts)))
    config = reinforcement_config(recipe, model, objective, listed)
    for change in changes or []:
        config = override(config, change)
    limits = (max_requests, max_tokens)
    critic = critic_named(judge, judge_url, cache or out.with_name(f"{out.name}.judge-cache"), *limits)
    if dry_run:
        console().print(costs(config, critic.rewards))
    else:
        Reinforcement(config, critic.rewards, out).fit(minutes)


@app.command()
def export(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run.")],
    out: Annotated[Path, typer.Argument(help="Folder the model is written to.")],
    last: Annotated[
        bool, typer.Option("--last", help="Write the last weights, not the averaged ones.")
    ] = False,
    model: Annotated[
        str | None, typer.Option(help="Checkpoint that the run started from, if it was moved.")
    ] = None,
    layout: Annotated[
        str | None, typer.Option(help="strokewise (default), or bagel for code that loads BAGEL checkpoints.")
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Replace the model in OUT, which stays until then."),
    ] = False,
) -> None:
    """Write the weights of a run as a model folder, adapters folded in."""
    from strokewise.train.export import export as write

    write(run_folder, out, averaged=not last, model=model, layout=layout, replace=replace)


@app.command()
def nano(
    out: Annotated[Path, typer.Option(help="Folder of all stages; finished ones are kept.")],
) -> None:
    """Train the shipped model from scratch: hours on a CPU; resumes after an interruption."""
    from strokewise.recipes.nano.pipeline import train_nano

    print(train_nano(out, print))


@app.command()
def sample(
    model: ModelOption,
    out: Annotated[Path, typer.Option(help="Folder for the two data sets; an interrupted build resumes.")],
    n: Annotated[int, typer.Option(min=1, max=MAX_RECORDS, help="Number of prompts to paint.")] = 1000,
    seed: Seed = 0,
    right_share: Annotated[
        float, typer.Option(min=0, max=1, help="Largest share of records without a fault.")
    ] = 0.45,
    layout_jitter: Annotated[
        float, typer.Option(min=0, max=1, help="Random variation of sizes and places in corrections, 0 to 1.")
    ] = 1.0,
    plain: Annotated[
        bool, typer.Option(help="Write inspections in one wording, as nano was trained on.")
    ] = False,
    temperature: Annotated[
        float, typer.Option(min=0, max=MAX_VALUE, help="Sampling temperature of the model's texts.")
    ] = 1.0,
    steps: Annotated[
        int | None, typer.Option(min=1, max=MAX_VALUE, help="Velocity evaluations of each canvas.")
    ] = None,
    text_guidance: Annotated[
        float | None, typer.Option(min=0, max=MAX_VALUE, help="Guidance scale of the text; 1 is off.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="Processes or Ray actors that paint.")] = 1,
    executor: ExecutorName = None,
    address: Address = None,
    gpus: Gpus = 0,
) -> None:
    """Build conflict and alignment data from what a model paints, judged by the oracle (self-sampling)."""
    from strokewise.data.scenes import SceneMix
    from strokewise.data.self_sampling import SelfSampling, self_sample
    from strokewise.world.vocabulary import CLASSES

    run_on = executor_named(executor, workers, address, gpus)
    chosen = {"temperature": temperature, "steps": steps, "text_guidance": text_guidance}
    painting = cast("OptionChanges", {name: value for name, value in chosen.items() if value is not None})
    load = partial(_sampler, model, painting)
    sampler = load()
    painter = sampler.painter
    classes = painter.vocabulary.classes if painter.vocabulary else CLASSES
    scenes = SceneMix(classes=classes, layout_jitter=layout_jitter, plain=plain)
    sampling = SelfSampling(painter.name, n, seed, scenes, right_share, painting)
    with progress("painting and judging", n) as update:
        self_sample(sampling, sampler, out, lambda done, _: update(done), run_on, load)
    print(f"{out / 'conflict'}, {out / 'alignment'}")


def _sampler(model: str, painting: "OptionChanges") -> "PainterSampler":
    """Return what paints, here or in a worker."""
    from strokewise.data.self_sampling import PainterSampler
    from strokewise.inference.painter import Painter

    return PainterSampler(Painter.load(model), painting)
