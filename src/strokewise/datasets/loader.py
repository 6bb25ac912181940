"""Packs of samples for each step, in an order that does not depend on the number of GPUs.

A step takes one pack from each of a fixed number of *lanes*; lane ``i`` of ``n`` goes through the positions
i, i + n, i + 2n, … of the mixture. A rank serves some of the lanes. The state is how far each lane has come,
so a run resumes exactly, on as many GPUs as divide the lanes. Reading and rendering may be left to worker
processes; they are given positions, so their number changes nothing either.
"""

import multiprocessing
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from strokewise.datasets.mixture import Mixture, derive_seed
from strokewise.datasets.prepare import PreparedSample, Preparer
from strokewise.datasets.samples import Sample
from strokewise.errors import ConfigError, ContextLengthError, StrokewiseError
from strokewise.sequence import Kind, Segment

CHUNK = 16
AHEAD = 4
GIVE_UP = 1000
PAINTED, DELIMITERS = (Kind.CLEAN, Kind.NOISED), 2


class Loader:
    """The packs of some lanes."""

    def __init__(
        self,
        mixture: Mixture,
        preparer: Preparer,
        pack_tokens: int,
        lanes: range,
        num_lanes: int,
        workers: int = 0,
        done: Sequence[int] | None = None,
    ) -> None:
        """Serve ``lanes`` of ``num_lanes``; ``done``: how many samples each of them has taken already."""
        self.skipped = 0
        self._pool = _pool(mixture, workers) if workers else None
        ahead = AHEAD * max(1, workers // len(lanes)) if workers else 0
        starts = done or [0] * len(lanes)
        feeds = [
            _Feed(mixture, self._pool, lane, num_lanes, start, ahead)
            for lane, start in zip(lanes, starts, strict=True)
        ]
        self._lanes = [_Lane(feed, preparer, pack_tokens, mixture.seed) for feed in feeds]

    @property
    def done(self) -> list[int]:
        """How many samples each lane has taken."""
        return [lane.done for lane in self._lanes]

    def step(self) -> list[list[PreparedSample]]:
        """The next pack of each lane.

        Raises:
            StrokewiseError: if a sample cannot be read, no sample fits a pack, or a worker process died.
        """
        packs = [lane.take() for lane in self._lanes]
        self.skipped = sum(lane.skipped for lane in self._lanes)
        return packs

    def close(self) -> None:
        """Stop the worker processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


def arrange(samples: Sequence[Sequence[Segment]], row_tokens: int) -> list[list[Sequence[Segment]]]:
    """Rows of samples, so many that they are about ``row_tokens`` wide and little of them is padding.

    A row is as wide as the widest understanding block and the widest generation block of all rows together,
    so both are kept even.
    """
    sizes = [_block_sizes(sample) for sample in samples]
    total, longest = sum(map(sum, sizes)), max(map(sum, sizes), default=0)
    target = max(row_tokens, longest)
    fewest = max(1, -(-total // target))

    def cost(rows: _Rows) -> tuple[int, int]:
        return max(0, sum(rows.widths) - target), len(rows.members) * sum(rows.widths)

    found = min((_spread(sizes, n) for n in range(fewest, min(2 * fewest, len(samples)) + 1)), key=cost)
    return [[samples[i] for i in row] for row in found.members]


@dataclass(frozen=True)
class _Rows:
    """Samples by number in each row, and how wide both blocks are."""

    members: list[list[int]]
    widths: tuple[int, int]


def _spread(sizes: Sequence[tuple[int, int]], number: int) -> _Rows:
    """Spread the samples over so many rows, the longest first, each where it widens the batch least."""
    members: list[list[int]] = [[] for _ in range(number)]
    loads = [(0, 0)] * number
    wide = (0, 0)

    def widened(row: int, size: tuple[int, int]) -> tuple[int, int]:
        return max(wide[0], loads[row][0] + size[0]), max(wide[1], loads[row][1] + size[1])

    # The longest first: the short ones then fill what is left (longest-processing-time rule).
    for i in sorted(range(len(sizes)), key=lambda i: -sum(sizes[i])):
        row = min(range(number), key=lambda r: (sum(widened(r, sizes[i])), sum(loads[r])))
        wide = widened(row, sizes[i])
        loads[row] = (loads[row][0] + sizes[i][0], loads[row][1] + sizes[i][1])
        members[row].append(i)
    return _Rows([row for row in members if row], wide)


def _block_sizes(sample: Sequence[Segment]) -> tuple[int, int]:
    """Tokens for the understanding and for the generation expert."""
    painted = sum(segment.length - DELIMITERS for segment in sample if segment.kind in PAINTED)
    return sum(segment.length for segment in sample) - painted, painted


class _Lane:
    """One lane: collects samples until a pack is full."""

    def __init__(self, feed: "_Feed", preparer: Preparer, pack_tokens: int, seed: int) -> None:
        self.feed, self.preparer, self.pack_tokens, self.seed = feed, preparer, pack_tokens, seed
        self.done, self.skipped = feed.at, 0
        self.waiting: PreparedSample | None = None

    def take(self) -> list[PreparedSample]:
        pack: list[PreparedSample] = []
        free, refused = self.pack_tokens, 0
        while True:
            if self.waiting is None:
                self.waiting = self._next()
            if self.waiting is not None and self.waiting.length <= free:
                pack.append(self.waiting)
                free -= self.waiting.length
            elif self.waiting is not None and pack:
                return pack
            else:
                # Longer than a pack, or than the model's positions: left out and counted. Not an error,
                # because built data sets may hold a few such records.
                refused, self.skipped = refused + 1, self.skipped + 1
                if refused >= GIVE_UP:
                    raise ConfigError(
                        f"{GIVE_UP} samples in a row are longer than a pack of {self.pack_tokens} tokens;"
                        " raise pack_tokens"
                    )
            # Counted when it is packed or left out, not when it is read: a sample that waits for the next
            # pack is read again by a resumed run.
            self.waiting = None
            self.done += 1

    def _next(self) -> PreparedSample | None:
        position, sample = self.feed.next()
        try:
            return self.preparer.prepare(sample, derive_seed(self.seed, 3, position))
        except ContextLengthError:
            return None


class _Feed:
    """The samples of a lane one after another, read ahead by the workers if there are any."""

    def __init__(
        self,
        mixture: Mixture,
        pool: ProcessPoolExecutor | None,
        lane: int,
        num_lanes: int,
        start: int,
        ahead: int,
    ) -> None:
        self.mixture, self.pool, self.ahead = mixture, pool, ahead
        self.lane, self.num_lanes, self.at, self.requested = lane, num_lanes, start, start
        self.futures: deque[Future[list[Sample]]] = deque()
        self.ready: deque[Sample] = deque()

    def next(self) -> tuple[int, Sample]:
        """Position and sample."""
        position = self.lane + self.at * self.num_lanes
        self.at += 1
        if self.pool is None:
            return position, self.mixture.sample(position)
        if not self.ready:
            self.ready.extend(self._read())
        return position, self.ready.popleft()

    def _read(self) -> list[Sample]:
        assert self.pool is not None
        try:
            while len(self.futures) < self.ahead:
                numbers = range(self.requested, self.requested + CHUNK)
                positions = [self.lane + n * self.num_lanes for n in numbers]
                self.futures.append(self.pool.submit(_read_samples, positions))
                self.requested = numbers.stop
            return self.futures.popleft().result()
        except BrokenProcessPool as error:
            raise StrokewiseError(
                "a process that reads training samples died (out of memory?); use fewer workers"
            ) from error


_mixture: Mixture


def _pool(mixture: Mixture, workers: int) -> ProcessPoolExecutor:
    # Fresh processes: a fork would copy the locks of threads that torch has running.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(mixture,))


def _start_worker(mixture: Mixture) -> None:
    import torch

    global _mixture
    _mixture = mixture
    # The processes are the parallelism; threads in each would compete for the same cores.
    torch.set_num_threads(1)


def _read_samples(positions: list[int]) -> list[Sample]:
    return [_mixture.sample(position) for position in positions]
