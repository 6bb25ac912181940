"""Server-sent events: the frames of a session's stream as a response, with rejoin and keep-alive."""

import json
from collections.abc import AsyncIterator

from starlette.responses import StreamingResponse

from strokewise.serve.live import Live, Registry
from strokewise.serve.stream import Listener

ALIVE = 15.0  # seconds of silence after which a comment is sent
PING = ": still here\n\n"


def response(frames: AsyncIterator[str]) -> StreamingResponse:
    """Return a response that is neither stored nor held back by proxies."""
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(frames, media_type="text/event-stream", headers=headers)


def sse(kind: str, data: str, number: str | None = None) -> str:
    """Return a frame; JSON texts hold no line breaks."""
    return (f"id: {number}\n" if number is not None else "") + f"event: {kind}\ndata: {data}\n\n"


async def follow(registry: Registry, live: Live, last: str | None) -> AsyncIterator[str]:
    """Yield the events of a session after one, or a snapshot and the events after it; endless until it is
    deleted.

    Args:
        registry: of the session.
        live: the session.
        last: id of the last event that was received, if any.
    """
    listener, seen = Listener(), _number(registry, last)
    live.stream.join(listener)
    try:
        while True:
            frames = None if seen is None else live.stream.after(seen)
            if frames is None:
                with registry.lock:
                    seen, text = live.stream.last, snapshot(registry, live)
                yield text
                continue
            if frames:
                yield "".join(sse(one.kind, one.data, f"{registry.boot}.{one.number}") for one in frames)
                seen = frames[-1].number
                if any(one.kind == "deleted" for one in frames):
                    return
            elif not await listener.wait(ALIVE):
                yield PING
    finally:
        live.stream.leave(listener)


def snapshot(registry: Registry, live: Live) -> str:
    """Return a frame with all there is to know; it has the number of the last event that it includes."""
    event = registry.snapshot(live)
    envelope = {
        "painting": live.id,
        "sequence": max(live.stream.last, 0),
        "time": live.state.updated,
        "event": event.to_json(),
    }
    return sse(event.type, json.dumps(envelope, ensure_ascii=False), f"{registry.boot}.{live.stream.last}")


def _number(registry: Registry, last: str | None) -> int | None:
    """Return the number of an event of this run of the server; None for any other text."""
    boot, _, number = (last or "").partition(".")
    return int(number) if boot == registry.boot and number.isdecimal() and len(number) < 18 else None
