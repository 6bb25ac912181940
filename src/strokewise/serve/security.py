"""Who may send requests of what size: hosts, origins, keys, the size of bodies, and headers of responses.

An ASGI middleware around everything. Without a key only this machine is answered, and only under its name,
so that no page of another site can reach the server by way of a browser. Knows bytes of HTTP; no sessions.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from strokewise.serve.limits import Caller
from strokewise.serve.problems import RequestError

COOKIE = "strokewise"
LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self';"
    " font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
OPEN = ("/v1/login",)  # of /v1, what needs no key


class Keys:
    """The keys of a server; those who hold the same one share their sessions. Only digests are kept, so that
    it can be sent to other processes.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        """Know some keys; none: everybody on this machine may send requests."""
        self._secret = secrets.token_bytes(32)
        self._digests = [_digest(key) for key in keys]

    def __bool__(self) -> bool:
        """Return whether a key is needed."""
        return bool(self._digests)

    def owner(self, key: str) -> str | None:
        """Return who holds a key; None if it is none of ours."""
        given = _digest(key)
        known = [hmac.compare_digest(given, digest) for digest in self._digests]
        return given[:16] if any(known) else None

    def token(self, owner: str) -> str:
        """Return what a browser keeps in place of the key; it is valid until the server ends."""
        return f"{owner}.{hmac.new(self._secret, owner.encode(), 'sha256').hexdigest()}"

    def owner_of(self, headers: Headers) -> str | None:
        """Return whose request this is; None: it holds no valid key."""
        if not self:
            return "local"
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and (owner := self.owner(key.strip())):
            return owner
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return None
        token = morsel.value if morsel is not None else ""
        owner = token.partition(".")[0]
        return owner if token and hmac.compare_digest(self.token(owner).encode(), token.encode()) else None


class Guard:
    """The middleware."""

    def __init__(self, app: ASGIApp, keys: Keys, max_body: int) -> None:
        """Guard an application."""
        self.app, self.keys, self.max_body = app, keys, max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on with the caller in its state."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = "req_" + secrets.token_hex(8)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in (HEADERS | {"x-request-id": request_id}).items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        headers = Headers(scope=scope)
        try:
            scope.setdefault("state", {})["caller"] = self._caller(scope, headers)
            bounded = self._bounded(headers, receive)
        except RequestError as problem:
            response = JSONResponse(problem.body(), problem.status, problem.headers)
            await response(scope, receive, answer)
            return
        await self.app(scope, bounded, answer)

    def _caller(self, scope: Scope, headers: Headers) -> Caller | None:
        host = headers.get("host", "")
        if not self.keys and _name(host) not in LOCAL:
            raise RequestError(
                403, "forbidden", "this server answers to localhost only; start it with --api-key"
            )
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            raise RequestError(403, "forbidden", "requests of pages from elsewhere are refused")
        owner, path = self.keys.owner_of(headers), str(scope["path"])
        elsewhere = headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        if elsewhere and path.startswith("/v1"):
            raise RequestError(403, "forbidden", "requests of pages from elsewhere are refused")
        if owner is None:
            if path.startswith("/v1") and path not in OPEN:
                message = "a valid key is needed: send the header Authorization: Bearer KEY"
                raise RequestError(401, "unauthorized", message, headers={"WWW-Authenticate": "Bearer"})
            return None
        address = scope["client"][0] if scope.get("client") else ""
        return Caller(owner, f"{owner} {address}")

    def _bounded(self, headers: Headers, receive: Receive) -> Receive:
        """Return the body, refused as soon as it is longer than allowed."""
        too_large = RequestError(
            413, "too_large", f"a request has at most {self.max_body} bytes; send a smaller one"
        )
        stated = headers.get("content-length", "0")
        if not stated.isdecimal() or int(stated[:20]) > self.max_body:
            raise too_large
        left = self.max_body

        async def bounded() -> Message:
            nonlocal left
            message: Any = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise too_large
            return message

        return bounded


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def _name(host: str) -> str:
    """Return the name of a Host header, without its port."""
    name = host.lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0]
