"""The command line: parses, calls one function, prints. Everything heavy is imported when it is needed."""

import sys

import typer

from strokewise.errors import StrokewiseError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def root() -> None:
    """Paint, measure and build data with process-driven image generation."""


def main() -> None:
    """Run the command line; a user's error is one line on stderr and exit status 2."""
    try:
        app()
    except StrokewiseError as error:
        print(f"strokewise: {error}", file=sys.stderr)
        sys.exit(2)
