"""``strokewise paint``: from a prompt on the command line to a folder of pictures. Parses, calls, shows.

Progress is shown in a live view, as plain lines or as JSON. Knows options and events; painting is the
painter's business, files are the gallery's.
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strokewise.errors import ConfigError, InputError
from strokewise.trajectory.events import Event, Finished, ImageFinished, TextFinished

if TYPE_CHECKING:
    from strokewise.inference import Engine, Request
    from strokewise.inference.painter import Painter
    from strokewise.trajectory.values import Trajectory

Emit = Callable[[int, Event], None]
INTERRUPTED = 130
PREVIEWS = 6


def paint(
    prompt: Annotated[str | None, typer.Argument(help="What to paint; or give --prompts.")] = None,
    model: Annotated[str, typer.Option(help="Folder, built-in name or hub id.")] = "nano",
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; default: paintings/PROMPT-SEED (none with --json).")
    ] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Paintings of each prompt; seeds count up.")] = 1,
    prompts: Annotated[Path | None, typer.Option(help="File of prompts, one a line.")] = None,
    image: Annotated[Path | None, typer.Option(help="Picture to edit.")] = None,
    instruct: Annotated[
        list[str] | None, typer.Option(help="The next stroke in your words; repeatable.")
    ] = None,
    single_pass: Annotated[
        bool, typer.Option("--single-pass", help="Paint right after the prompt, once, without a word.")
    ] = False,
    steps: Annotated[int | None, typer.Option(help="Flow steps of each canvas.")] = None,
    size: Annotated[str | None, typer.Option(help="Canvas WIDTHxHEIGHT in pixels.")] = None,
    text_guidance: Annotated[
        float | None, typer.Option(help="Guidance scale of the texts; 1 is off.")
    ] = None,
    image_guidance: Annotated[
        float | None, typer.Option(help="Guidance scale of the canvases before; 1 is off.")
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="Of the texts; 0 is greedy.")] = None,
    max_rounds: Annotated[int | None, typer.Option(help="Sketches at most, refinements not counted.")] = None,
    max_images: Annotated[int | None, typer.Option(help="Canvases at most.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Tokens of one message at most.")] = None,
    previews: Annotated[int | None, typer.Option(help="Pictures on the way to each canvas.")] = None,
    any_prompt: Annotated[
        bool, typer.Option("--any-prompt", help="Also paint prompts outside the model's vocabulary.")
    ] = False,
    protocol_format: Annotated[
        str, typer.Option(help="Protocol format of the model's texts, for derivatives of BAGEL.")
    ] = "strokewise",
    system: Annotated[str, typer.Option(help="System prompt, for derivatives of BAGEL.")] = "",
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, cuda:1; default: a GPU if there is one.")
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16.")] = None,
    quantize: Annotated[str | None, typer.Option(help="int8 or nf4, on CUDA.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Paintings that advance together.")] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="Print events as JSON, one a line.")] = False,
) -> None:
    """Paint a prompt in rounds of plan, sketch, inspect and refine."""
    given: dict[str, Any] = {
        "steps": steps,
        "text_guidance": text_guidance,
        "image_guidance": image_guidance,
        "temperature": temperature,
        "max_rounds": max_rounds,
        "max_images": max_images,
        "max_tokens": max_tokens,
        "previews": previews,
    }
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    requests = _requests(_prompts(prompt, prompts), n, seed, image, instruct or [])
    folder = _folder(out, requests, as_json)
    if size is not None:
        from strokewise.cli.arguments import parse_size

        options["size"] = parse_size(size)
    from strokewise.inference.policies import SinglePass

    painter = _load(model, device, dtype, quantize, protocol_format, system)
    several = len(requests) > 1
    view, wanted = _view(as_json, several, requests[0].prompt)
    options.setdefault("previews", min(wanted, max(0, options.get("steps", painter.defaults.steps) - 1)))
    policy = SinglePass() if single_pass else None
    engine = painter.start(requests, batch=batch, policy=policy, check=not any_prompt, **options)
    with view as emit:
        finished = _follow(engine, emit)
    painted = engine.trajectories()
    _write(painted, folder, several, as_json)
    if not finished:
        raise typer.Exit(INTERRUPTED)


# --- what is requested
# -----------------------------------------------------------------------------------------


def _prompts(prompt: str | None, path: Path | None) -> list[str]:
    if (prompt is None) == (path is None):
        raise ConfigError("give either a prompt or --prompts FILE")
    if path is None:
        return [prompt or ""]
    from strokewise.cli.arguments import read_prompts

    return read_prompts(path)


def _requests(
    prompts: Sequence[str], count: int, seed: int, path: Path | None, instruct: Sequence[str]
) -> "list[Request]":
    from strokewise.inference import Request
    from strokewise.io.outside import read_picture

    source = None if path is None else read_picture(path)
    return [Request(prompt, seed + i, source, tuple(instruct)) for prompt in prompts for i in range(count)]


def _folder(out: Path | None, requests: "Sequence[Request]", as_json: bool) -> Path | None:
    """Where to write; None for nowhere."""
    from strokewise.trajectory.gallery import check_free, free_folder

    if out is None and as_json:
        return None
    folder = free_folder(requests[0].prompt, requests[0].seed) if out is None else out
    check_free(folder)
    return folder


def _load(
    model: str, device: str | None, dtype: str | None, quantize: str | None, protocol_format: str, system: str
) -> "Painter":
    from strokewise.cli.arguments import parse_dtype
    from strokewise.inference import PROTOCOL_FORMATS
    from strokewise.inference.painter import Painter

    if protocol_format not in PROTOCOL_FORMATS:
        raise ConfigError(
            f"unknown protocol format {protocol_format!r}; known are {', '.join(PROTOCOL_FORMATS)}"
        )
    precision = None if dtype is None else parse_dtype(dtype)
    spoken = PROTOCOL_FORMATS[protocol_format].with_system(system)
    return Painter.load(model, device, precision, quantize=quantize, protocol_format=spoken)


# --- what is shown ------------------------------------------------------------------------------------------


def _follow(engine: "Engine", emit: Emit) -> bool:
    """Paint, emitting every event; False if the user interrupted it."""
    numbers = {name: number for number, name in enumerate(engine.sessions)}
    try:
        for session, event in engine.run():
            emit(numbers[session.name], event)
            if session.error is not None:
                raise session.error
    except KeyboardInterrupt:
        return False
    return True


def _view(as_json: bool, several: bool, prompt: str) -> tuple[AbstractContextManager[Emit], int]:
    """How events are shown, and how many previews of each canvas that needs."""
    if as_json or several:
        return _plain(_json_line(several) if as_json else _text_line), 0
    return _live(prompt), PREVIEWS if sys.stdout.isatty() else 0


@contextmanager
def _live(prompt: str) -> Iterator[Emit]:
    """One painting as it grows, or plain lines where the output is no terminal."""
    from strokewise.cli.terminal import LiveView

    with LiveView(prompt) as view:
        yield lambda _, event: view.show(event)


@contextmanager
def _plain(line: Callable[[int, Event], str | None]) -> Iterator[Emit]:
    def emit(number: int, event: Event) -> None:
        if text := line(number, event):
            print(text, flush=True)

    yield emit


def _json_line(several: bool) -> Callable[[int, Event], str]:
    """An event as JSON; where there are several paintings, inside an object that says whose it is."""

    def line(number: int, event: Event) -> str:
        value: dict[str, Any] = event.to_json()
        return json.dumps({"painting": number, "event": value} if several else value, ensure_ascii=False)

    return line


def _text_line(number: int, event: Event) -> str | None:
    """An event of one of several paintings as a line of text, if it is worth one."""
    if isinstance(event, TextFinished):
        return f"[{number}] {event.text}"
    if isinstance(event, ImageFinished):
        return f"[{number}] ({event.stage} of step {event.step}, {event.seconds:.1f} s)"
    return f"[{number}] ended: {event.reason}" if isinstance(event, Finished) else None


def _write(painted: "Sequence[Trajectory]", folder: Path | None, several: bool, as_json: bool) -> None:
    """Write what was painted, and say where."""
    from strokewise.trajectory.gallery import write_many, write_one

    made = [trajectory for trajectory in painted if trajectory.steps]
    if folder is None or not made:
        return
    if several:
        write_many(made, folder)
    else:
        write_one(made[0], folder)
    if not as_json:
        print(folder)
    if not any(trajectory.images for trajectory in painted):
        raise InputError(f"the model painted nothing (it ended with: {painted[0].stop}); see {folder}")
