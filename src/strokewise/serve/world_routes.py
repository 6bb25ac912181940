"""Helpers of the sprite world over HTTP: its words with icons, reading prompts and canvases, drawing."""

import base64
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pydantic import BaseModel

from strokewise.serve import critic
from strokewise.serve.deps import By, Server, parts_of, picture
from strokewise.serve.problems import RequestError, not_found
from strokewise.serve.requests import PromptQuery, RecognizeQuery, RenderQuery
from strokewise.serve.values import CanvasThing
from strokewise.trajectory.files import encode_png
from strokewise.world.recognize import recognize


def sprites(request: Request) -> None:
    """Refuse where the model paints no sprite world."""
    if parts_of(request).manager.painter.vocabulary is None:
        raise not_found("vocabulary: this model paints any world")


router = APIRouter(prefix="/v1/world", dependencies=[Depends(sprites)])


class Recognized(BaseModel):
    """What a canvas shows."""

    things: list[CanvasThing]
    background: str
    unknown: int


@router.get("")
def world(parts: Server, by: By) -> dict[str, Any]:
    """Return all words of the model, with icons."""
    vocabulary = parts.manager.painter.vocabulary
    assert vocabulary is not None, "the router refuses other models"
    return critic.words(vocabulary)


@router.get("/icons/{name}.png", response_class=Response)
def icon(
    name: Annotated[str, Path(max_length=40)],
    color: Annotated[str | None, Query(max_length=40)] = None,
    size: Annotated[int, Query(ge=16, le=256)] = 64,
) -> Response:
    """Return a thing as it is drawn."""
    data = critic.icon(name, color, size)
    return Response(data, media_type="image/png", headers={"cache-control": "private, max-age=86400"})


@router.post("/prompt")
def prompt(parts: Server, by: By, query: PromptQuery) -> dict[str, Any]:
    """Return a prompt as the model is fed it."""
    vocabulary = parts.manager.painter.vocabulary
    assert vocabulary is not None, "the router refuses other models"
    parts.manager.check_prompt(query.prompt)
    prepared = vocabulary.prepare(query.prompt, query.instruct, query.editing)
    return prepared._asdict()


@router.post("/recognize")
def recognized(parts: Server, by: By, query: RecognizeQuery) -> Recognized:
    """Return what a picture, or the canvas of a node, shows."""
    image = picture(query.image, "image")
    if image is None and query.session is not None and query.node is not None:
        registry = parts.manager.registry
        with parts.manager.lock:
            live = registry.get(by.owner, query.session)
            image = registry.canvas(live, live.node(query.node))
    if image is None:
        raise RequestError(422, "invalid", "give an image, or a session and a node with a canvas", "image")
    found = recognize(image)
    return Recognized(things=critic.things_of(found), background=found.background, unknown=len(found.unknown))


@router.post("/render", response_model=None)
def rendered(
    query: RenderQuery, accept: Annotated[str, Header(max_length=1000)] = ""
) -> Response | dict[str, str]:
    """Return a canvas of things."""
    png = encode_png(critic.draw(query.things, query.background, query.size))
    if "image/png" in accept:
        return Response(png, media_type="image/png")
    return {"image": base64.b64encode(png).decode()}
