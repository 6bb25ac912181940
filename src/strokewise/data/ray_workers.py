"""Workers on a Ray cluster, any of which can be lost at any time, and the connection to it.

A unit goes to a worker that has begun and is free, never to one that waits for room: a cluster that shrinks
finishes with the workers that it has. This file knows Ray. It refuses to know what a unit is.
"""

import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from strokewise.errors import ConfigError, ServiceError

MAX_LOSSES = 5  # workers that are lost at the same task: then it is the task that ends them
CONNECTING = 10.0  # seconds
PATIENCE = 30.0  # seconds without news after which it is asked whether a worker could begin at all
_BEGIN = object()  # the task of a new worker, before any unit

Begin = Callable[[], Callable[[Any], Any]]


def connected(address: str | None) -> Any:
    """Return Ray, connected to the cluster at an address; None: as :class:`Executor` says.

    Raises:
        ConfigError: if Ray is not installed or its cluster cannot be reached.
    """
    try:
        import ray
    except ImportError as error:
        raise ConfigError("the ray executor needs: pip install 'strokewise[ray]'") from error
    if not ray.is_initialized():
        # Never the latest that was begun on this machine, which Ray would look for: it may be long gone.
        address = address or os.environ.get("RAY_ADDRESS") or "local"
        _check_address(address)
        heard = signal.getsignal(signal.SIGTERM)
        try:
            # Without a dashboard: a cluster of this machine is begun in half the time.
            ray.init(address=address, include_dashboard=False, log_to_driver=False, configure_logging=False)
        except Exception as error:  # Ray raises bare ones, too
            raise ConfigError(f"no Ray cluster at {address!r}: {error}") from error
        finally:  # Ray's own handler would end this process with a status of its own
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, heard)
    return ray


def _check_address(address: str) -> None:
    """Refuse a host and port at which nobody listens; Ray would try for minutes, deaf to signals."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return  # a word of Ray's, such as auto, or a mistake, of which it tells at once
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECTING).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(f"no Ray cluster at {address!r}: {error}") from error


class _Actor:
    """A worker. Loading is a call of its own, so that an error of it is raised like one of a unit."""

    def __init__(self, begin: Begin) -> None:
        self._begin = begin

    def begin(self) -> None:
        self._work = self._begin()

    def do(self, unit: Any) -> Any:
        return self._work(unit)


@dataclass(frozen=True)
class _Task:
    """A unit, or to begin; and how many workers were lost at it, one after the other."""

    unit: Any
    losses: int = 0


class RayWorkers:
    """Workers, and units for them."""

    def __init__(self, ray: Any, gpus: float, begin: Begin, units: Sequence[Any]) -> None:
        """Start no worker yet.

        Args:
            ray: connected to a cluster.
            gpus: that each worker reserves.
            begin: called once in each worker; gives the function that does a unit.
            units: to be done.
        """
        self._ray, self._gpus = ray, gpus
        self._kind = ray.remote(num_cpus=1, num_gpus=gpus)(_Actor)
        self._begin = ray.put(begin)
        self._waiting = deque(map(_Task, units))
        self._free: list[Any] = []
        self._busy: dict[Any, tuple[Any, _Task]] = {}  # by the reference to what comes of it

    def start(self, count: int) -> None:
        """Have workers begin as soon as there is room for them; ConfigError if no node can ever hold one."""
        self._check_room()
        for _ in range(count):
            self._start(_Task(_BEGIN))

    def next_result(self) -> Any:
        """Wait for the next result.

        Raises:
            ConfigError: if no worker is left and no node can hold one.
            ServiceError: if several workers were lost at the same unit.
            Exception: that a unit raises.
        """
        while True:
            done, _ = self._ray.wait(list(self._busy), num_returns=1, timeout=PATIENCE)
            if not done:
                if all(task.unit is _BEGIN for _, task in self._busy.values()):
                    self._check_room()
                continue
            actor, task = self._busy.pop(done[0])
            try:
                result = self._ray.get(done[0])
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except self._ray.exceptions.RayError as error:
                self._replace(actor, task, error)
                continue
            self._free.append(actor)
            self._hand_out()
            if task.unit is not _BEGIN:
                return result

    def end(self) -> None:
        """End all workers, whatever they are at."""
        for actor in (*self._free, *(actor for actor, _ in self._busy.values())):
            self._ray.kill(actor)

    def _start(self, task: _Task) -> None:
        actor = self._kind.remote(self._begin)
        self._busy[actor.begin.remote()] = actor, task

    def _hand_out(self) -> None:
        while self._free and self._waiting:
            actor, task = self._free.pop(), self._waiting.popleft()
            self._busy[actor.do.remote(task.unit)] = actor, task

    def _replace(self, lost: Any, task: _Task, error: Exception) -> None:
        """Have others do what a lost worker was at."""
        self._ray.kill(lost)  # it may only be out of reach
        task = replace(task, losses=task.losses + 1)
        if task.losses == MAX_LOSSES:
            raise ServiceError(
                f"Ray lost {MAX_LOSSES} workers one after the other at the same unit; run it again: what is"
                f" finished is kept. The last one: {error}"
            ) from error
        if task.unit is _BEGIN:
            self._start(task)
            return
        self._waiting.appendleft(task)
        self._hand_out()
        self._start(_Task(_BEGIN))

    def _check_room(self) -> None:
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if not any(node.get("CPU", 0) >= 1 and node.get("GPU", 0) >= self._gpus for node in nodes):
            needed = f"a CPU and {self._gpus:g} GPUs" if self._gpus else "a CPU"
            raise ConfigError(
                f"no node of the Ray cluster has {needed} for a worker; add such nodes, or reserve less"
            )
