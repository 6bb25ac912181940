"""``strokewise paint``: from a prompt on the command line to a folder of pictures. Parses, calls, shows.

Progress is shown in a live view, as plain lines or as JSON. Knows options and events; painting is the
painter's business, files are the gallery's.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strokewise.cli.options import MAX_PAINTINGS, PAINTING_OPTIONS, options_of
from strokewise.cli.shared import (
    Device,
    FastDtype,
    FittingBatch,
    FormatName,
    ModelOption,
    PresetName,
    Quantize,
    Seed,
    System,
)
from strokewise.cli.starting import uncollected
from strokewise.errors import ConfigError, InputError, StrokewiseError

if TYPE_CHECKING:
    from strokewise.inference import Engine, ProtocolFormat, Request, Session
    from strokewise.inference.painter import Painter
    from strokewise.trajectory.events import Event
    from strokewise.trajectory.gallery import Gallery

Emit = Callable[["Session", "Event"], None]
PREVIEWS = 6


@options_of(PAINTING_OPTIONS)
def paint(
    *,
    prompt: Annotated[str | None, typer.Argument(help="What to paint; or give --prompts.")] = None,
    model: ModelOption = "nano",
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; default: paintings/PROMPT-SEED (none with --json).")
    ] = None,
    n: Annotated[
        int, typer.Option("--n", min=1, max=MAX_PAINTINGS, help="Paintings of each prompt; seeds count up.")
    ] = 1,
    prompts: Annotated[
        Path | None, typer.Option(help="File of prompts, one a line; an interrupted job in --out is resumed.")
    ] = None,
    image: Annotated[Path | None, typer.Option(help="Picture to edit.")] = None,
    instruct: Annotated[
        list[str] | None, typer.Option(help="Instruction of the next stroke; repeatable.")
    ] = None,
    single_pass: Annotated[
        bool, typer.Option("--single-pass", help="One canvas right after the prompt, without messages.")
    ] = False,
    preset: PresetName = None,
    options: dict[str, Any],
    any_prompt: Annotated[
        bool, typer.Option("--any-prompt", help="Feed prompts untouched, outside the vocabulary, too.")
    ] = False,
    protocol_format: FormatName = None,
    system: System = "",
    device: Device = None,
    dtype: FastDtype = None,
    quantize: Quantize = None,
    batch: FittingBatch = "8",
    as_json: Annotated[bool, typer.Option("--json", help="Print events as JSON, one a line.")] = False,
) -> None:
    """Paint a prompt in rounds of plan, sketch, inspect and refine."""
    with uncollected():
        from strokewise.cli.batches import fitted_batch, parse_batch
        from strokewise.inference.policies import SinglePass, Think
        from strokewise.inference.presets import set_up

    wanted, together = _prompts(prompt, prompts), parse_batch(batch)
    if len(wanted) * n > MAX_PAINTINGS:
        raise ConfigError(
            f"{len(wanted):,} prompts, {n:,} of each, are more than {MAX_PAINTINGS:,} paintings"
        )
    requests = _requests(wanted.values(), n, seed, image, instruct or [])
    setup = set_up(preset, protocol_format, system, options)
    strategy, options = "single-pass" if single_pass else setup.strategy, setup.options
    spoken = setup.protocol_format
    settings: dict[str, Any] = {"model": model, "strategy": strategy, "options": options}
    settings |= {"format": spoken.name, "system": spoken.system, "any_prompt": any_prompt}
    with _gallery(out, requests, settings, as_json) as gallery:
        painter = load(model, device, dtype, quantize, spoken)
        _prepare(painter, requests[::n], list(wanted), not any_prompt)
        several = len(requests) > 1
        shown, previews = _view(as_json, several, requests[0].prompt)
        most = max(0, options.get("steps", painter.defaults.steps) - 1)
        options.setdefault("previews", min(previews, most))
        engine = painter.engine(fitted_batch(together, painter))
        policy = {"single-pass": SinglePass(), "think": Think()}.get(strategy)
        for number, request in enumerate(requests):
            if gallery is None or number not in gallery.done:
                painter.open(
                    engine, request, name=str(number), policy=policy, check=not any_prompt, **options
                )
        with shown as emit:
            finished = _follow(engine, gallery, emit)
        if gallery is not None and not as_json:
            print(gallery.folder)
    if not finished:
        raise KeyboardInterrupt
    painted = engine.trajectories()
    if painted and not any(trajectory.images for trajectory in painted):
        raise InputError(
            f"the model painted nothing (it ended with: {painted[0].stop}); see {out or 'above'}"
        )


# --- what is requested --------------------------------------------------------------------------------------


def _prompts(prompt: str | None, path: Path | None) -> dict[str, str]:
    """Return the prompts by where they stand; the one of the command line needs no place."""
    if (prompt is None) == (path is None):
        raise ConfigError("give either a prompt or --prompts FILE")
    if path is None:
        return {"": prompt or ""}
    from strokewise.cli.arguments import read_prompts

    return read_prompts(path)


def _requests(
    prompts: Iterable[str], count: int, seed: int, path: Path | None, instruct: Sequence[str]
) -> "list[Request]":
    from strokewise.inference import Request
    from strokewise.io.outside import read_picture

    source = None if path is None else read_picture(path)
    return [Request(prompt, seed + i, source, tuple(instruct)) for prompt in prompts for i in range(count)]


def _prepare(painter: "Painter", requests: "Sequence[Request]", places: Sequence[str], check: bool) -> None:
    """Have every prompt checked before the first is painted, and show the wording that is fed.

    Raises:
        InputError: if a prompt cannot be painted; it names its line.
    """
    for where, request in zip(places, requests, strict=True):
        try:
            fed = painter.prepare(request, check)
        except StrokewiseError as error:
            raise InputError(f"{where}: {error}" if where else str(error)) from error
        if fed.original_prompt:
            print(f"read as: {fed.prompt}", file=sys.stderr)


@contextmanager
def _gallery(
    out: Path | None, requests: "Sequence[Request]", settings: dict[str, Any], as_json: bool
) -> "Iterator[Gallery | None]":
    """Yield where to write, claimed; None for nowhere."""
    from strokewise.trajectory.gallery import Gallery

    if out is None and as_json:
        yield None
        return
    with Gallery(out, [(request.prompt, request.seed) for request in requests], settings) as gallery:
        yield gallery


def load(
    model: str, device: str | None, dtype: str | None, quantize: str | None, spoken: "ProtocolFormat"
) -> "Painter":
    """Load a model as the options of a command say; see ``Painter.load``."""
    from strokewise.cli.arguments import fastest_dtype, parse_dtype
    from strokewise.inference.painter import Painter

    precision = None
    if dtype == "auto":
        precision = fastest_dtype(device)
    elif dtype is not None:
        precision = parse_dtype(dtype)
    return Painter.load(model, device, precision, quantize=quantize, protocol_format=spoken)


# --- what is shown ------------------------------------------------------------------------------------------


def _follow(engine: "Engine", gallery: "Gallery | None", emit: Emit) -> bool:
    """Paint, emitting every event and writing every canvas; False if the user interrupted it.

    A painting that fails does not end the others, nor does standard output that cannot be written to while
    they are written to files.

    Raises:
        StrokewiseError: of the first painting that failed, when the others are done.
        OSError: of standard output (closed, full), when all that is written to files is done.
    """
    from strokewise.trajectory.events import Failed, Finished, ImageFinished

    failed: list[Exception] = []
    unheard: OSError | None = None
    try:
        for session, event in engine.run():
            if gallery is not None and isinstance(event, ImageFinished):
                gallery.write(int(session.name), session.trajectory(), finished=False)
            if gallery is not None and isinstance(event, Finished):
                gallery.write(int(session.name), session.trajectory())
            if isinstance(event, Failed) and session.error is not None:
                failed.append(session.error)
            try:
                if unheard is None:
                    emit(session, event)
            except OSError as error:
                if gallery is None:
                    raise
                unheard = error
    except KeyboardInterrupt:
        return False
    finally:
        if gallery is not None:
            _write_unfinished(engine, gallery)
            gallery.write_index()
    for problem in (*failed, unheard):
        if problem is not None:
            raise problem
    return True


def _write_unfinished(engine: "Engine", gallery: "Gallery") -> None:
    """Write what was painted of the sessions that were cut short."""
    for session in engine.sessions.values():
        if not session.done and session.steps:
            number, trajectory = int(session.name), session.trajectory()
            gallery.write(number, trajectory)
            gallery.done.pop(number, None)


def _view(as_json: bool, several: bool, prompt: str) -> tuple[AbstractContextManager[Emit], int]:
    """Return how events are shown, and how many previews of each canvas that needs."""
    if as_json or several:
        return _plain(_json_line if as_json else _text_line), 0
    return _live(prompt), PREVIEWS if sys.stdout.isatty() else 0


@contextmanager
def _live(prompt: str) -> Iterator[Emit]:
    """Yield one painting as it grows, or plain lines where the output is no terminal."""
    from strokewise.cli.terminal import LiveView

    with LiveView(prompt) as view:
        yield lambda _, event: view.show(event)


@contextmanager
def _plain(line: Callable[["Session", "Event"], str | None]) -> Iterator[Emit]:
    def emit(session: "Session", event: "Event") -> None:
        if text := line(session, event):
            print(text, flush=True)

    yield emit


def _json_line(session: "Session", event: "Event") -> str:
    """Return an event in its envelope, as JSON."""
    return json.dumps(session.stamp(event).to_json(), ensure_ascii=False)


def _text_line(session: "Session", event: "Event") -> str | None:
    """Return an event of one of several paintings as a line of text, if it is worth one."""
    from strokewise.trajectory.events import Finished, ImageFinished, TextFinished

    if isinstance(event, TextFinished):
        return f"[{session.name}] {event.text}"
    if isinstance(event, ImageFinished):
        return f"[{session.name}] ({event.stage} of step {event.step}, {event.seconds:.1f} s)"
    return f"[{session.name}] ended: {event.reason}" if isinstance(event, Finished) else None
