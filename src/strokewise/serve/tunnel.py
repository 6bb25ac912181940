"""An ASGI application in another process: a request goes there as a whole, its response comes back in pieces.

Both ends are here, and nothing of what carries the pieces: a call between processes that yields values. Knows
requests and responses as ASGI has them; no sessions.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from starlette.types import ASGIApp, Message, Scope

log = logging.getLogger(__name__)
TAKEN: Message = {"type": "taken"}  # comes at once, so that a replica that is lost is told from a slow one
_SENT = ("type", "http_version", "method", "scheme", "path", "raw_path", "query_string", "root_path")
_LISTS = ("headers", "client", "server")


class LostError(Exception):
    """A replica cannot be reached, or is gone before its response was whole."""


class Replica(Protocol):
    """The near end of a replica."""

    def answer(self, scope: Scope, body: bytes) -> AsyncIterator[Message]:
        """Yield ``TAKEN``, then the messages of the response; raise LostError where the replica is gone."""

    async def load(self) -> int:
        """Return how many sessions it paints or has waiting; raise LostError where it is gone."""


def wire(scope: Scope) -> Scope:
    """Return what a replica needs of a scope."""
    sent = {name: scope[name] for name in _SENT if name in scope}
    return sent | {name: _plain(scope[name]) for name in _LISTS if scope.get(name) is not None}


def _plain(value: Sequence[Any]) -> list[Any]:
    return [tuple(one) if isinstance(one, (list, tuple)) else one for one in value]


class FarEnd:
    """The far end: it gives requests to an application, as a server would."""

    def __init__(self, app: ASGIApp) -> None:
        """Speak for an application."""
        self.app = app
        self._tasks: set[asyncio.Task[None]] = set()

    async def answer(self, scope: Scope, body: bytes) -> AsyncIterator[Message]:
        """Yield ``TAKEN``, then the messages of the response; the application hears when nobody reads on."""
        yield TAKEN
        messages: asyncio.Queue[Message | None] = asyncio.Queue()
        gone = asyncio.Event()
        unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            if unread:
                return unread.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def respond() -> None:
            try:
                await self.app(dict(scope), receive, messages.put)
            except Exception:
                log.exception("the application failed at %s %s", scope["method"], scope["path"])
            finally:
                messages.put_nowait(None)

        task = asyncio.create_task(respond())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while (message := await messages.get()) is not None:
                yield message
        finally:
            gone.set()
