"""Where units of work run: in this process, in processes of this machine, or in actors on Ray.

A unit's result depends on the unit alone, so results are the same wherever it runs, and a unit whose process
died is simply done again. This file knows processes. It refuses to know what a unit is.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from multiprocessing import active_children, get_context, parent_process
from typing import Any, TypeVar

from strokewise.data.ray_workers import RayWorkers, connected
from strokewise.errors import ConfigError, ServiceError
from strokewise.io.signals import ENDING_SIGNALS, ending_signals_blocked

Unit = TypeVar("Unit")
Result = TypeVar("Result")
Work = Callable[[Unit], Result]

INLINE, PROCESSES, RAY = "inline", "processes", "ray"
KINDS = (INLINE, PROCESSES, RAY)


@dataclass(frozen=True)
class Executor:
    """Where units run.

    Attributes:
        kind: one of ``KINDS``.
        workers: processes or actors; each loads its models once.
        address: of a Ray cluster; None: RAY_ADDRESS, or else a new cluster on this machine.
        gpus: that each actor reserves on Ray.
    """

    kind: str = INLINE
    workers: int = 1
    address: str | None = None
    gpus: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.kind not in KINDS:
            raise ConfigError(f"unknown executor {self.kind!r}; known are {', '.join(KINDS)}")
        if self.workers < 1:
            raise ConfigError(f"workers is {self.workers}; it must be at least 1")
        if self.kind == INLINE and self.workers > 1:
            raise ConfigError("the inline executor is one worker; take processes or ray for more")
        if self.gpus > 1 and self.gpus % 1:
            raise ConfigError(f"gpus is {self.gpus:g}; Ray reserves a part of one, or whole ones")
        if self.kind != RAY and (self.address is not None or self.gpus):
            raise ConfigError("an address and reserved GPUs are for the ray executor")

    def run(self, begin: Callable[[], Work[Unit, Result]], units: Sequence[Unit]) -> Iterator[Result]:
        """Return the results of all units, in the order in which they are finished.

        Args:
            begin: called once in each worker; gives the function that does a unit. Both can be pickled.
            units: what to do.

        Raises:
            ConfigError: if Ray is not installed, its cluster cannot be reached, or no node has room.
            ServiceError: if a worker process was killed, on Ray several at the same unit; no result of
                finished units is lost.
            StrokewiseError: any that a unit raises; units under way are given up.
        """
        if not units:
            return iter(())
        runs = {INLINE: _inline, PROCESSES: _in_processes, RAY: _on_ray}
        return runs[self.kind](self, begin, units)


def _inline(executor: Executor, begin: Callable[[], Work[Any, Any]], units: Sequence[Any]) -> Iterator[Any]:
    return map(begin(), units)


# --- processes --------------------------------------------------------------------------------

_work: Work[Any, Any] | None = None  # of a worker process


def _begin(begin: Callable[[], Work[Any, Any]]) -> None:
    global _work
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    _work = begin()
    _hear(_leave)


def _hear(handler: Callable[..., None]) -> None:
    """Let a worker hear the signals, which were blocked when it was born."""
    for number in ENDING_SIGNALS:
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)


def _leave(*_: object) -> None:
    """End at a signal between two units: there is nothing to clean up."""
    os._exit(1)


def _leave_with_parent() -> None:
    """End this process when the one that started it was killed; its pool would wait for ever."""
    parent = parent_process()
    assert parent is not None, "a worker has one"
    parent.join()
    os._exit(1)


def _do(unit: Any) -> Any:
    assert _work is not None, "the pool began it"
    try:
        _hear(_end)
        result = _work(unit)
        _hear(_leave)
        return result
    except SystemExit:  # what it was writing is removed by now
        os._exit(1)


def _end(*_: object) -> None:
    """Give the unit up at the first signal; more must not disturb how that is done."""
    for number in ENDING_SIGNALS:
        signal.signal(number, lambda *_: None)
    raise SystemExit


def _in_processes(
    executor: Executor, begin: Callable[[], Work[Any, Any]], units: Sequence[Any]
) -> Iterator[Any]:
    count = min(executor.workers, len(units))
    with ending_signals_blocked():
        pool = ProcessPoolExecutor(count, get_context("spawn"), _begin, (begin,))
    waiting = iter(units)

    def submitted(number: int) -> set[Future[Any]]:
        with ending_signals_blocked():
            return {pool.submit(_do, unit) for unit in islice(waiting, number)}

    try:
        # One more than there are workers, so that none waits for this process.
        pending = submitted(count + 1)
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
                pending |= submitted(1)
    except (KeyboardInterrupt, GeneratorExit):
        for child in active_children():
            child.terminate()
        raise
    except BrokenProcessPool as error:
        # A signal to the whole group may end workers before it reaches this process, which it then ends, too.
        time.sleep(0.5)
        raise ServiceError(
            "a worker process was killed or could not begin; run it again: what is finished is kept"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


# --- Ray --------------------------------------------------------------------------------------


def _on_ray(executor: Executor, begin: Callable[[], Work[Any, Any]], units: Sequence[Any]) -> Iterator[Any]:
    workers = RayWorkers(connected(executor.address), executor.gpus, begin, units)
    try:
        workers.start(min(executor.workers, len(units)))
        for _ in units:
            yield workers.next_result()
    finally:
        workers.end()
