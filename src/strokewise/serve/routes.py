"""Our own API: sessions, their trees and events, and what the server is. Parses, calls, answers."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, FiniteFloat

from strokewise import __version__
from strokewise.serve import sse
from strokewise.serve.deps import By, Parts, Server, picture
from strokewise.serve.limits import LISTED, TEXT
from strokewise.serve.live import SOURCE, canvas_file, canvas_url
from strokewise.serve.problems import not_found
from strokewise.serve.requests import Copying, Edit, Naming, NewSession, Resume
from strokewise.serve.values import Node, SessionValue, Summary
from strokewise.trajectory.files import encode_png
from strokewise.trajectory.page import changes

router = APIRouter(prefix="/v1")
Id = Annotated[str, Path(max_length=40)]
Number = Annotated[int, Path(ge=0, le=10**9, alias="node")]
Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=200)]
PNG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}}}


class Sessions(BaseModel):
    """Some sessions, the newest first."""

    sessions: list[Summary]
    more: bool


@router.get("/server")
def server(parts: Server, by: By) -> dict[str, Any]:
    """Return what the server paints with, and what it accepts."""
    manager, limits = parts.manager, parts.limits
    painter, canvas = manager.painter, manager.painter.generator.canvas
    sprites = painter.vocabulary is not None
    with manager.lock:
        queue = {"running": len(manager.worker.running), "waiting": len(manager.worker.waiting.line)}
    return {
        "name": "strokewise",
        "version": __version__,
        "model": painter.name,
        "world": "sprite" if sprites else None,
        "critic": "oracle" if sprites else None,
        "defaults": vars(manager.options({})),
        "limits": {
            **vars(limits),
            "size": [canvas.stride, canvas.largest, canvas.stride],
            "batch": manager.worker.batch,
            "text": TEXT,
        },
        "queue": queue,
    }


# --- sessions -----------------------------------------------------------------------------------------------


@router.post("/sessions", status_code=201)
def create(parts: Server, by: By, new: NewSession, response: Response, key: Key = None) -> SessionValue:
    """Request a painting; it is painted as soon as there is room."""
    source = picture(new.image, "image")
    manager = parts.manager
    (live,), made = manager.registry.once(by.owner, key, new, lambda: [manager.create(by, new, source)])
    response.status_code = 201 if made else 200
    return _value(parts, live.id, by)


@router.get("/sessions")
def list_sessions(
    parts: Server,
    by: By,
    limit: Annotated[int, Query(ge=1, le=500)] = LISTED,
    before: Annotated[
        str | None, Query(max_length=40, description="only sessions older than this one")
    ] = None,
    created_before: Annotated[
        FiniteFloat | None, Query(description="only sessions that were made before this time, in seconds")
    ] = None,
    q: Annotated[str, Query(max_length=200, description="words in prompt or name")] = "",
    star: bool | None = None,
) -> Sessions:
    """Return sessions of this key, the newest first."""
    with parts.manager.lock:
        lives = list(parts.manager.registry.of(by.owner))
        if before is not None:
            at = lives.index(parts.manager.registry.get(by.owner, before))
            lives = lives[at + 1 :]
        found = [
            live.summary()
            for live in lives
            if q.lower() in f"{live.state.prompt} {live.state.original_prompt} {live.state.name}".lower()
            and star in (None, live.state.star)
            and (created_before is None or live.state.created < created_before)
        ]
    return Sessions(sessions=found[:limit], more=len(found) > limit)


@router.get("/sessions/{session}")
def read(parts: Server, by: By, session: Id) -> SessionValue:
    """Return a session with its tree."""
    return _value(parts, session, by)


@router.delete("/sessions/{session}", status_code=204)
def delete(parts: Server, by: By, session: Id) -> None:
    """Forget a session and its pictures."""
    parts.manager.delete(by, session)


@router.patch("/sessions/{session}")
def rename(parts: Server, by: By, session: Id, naming: Naming) -> SessionValue:
    """Name or star a session."""
    parts.manager.rename(by, session, naming.name, naming.star)
    return _value(parts, session, by)


@router.post("/sessions/{session}/pause")
def pause(parts: Server, by: By, session: Id) -> SessionValue:
    """Stop after the stage under way."""
    parts.manager.pause(by, session)
    return _value(parts, session, by)


@router.post("/sessions/{session}/continue")
def resume(parts: Server, by: By, session: Id, wanted: Resume) -> SessionValue:
    """Resume, by one stage, one canvas or to the end; or branch at a node."""
    parts.manager.resume(by, session, wanted)
    return _value(parts, session, by)


@router.post("/sessions/{session}/cancel")
def cancel(parts: Server, by: By, session: Id) -> SessionValue:
    """End a session at the next stage."""
    parts.manager.cancel(by, session)
    return _value(parts, session, by)


@router.post("/sessions/{session}/copy", status_code=201)
def copy(parts: Server, by: By, session: Id, wanted: Copying, key: Key = None) -> SessionValue:
    """Return the path to a node as a new session."""
    manager = parts.manager
    (live,), _ = manager.registry.once(
        by.owner, key, (session, wanted), lambda: [manager.copy(by, session, wanted.node)]
    )
    return _value(parts, live.id, by)


@router.get("/sessions/{session}/events", response_class=StreamingResponse)
async def events(
    parts: Server,
    by: By,
    session: Id,
    last: Annotated[str | None, Header(alias="Last-Event-ID", max_length=100)] = None,
    last_event_id: Annotated[str | None, Query(max_length=100)] = None,
) -> StreamingResponse:
    """Return what happens, as server-sent events; rejoins after the last one that was received."""
    registry = parts.manager.registry
    live = registry.get(by.owner, session)
    return sse.response(sse.follow(registry, live, last or last_event_id))


# --- nodes --------------------------------------------------------------------------------------------------


@router.patch("/sessions/{session}/nodes/{node}")
def rename_node(parts: Server, by: By, session: Id, node: Number, naming: Naming) -> Node:
    """Name or star a node."""
    return parts.manager.rename_node(by, session, node, naming.name, naming.star)


@router.post("/sessions/{session}/nodes/{node}/edit")
def edit(parts: Server, by: By, session: Id, node: Number, wanted: Edit) -> SessionValue:
    """Return a corrected copy of a node beside it; painting continues from there."""
    parts.manager.edit(by, session, node, wanted, picture(wanted.canvas, "canvas"))
    return _value(parts, session, by)


@router.get("/sessions/{session}/nodes/{node}/canvas.png", response_class=Response, responses=PNG)
def canvas(parts: Server, by: By, session: Id, node: Number) -> Response:
    """Return the canvas of a node."""
    manager = parts.manager
    with manager.lock:
        found = manager.registry.get(by.owner, session).node(node)
    if found.canvas is None:
        raise not_found(f"canvas of node {node}; it has words only")
    return _png(manager.registry.store.png(session, canvas_file(node)), canvas_url(session, node))


@router.get("/sessions/{session}/source.png", response_class=Response, responses=PNG)
def source(parts: Server, by: By, session: Id) -> Response:
    """Return the picture that is edited."""
    live = parts.manager.registry.get(by.owner, session)
    if live.state.source is None:
        raise not_found("picture that this session edits")
    return _png(parts.manager.registry.store.png(session, SOURCE), live.state.source)


@router.get("/sessions/{session}/difference", response_class=Response, responses=PNG)
def difference(
    parts: Server,
    by: By,
    session: Id,
    a: Annotated[int, Query(ge=0, le=10**9)],
    b: Annotated[int, Query(ge=0, le=10**9)],
) -> Response:
    """Return what differs in node b from node a: in color and outlined, all else faded."""
    registry = parts.manager.registry
    with parts.manager.lock:
        live = registry.get(by.owner, session)
        pictures = [registry.canvas(live, live.node(number)) for number in (a, b)]
    if pictures[0] is None or pictures[1] is None:
        raise not_found("canvas in one of the two nodes")
    return _png(encode_png(changes(pictures[0], pictures[1])[0]), f"{session}-{a}-{b}")


def _value(parts: Parts, session: str, by: By) -> SessionValue:
    with parts.manager.lock:
        registry = parts.manager.registry
        return registry.value(registry.get(by.owner, session)).model_copy(deep=True)


def _png(data: bytes, tag: str) -> Response:
    """Return a picture that never changes under its address."""
    headers = {"cache-control": "private, max-age=31536000, immutable", "etag": f'"{tag}"'}
    return Response(data, media_type="image/png", headers=headers)
