"""OpenAI's images API: pictures of a prompt, or of a picture and a prompt, at once or as they are painted.

Beside what its clients know, each picture carries the process: the words, the verdicts and the session's id.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import FormData, UploadFile

from strokewise.inference.reading import fit_canvas
from strokewise.io.outside import decode_picture, decode_pixels
from strokewise.serve import sse
from strokewise.serve.deps import By, Parts, Server
from strokewise.serve.live import Live, canvas_file
from strokewise.serve.openai_common import (
    check_model,
    encoded,
    events_of,
    failure,
    size_of,
    size_text,
    usage_of,
)
from strokewise.serve.problems import RequestError
from strokewise.serve.requests import NewSession
from strokewise.serve.routes import Key
from strokewise.serve.stream import Listener
from strokewise.serve.values import MAX_SEED, Options, Text
from strokewise.trajectory.files import encode_png

router = APIRouter(prefix="/v1/images")
PATIENCE = 0.5  # seconds after which a client that left is noticed


class ImageRequest(BaseModel):
    """What OpenAI's clients send; the last fields are ours. Fields that mean nothing here are left out."""

    model_config = ConfigDict(json_schema_extra={"example": {"prompt": "a red apple left of a blue bus"}})
    prompt: Text
    model: Text | None = None
    n: Annotated[int, Field(ge=1, le=10)] = 1
    size: Text | None = None
    stream: bool | None = False
    partial_images: Annotated[int, Field(ge=0, le=20)] | None = 0
    output_format: Literal["png", "jpeg", "webp"] = "png"
    response_format: Literal["b64_json", "url"] | None = "b64_json"
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    any_prompt: bool = False

    def session(self, number: int) -> NewSession:
        """Return one of the sessions that paint it."""
        given = {"steps": self.num_inference_steps, "text_guidance": self.guidance_scale}
        try:
            options = Options.model_validate(
                given | {"size": size_of(self.size), "previews": self.partial_images or 0}
            )
        except ValidationError as error:
            fault = error.errors()[0]
            raise RequestError(
                422, "invalid", f"{fault['loc'][0]}: {fault['msg']}", str(fault["loc"][0])
            ) from error
        seed = ((self.seed or 0) + number) % (MAX_SEED + 1)
        return NewSession(
            prompt=self.prompt, seed=seed, options=options, kept=False, any_prompt=self.any_prompt
        )


@router.post("/generations", response_model=None)
async def generations(
    parts: Server, by: By, request: Request, wanted: ImageRequest, key: Key = None
) -> dict[str, Any] | StreamingResponse:
    """Return pictures of a prompt."""
    return await _answer(parts, by, request, wanted, None, None, key)


@router.post(
    "/edits",
    response_model=None,
    openapi_extra={
        "requestBody": {
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["image", "prompt"],
                        "properties": {
                            "image": {"type": "string", "format": "binary"},
                            "mask": {"type": "string", "format": "binary"},
                            "prompt": {"type": "string"},
                        },
                    }
                }
            }
        }
    },
)
async def edits(
    parts: Server, by: By, request: Request, key: Key = None
) -> dict[str, Any] | StreamingResponse:
    """Return pictures of a picture and a prompt; where a mask is opaque, the picture stays as it was."""
    async with request.form(max_files=4, max_fields=50, max_part_size=parts.limits.body) as form:
        images = [file for name in ("image", "image[]") for file in form.getlist(name)]
        if len(images) != 1 or not isinstance(images[0], UploadFile):
            raise RequestError(422, "invalid", f"give one image as a file, not {len(images)}", "image")
        source = decode_picture(await images[0].read(), "image")
        mask = await _mask(form)
        values = {name: value for name, value in form.items() if isinstance(value, str)}
    try:
        wanted = ImageRequest.model_validate(values)
    except ValidationError as error:
        raise RequestValidationError(
            [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()]
        ) from error
    return await _answer(parts, by, request, wanted, source, mask, key)


async def _mask(form: FormData) -> Image.Image | None:
    """Return where the picture is to be edited, as white; None: everywhere."""
    file = form.get("mask")
    if file is None:
        return None
    if not isinstance(file, UploadFile):
        raise RequestError(422, "invalid", "a mask is a PNG file with an alpha channel", "mask")
    image = decode_pixels(await file.read(), "mask")
    if not image.has_transparency_data:
        raise RequestError(
            422, "invalid", "a mask needs an alpha channel; what is transparent is edited", "mask"
        )
    return image.convert("RGBA").getchannel("A").point(lambda alpha: 255 if alpha == 0 else 0)


async def _answer(
    parts: Parts,
    by: By,
    request: Request,
    wanted: ImageRequest,
    source: Image.Image | None,
    mask: Image.Image | None,
    key: str | None,
) -> dict[str, Any] | StreamingResponse:
    check_model(parts, wanted.model)
    if wanted.stream and wanted.n > 1:
        raise RequestError(
            422, "invalid", "a stream shows one picture; leave n out, or send several requests", "n"
        )
    manager, listeners = parts.manager, [Listener() for _ in range(wanted.n)]

    def make() -> list[Live]:
        with manager.lock:
            manager.check_room(by, wanted.n)
            return [
                manager.create(by, wanted.session(number), source, listener)
                for number, listener in enumerate(listeners)
            ]

    described = (wanted, None if source is None else source.tobytes())
    lives, made = await run_in_threadpool(manager.registry.once, by.owner, key, described, make)
    kind = "image_generation" if source is None else "image_edit"
    if wanted.stream:
        return sse.response(_streamed(parts, lives[0], listeners[0], wanted, kind, mask))
    waiting = asyncio.gather(*(_ended(parts, *pair) for pair in zip(lives, listeners, strict=True)))
    try:
        while not (await asyncio.wait([waiting], timeout=PATIENCE))[0]:
            if await request.is_disconnected():
                raise RequestError(499, "invalid", "the client left")
    except BaseException:
        waiting.cancel()
        if made:
            await run_in_threadpool(_cancel, parts, by, lives)
        raise
    return await run_in_threadpool(_images, parts, lives, wanted, mask, str(request.base_url))


async def _ended(parts: Parts, live: Live, listener: Listener) -> None:
    live.stream.join(listener)
    if live.state.status not in ("paused", "finished"):
        async for _ in events_of(parts, live, listener):
            pass


def _cancel(parts: Parts, by: By, lives: list[Live]) -> None:
    for live in lives:
        if live.state.status != "finished":
            parts.manager.cancel(by, live.id)


def _images(
    parts: Parts, lives: list[Live], wanted: ImageRequest, mask: Image.Image | None, base: str
) -> dict[str, Any]:
    """Return the answer when all are painted; a RequestError if one of them has nothing to show."""
    data, usages = [], []
    with parts.manager.lock:
        for live in lives:
            if (problem := failure(live)) is not None:
                raise problem
            data.append(_image(parts, live, wanted, mask, base))
            usages.append(usage_of(parts, live))
    usage = {
        name: sum(one[name] for one in usages) for name in ("input_tokens", "output_tokens", "total_tokens")
    }
    return {
        "created": int(time.time()),
        "data": data,
        "background": "opaque",
        "output_format": wanted.output_format,
        "quality": "auto",
        "size": size_text(lives[0]),
        "usage": usages[0] | usage,
    }


def _image(
    parts: Parts, live: Live, wanted: ImageRequest, mask: Image.Image | None, base: str
) -> dict[str, Any]:
    """Return one picture with the process that led to it."""
    path = live.path(live.state.head)
    last = next(node for node in reversed(path) if node.canvas)
    value = {
        "revised_prompt": live.state.prompt,
        "trajectory_id": live.id,
        "seed": live.state.seed,
        "stop": live.state.stop,
        "texts": [node.text for node in path if node.text],
        "verdicts": [None if node.verdict is None else vars(node.verdict) for node in path[1:]],
    }
    if wanted.response_format == "url" and mask is None:
        return value | {"url": base.rstrip("/") + (last.canvas or "")}
    return value | {"b64_json": encoded(_final(parts, live, last.id, mask), wanted.output_format)}


def _final(parts: Parts, live: Live, number: int, mask: Image.Image | None) -> bytes:
    """Return the last canvas; the source where a mask keeps it."""
    registry = parts.manager.registry
    png, source = registry.store.png(live.id, canvas_file(number)), registry.source(live)
    if mask is None or source is None:
        return png
    painted = Image.open(BytesIO(png)).convert("RGB")
    return encode_png(
        Image.composite(painted, fit_canvas(source, live.state.size), mask.resize(painted.size))
    )


async def _streamed(
    parts: Parts, live: Live, listener: Listener, wanted: ImageRequest, kind: str, mask: Image.Image | None
) -> AsyncIterator[str]:
    """Yield partial pictures and the last one; no other events, which clients would take for partial
    pictures.
    """
    common = {
        "background": "opaque",
        "output_format": wanted.output_format,
        "quality": "auto",
        "size": size_text(live),
    }
    count = 0
    live.stream.join(listener)
    if live.state.status not in ("paused", "finished"):
        async for event in events_of(parts, live, listener):
            if event["type"] in ("image_preview", "image_finished") and wanted.partial_images:
                value = common | {
                    "type": f"{kind}.partial_image",
                    "b64_json": event["png"],
                    "created_at": int(time.time()),
                    "output_format": "png",
                    "partial_image_index": count,
                }
                count += 1
                yield sse.sse(str(value["type"]), json.dumps(value))
    problem = failure(live)
    if problem is not None:
        yield sse.sse("error", json.dumps(problem.body()))
        return
    answer = await run_in_threadpool(_images, parts, [live], wanted, mask, "")
    image = answer["data"][0]
    value = (
        common
        | image
        | {
            "type": f"{kind}.completed",
            "created_at": int(time.time()),
            "usage": answer["usage"],
        }
    )
    yield sse.sse(f"{kind}.completed", json.dumps(value))
