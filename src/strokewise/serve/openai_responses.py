"""OpenAI's Responses API with its image tool: the model's words as messages, canvases as tool calls.

Every event of a response is kept for a while, so that a cut stream is taken up again after any of them. A
response is a session; its id is the session's.
"""

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from strokewise.serve import sse
from strokewise.serve.deps import By, Parts, Server, picture
from strokewise.serve.live import Live, canvas_file
from strokewise.serve.openai_common import check_model, encoded, events_of, failure, size_of, usage_of
from strokewise.serve.problems import RequestError, not_found
from strokewise.serve.requests import NewSession
from strokewise.serve.routes import Id, Key
from strokewise.serve.stream import Listener
from strokewise.serve.values import MAX_SEED, Node, Options, Text
from strokewise.trajectory.values import StopReason

router = APIRouter(prefix="/v1/responses")
KEPT = 64  # responses whose events are kept


class ResponseRequest(BaseModel):
    """What OpenAI's clients send; ``seed`` is ours. Fields that mean nothing here are left out."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "model": "nano",
                "input": "a red apple left of a blue bus",
                "tools": [{"type": "image_generation"}],
            }
        }
    )
    input: Text | Annotated[list[dict[str, Any]], Field(max_length=100)]
    model: Text | None = None
    tools: Annotated[list[dict[str, Any]], Field(max_length=20)] = Field(default_factory=list)
    stream: bool | None = False
    background: bool | None = False
    previous_response_id: Text | None = None
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = None


class Log:
    """The events of one response, kept while they are read."""

    def __init__(self) -> None:
        """Begin without events."""
        self.events: list[str] = []
        self.done = False
        self.more = asyncio.Condition()

    async def add(self, kind: str, **values: Any) -> None:
        """Append an event; its number is its place."""
        value = {"type": kind, "sequence_number": len(self.events), **values}
        async with self.more:
            self.events.append(sse.sse(kind, json.dumps(value)))
            self.more.notify_all()

    async def end(self) -> None:
        """End the answer: nothing more follows."""
        async with self.more:
            self.done = True
            self.more.notify_all()

    async def after(self, number: int) -> AsyncIterator[str]:
        """Yield the events after one, those to come included."""
        at = number + 1
        while True:
            async with self.more:
                while at >= len(self.events) and not self.done:
                    await self.more.wait()
                new = self.events[at:]
            for text in new:
                yield text
            at += len(new)
            if self.done and at >= len(self.events):
                return


def _logs(request: Request) -> "OrderedDict[str, tuple[Log, asyncio.Task[None]]]":
    """Return the logs of this server; a task fills each."""
    state = request.app.state
    if not hasattr(state, "responses"):
        state.responses = OrderedDict()
    logs: OrderedDict[str, tuple[Log, asyncio.Task[None]]] = state.responses
    return logs


@router.post("", response_model=None)
async def create(
    parts: Server, by: By, request: Request, wanted: ResponseRequest, key: Key = None
) -> dict[str, Any] | StreamingResponse:
    """Paint what the last words of the input ask for."""
    check_model(parts, wanted.model)
    tool = next((tool for tool in wanted.tools if tool.get("type") == "image_generation"), {})
    partial = tool.get("partial_images") or 0
    if not isinstance(partial, int) or not 0 <= partial <= 20:
        raise RequestError(422, "invalid", "partial_images is a number from 0 to 20", "tools")
    prompt, source = await run_in_threadpool(_input, parts, by, wanted)
    size = tool.get("size")
    options = Options(previews=partial, size=size_of(size if isinstance(size, str) else None))
    new = NewSession(prompt=prompt, seed=wanted.seed or 0, options=options, kept=False)
    listener = Listener()

    def make() -> list[Live]:
        return [parts.manager.create(by, new, source, listener)]

    (live,), made = await run_in_threadpool(parts.manager.registry.once, by.owner, key, wanted, make)
    logs = _logs(request)
    if made:
        log = Log()
        logs[live.id] = log, asyncio.create_task(_fill(parts, live, listener, log, partial > 0))
        while len(logs) > KEPT and next(iter(logs.values()))[0].done:
            logs.popitem(last=False)
    if wanted.stream:
        return _stream(parts, live, logs, -1)
    if not wanted.background and live.id in logs:
        await asyncio.shield(logs[live.id][1])
    return await run_in_threadpool(_value, parts, live)


@router.get("/{response}", response_model=None)
async def read(
    parts: Server,
    by: By,
    request: Request,
    response: Id,
    stream: bool = False,
    starting_after: Annotated[int, Query(ge=-1, le=10**9)] = -1,
) -> dict[str, Any] | StreamingResponse:
    """Return a response, or its events after one of them."""
    live = _live(parts, by, response)
    if stream:
        return _stream(parts, live, _logs(request), starting_after)
    return await run_in_threadpool(_value, parts, live)


@router.post("/{response}/cancel")
async def cancel(parts: Server, by: By, response: Id) -> dict[str, Any]:
    """End a response at the next stage."""
    live = _live(parts, by, response)
    if live.state.status != "finished":
        await run_in_threadpool(parts.manager.cancel, by, live.id)
    return await run_in_threadpool(_value, parts, live)


@router.delete("/{response}")
async def delete(parts: Server, by: By, response: Id) -> dict[str, Any]:
    """Forget a response and its session."""
    live = _live(parts, by, response)
    await run_in_threadpool(parts.manager.delete, by, live.id)
    return {"id": response, "object": "response", "deleted": True}


def _live(parts: Parts, by: By, response: str) -> Live:
    with parts.manager.lock:
        if not response.startswith("resp_"):
            raise not_found(f"response {response}")
        return parts.manager.registry.get(by.owner, "s_" + response.removeprefix("resp_"))


def _input(parts: Parts, by: By, wanted: ResponseRequest) -> tuple[str, Image.Image | None]:
    """Return the last words of the input, and the picture to edit: the last one given, or of the response
    before.
    """
    text, source = wanted.input if isinstance(wanted.input, str) else "", None
    for item in wanted.input if isinstance(wanted.input, list) else []:
        content = item.get("content")
        for part in [{"type": "input_text", "text": content}] if isinstance(content, str) else content or []:
            if not isinstance(part, dict):
                raise RequestError(
                    422, "invalid", "the content of a message is a text or a list of parts", "input"
                )
            if part.get("type") in ("input_text", "text") and isinstance(part.get("text"), str):
                text = part["text"]
            elif part.get("type") == "input_image":
                url = part.get("image_url")
                if not isinstance(url, str) or not url.startswith("data:"):
                    raise RequestError(
                        422, "invalid", "a picture is given as a data: URL; none is fetched", "input"
                    )
                source = picture(url, "input")
    if not text.strip():
        raise RequestError(422, "invalid", "the input holds no words to paint", "input")
    if source is None and wanted.previous_response_id is not None:
        before = _live(parts, by, wanted.previous_response_id)
        with parts.manager.lock:
            painted = [node for node in before.path(before.state.head) if node.canvas]
            source = parts.manager.registry.canvas(before, painted[-1]) if painted else None
    return text, source


def _stream(
    parts: Parts, live: Live, logs: "OrderedDict[str, tuple[Log, asyncio.Task[None]]]", number: int
) -> StreamingResponse:
    if live.id in logs:
        return sse.response(logs[live.id][0].after(number))

    async def end() -> AsyncIterator[str]:
        """Yield what is left when the events are not kept any more: how it ended."""
        value = await run_in_threadpool(_value, parts, live)
        kind = f"response.{'completed' if value['status'] == 'completed' else 'incomplete'}"
        event = {"type": kind, "sequence_number": number + 1, "response": value}
        yield sse.sse(kind, json.dumps(event))

    return sse.response(end())


# --- values -------------------------------------------------------------------------------------------------


def _value(parts: Parts, live: Live, output: bool = True) -> dict[str, Any]:
    """Return a session as a response."""
    with parts.manager.lock:
        state, problem = live.state, None
        status = {"queued": "queued", "running": "in_progress", "paused": "incomplete"}.get(
            state.status, "completed"
        )
        if state.stop is StopReason.CANCELLED:
            status = "cancelled"
        elif status == "completed" and (problem := failure(live)) is not None:
            status = "failed"
        items = (
            [item for node in live.path(state.head) for item in _items(parts, live, node)] if output else []
        )
        usage = usage_of(parts, live)
    usage["input_tokens_details"] |= {"cached_tokens": 0, "cache_write_tokens": 0}
    usage["output_tokens_details"] |= {"reasoning_tokens": 0}
    return {
        "id": _id(live),
        "object": "response",
        "created_at": int(state.created),
        "status": status,
        "error": None if problem is None else {"code": "server_error", "message": str(problem)},
        "incomplete_details": None,
        "instructions": None,
        "metadata": {"trajectory_id": live.id, "prompt": state.prompt, "stop": str(state.stop or "")},
        "model": state.model,
        "output": items,
        "parallel_tool_calls": False,
        "temperature": state.options.temperature,
        "tool_choice": "auto",
        "tools": [{"type": "image_generation"}],
        "top_p": state.options.top_p,
        "usage": usage if status == "completed" else None,
    }


def _id(live: Live) -> str:
    return "resp_" + live.id.removeprefix("s_")


def _items(parts: Parts, live: Live, node: Node) -> list[dict[str, Any]]:
    found = [_message(live, node.step, node.text, "completed")] if node.text else []
    if node.canvas:
        png = parts.manager.registry.store.png(live.id, canvas_file(node.id))
        found.append(_call(live, node.step, "completed", encoded(png, "png")))
    return found


def _message(live: Live, step: int, text: str | None, status: str) -> dict[str, Any]:
    content = [] if text is None else [_part(text)]
    return {
        "id": f"msg_{live.id[2:]}_{step}",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": content,
    }


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _call(live: Live, step: int, status: str, result: str | None = None) -> dict[str, Any]:
    return {
        "id": f"ig_{live.id[2:]}_{step}",
        "type": "image_generation_call",
        "status": status,
        "result": result,
        "output_format": "png",
    }


# --- events -------------------------------------------------------------------------------------------------


async def _fill(parts: Parts, live: Live, listener: Listener, log: Log, partial: bool) -> None:
    """Turn what is painted into the events of a response, to its end."""
    try:
        await log.add("response.created", response=await run_in_threadpool(_value, parts, live, False))
        await log.add("response.in_progress", response=await run_in_threadpool(_value, parts, live, False))
        at, index = -1, 0
        async for event in events_of(parts, live, listener):
            kind, step = event["type"], event["step"]
            place = {"item_id": f"msg_{live.id[2:]}_{step}", "output_index": at, "content_index": 0}
            call = {"item_id": f"ig_{live.id[2:]}_{step}", "output_index": at}
            if kind == "text_started":
                at += 1
                place["output_index"] = at
                item = _message(live, step, None, "in_progress")
                await log.add("response.output_item.added", output_index=at, item=item)
                await log.add("response.content_part.added", **place, part=_part(""))
            elif kind == "text_delta":
                await log.add("response.output_text.delta", **place, delta=event["text"], logprobs=[])
            elif kind == "text_finished":
                await log.add("response.output_text.done", **place, text=event["text"], logprobs=[])
                await log.add("response.content_part.done", **place, part=_part(event["text"]))
                item = _message(live, step, event["text"], "completed")
                await log.add("response.output_item.done", output_index=at, item=item)
            elif kind == "image_started":
                at, index = at + 1, 0
                call["output_index"] = at
                await log.add(
                    "response.output_item.added", output_index=at, item=_call(live, step, "in_progress")
                )
                await log.add("response.image_generation_call.in_progress", **call)
                await log.add("response.image_generation_call.generating", **call)
            elif kind == "image_preview" and partial:
                shown = {"partial_image_index": index, "partial_image_b64": event["png"]}
                index += 1
                await log.add("response.image_generation_call.partial_image", **call, **shown)
            elif kind == "image_finished":
                await log.add("response.image_generation_call.completed", **call)
                item = _call(live, step, "completed", event["png"])
                await log.add("response.output_item.done", output_index=at, item=item)
        value = await run_in_threadpool(_value, parts, live)
        ending = value["status"] if value["status"] in ("completed", "failed") else "incomplete"
        await log.add(f"response.{ending}", response=value)
    finally:
        await log.end()


def models(parts: Parts) -> dict[str, Any]:
    """Return the one model, as OpenAI lists models."""
    name = parts.manager.painter.name
    model = {"id": name, "object": "model", "created": int(time.time()), "owned_by": "strokewise"}
    return {"object": "list", "data": [model]}
