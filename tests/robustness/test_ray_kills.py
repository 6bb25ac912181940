"""Builds on a Ray cluster of two nodes, whose driver, workers and second node are killed at random points.

The seed decides who is killed and after how long; what they were at then follows from the machine, too.
"""

import os
import random
import signal
import subprocess
import time
from contextlib import suppress

import psutil
import pytest

from strokewise.data.build import SHARD, Recipe, build
from strokewise.data.storage import read

KILLS, RECORDS, SIZE, SEED = 20, 12 * SHARD, 64, 5
CPUS, WORKERS = 2, 3  # of each node; of a build, so that both nodes have some
NODE = {"num_cpus": CPUS, "object_store_memory": 100 << 20}


@pytest.fixture
def cluster(monkeypatch):
    """A cluster of this machine, of its head alone."""
    utils = pytest.importorskip("ray.cluster_utils")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # not 15: a busy machine would leave workers nothing
    found = utils.Cluster(initialize_head=True, head_node_args=NODE | {"include_dashboard": False})
    yield found
    found.shutdown()


class Builds:
    """The command, one build after the other, each continued after its driver was killed."""

    def __init__(self, forks, cluster, folder):
        self.forks, self.cluster, self.folder = forks, cluster, folder
        self.node = self.add_node()
        self.outs, self.in_the_middle = [], 0
        self.next()

    def add_node(self):
        """The second node; on a busy machine Ray may give up waiting for it, after half a minute."""
        for _ in range(2):
            with suppress(Exception):  # Ray raises bare ones
                return self.cluster.add_node(**NODE)
        return self.cluster.add_node(**NODE)

    def next(self):
        """Begin another build."""
        self.outs.append(self.folder / str(len(self.outs)))
        self.begin()

    def begin(self):
        """Begin or continue a build."""
        what = ("--n", RECORDS, "--size", SIZE, "--seed", SEED, "--out", self.outs[-1])
        where = ("--executor", "ray", "--address", self.cluster.address, "--workers", WORKERS)
        with (self.folder / "log").open("a") as log:
            command = ("-m", "strokewise", "data", "build", "multi-turn", *what, *where)
            self.process = self.forks.start(*command, stdout=log, stderr=subprocess.STDOUT)

    def log(self):
        """What the builds said, for failures."""
        return (self.folder / "log").read_text()[-3000:]

    def workers(self):
        """The processes of actors that are alive."""
        found = []
        for one in psutil.Process().children(recursive=True):
            try:
                if one.name().startswith("ray::_Actor"):
                    found.append(one)
            except psutil.NoSuchProcess:
                pass
        return found

    def shards(self):
        """How many the build has so far."""
        return len(list(self.outs[-1].glob("part-*.parquet")))

    def works(self, more):
        """Wait until a worker is there and so many more shards; whether the build has not ended before."""
        deadline, wanted = time.monotonic() + 300, self.shards() + more
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                return False
            if self.shards() >= wanted and self.workers():
                return True
            time.sleep(0.02)
        raise AssertionError(f"nothing is done: {self.log()}")

    def finish(self):
        """Wait until the build has ended well."""
        assert self.process.wait(300) == 0, self.log()

    # --- what is killed -----------------------------------------------------------------------------------

    def kill_driver(self, rng):
        """The command; it is run again."""
        self.process.kill()
        self.process.wait()
        self.begin()
        return True

    def kill_worker(self, rng):
        """The process of an actor, unless they have just ended."""
        try:
            rng.choice(self.workers()).kill()
        except (IndexError, psutil.NoSuchProcess):
            return False
        return True

    def kill_node(self, rng):
        """The second node; another one comes only when it would be its turn again."""
        if self.node is None:
            self.node = self.add_node()
            return False
        (raylet,) = self.node.all_processes["raylet"]
        os.kill(raylet.process.pid, signal.SIGKILL)
        self.cluster.remove_node(self.node, allow_graceful=False)
        self.node = None
        return True


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_whoever_is_killed_nothing_is_lost_and_nothing_is_there_twice(forks, cluster, tmp_path):
    build(Recipe("multi-turn", RECORDS, SEED, SIZE), tmp_path / "here")
    whole, rng = files(tmp_path / "here"), random.Random(0)
    (tmp_path / "there").mkdir()
    builds = Builds(forks, cluster, tmp_path / "there")
    ways = [builds.kill_driver, builds.kill_worker, builds.kill_node]
    victims = [ways[i % len(ways)] for i in range(KILLS)]
    rng.shuffle(victims)
    while victims:
        if not builds.works(more=rng.randint(0, 3)):
            builds.finish()
            builds.next()
            continue
        time.sleep(rng.uniform(0, 1))
        there = builds.shards()
        if builds.process.poll() is None and victims[-1](rng):
            builds.in_the_middle += 0 < there < RECORDS // SHARD
            victims.pop()
    builds.finish()
    for out in builds.outs:
        assert files(out) == whole
    prompts = [record.trajectory.prompt for _, record in read(builds.outs[-1])]
    assert prompts == [record.trajectory.prompt for _, record in read(tmp_path / "here")]
    print(
        f"{KILLS} kills during {len(builds.outs)} builds, {builds.in_the_middle} with some of the shards made"
    )
