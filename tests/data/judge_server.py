"""A small server that speaks the chat-completions protocol, and misbehaves when it is told to."""

import json
import socket
import struct
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


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

    def send(self, status, value, **headers):
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        self.wfile.write(data)


def completion(value, tokens=100):
    """A good response whose text is ``value``, as JSON unless it is text already."""
    text = value if isinstance(value, str) else json.dumps(value)

    def respond(handler, body):
        message = {"role": "assistant", "content": text}
        handler.send(
            200,
            {
                "id": "1",
                "object": "chat.completion",
                "created": 0,
                "model": body["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": tokens - 10, "completion_tokens": 10, "total_tokens": tokens},
            },
        )

    return respond


def status(code, **headers):
    """A failure."""
    return lambda handler, body: handler.send(code, {"error": {"message": f"status {code}"}}, **headers)


def garbage(data):
    """Status 200 and anything."""
    return lambda handler, body: handler.send(200, data)


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


@contextmanager
def serving():
    """A running server."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.005,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
