"""Replicas of the server on Ray Serve, each with its own engine, folder of sessions and number.

Every replica is a deployment of one: Serve starts a lost one again with the same number, and it finds its
sessions on the disk. Knows Ray Serve; what a request means is the business of ``front``.
"""

import hashlib
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.types import Message, Scope

from strokewise.data.executor import Executor
from strokewise.data.ray_workers import connected
from strokewise.errors import ConfigError
from strokewise.serve.app import GRACE
from strokewise.serve.tunnel import FarEnd, LostError, Replica

REQUESTS = 10_000  # of one replica at once; event streams are endless
HEALTH = 2.0  # seconds between two checks of a replica


class Engine:
    """A replica: the application of a server in an actor."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, begin: Callable[[int], FastAPI], number: int
    ) -> None:
        """Load the model and begin to paint."""
        self.app = begin(number)
        self.end = FarEnd(self.app)
        self.life = self.app.router.lifespan_context(self.app)
        await self.life.__aenter__()

    async def answer(self, scope: Scope, body: bytes) -> AsyncIterator[Message]:
        """See :class:`FarEnd`."""
        async for message in self.end.answer(scope, body):
            yield message

    async def load(self) -> int:
        """Return how many sessions are painted or wait."""
        worker = self.app.state.parts.manager.worker
        return len(worker.running) + len(worker.waiting.line)

    def check_health(self) -> None:
        """Raise where it does not paint any more; Serve then starts another."""
        if not self.app.state.parts.manager.worker.alive:
            raise RuntimeError("the thread that paints has ended")

    async def __del__(self) -> None:  # Serve awaits it before it ends a replica
        await self.life.__aexit__(None, None, None)


class _NearEnd:
    """A replica behind a handle of Serve."""

    def __init__(self, handle: Any, errors: tuple[type[Exception], ...]) -> None:
        self.handle, self.errors = handle, errors

    async def answer(self, scope: Scope, body: bytes) -> AsyncIterator[Message]:
        response = self.handle.options(stream=True).answer.remote(scope, body)
        try:
            async for message in response:
                yield message
        except self.errors as error:
            raise LostError from error
        finally:
            response.cancel()

    async def load(self) -> int:
        try:
            return int(await self.handle.load.remote())
        except self.errors as error:
            raise LostError from error


@contextmanager
def running(begin: Callable[[int], FastAPI], executor: Executor, data: Path) -> Iterator[list[Replica]]:
    """Start replicas, and end them after the block.

    Args:
        begin: called in each with its number; gives its application. Can be pickled.
        executor: how many, on which cluster, and the GPUs that each reserves.
        data: folder of their sessions; another server of it on the same cluster gives way to this one.

    Raises:
        ConfigError: if Ray Serve is not installed, the cluster is too small, or a replica cannot begin.
    """
    ray, count = connected(executor.address), executor.workers
    try:
        from ray import serve
    except ImportError as error:
        raise ConfigError("replicas on Ray need: pip install 'strokewise[ray]'") from error
    _check_room(ray.cluster_resources(), count, executor.gpus)
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    serve.start(proxy_location="Disabled", logging_config={"enable_access_log": False})
    names = [f"strokewise-{_digest(data)}-{number}" for number in range(count)]
    with suppress(serve.exceptions.RayServeException):
        _delete(serve, [name for name in serve.status().applications if name.startswith(names[0][:-1])])
    deployment: Any = serve.deployment(
        Engine,
        ray_actor_options={"num_cpus": 1, "num_gpus": executor.gpus},
        max_ongoing_requests=REQUESTS,
        health_check_period_s=HEALTH,
        graceful_shutdown_timeout_s=GRACE + 10,
        max_constructor_retry_count=1,
    )
    targets = [
        serve.RunTarget(deployment.bind(begin, number), name=name, route_prefix=None)
        for number, name in enumerate(names)
    ]
    errors = (ray.exceptions.RayError, serve.exceptions.RayServeException)
    try:
        try:
            handles = serve.run_many(targets)
        except RuntimeError as error:
            raise ConfigError(f"a replica cannot begin: {_reason(str(error))}") from error
        yield [_NearEnd(handle, errors) for handle in handles]
    finally:
        _delete(serve, names)


def _check_room(there: dict[str, float], count: int, gpus: float) -> None:
    """Refuse what a cluster has no room for; Serve would wait for ever."""
    for kind, each in (("CPU", 1.0), ("GPU", gpus)):
        if there.get(kind, 0) < each * count:
            has = f"the Ray cluster has {there.get(kind, 0):g} {kind}s"
            raise ConfigError(
                f"{has}, and {count} replicas need {each * count:g}; take fewer --replicas, or add nodes"
            )


def _delete(serve: Any, names: list[str]) -> None:
    for name in names:
        serve.delete(name, _blocking=False)
    for name in names:
        serve.delete(name)


def _digest(data: Path) -> str:
    return hashlib.sha256(str(data.resolve()).encode()).hexdigest()[:8]


def _reason(text: str) -> str:
    """Return the error of ours in what Serve says of a replica; or else the end of all that it says."""
    found = re.findall(r"strokewise\.\S+Error: (.+)", text)
    return found[-1] if found else " ".join(text.split())[-500:]
