"""The command line: mounts the commands, and turns every way of ending into one line and an exit status.

    0    done
    1    the system failed (files, memory), or a check found faults
    2    a mistake of the user: wrong usage, or any StrokewiseError
    129, 130, 143    ended by SIGHUP, Ctrl-C, SIGTERM; what was finished is kept
    141  standard output was closed by its reader

Everything heavy is imported when it is needed.
"""

import io
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Annotated

import typer

from strokewise import __version__
from strokewise.cli.arguments import parse_dtype, parse_size
from strokewise.cli.lazy import LazyGroup
from strokewise.errors import InputError, StrokewiseError

FAILED, MISTAKE, INTERRUPTED, PIPE_CLOSED = 1, 2, 130, 141
LONGEST = 1_000  # characters of an error's line that are shown
# Typer brings its own copy of click since 0.20; this is ClickException of whichever it uses.
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[2]


class Commands(LazyGroup):
    """The list of commands; each line is the first of the command's own help."""

    lazy = (
        ("paint", "paint:paint", "Paint a prompt in rounds of plan, sketch, inspect and refine."),
        ("serve", "serve:serve", "Serve a model over HTTP: the studio, our API and OpenAI's."),
        ("data", "data:data_app", "Build, filter, inspect, check and convert training data."),
        ("eval", "evaluation:eval_app", "Paint benchmarks, score pictures, compare runs."),
        ("train", "train:app", "Fine-tune a model, or export the weights of a run."),
        ("hub", "hub:hub_app", "Cards of models, and their upload to the hub."),
    )


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Process-driven image generation: plan, sketch, inspect, refine."""


@app.command()
def info(
    model: Annotated[str, typer.Argument(help="Folder, hub id, or built-in name: nano, bagel-7b.")],
    size: Annotated[
        list[str] | None, typer.Option(help="Image size WIDTHxHEIGHT in pixels; may be repeated.")
    ] = None,
    context: Annotated[
        list[int] | None, typer.Option(min=0, max=2**40, help="Context length in tokens; may be repeated.")
    ] = None,
    dtype: Annotated[str, typer.Option(help="Precision: float32, bfloat16 or float16.")] = "bfloat16",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Show configuration, parameters, memory and costs of a model; bagel-7b and nano need no weights."""
    from rich.markup import escape

    from strokewise.cli.output import console
    from strokewise.models.bagel import describe

    config = describe.config_of(model)
    largest = config.latent_side * config.latent_stride
    sizes = [parse_size(text) for text in size or [f"{largest}x{largest}", f"{largest // 2}x{largest // 2}"]]
    precision = parse_dtype(dtype)
    values = describe.facts(config, sizes, context or describe.CONTEXTS, precision)
    if as_json:
        print(json.dumps(values, indent=2))
    else:
        console(markup=True).print(describe.tables(escape(model), values, precision))


@app.command(hidden=True)
def events_schema() -> None:
    """Print the JSON schema of the lines of ``paint --json`` (docs/events.schema.json)."""
    from strokewise.trajectory import events

    print(json.dumps(events.events_schema(), indent=2))


def main() -> None:
    """Run the command line of this process and exit; nobody sees a traceback for what can be foreseen."""
    _prepare_streams()
    with _signals() as received:
        status = _run(sys.argv[1:])
        if received and status == INTERRUPTED:
            status = 128 + received[0]
    sys.exit(status)


def _run(arguments: Sequence[str]) -> int:
    """Run one command; the exit status."""
    try:
        _check_utf8(arguments)
        command = typer.main.get_command(app)
        # Not ``app()``: it would turn closed pipes and interrupts into exit statuses of its own.
        with command.make_context("strokewise", list(arguments)) as context:
            command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as exit_:
        return exit_.exit_code
    except BrokenPipeError:
        _close_stdout()
        return PIPE_CLOSED
    except (KeyboardInterrupt, typer.Abort):
        _report("interrupted; what was finished is kept")
        return INTERRUPTED
    except StrokewiseError as error:
        _report(str(error))
        return MISTAKE
    except _USAGE_ERROR as error:
        return _usage(error)
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        _report(f"{where}{error.strerror or error}")
        return FAILED
    except MemoryError:
        _report("out of memory; a smaller --batch or --size needs less")
        return FAILED
    except RecursionError:
        _report("an input is nested too deeply to be read")
        return FAILED
    return 0


def _usage(error: Exception) -> int:
    """Report wrong usage; a group without a command shows its help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()  # type: ignore[attr-defined]
    else:
        _report(error.format_message())  # type: ignore[attr-defined]
    return MISTAKE


def _report(message: str) -> None:
    """Print one line on standard error, if anybody still reads it."""
    line = " ".join(message.split())
    if len(line) > LONGEST:
        line = f"{line[: LONGEST // 2]} … {line[-LONGEST // 2 :]}"
    with suppress(OSError, ValueError):
        print(f"strokewise: {line}", file=sys.stderr, flush=True)


def _check_utf8(arguments: Sequence[str]) -> None:
    """Refuse arguments that no file of ours could store; found late, they would cost a painting."""
    for argument in arguments:
        if any("\ud800" <= character <= "\udfff" for character in argument):
            shown = argument.encode("utf-8", "backslashreplace").decode()
            raise InputError(f"the argument {shown!r} is not valid UTF-8")


# --- the process ------------------------------------------------------------------------------------------


def _prepare_streams() -> None:
    """Escape characters that the terminal cannot encode, and keep control codes out of logs."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started this process
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # Rich takes these for a promise that the output is a terminal, and moves the cursor in log files.
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        if os.environ.get(name) != "0":
            os.environ.pop(name, None)


def _close_stdout() -> None:
    """Send what is still buffered nowhere, so that Python does not complain at exit."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Treat SIGTERM and SIGHUP as Ctrl-C; yields the signals received, the first one first."""
    received: list[int] = []
    owner = os.getpid()

    def interrupt(number: int, _: FrameType | None) -> None:
        if os.getpid() != owner:  # a forked worker, which must end when its pool says so
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif not received:  # the end of a session sends several; the first one is being obeyed
            received.append(number)
            raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, interrupt)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
