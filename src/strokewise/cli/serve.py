"""``strokewise serve``: paintings over HTTP, and the studio. Parses, loads the model, runs the server."""

import os
from pathlib import Path
from typing import Annotated

import typer

from strokewise.cli.shared import Device, FastDtype, FittingBatch, ModelArgument, Quantize, System
from strokewise.errors import ConfigError

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
    open_page: Annotated[bool, typer.Option("--open", help="Open the studio in a browser.")] = False,
) -> None:
    """Serve a model over HTTP: the studio, our API and OpenAI's."""
    keys = _keys(api_key or [])
    if not keys and host not in LOOPBACK:
        raise ConfigError(f"--host {host} can be reached by others; give --api-key, or listen on 127.0.0.1")
    from strokewise.cli.batches import fitted_batch, parse_batch
    from strokewise.cli.paint import load
    from strokewise.inference.presets import set_up
    from strokewise.serve.app import make_app
    from strokewise.serve.limits import Limits
    from strokewise.serve.server import run

    together = parse_batch(batch)
    painter = load(model, device, dtype, quantize, set_up(None, protocol_format, system, {}).protocol_format)
    together = fitted_batch(together, painter)
    app = make_app(painter, data or _default_data(), keys, together, Limits(queue=queue, sessions=sessions))
    run(app, host, port, open_page)


def _keys(given: list[str]) -> list[str]:
    """Return the keys; those of the environment are separated by spaces."""
    keys = [key for text in given for key in text.split()]
    if short := [key for key in keys if len(key) < 8]:
        raise ConfigError(f"an API key of {len(short[0])} characters is guessed too easily; take 8 or more")
    return keys


def _default_data() -> Path:
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "strokewise"
