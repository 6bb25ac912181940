"""A small server that speaks the chat-completions protocol, and misbehaves on request."""

import gzip
import json
import math
import socket
import struct
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import openai
import pytest
from tests.local_server import running

from strokewise.critics.vlm_client import VlmClient
from strokewise.io.services import QueryLimits


class Server(ThreadingHTTPServer):
    """Answers requests in order with what ``script`` holds, then with ``always``.

    An entry is a value (sent as the answer's JSON text), or one of the functions below.
    """

    daemon_threads = True
    script = ()
    always = None

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests, self.lock, self.busy, self.busiest = [], threading.Lock(), 0, 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.lock:
            number = len(server.requests)
            server.requests.append({"path": self.path, "key": self.headers["Authorization"], **body})
            server.busy += 1
            server.busiest = max(server.busiest, server.busy)
        try:
            entry = server.script[number] if number < len(server.script) else server.always
            if callable(entry):
                entry(self, body)
            else:
                completion(entry)(self, body)
        finally:
            with server.lock:
                server.busy -= 1

    def send(self, status, value, reason=None, **headers):
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status, reason)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        self.wfile.write(data)


def with_content(content, tokens=100):
    """A response whose message holds ``content``, whatever that is."""

    def respond(handler, body):
        handler.send(200, completion_object(content, tokens))

    return respond


def completion_object(content, tokens=100):
    message = {"role": "assistant", "content": content}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "judge-1",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": tokens},
    }


def completion(value, tokens=100):
    """A good response whose text is ``value``, as JSON unless it is text already."""
    return with_content(value if isinstance(value, str) else json.dumps(value), tokens)


def beginning(tokens, said=None):
    """A response that states the probabilities of its first token."""

    def respond(handler, body):
        stated = [{"token": token, "logprob": math.log(p), "bytes": None} for token, p in tokens.items()]
        first = {**stated[0], "top_logprobs": stated}
        found = completion_object(said or first["token"])
        found["choices"][0]["logprobs"] = {"content": [first], "refusal": None}
        handler.send(200, found)

    return respond


def status(code, message=None, **headers):
    """A failure; the status line and a header quote the message, too."""

    def respond(handler, body):
        text = message or f"status {code}"
        handler.send(code, {"error": {"message": text}}, text, X_Quoted=text, **headers)

    return respond


def garbage(data, **headers):
    """Status 200 and anything."""
    return lambda handler, body: handler.send(200, data, **headers)


def compressed(value):
    """A good response, compressed although nobody wants that."""

    def respond(handler, body):
        data = gzip.compress(json.dumps(completion_object(json.dumps(value))).encode())
        handler.send(200, data, Content_Encoding="gzip")

    return respond


def written(*parts, pause=0.0, length=1000, **headers):
    """Status 200 and parts of a body, with pauses between them, until the client hangs up."""

    def respond(handler, body):
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        if length is not None:
            handler.send_header("Content-Length", str(length))
        for name, text in headers.items():
            handler.send_header(name.replace("_", "-"), text)
        handler.end_headers()
        try:
            for part in parts:
                handler.wfile.write(part)
                handler.wfile.flush()
                time.sleep(pause)
        except OSError:
            return

    return respond


def drip(pause):
    """A body that comes letter by letter, and never ends in time."""
    return written(*[b" "] * 500, pause=pause)


def endless(value):
    """A whole answer in a body without a length, which is not closed in time."""
    data = json.dumps(completion_object(json.dumps(value))).encode()
    return written(data, *[b" "] * 100, pause=0.02, length=None)


def drip_headers(pause):
    """A header that never ends in time."""

    def respond(handler, body):
        handler.close_connection = True
        try:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            for _ in range(500):
                handler.wfile.write(b"a")
                handler.wfile.flush()
                time.sleep(pause)
        except OSError:
            return

    return respond


def flood(size, encoding=None):
    """A body of ``size`` blanks, compressed or not."""
    if encoding is None:
        return written(*[b" " * 1_000_000] * (size // 1_000_000), length=size)
    packer = zlib.compressobj(wbits=31 if encoding == "gzip" else 15)
    # Flushed in full, every million blanks after the first is packed to the same bytes.
    first, more = (packer.compress(b" " * 1_000_000) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    data = first + more * (size // 1_000_000 - 1)
    return written(data, length=len(data), Content_Encoding=encoding)


def slow(seconds, then):
    """The same, later."""

    def respond(handler, body):
        time.sleep(seconds)
        completion(then)(handler, body)

    return respond


def cut(handler, body):
    """Half a response, then a reset connection."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"id": "1", "choi')
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def serving(always=None):
    """A running server, as a context."""
    server = Server()
    server.always = always
    return running(server)


KEY = "secret-key"
GOOD = {"consistent": True, "analysis": "it fits", "refine": None, "instruction": None, "description": None}
WRONG = {
    "consistent": False,
    "analysis": "the bus is red",
    "refine": "make the bus blue",
    "instruction": "add a blue bus on the right",
    "description": "a blue bus on the right",
}


@pytest.fixture
def server():
    """A running server."""
    with serving() as server:
        yield server


@pytest.fixture
def make_client(server, monkeypatch):
    """A function that makes clients of the server; their pauses are noted, not waited for."""
    pauses = []
    patient = SimpleNamespace(time=time.time, sleep=pauses.append)
    monkeypatch.setattr(openai._base_client, "time", patient)

    def make(cache=None, key=KEY, **limits):
        made = VlmClient("judge-1", server.url, key, cache, QueryLimits(**limits))
        made.pauses = pauses
        return made

    return make
