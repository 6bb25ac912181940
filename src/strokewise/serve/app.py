"""The application: its parts tied together, its errors as JSON, its page, and its life from start to stop."""

import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from strokewise import __version__
from strokewise.errors import StrokewiseError
from strokewise.inference.painter import Painter
from strokewise.inference.prompt_check import Vocabulary
from strokewise.serve import (
    critic,
    file_routes,
    openai_common,
    openai_images,
    openai_responses,
    problems,
    routes,
    world_routes,
)
from strokewise.serve.deps import Parts, Server
from strokewise.serve.limits import Limits
from strokewise.serve.live import Live, Registry
from strokewise.serve.manager import Manager
from strokewise.serve.metrics import Metrics
from strokewise.serve.page import Page
from strokewise.serve.problems import RequestError
from strokewise.serve.requests import Login
from strokewise.serve.security import COOKIE, Guard, Keys
from strokewise.serve.store import Store
from strokewise.serve.values import Node
from strokewise.serve.worker import Worker

log = logging.getLogger(__name__)
GRACE = 60.0  # seconds for the stage under way when the server stops


class Judging:
    """The critic's thread: it looks at every new canvas and notes what it sees in its node."""

    def __init__(self, registry: Registry) -> None:
        """Prepare to judge canvases of a registry's sessions."""
        self.registry, self.pool = registry, ThreadPoolExecutor(1, "critic")

    def __call__(self, live: Live, node: Node) -> None:
        """Judge a canvas soon."""
        self.pool.submit(self._judge, live, node)

    def _judge(self, live: Live, node: Node) -> None:
        try:
            with self.registry.lock:
                plans = [n.message.des for n in live.path(node.id) if n.message.des]
                canvas = self.registry.canvas(live, node)
            assert canvas is not None, "only canvases are judged"
            found = critic.judge(live.state.prompt, plans[-1] if plans else None, canvas)
            with self.registry.lock:
                if found is not None and self.registry.lives.get(live.id) is live:
                    node.critic = found
                    self.registry.changed(live, node)
        except Exception:  # a canvas that cannot be judged stays without a word of the critic
            log.exception("the critic failed at node %s of session %s", node.id, live.id)


def make_app(
    painter: Painter,
    data: Path,
    keys: Keys,
    batch: int = 8,
    limits: Limits | None = None,
    replica: int | None = None,
) -> FastAPI:
    """Return the application of a server.

    Args:
        painter: the model.
        data: folder of its sessions.
        keys: holders of one may send requests; none: everybody on this machine.
        batch: sessions under way at once.
        limits: what it accepts.
        replica: its number, where it is one of several.

    Raises:
        ConfigError: if the folder cannot be used.
    """
    limits, metrics = limits or Limits(), Metrics()
    registry = Registry(Store(data), replica)
    judging = Judging(registry)
    judge = judging if painter.vocabulary is not None else lambda live, node: None
    worker = Worker(painter, registry, batch, limits.queue, metrics, judge)
    manager = Manager(painter, registry, worker, limits)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        worker.start()
        yield
        worker.stop(GRACE)
        judging.pool.shutdown(cancel_futures=True)
        registry.store.close()

    app = FastAPI(
        title="Strokewise",
        version=__version__,
        summary="Paintings that a person can watch, stop, correct and branch.",
        docs_url=None,
        redoc_url=None,
        lifespan=life,
        middleware=[Middleware(Guard, keys=keys, max_body=limits.body)],
        responses={"4XX": {"description": "What is wrong and what to do.", "model": problems.ErrorBody}},
    )
    app.state.parts = Parts(manager, keys, metrics, limits)
    _answer_errors(app)
    _add_basics(app)
    _add_page(app, painter.vocabulary)
    app.include_router(file_routes.router)
    app.include_router(routes.router)
    app.include_router(world_routes.router)
    app.include_router(openai_images.router)
    app.include_router(openai_responses.router)
    return app


def _answer_errors(app: FastAPI) -> None:
    """Every error as JSON that says what is wrong and what to do."""

    @app.exception_handler(StrokewiseError)
    async def ours(request: Request, error: StrokewiseError) -> Response:
        problem = problems.of(error)
        return JSONResponse(problem.body(), problem.status, problem.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"][1:]) or str(fault["loc"][0])
        message = f"{place}: {fault['msg'][:1].lower()}{fault['msg'][1:]}"
        return JSONResponse(RequestError(422, "invalid", message, place).body(), 422)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        cause = error.__cause__
        if isinstance(cause, RequestError):
            problem = cause
        elif error.status_code == 404:
            problem = problems.not_found(f"{request.method} {request.url.path}")
        else:
            problem = RequestError(error.status_code, "invalid", f"{error.detail}; see /openapi.json")
        headers = {**(error.headers or {}), **problem.headers}
        return JSONResponse(problem.body(), problem.status, headers)

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> Response:
        return JSONResponse(RequestError(500, "internal", "the server failed; its log says more").body(), 500)


def _add_page(app: FastAPI, vocabulary: Vocabulary | None) -> None:
    """Serve the studio; clients that may send requests get the first answers with it."""
    studio = Page()
    # Reading the pictures of all words takes a moment; nobody shall wait for it.
    world = None if vocabulary is None else critic.words(vocabulary)

    @app.get("/", include_in_schema=False)
    def page(parts: Server, request: Request) -> Response:
        caller = request.state.caller
        known = {} if caller is None else {"server": routes.server(parts, caller), "world": world}
        return studio.response(request, known)

    app.add_route("/static/{version}/{name:path}", studio.file, include_in_schema=False)


def _add_basics(app: FastAPI) -> None:
    """Health, metrics, models, and the key of a browser."""

    @app.get("/health", response_class=Response)
    async def health(parts: Server) -> Response:
        """200 as long as the server paints."""
        if parts.manager.worker.stopping or not parts.manager.worker.alive:
            raise problems.stopping()
        return Response("ok", media_type="text/plain")

    @app.get("/metrics", response_class=Response)
    async def metrics(parts: Server) -> Response:
        """Return numbers for Prometheus."""
        return Response(parts.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/v1/models")
    def models(parts: Server) -> dict[str, Any]:
        """Return the model of this server."""
        return openai_responses.models(parts)

    @app.get("/v1/models/{name:path}")
    def model(parts: Server, name: str) -> dict[str, Any]:
        """Return the model of this server, by its name."""
        openai_common.check_model(parts, name)
        found: dict[str, Any] = openai_responses.models(parts)["data"][0]
        return found

    @app.post("/v1/login", status_code=204)
    async def login(parts: Server, request: Request, typed: Login, response: Response) -> None:
        """Set a cookie in place of a key, for browsers."""
        owner = parts.keys.owner(typed.key) if parts.keys else "local"
        if owner is None:
            raise RequestError(401, "unauthorized", "this is not a key of this server", "key")
        secure = request.url.scheme == "https"
        response.set_cookie(
            COOKIE,
            parts.keys.token(owner),
            httponly=True,
            samesite="strict",
            secure=secure,
            max_age=30 * 86400,
        )

    @app.post("/v1/logout", status_code=204)
    async def logout(response: Response) -> None:
        """Forget the cookie."""
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
