"""The command line: parses, calls one function, prints. Everything heavy is imported when it is needed."""

import json
import sys
from typing import Annotated

import typer

from strokewise.cli.ablate import ablate
from strokewise.cli.arguments import parse_dtype, parse_size
from strokewise.cli.data import data_app
from strokewise.cli.evals import eval_app
from strokewise.cli.paint import paint
from strokewise.cli.train import app as train_app
from strokewise.errors import StrokewiseError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command()(paint)
app.add_typer(data_app, name="data")
app.add_typer(eval_app, name="eval")
eval_app.command()(ablate)
app.add_typer(train_app, name="train")


@app.callback()
def root() -> None:
    """Process-driven image generation: plan, sketch, inspect, refine."""


@app.command()
def info(
    model: Annotated[str, typer.Argument(help="Folder, hub id, or built-in name: nano, bagel-7b.")],
    size: Annotated[
        list[str] | None, typer.Option(help="Image size WIDTHxHEIGHT in pixels; may be repeated.")
    ] = None,
    context: Annotated[
        list[int] | None, typer.Option(min=0, help="Context length in tokens; may be repeated.")
    ] = None,
    dtype: Annotated[str, typer.Option(help="Precision: float32, bfloat16 or float16.")] = "bfloat16",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Show configuration, parameters, memory and costs of a model; bagel-7b and nano need no weights."""
    from rich.console import Console

    from strokewise.models.bagel import describe

    config = describe.config_of(model)
    largest = config.latent_side * config.latent_stride
    sizes = [parse_size(text) for text in size or [f"{largest}x{largest}", f"{largest // 2}x{largest // 2}"]]
    precision = parse_dtype(dtype)
    values = describe.facts(config, sizes, context or describe.CONTEXTS, precision)
    if as_json:
        print(json.dumps(values, indent=2))
    else:
        Console().print(describe.tables(model, values, precision))


@app.command(hidden=True)
def events_schema() -> None:
    """Print the JSON schema of the lines of ``paint --json`` (docs/events.schema.json)."""
    from strokewise.trajectory import events

    print(json.dumps(events.events_schema(), indent=2))


def main() -> None:
    """Run the command line; a user's error is one line on stderr and exit status 2."""
    try:
        app()
    except StrokewiseError as error:
        print(f"strokewise: {error}", file=sys.stderr)
        sys.exit(2)
