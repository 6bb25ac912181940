"""The command line: parses, calls one function, prints. Everything heavy is imported when it is needed."""

import json
import sys
from typing import Annotated

import typer

from strokewise.data.commands import data_app
from strokewise.errors import ConfigError, StrokewiseError
from strokewise.evals.commands import eval_app

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(data_app, name="data")
app.add_typer(eval_app, name="eval")


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

    from strokewise.model import describe

    config = describe.config_of(model)
    largest = config.latent_side * config.latent_stride
    sizes = [parse_size(text) for text in size or [f"{largest}x{largest}", f"{largest // 2}x{largest // 2}"]]
    precision = parse_dtype(dtype)
    values = describe.facts(config, sizes, context or describe.CONTEXTS, precision)
    if as_json:
        print(json.dumps(values, indent=2))
    else:
        Console().print(describe.tables(model, values, precision))


def parse_size(text: str) -> tuple[int, int]:
    """``WIDTHxHEIGHT`` to (height, width)."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise ConfigError(f"size {text!r} is not of the form WIDTHxHEIGHT, such as 1024x768")
    return int(height), int(width)


def parse_dtype(text: str):  # type: ignore[no-untyped-def]  # torch is imported only here
    """A precision by name."""
    import torch

    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if text not in known:
        raise ConfigError(f"unknown dtype {text!r}; known are {', '.join(known)}")
    return known[text]


def main() -> None:
    """Run the command line; a user's error is one line on stderr and exit status 2."""
    try:
        app()
    except StrokewiseError as error:
        print(f"strokewise: {error}", file=sys.stderr)
        sys.exit(2)
