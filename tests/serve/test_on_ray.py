"""Replicas on Ray Serve: a real cluster of this machine, and one of them killed while it paints."""

import signal
import sys

import httpx
import psutil
import pytest
from tests.serve.conftest import FAST, Api

from strokewise.cli import main as cli
from strokewise.errors import ConfigError
from strokewise.serve.on_ray import _check_room, _reason

SERVER = ("--executor", "ray", "--replicas", "2", "--batch", "1")


def test_command_lines_that_are_refused(monkeypatch, capsys):
    for more, fault in (
        (("--executor", "processes"), "a server paints inline or on ray"),
        (("--replicas", "2"), "take processes or ray for more"),
        (("--executor", "ray"), "pip install 'strokewise[ray]'"),
    ):
        monkeypatch.setitem(sys.modules, "ray", None)
        assert cli._run(["serve", *more]) == 2
        assert fault in capsys.readouterr().err


def test_a_cluster_that_is_too_small():
    _check_room({"CPU": 2.0}, 2, 0)
    with pytest.raises(ConfigError, match="has 2 CPUs, and 3 replicas need 3; take fewer --replicas"):
        _check_room({"CPU": 2.0}, 3, 0)
    with pytest.raises(ConfigError, match="has 0 GPUs, and 1 replicas need"):
        _check_room({"CPU": 2.0}, 1, 0.5)


def test_what_serve_says_of_a_replica_is_shortened():
    said = "failed:\nTraceback\n  File x\nstrokewise.errors.ConfigError: no model here\n\nmore"
    assert _reason(said) == "no model here"
    assert _reason("nothing  known") == "nothing known"


def engine(server, number):
    """The process of a replica."""
    children = psutil.Process(server.process.pid).children(recursive=True)
    (found,) = [one for one in children if f"-{number}:Engine" in "".join(one.cmdline())]
    return found


def cut(client, session, kill):
    """Whether the events of a session are cut when something is done at the first of them."""
    try:
        for number, _ in enumerate(client.events(session)):
            if number == 0:
                kill()
    except httpx.HTTPError:
        return True
    return False


@pytest.mark.slow
def test_a_replica_that_is_killed_while_it_paints(serving, tmp_path):
    pytest.importorskip("ray.serve")
    slow = FAST | {"steps": 60, "previews": 0}
    with serving(tmp_path / "data", *SERVER) as server, Api(server.url) as client:
        assert client.ok("GET", "/v1/server")["queue"] == {"running": 0, "waiting": 0}
        done = client.painted("a red cup", seed=3)
        one, other = client.create(seed=1, options=slow), client.create(seed=2, options=slow)
        assert {session["id"][:4] for session in (one, other)} == {"s_0_", "s_1_"}
        for _, kind, _ in client.events(one):  # a canvas is stored, and the next stage is under way
            if kind == "image_finished":
                break
        before = client.wait(one, "running", "finished")
        victim = int(one["id"][2])
        assert cut(client, one, engine(server, victim).kill), "as by any server that is lost"
        lost = client.get(f"/v1/sessions/{one['id']}")
        while lost.status_code != 200:
            assert (lost.status_code, lost.json()["error"]["code"]) == (503, "replica_lost")
            assert client.get(f"/v1/sessions/{other['id']}").status_code == 200
            lost = client.get(f"/v1/sessions/{one['id']}")
        lost = lost.json()
        assert (before["status"], lost["status"], lost["stop"]) == ("running", "paused", "interrupted")
        canvases = [node["canvas"] for node in lost["nodes"] if node["canvas"]]
        assert canvases
        assert client.get(canvases[0]).content.startswith(b"\x89PNG")
        client.ok("POST", f"/v1/sessions/{one['id']}/continue", {})
        ended = [client.wait(session, "finished") for session in (one, other)]
        assert [session["stop"] for session in ended] == ["end", "end"]
        listed = {session["id"] for session in client.ok("GET", "/v1/sessions")["sessions"]}
        assert listed == {session["id"] for session in (one, other, done)}
        painted = [client.get(ended[1]["nodes"][0]["canvas"]).content, ended[1]["nodes"][0]["text"]]
        assert server.stop(signal.SIGTERM) == 0, server.text()
    with serving(tmp_path / "inline") as server, Api(server.url) as client:
        same = client.painted(seed=2, options=slow)
        assert [client.get(same["nodes"][0]["canvas"]).content, same["nodes"][0]["text"]] == painted
    with serving(tmp_path / "data", *SERVER) as server, Api(server.url) as client:
        found = client.ok("GET", "/v1/sessions")["sessions"]
        assert {session["id"] for session in found} == listed
