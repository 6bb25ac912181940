"""The server process: uvicorn with our application, its address, its log and its end."""

import socket
import sys
import threading
import webbrowser
from contextlib import suppress
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from strokewise.errors import ConfigError

BACKLOG = 2048


class _Server(uvicorn.Server):
    """uvicorn that says where it listens, once it does."""

    def __init__(self, config: uvicorn.Config, url: str, open_page: bool) -> None:
        super().__init__(config)
        self.url, self.open_page = url, open_page

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(f"strokewise: serving on {self.url} (Ctrl-C stops it; what is painted is kept)", flush=True)
            if self.open_page:
                threading.Thread(target=webbrowser.open, args=(self.url,), daemon=True).start()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop at the first signal; open event streams must not hold it up."""
        print("strokewise: stopping after the stage under way", file=sys.stderr, flush=True)
        super().handle_exit(sig, frame)


def run(app: ASGIApp, host: str, port: int, open_page: bool = False) -> None:
    """Serve until a signal ends it.

    Raises:
        ConfigError: if the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends small pieces at once only where a socket says that it is TCP; else they wait up to 40 ms.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
            listening.listen(BACKLOG)
        except OSError as error:
            reason = error.strerror or error
            raise ConfigError(
                f"cannot listen on {host} port {port}: {reason}; give another --port"
            ) from error
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{listening.getsockname()[1]}/"
        config = uvicorn.Config(
            app,
            loop="asyncio",  # these two whatever else is installed
            http="h11",
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=2,
            server_header=False,
        )
        # uvicorn raises the signal again that ended it; that is a normal end here.
        with suppress(KeyboardInterrupt):
            _Server(config, url, open_page).run([listening])
