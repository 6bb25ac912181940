"""A real server process with the shipped model, and clients of it."""

import json
import re
import signal
import time
from contextlib import contextmanager

import httpx
import pytest

FAST = {"steps": 2, "previews": 1, "text_guidance": 1.0}


class Process:
    """``strokewise serve`` as a user starts it."""

    def __init__(self, forks, data, *arguments, environment=None):
        command = ("-m", "strokewise", "serve", "--port", "0", "--data", data, *arguments)
        self.log = (data.parent / f"{data.name}.log").open("w+")
        self.process = forks.start(*command, stdout=self.log, stderr=self.log, env=environment)
        for _ in range(3600):
            found = re.search(r"serving on (http\S+)/", self.text())
            if found or self.process.poll() is not None:
                break
            time.sleep(0.05)
        assert found, self.text()
        self.url = found[1]

    def text(self):
        self.log.flush()
        with open(self.log.name) as file:
            return file.read()

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(90)
        self.log.close()
        return self.process.returncode


@pytest.fixture(scope="session")
def serving(forks):
    """Start a server: a context manager that stops it in the end."""

    @contextmanager
    def start(data, *arguments, **options):
        process = Process(forks, data, *arguments, **options)
        try:
            yield process
        finally:
            process.stop()

    return start


@pytest.fixture(scope="package")
def server(serving, tmp_path_factory):
    """One server for all tests that leave it as it is."""
    with serving(tmp_path_factory.mktemp("server") / "data") as process:
        yield process
        assert "Traceback" not in process.text()


@pytest.fixture
def api(server):
    """A client of the shared server."""
    with Api(server.url) as client:
        yield client


class Api(httpx.Client):
    """A client with the few steps that most tests take."""

    def __init__(self, url, **options):
        # Certificates take a while to load, and no server here has one.
        super().__init__(base_url=url, timeout=120, verify=False, **options)

    def ok(self, method, path, body=None, **options):
        answer = self.request(method, path, json=body, **options)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def create(self, prompt="a red apple left of a blue bus", **values):
        return self.ok("POST", "/v1/sessions", {"prompt": prompt, "options": FAST} | values)

    def wait(self, session, *status):
        """The session as soon as it is paused, finished, or as stated."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            found = self.ok("GET", f"/v1/sessions/{session['id']}")
            if found["status"] in (status or ("paused", "finished")):
                return found
            time.sleep(0.05)
        raise AssertionError(f"still {found['status']}")

    def painted(self, *arguments, **values):
        return self.wait(self.create(*arguments, **values))

    def events(self, session, last=None):
        """The events of a session, endless: (id, type, event)."""
        headers = {} if last is None else {"Last-Event-ID": last}
        with self.stream("GET", f"/v1/sessions/{session['id']}/events", headers=headers) as answer:
            yield from frames(answer)


def frames(answer):
    """(id, type, event) of a stream of server-sent events."""
    fields = {}
    for line in answer.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield fields.get("id"), fields["event"], json.loads(fields["data"])["event"]
            fields = {}
