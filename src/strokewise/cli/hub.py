"""The ``strokewise hub`` commands: a card for a model folder, and its upload. Parses and calls."""

from pathlib import Path
from typing import Annotated

import typer

from strokewise.cli.options import MAX_SEED

hub_app = typer.Typer(no_args_is_help=True, help="Cards of models, and their upload to the hub.")

Folder = Annotated[Path, typer.Argument(help="Folder of a model.")]
Repo = Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Repository on the hub.")]


@hub_app.callback()
def root() -> None:
    """Write cards of models, and upload models to the hub."""


@hub_app.command()
def card(
    folder: Folder,
    repo: Repo,
    license_id: Annotated[
        str,
        typer.Option("--license", help="License of the weights as the hub spells it, such as apache-2.0."),
    ],
    runs: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of evaluation runs of this model, for its figures; repeatable."),
    ] = None,
    data: Annotated[str, typer.Option(help="Where the training data come from, in words.")] = "",
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of the bootstrap intervals.")] = 0,
) -> None:
    """Write the folder's README.md: how the model was trained, on what, and what it reached."""
    from strokewise.evals.report.card import model_card
    from strokewise.evals.run_store import find_runs
    from strokewise.io.atomic import write_text
    from strokewise.models.hub import CARD

    text = model_card(folder, find_runs(runs) if runs else [], repo, license_id, data, seed)
    write_text(folder / CARD, text)
    print(folder / CARD)


@hub_app.command()
def push(
    folder: Folder,
    repo: Repo,
    revision: Annotated[str | None, typer.Option(help="Branch to commit to; default: the main one.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
) -> None:
    """Upload a model folder with its card: safetensors, configuration, tokenizer; nothing that is pickled."""
    from strokewise.models.hub import push_folder

    print(push_folder(folder, repo, revision, private))
