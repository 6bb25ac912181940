"""An HTTP client for services that may misbehave, to be handed to the ``openai`` client.

It bounds what a service can do to this process: a deadline for the whole answer (not only for each read), a
size limit that holds after decompression, no redirects, and no header of the answer but the few that the
``openai`` client needs. Whatever is wrong becomes an error that the ``openai`` client retries. This file
knows bytes. It refuses to know what a request is about.
"""

import socket
import ssl
import threading
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import httpx

# Of an answer, what the openai client decides its retries by.
_KEPT_HEADERS = ("retry-after", "retry-after-ms", "x-should-retry")
_INFLATED = ("gzip", "x-gzip", "deflate")
_CHUNK = 65_536


@cache
def _certificates() -> ssl.SSLContext:
    """Return the certificates that are trusted, which take a while to load, once for all clients."""
    return httpx.create_ssl_context()


class GuardedClient(httpx.Client):
    """A client whose every request is counted, and whose every answer is bounded in time and size."""

    def __init__(
        self,
        seconds: float,
        max_bytes: int,
        concurrent: int,
        admit: Callable[[], Exception | None],
        check: Callable[[bytes], None],
    ) -> None:
        """Bound the answers of a service.

        Args:
            seconds: until the whole answer must have been read.
            max_bytes: of an answer's body, after decompression.
            concurrent: requests under way at once.
            admit: called before each request; an error that it returns is what ``refusal_of`` finds in the
                response, and nothing is sent.
            check: called with the body of each successful answer; a ValueError makes it a failed request.
        """
        # A connection serves one request, so that the deadline can cut it.
        super().__init__(
            verify=_certificates(), timeout=seconds, limits=httpx.Limits(max_keepalive_connections=0)
        )
        self.headers["accept-encoding"] = "identity"
        self._seconds, self._max_bytes, self._check_body = seconds, max_bytes, check
        self._slots, self._admit = threading.Semaphore(concurrent), admit

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Send a request and read the whole answer.

        Raises:
            httpx.RequestError: if the connection fails, the deadline passes, or the answer is too large or
                refused by ``check``.
        """
        with self._slots:
            if (refusal := self._admit()) is not None:
                extensions = {"refusal": refusal}
                headers = {"x-should-retry": "false"}
                return httpx.Response(429, headers=headers, request=request, extensions=extensions)
            with _Deadline(self._seconds) as deadline:
                request.extensions = {**request.extensions, "trace": deadline.trace}
                try:
                    status, headers, data = self._exchange(request, options)
                except Exception as error:
                    if deadline.passed:
                        raise self._too_late(request) from error
                    raise
            if deadline.passed:  # a connection that was cut can look like the end of the answer
                raise self._too_late(request)
        if 200 <= status < 300:
            try:
                self._check_body(data)
            except ValueError as error:
                raise httpx.RemoteProtocolError(str(error), request=request) from error
        return httpx.Response(status, headers=headers, content=data, request=request)

    def _exchange(self, request: httpx.Request, options: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers worth keeping, and body."""
        response = super().send(request, **options | {"stream": True, "follow_redirects": False})
        try:
            headers = {key: response.headers[key] for key in _KEPT_HEADERS if key in response.headers}
            return response.status_code, headers | {"content-type": "application/json"}, self._read(response)
        finally:
            response.close()

    def _read(self, response: httpx.Response) -> bytes:
        """Return the body, decompressed, as far as the limit goes."""
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity", *_INFLATED):
            raise httpx.DecodingError(f"the answer is encoded as {encoding[:20]!r}", request=response.request)
        inflater = zlib.decompressobj(wbits=47) if encoding in _INFLATED else None  # 47: zlib or gzip
        data = bytearray()
        for chunk in response.iter_raw(_CHUNK):
            try:
                room = self._max_bytes + 1 - len(data)
                data += chunk if inflater is None else inflater.decompress(chunk, room)
            except zlib.error as error:
                raise httpx.DecodingError(f"the answer is damaged: {error}") from error
            if len(data) > self._max_bytes:
                raise httpx.RemoteProtocolError(f"the answer is larger than {self._max_bytes:,} bytes")
        return bytes(data)

    def _too_late(self, request: httpx.Request) -> httpx.ReadTimeout:
        return httpx.ReadTimeout(f"no whole answer within {self._seconds:g} seconds", request=request)


def refusal_of(response: httpx.Response) -> Exception | None:
    """Return the error for which ``admit`` kept a request from being sent; None if it was sent."""
    found = response.extensions.get("refusal")
    return found if isinstance(found, Exception) else None


class _Deadline:
    """Shuts the sockets of a request when its time is up, whatever is being waited for."""

    def __init__(self, seconds: float) -> None:
        self.passed = False
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> "_Deadline":
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Take note of each socket that a connection (plain, then TLS) is made of; called by httpcore."""
        made = info.get("return_value")
        if event.endswith(("connect_tcp.complete", "start_tls.complete")) and made is not None:
            self._sockets.append(made.get_extra_info("socket"))
            if self.passed:
                self._cut()

    def _cut(self) -> None:
        self.passed = True
        for connected in self._sockets:
            try:
                # Not the method of a TLS socket, which would also take its state from under the reader.
                socket.socket.shutdown(connected, socket.SHUT_RDWR)
            except OSError:
                continue  # closed already
