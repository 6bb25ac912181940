"""Processes that read and prepare training samples ahead.

They are given positions and answer in order, so their number changes nothing. The signals that end a run
are blocked in them from birth: such a signal often goes to a whole group of processes, and the run, which
finishes its step and saves, still needs its samples. They end when they are closed, and when the process that
they read for is gone, however it ended. Knows processes; refuses to know packs.
"""

import atexit
import multiprocessing
import pickle
import traceback
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from threading import Thread

from strokewise.datasets.mixture import Mixture, derive_seed
from strokewise.datasets.prepare import PreparedSample, Preparer
from strokewise.errors import ContextLengthError, StrokewiseError
from strokewise.io.signals import ending_signals_blocked

Answer = list[PreparedSample | None]


class Readers:
    """Some processes that read samples of a mixture. They start at the first request."""

    def __init__(self, mixture: Mixture, preparer: Preparer, count: int) -> None:
        """Plan ``count`` of them."""
        self._task, self._count = (mixture, preparer), count
        self._readers: list[_Reader] = []
        self._collector = Thread(target=self._collect, daemon=True)

    def request(self, positions: Sequence[int]) -> Future[Answer]:
        """Return the samples at some positions as :func:`prepared` gives them, once they are read.

        Raises:
            StrokewiseError: if a process died; the future raises it, too, or what reading raised.
        """
        if not self._readers:
            self._start()
        reader = min(self._readers, key=lambda reader: len(reader.requested))
        future: Future[Answer] = Future()
        # In this order: the thread that finds the process dead fails the requests that are listed.
        reader.requested.append(future)
        try:
            reader.connection.send(positions)
        except OSError as error:
            raise _died() from error
        return future

    def close(self) -> None:
        """End the processes."""
        if not self._readers:
            return
        atexit.unregister(self.close)
        for reader in self._readers:
            reader.process.kill()
        for reader in self._readers:
            reader.process.join()
        self._collector.join()
        self._readers = []

    def _start(self) -> None:
        # Fresh processes: a fork would copy the locks of threads that torch has running.
        context = multiprocessing.get_context("spawn")
        resource_tracker.ensure_running()  # if the first process started it, it would unblock the signals
        with ending_signals_blocked():
            for _ in range(self._count):
                ours, theirs = context.Pipe()
                process = context.Process(target=_read, args=(*self._task, theirs), daemon=True)
                process.start()
                theirs.close()
                self._readers.append(_Reader(process, ours))
        # At exit ``multiprocessing`` would send them SIGTERM, which they block, and wait.
        atexit.register(self.close)
        self._collector.start()

    def _collect(self) -> None:
        """Receive answers until all processes are gone."""
        readers = {reader.connection: reader for reader in self._readers}
        while readers:
            for connection in wait(list(readers)):
                assert isinstance(connection, Connection)
                if not readers[connection].receive():
                    del readers[connection]


@dataclass(frozen=True)
class _Reader:
    """A process, and what it was asked and has not answered."""

    process: SpawnProcess
    connection: Connection
    requested: deque[Future[Answer]] = field(default_factory=deque)

    def receive(self) -> bool:
        """Receive an answer; whether there was one. If the process died, all its requests fail."""
        try:
            answer = pickle.loads(self.connection.recv_bytes())
        except (EOFError, OSError):
            self.connection.close()
            while self.requested:
                self.requested.popleft().set_exception(_died())
            return False
        except Exception as error:  # an exception that cannot be unpickled raises another of any kind
            answer = error
        future = self.requested.popleft()
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
        return True


def _died() -> StrokewiseError:
    return StrokewiseError("a process that reads training samples died (out of memory?); use fewer workers")


def prepared(mixture: Mixture, preparer: Preparer, position: int) -> PreparedSample | None:
    """Return the sample at a position, None if the model has not as many positions."""
    sample = mixture.sample(position)
    try:
        return preparer.prepare(sample, derive_seed(mixture.seed, 3, position))
    except ContextLengthError:
        return None


def _read(mixture: Mixture, preparer: Preparer, connection: Connection) -> None:
    """Answer requests until the other side is gone."""
    import torch

    # The processes are the parallelism; threads in each would compete for the same cores.
    torch.set_num_threads(1)
    with suppress(EOFError, OSError):
        while True:
            answer = _answer(mixture, preparer, connection.recv())
            # As bytes: tensors would go through shared memory, a file descriptor each.
            connection.send_bytes(pickle.dumps(answer))


def _answer(mixture: Mixture, preparer: Preparer, positions: Sequence[int]) -> Answer | Exception:
    try:
        return [prepared(mixture, preparer, position) for position in positions]
    except Exception as error:  # raised again by the process that asked
        error.add_note(traceback.format_exc())
        return error
