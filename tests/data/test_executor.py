"""The same results wherever units run: here, in processes, on a real Ray cluster of this machine."""

import os
import signal
import socket
import sys
import time
from functools import partial

import pytest

from strokewise.data.build import Recipe, build
from strokewise.data.executor import Executor
from strokewise.errors import ConfigError, InputError, ServiceError

KINDS = [Executor(), Executor("processes", 2), pytest.param(Executor("ray", 2), marks=pytest.mark.slow)]


def begin(factor, log=None):
    """Units that are multiplied; some do worse."""
    if log is not None:
        (log / f"{os.getpid()}").touch()

    def work(unit):
        if unit == "wrong":
            raise InputError("this one is wrong")
        if unit == "once" and not (log / "killed").exists():
            (log / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return factor * (1 if unit == "once" else unit)

    return work


@pytest.fixture(scope="module")
def cluster():
    """A cluster of this machine, for the tests that are marked slow."""
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield ray
    ray.shutdown()


@pytest.fixture(autouse=True)
def ready(request):
    if request.node.get_closest_marker("slow"):
        request.getfixturevalue("cluster")


# Before the tests on a cluster: who is connected to one is not connected again.
def test_an_address_at_which_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
        with pytest.raises(ConfigError, match=f"no Ray cluster at '{address}'.*refused"):
            list(Executor("ray", 1, address).run(partial(begin, 1), [1]))


@pytest.mark.parametrize("executor", KINDS)
class TestAll:
    def test_results(self, executor, tmp_path):
        assert sorted(executor.run(partial(begin, 3, tmp_path), range(20))) == [3 * i for i in range(20)]
        assert len(list(tmp_path.iterdir())) <= executor.workers

    def test_fewer_units_than_workers(self, executor):
        assert list(executor.run(partial(begin, 3), [7])) == [21]
        assert list(executor.run(partial(begin, 3), [])) == []

    def test_errors_of_units_are_raised_here(self, executor):
        with pytest.raises(InputError, match="this one is wrong"):
            list(executor.run(partial(begin, 1), [1, "wrong", 2]))

    def test_builds_are_the_same_to_the_byte(self, executor, tmp_path):
        build(Recipe("conflict", 300, 7, 64), tmp_path / "here")
        build(Recipe("conflict", 300, 7, 64), tmp_path / "there", executor)
        one, other = ({p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in ("here", "there"))
        assert one == other


def test_a_process_that_is_killed_ends_the_run(tmp_path):
    with pytest.raises(ServiceError, match="a worker process was killed"):
        list(Executor("processes", 2).run(partial(begin, 1, tmp_path), [1, "once", *range(10)]))


@pytest.mark.slow
def test_an_actor_that_is_killed_is_begun_again(tmp_path):
    found = list(Executor("ray", 2).run(partial(begin, 1, tmp_path), [1, "once", *range(10)]))
    assert sorted(found) == sorted([1, 1, *range(10)])


@pytest.mark.slow
def test_actors_without_room_are_not_waited_for():
    """On four CPUs."""
    assert sorted(Executor("ray", 7).run(partial(begin, 2), range(20))) == [2 * i for i in range(20)]


@pytest.mark.slow
def test_a_cluster_without_gpus():
    with pytest.raises(ConfigError, match="no node of the Ray cluster has a CPU and 1 GPUs for a worker"):
        list(Executor("ray", 1, gpus=1).run(partial(begin, 2), [1]))


@pytest.mark.slow
def test_ray_kills_its_actors(cluster):
    deadline = time.monotonic() + 300
    list(Executor("ray", 2).run(partial(begin, 1), range(4)))
    while cluster.available_resources().get("CPU") != 4 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert cluster.available_resources()["CPU"] == 4


def test_without_ray(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"needs: pip install 'strokewise\[ray\]'"):
        list(Executor("ray", 1).run(partial(begin, 1), [1]))


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (("abacus",), "unknown executor 'abacus'"),
        (("inline", 2), "the inline executor is one worker"),
        (("processes", 0), "workers is 0"),
        (("processes", 1, "ray://host:1"), "for the ray executor"),
        (("inline", 1, None, 1.0), "for the ray executor"),
        (("ray", 1, None, 1.5), "a part of one, or whole ones"),
    ],
)
def test_what_cannot_be(given, fault):
    with pytest.raises(ConfigError, match=fault):
        Executor(*given)
