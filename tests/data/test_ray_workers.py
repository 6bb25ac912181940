"""Workers on Ray, in a cluster that is played: room for them comes and goes, and they are lost at random."""

import random
from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strokewise.data.ray_workers import MAX_LOSSES, RayWorkers
from strokewise.errors import ConfigError, InputError, ServiceError


class TaskError(Exception):
    """As Ray's: what a task raised, as ``cause``."""

    cause = None


class LostError(Exception):
    """As Ray's RayError."""


class Actor:
    def __init__(self, cluster, made):
        self.cluster, self.made, self.alive = cluster, made, True
        cluster.actors.append(self)

    def __getattr__(self, name):
        return SimpleNamespace(remote=lambda *given: self.cluster.task(self, name, given))


class Cluster:
    """What ``RayWorkers`` uses of Ray. Actors beyond the room wait; ``lose`` decides what is lost."""

    exceptions = SimpleNamespace(RayTaskError=TaskError, RayError=LostError)

    def __init__(self, room, lose=lambda task: False, pick=lambda tasks: tasks[0]):
        self.room, self.lose, self.pick, self.empty = room, lose, pick, 0
        self.actors, self.running, self.tasks, self.there = [], [], {}, True

    def remote(self, **options):
        return lambda kind: SimpleNamespace(remote=lambda begin: Actor(self, kind(begin)))

    def put(self, value):
        return value

    def nodes(self):
        dead = {"Alive": False, "Resources": {"CPU": 4.0, "GPU": 8.0}}
        return [{"Alive": self.there, "Resources": {"CPU": 4.0}}, dead]

    def task(self, actor, name, given):
        self.tasks[len(self.tasks)] = actor, name, given
        return len(self.tasks) - 1

    def wait(self, references, num_returns, timeout):
        self.running = [one for one in self.running if one.alive]
        pending = [one for one in self.actors if one.alive and one not in self.running]
        self.running += pending[: max(0, self.room - len(self.running))]
        able = [one for one in references if self.there and self.tasks[one][0] in self.running]
        self.empty = 0 if able else self.empty + 1
        assert self.empty < 9, "it waits for ever"
        return ([self.pick(able)] if able else []), []

    def get(self, reference):
        actor, name, given = self.tasks[reference]
        if self.lose((name, *given)):
            raise LostError("its node died")
        try:
            return getattr(actor.made, name)(*given)
        except Exception as error:
            raised = TaskError()
            raised.cause = error
            raise raised from None

    def kill(self, actor):
        actor.alive = False


def begin():
    def work(unit):
        if unit == "wrong":
            raise InputError("this one is wrong")
        return unit * 3

    return work


def results(cluster, count, units, gpus=0.0):
    workers = RayWorkers(cluster, gpus, begin, units)
    workers.start(count)
    found = [workers.next_result() for _ in units]
    workers.end()
    assert not any(actor.alive for actor in cluster.actors)
    return found


@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 8), st.integers(1, 30))
def test_nothing_is_lost_and_nothing_is_there_twice(seed, room, count, units):
    rng, losses = random.Random(seed), Counter()

    def lose(task):
        cluster.room = rng.randint(1, room)  # it shrinks and grows, too
        if losses[task] == MAX_LOSSES - 1 or rng.random() < 0.7:
            return False
        losses[task] += 1
        return True

    cluster = Cluster(room, lose, rng.choice)
    assert sorted(results(cluster, count, range(units))) == [3 * unit for unit in range(units)]


def test_units_go_to_those_that_have_room():
    assert sorted(results(Cluster(room=1), 8, range(9))) == [3 * unit for unit in range(9)]


def test_a_unit_that_ends_its_workers_is_given_up():
    cluster = Cluster(2, lambda task: task == ("do", 4))
    with pytest.raises(ServiceError, match=f"lost {MAX_LOSSES} workers one after the other at the same unit"):
        results(cluster, 2, range(9))


def test_workers_that_cannot_begin_are_given_up():
    with pytest.raises(ServiceError, match=r"what is finished is kept\. The last one: its node died"):
        results(Cluster(2, lambda task: task == ("begin",)), 2, range(9))


def test_errors_of_units_are_raised():
    with pytest.raises(InputError, match="this one is wrong"):
        results(Cluster(2), 2, [1, "wrong", 2])


def test_a_cluster_that_can_never_hold_a_worker():
    with pytest.raises(ConfigError, match="no node of the Ray cluster has a CPU and 1 GPUs for a worker"):
        results(Cluster(2), 2, range(9), gpus=1.0)


def test_a_cluster_that_no_longer_can():
    def lose(task):
        cluster.there = task != ("do", 4)
        return not cluster.there

    cluster = Cluster(2, lose)
    with pytest.raises(ConfigError, match="no node of the Ray cluster has a CPU for a worker"):
        results(cluster, 1, range(9))
