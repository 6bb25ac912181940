"""The server process: who may ask, what survives its end, and what it tells of itself."""

import json
import random
import re
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from tests.serve.conftest import FAST, Api

from strokewise.serve.server import run


def test_only_this_machine_is_answered_without_a_key(api, server):
    for headers in (
        {"Host": "evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        answer = api.get("/v1/sessions", headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden"), headers
    assert api.get("/v1/sessions", headers={"Origin": server.url}).status_code == 200


def test_every_response_has_the_headers_of_a_careful_server(api):
    for path in ("/health", "/v1/sessions", "/nowhere", "/v1/sessions/none"):
        headers = api.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-request-id"]


def test_files_of_the_page_are_kept_by_browsers(api):
    page = api.get("/")
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert page.headers["cache-control"] == "no-store"
    assert {Path(one).name for one in addresses} >= {"app.js", "studio.css", "htm-preact-3.1.1.js"}
    for address in addresses:
        packed = api.get(f"/{address}")
        plain = api.get(f"/{address}", headers={"Accept-Encoding": "identity"})
        assert "immutable" in packed.headers["cache-control"], address
        assert (packed.headers["content-encoding"], packed.content) == ("gzip", plain.content), address
    old = api.get("/static/0123456789abcdef/app.js")
    assert (old.status_code, old.json()["error"]["code"]) == (404, "not_found")


def test_the_page_holds_the_first_answers(api):
    known = re.search(r'id="known">(.*)</script>', api.get("/").text)[1]
    known = json.loads(known)
    assert known["world"] == api.ok("GET", "/v1/world")
    assert known["server"]["model"] == api.ok("GET", "/v1/server")["model"]


def test_errors_are_json(api):
    assert api.get("/nowhere").json()["error"]["code"] == "not_found"
    assert api.put("/v1/sessions").json()["error"]["code"] == "invalid"
    assert api.post("/v1/sessions", content=b"{").json()["error"]["code"] == "invalid"
    assert api.post("/v1/sessions", content=b"x" * (33 << 20)).json()["error"]["code"] == "too_large"
    chunked = api.post("/v1/sessions", content=(b"x" * (1 << 20) for _ in range(33)))
    assert chunked.json()["error"]["code"] == "too_large"


def test_metrics(api):
    api.painted("a red cup")
    text = api.get("/metrics").text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(values["strokewise:canvases_total"]) >= 1
    assert float(values["strokewise:num_requests_waiting"]) == 0
    assert float(values["strokewise:e2e_request_latency_seconds_count"]) >= 1
    assert float(values["strokewise:generation_tokens_total"]) > 10


def test_keys(serving, tmp_path):
    keys = ("--api-key", "first-secret", "--api-key", "second-secret")
    with serving(tmp_path / "data", *keys) as process, Api(process.url) as client:
        assert client.get("/v1/server").status_code == 401
        assert client.get("/v1/server", headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert client.get("/health").text == "ok"
        assert 'id="known">{}<' in client.get("/").text, "nothing is told without a key"
        first = {"Authorization": "Bearer first-secret"}
        session = client.ok("POST", "/v1/sessions", {"prompt": "a cup", "options": FAST}, headers=first)
        other = client.get(f"/v1/sessions/{session['id']}", headers={"Authorization": "Bearer second-secret"})
        assert other.status_code == 404
        assert client.post("/v1/login", json={"key": "wrong"}).status_code == 401
        login = client.post("/v1/login", json={"key": "first-secret"})
        cookie = login.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "first-secret" not in cookie
        assert client.get(f"/v1/sessions/{session['id']}").status_code == 200
        assert client.post("/v1/logout").status_code == 204
        assert client.get("/v1/sessions").status_code == 401
        assert "secret" not in process.text()


@pytest.fixture
def refused(monkeypatch, capsys, tmp_path):
    """The error of a command line that is refused."""
    import sys

    from strokewise.cli import main as cli

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["strokewise", "serve", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert caught.value.code == 2
        return capsys.readouterr().err

    return call


def test_command_lines_that_are_refused(refused, tmp_path):
    assert "give --api-key" in refused("--host", "0.0.0.0")
    assert "8 or more" in refused("--api-key", "short")
    (tmp_path / "file").write_text("")
    assert "cannot hold a server's data" in refused("--data", str(tmp_path / "file"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert "give another --port" in refused("--data", str(tmp_path / "data"), "--port", port)


def test_a_graceful_stop_keeps_what_was_painted(serving, tmp_path):
    with serving(tmp_path / "data") as process, Api(process.url) as client:
        done = client.painted("a red cup")
        running = client.create(options=FAST | {"steps": 20})
        for _, kind, _ in client.events(running):
            if kind == "image_finished":
                break
        assert process.stop(signal.SIGTERM) == 0
    with serving(tmp_path / "data") as process, Api(process.url) as client:
        kept = client.ok("GET", f"/v1/sessions/{done['id']}")["nodes"]
        assert [node["canvas"] for node in kept] == [node["canvas"] for node in done["nodes"]]
        again = client.ok("GET", f"/v1/sessions/{running['id']}")
        assert (again["status"], again["stop"]) == ("paused", "interrupted")
        assert again["nodes"][0]["canvas"] is not None
        client.ok("POST", f"/v1/sessions/{running['id']}/continue", {})
        assert client.wait(again)["status"] == "finished"


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "moment",
    [pytest.param("text_delta", marks=SLOW), pytest.param("image_preview", marks=SLOW), "image_finished"],
)
def test_a_killed_server_loses_no_finished_canvas(serving, tmp_path, moment):
    seen = {}
    with serving(tmp_path / "data") as process, Api(process.url) as client:
        session = client.create(options=FAST | {"steps": 20})
        for _, kind, event in client.events(session):
            if kind == "node" and event["node"]["canvas"]:
                seen[event["node"]["id"]] = client.get(event["node"]["canvas"]).content
            if kind == moment and (seen or moment == "image_finished"):
                break
        process.stop(signal.SIGKILL)
    with serving(tmp_path / "data") as process, Api(process.url) as client:
        again = client.ok("GET", f"/v1/sessions/{session['id']}")
        assert (again["status"], again["stop"]) == ("paused", "interrupted")
        for number, png in seen.items():
            assert client.get(again["nodes"][number]["canvas"]).content == png
        if moment == "image_finished":
            assert again["nodes"][0]["canvas"]
        client.ok("POST", f"/v1/sessions/{session['id']}/continue", {"until": "canvas"})
        assert client.wait(again)["error"] is None


@pytest.mark.slow
def test_twenty_kills_lose_no_finished_canvas(serving, tmp_path):
    """Killed at twenty random points, with three sessions under way: what was finished is there.

    A point is some time after the first, second or third canvas of a session, or in the time before it.
    """
    moments, seen = random.Random(1), {}
    for round_ in range(20):
        with serving(tmp_path / "data") as process, Api(process.url) as client:
            for path, png in seen.items():
                assert client.get(path).content == png
            session = client.create(seed=round_)
            for other in range(2):
                client.create(seed=100 + 2 * round_ + other)
            wanted, finished = moments.randrange(4), 0
            while finished < wanted:
                now = client.ok("GET", f"/v1/sessions/{session['id']}")
                for node in now["nodes"]:
                    if node["canvas"] and node["canvas"] not in seen:
                        seen[node["canvas"]] = client.get(node["canvas"]).content
                        finished += 1
                if now["status"] not in ("queued", "running"):
                    break
            time.sleep(moments.uniform(0, 0.5))
            process.stop(signal.SIGKILL)
    assert seen


def test_small_answers_are_sent_at_once(monkeypatch):
    """Python switches Nagle's algorithm off only for sockets that say that they are TCP."""
    sockets = []
    monkeypatch.setattr("uvicorn.Server.run", lambda self, given: sockets.extend(one.proto for one in given))
    run(FastAPI(), "127.0.0.1", 0)
    assert sockets == [socket.IPPROTO_TCP]


def test_two_servers_do_not_share_a_folder(server, refused):
    assert "another server uses it" in refused("--data", str(Path(server.log.name).parent / "data"))


def test_many_at_once_are_answered_or_sent_away(api, server):
    """200 requests of 20 clients: each gets a session, or 429 with the time to wait."""
    # Long enough that none is finished before it is cancelled.
    prompt = "a red cup, a blue bus, a green dog and a pink cat"

    def ask(number):
        transport = httpx.HTTPTransport(verify=False, local_address=f"127.0.0.{2 + number % 20}")
        with Api(server.url, transport=transport) as client:
            body = {"prompt": prompt, "seed": number, "options": FAST | {"steps": 100}}
            return client.post("/v1/sessions", json=body)

    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(ask, range(200)))
    taken = [answer.json() for answer in answers if answer.status_code == 201]
    away = [answer for answer in answers if answer.status_code == 429]
    assert len(taken) + len(away) == 200
    assert away
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in away)
    all_at_one_moment = api.ok("GET", "/v1/sessions?limit=500")["sessions"]
    positions = sorted(one["position"] for one in all_at_one_moment if one["status"] == "queued")
    assert positions == list(range(1, len(positions) + 1))
    for session in taken:
        assert api.ok("POST", f"/v1/sessions/{session['id']}/cancel")["stop"] == "cancelled"
    assert api.painted("a red cup")["status"] == "finished"


def test_a_reader_that_does_not_read_holds_nobody_up(api, server):
    session = api.create(options=FAST | {"steps": 20, "previews": 19, "max_images": 2})
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as idle:
        request = f"GET /v1/sessions/{session['id']}/events HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n"
        idle.sendall(request.encode())
        assert api.wait(session)["status"] == "finished"
    assert api.get("/health").text == "ok"
