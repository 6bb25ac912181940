"""One server in front of several replicas: each request goes to the replica that holds its session.

A session's id names its replica. New sessions go to the replica with the fewest under way; what is told of
all sessions is gathered from all replicas. Knows paths and ids; it refuses to know what a session is, and
what carries a request to a replica (``on_ray``).
"""

import asyncio
import hashlib
import json
import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from strokewise.serve import gathering, problems
from strokewise.serve.gathering import Answer
from strokewise.serve.problems import RequestError
from strokewise.serve.tunnel import TAKEN, LostError, Replica, wire

log = logging.getLogger(__name__)
PATIENCE = 10.0  # seconds in which a replica must take a request
FULL = (409, 429, 503)  # statuses of a replica that has no room: others may have
_HOLDER = re.compile(r"/v1/(sessions|responses)/([^/]+)(?:/.*)?")
_ID = re.compile(r"(?:s|resp)_(\d{1,6})_[0-9a-f]{16}")
# What bodies name a session in, by path.
_NAMED = {"/v1/responses": "previous_response_id", "/v1/world/recognize": "session"}


class Front:
    """The application; what guards it (``security``) stands before it."""

    def __init__(self, replicas: Sequence[Replica], patience: float = PATIENCE) -> None:
        """Stand before replicas; ``patience``: seconds in which one must take a request."""
        self.replicas, self.patience = replicas, patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request as its replica does."""
        if scope["type"] != "http":
            return
        try:
            body = await Request(scope, receive).body()
            response = await self._response(wire(scope), body)
        except ClientDisconnect:
            return
        except RequestError as problem:
            response = JSONResponse(problem.body(), problem.status, problem.headers)
        try:
            await response(scope, receive, send)
        except LostError:  # the server cuts the connection, from which the client knows
            log.warning("a replica was lost amid the response to %s %s", scope["method"], scope["path"])

    async def _response(self, scope: Scope, body: bytes) -> Response:
        path = scope["path"]
        gathered = gathering.rule(scope["method"], path)
        if gathered is not None:
            return await self._gathered(gathered, scope, body)
        session = _session(path, body)
        if session is not None:
            return await self._opened(self._holder(session), scope, body)
        return await self._anywhere(scope, body)

    def _holder(self, session: str) -> int:
        """Return the number of the replica that holds a session or a response."""
        found = _ID.fullmatch(session)
        if found is None:
            raise problems.not_found(f"session {session}")
        number = int(found[1])
        if number >= len(self.replicas):
            message = f"session {session} is held by replica {number}; start the server with more --replicas"
            raise RequestError(404, "not_found", message)
        return number

    # --- one replica --------------------------------------------------------------------------------------

    async def _anywhere(self, scope: Scope, body: bytes) -> Response:
        """Return the answer of the replica with the fewest sessions under way that has room."""
        headers = Headers(raw=scope["headers"])
        if key := headers.get("idempotency-key"):  # the same key, the same replica
            number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % len(self.replicas)
            return await self._opened(number, scope, body)
        order = await self._by_load()
        for place, number in enumerate(order, 1):
            try:
                response = await self._opened(number, scope, body)
            except RequestError:
                if place == len(order):
                    raise
                continue
            if response.status_code not in FULL or place == len(order):
                break
            async for _ in response.body_iterator:
                pass
        return response

    async def _by_load(self) -> list[int]:
        """Return the replicas that can be reached, the one with least to do first."""
        loads = await asyncio.gather(*(self._load(replica) for replica in self.replicas))
        found = sorted((load, number) for number, load in enumerate(loads) if load is not None)
        if not found:
            raise _lost("no replica can be reached; they are being started again")
        return [number for _, number in found]

    async def _load(self, replica: Replica) -> int | None:
        try:
            return await asyncio.wait_for(replica.load(), self.patience)
        except (LostError, TimeoutError):
            return None

    async def _opened(self, number: int, scope: Scope, body: bytes) -> StreamingResponse:
        """Return the response of a replica as soon as it begins; its body comes piece by piece."""
        messages = self.replicas[number].answer(scope, body)
        try:
            taken = await asyncio.wait_for(anext(messages), self.patience)
            assert taken == TAKEN, taken
            start = await anext(messages)
        except (LostError, TimeoutError, StopAsyncIteration) as error:
            await messages.aclose()  # type: ignore[attr-defined]
            raise _lost(f"replica {number}, which holds this, was lost and is being started again") from error
        except BaseException:
            await messages.aclose()  # type: ignore[attr-defined]
            raise
        response = StreamingResponse(_pieces(messages), start["status"])
        response.raw_headers = [(bytes(name), bytes(value)) for name, value in start["headers"]]
        return response

    # --- all replicas -------------------------------------------------------------------------------------

    async def _gathered(self, rule: gathering.Rule, scope: Scope, body: bytes) -> Response:
        """Return one answer made of those of all replicas."""
        if scope["path"] == "/v1/sessions":
            scope = await self._dated(scope)
        answers = await asyncio.gather(*(self._whole(n, scope, body) for n in range(len(self.replicas))))
        there = {number: answer for number, answer in enumerate(answers) if answer is not None}
        if not there or (rule.complete and len(there) < len(answers)):
            raise _lost("a replica was lost and is being started again; what it holds is missing")
        good = {number: answer for number, answer in there.items() if answer.status < 300}
        failed = [answer for answer in there.values() if answer.status >= 500]
        if not good or (rule.complete and failed):
            return next(iter(failed or there.values())).response()
        return rule.merge(good, dict(parse_qsl(scope["query_string"].decode("latin-1")))).response()

    async def _dated(self, scope: Scope) -> Scope:
        """Return the request of a list after a session as one after its time: only one replica knows it."""
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        if "before" not in query:
            return scope
        path = f"/v1/sessions/{query.pop('before')}"
        one = {**scope, "path": path, "raw_path": path.encode(), "query_string": b""}
        answer = await self._whole(self._holder(path.rpartition("/")[2]), one, b"")
        if answer is None:
            raise _lost("the replica that holds this session was lost and is being started again")
        if answer.status != 200:
            raise problems.not_found(f"session {path.rpartition('/')[2]}")
        query["created_before"] = repr(json.loads(answer.body)["created"])
        return {**scope, "query_string": urlencode(query).encode()}

    async def _whole(self, number: int, scope: Scope, body: bytes) -> Answer | None:
        """Return the whole answer of a replica; None if it is lost."""
        try:
            response = await self._opened(number, scope, body)
            data = b"".join([bytes(piece) async for piece in response.body_iterator])  # type: ignore[arg-type]
        except (RequestError, LostError):
            return None
        return Answer(response.status_code, response.raw_headers, data)


async def _pieces(messages: AsyncIterator[Message]) -> AsyncIterator[bytes]:
    """Yield the body of a response, and raise LostError if its end does not come."""
    more = True
    async with aclosing(messages) as open_:  # type: ignore[type-var]
        async for message in open_:
            if message["type"] == "http.response.body":
                more = message.get("more_body", False)
                yield message.get("body", b"")
    if more:
        raise LostError


def _session(path: str, body: bytes) -> str | None:
    """Return the session that a request is about, by its path or its body."""
    found = _HOLDER.fullmatch(path)
    if found is not None and path != "/v1/sessions/import":
        return found[2]
    if (field := _NAMED.get(path)) is None:
        return None
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None  # any replica says what is wrong
    named = value.get(field) if isinstance(value, dict) else None
    return named if isinstance(named, str) else None


def _lost(message: str) -> RequestError:
    return RequestError(503, "replica_lost", f"{message}; try again soon", headers={"Retry-After": "10"})
