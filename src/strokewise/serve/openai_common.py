"""What the routes for OpenAI's clients share: sizes, pictures, and a painting's events from first to last.

The shapes were read off the ``openai`` package, which the tests use as it is.
"""

import base64
import io
import json
from collections.abc import AsyncIterator
from typing import Any

from PIL import Image

from strokewise.serve.deps import Parts
from strokewise.serve.live import Live
from strokewise.serve.problems import RequestError
from strokewise.serve.stream import Listener
from strokewise.trajectory.values import StopReason

ENDS = ("paused", "finished")


def check_model(parts: Parts, name: str | None) -> None:
    """Refuse another model than the one that is served."""
    served = parts.manager.painter.name
    if name not in (None, "auto", served):
        message = f"there is no model {name!r} here; this server has {served!r}"
        raise RequestError(404, "model_not_found", message, "model")


def size_of(text: str | None) -> list[int] | None:
    """Return [height, width] of ``WIDTHxHEIGHT``; None for the model's own."""
    if text in (None, "auto"):
        return None
    width, _, height = (text or "").partition("x")
    if not all(side.isdecimal() and len(side) < 5 and int(side) for side in (width, height)):
        raise RequestError(422, "invalid", f"size {text!r} is not of the form WIDTHxHEIGHT, or auto", "size")
    return [int(height), int(width)]


def size_text(live: Live) -> str:
    """Convert ``WIDTHxHEIGHT`` of a session."""
    height, width = live.state.size
    return f"{width}x{height}"


def encoded(png: bytes, kind: str) -> str:
    """Return a picture as base64 text in another format."""
    if kind == "png":
        return base64.b64encode(png).decode()
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").save(buffer, kind.upper(), quality=95)
    return base64.b64encode(buffer.getvalue()).decode()


async def events_of(parts: Parts, live: Live, listener: Listener) -> AsyncIterator[dict[str, Any]]:
    """Yield the painting's events until the session rests; one who falls behind misses some, but not the
    end.
    """
    seen = -1
    try:
        while True:
            frames = live.stream.after(seen)
            if frames is None:  # too slow: continue with what is kept
                seen = live.stream.oldest - 1
                continue
            for frame in frames:
                seen = frame.number
                event: dict[str, Any] = json.loads(frame.data)["event"]
                if frame.kind not in ("state", "node"):
                    yield event
                if frame.kind == "deleted" or (frame.kind == "state" and event["session"]["status"] in ENDS):
                    return
            if not frames:
                await listener.wait(60)
    finally:
        live.stream.leave(listener)
        if live.state.status in ENDS:
            live.stream.forget()


def failure(live: Live) -> RequestError | None:
    """Return why a session that ended has nothing to show; None if it has."""
    if live.state.stop is StopReason.FAILED:
        return RequestError(500, "internal", live.state.error or "the painting failed")
    if not any(node.canvas for node in live.path(live.state.head)):
        reason = live.state.stop or "nothing"
        return RequestError(
            422, "invalid", f"the model painted nothing (it ended with: {reason}); try another seed"
        )
    return None


def usage_of(parts: Parts, live: Live) -> dict[str, Any]:
    """Return tokens that were read and written; a canvas counts its latent positions."""
    encode = parts.manager.painter.tokenizer.encode
    stride, (height, width) = parts.manager.painter.generator.canvas.stride, live.state.size
    path = live.path(live.state.head)
    prompt, texts = len(encode(live.state.prompt)), sum(len(encode(node.text)) for node in path if node.text)
    canvas = (height // stride) * (width // stride)
    images = canvas * sum(bool(node.canvas) for node in path)
    source = canvas if live.state.source else 0
    return {
        "input_tokens": prompt + source,
        "input_tokens_details": {"text_tokens": prompt, "image_tokens": source},
        "output_tokens": texts + images,
        "output_tokens_details": {"text_tokens": texts, "image_tokens": images},
        "total_tokens": prompt + source + texts + images,
    }
