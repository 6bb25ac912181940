"""``strokewise serve``: paintings over HTTP, and the studio. Parses, loads the model, runs the server."""

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from strokewise.cli.executing import Address, Gpus
from strokewise.cli.shared import Device, FastDtype, FittingBatch, ModelArgument, Quantize, System
from strokewise.errors import ConfigError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from strokewise.inference.formats import ProtocolFormat
    from strokewise.serve.limits import Limits
    from strokewise.serve.security import Keys

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve(
    model: ModelArgument = "nano",
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond this machine it needs a key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 is any free one.")] = 8000,
    api_key: Annotated[
        list[str] | None,
        typer.Option(envvar="STROKEWISE_API_KEY", help="Key that requests must hold; repeatable."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of sessions; default: ~/.local/share/strokewise.")
    ] = None,
    batch: FittingBatch = "8",
    queue: Annotated[int, typer.Option(min=1, max=100_000, help="Paintings that may wait.")] = 64,
    sessions: Annotated[int, typer.Option(min=1, max=100_000, help="Sessions kept for each key.")] = 500,
    device: Device = None,
    dtype: FastDtype = None,
    quantize: Quantize = None,
    protocol_format: Annotated[
        str, typer.Option(help="Protocol format of the model's texts, for derivatives of BAGEL.")
    ] = "strokewise",
    system: System = "",
    executor: Annotated[str, typer.Option(help="Where it paints: inline or ray.")] = "inline",
    replicas: Annotated[int, typer.Option(min=1, max=1000, help="Engines on Ray.")] = 1,
    address: Address = None,
    gpus: Gpus = 0,
    open_page: Annotated[bool, typer.Option("--open", help="Open the studio in a browser.")] = False,
) -> None:
    """Serve a model over HTTP: the studio, our API and OpenAI's."""
    keys = _keys(api_key or [])
    if not keys and host not in LOOPBACK:
        raise ConfigError(f"--host {host} can be reached by others; give --api-key, or listen on 127.0.0.1")
    from strokewise.cli.batches import parse_batch
    from strokewise.data.executor import INLINE, RAY, Executor
    from strokewise.inference.presets import set_up
    from strokewise.serve.limits import Limits
    from strokewise.serve.security import Guard, Keys
    from strokewise.serve.server import run

    if executor not in (INLINE, RAY):
        raise ConfigError(f"--executor is {executor!r}; a server paints inline or on ray")
    place = Executor(executor, replicas, address, gpus)
    folder, limits, secret = data or _default_data(), Limits(queue=queue, sessions=sessions), Keys(keys)
    begin = partial(
        _application,
        load=(model, device, dtype, quantize, set_up(None, protocol_format, system, {}).protocol_format),
        data=folder.absolute(),
        keys=secret,
        batch=parse_batch(batch),
        limits=limits,
    )
    if place.kind == INLINE:
        run(begin(None), host, port, open_page)
        return
    from strokewise.serve.front import Front
    from strokewise.serve.on_ray import running

    with running(begin, place, folder) as found:
        run(Guard(Front(found), secret, limits.body), host, port, open_page)


def _application(
    replica: int | None,
    *,
    load: "tuple[str, str | None, str | None, str | None, ProtocolFormat]",
    data: Path,
    keys: "Keys",
    batch: int | None,
    limits: "Limits",
) -> "FastAPI":
    """Return the application of a server, or of one of its replicas, with the model loaded."""
    from strokewise.cli.batches import fitted_batch
    from strokewise.cli.paint import load as load_painter
    from strokewise.serve.app import make_app

    painter = load_painter(*load)
    folder = data if replica is None else data / f"replica-{replica}"
    return make_app(painter, folder, keys, fitted_batch(batch, painter), limits, replica)


def _keys(given: list[str]) -> list[str]:
    """Return the keys; those of the environment are separated by spaces."""
    keys = [key for text in given for key in text.split()]
    if short := [key for key in keys if len(key) < 8]:
        raise ConfigError(f"an API key of {len(short[0])} characters is guessed too easily; take 8 or more")
    return keys


def _default_data() -> Path:
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "strokewise"
