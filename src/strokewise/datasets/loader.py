"""Packs of samples for each step, in an order that does not depend on the number of GPUs.

A step takes one pack from each of a fixed number of *lanes*; lane ``i`` of ``n`` reads the positions
i, i + n, i + 2n, … of the mixture. It reads ahead, and chooses for each pack among the samples that wait, so
that all packs are full and cost the same (``filling``); none waits for more packs than samples wait with it.
A rank serves some of the lanes. The state is how far each lane has read and what waits, so a run resumes
exactly, on as many GPUs as divide the lanes. Reading, rendering and preparing may be left to worker
processes; they are given positions, so their number changes nothing either.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import chain, count, islice

from strokewise.datasets.filling import AIM, choose
from strokewise.datasets.mixture import Mixture
from strokewise.datasets.prepare import PreparedSample, Preparer
from strokewise.datasets.readers import Readers, prepared
from strokewise.errors import ConfigError

CHUNK = 16
AHEAD = 4
GIVE_UP = 1000
# Samples that wait in a lane, at least; where samples are short, as many more as fill this many packs.
WAITING, WAITING_PACKS = 32, 2


@dataclass(frozen=True)
class LaneState:
    """How far a lane has come.

    Attributes:
        read: samples it has read.
        waiting: numbers of those that no pack has taken yet.
        tokens, cost: of all that it has read, those left out for their length not counted.
    """

    read: int = 0
    waiting: tuple[int, ...] = ()
    tokens: int = 0
    cost: float = 0.0


class Loader:
    """The packs of some lanes."""

    def __init__(
        self,
        mixture: Mixture,
        preparer: Preparer,
        cost: Callable[[PreparedSample], float],
        pack_tokens: int,
        lanes: range,
        num_lanes: int,
        workers: int = 0,
        states: Sequence[LaneState] | None = None,
    ) -> None:
        """Serve ``lanes`` of ``num_lanes``, from ``states`` on; packs cost the same by ``cost``."""
        self.skipped = 0
        self._readers = Readers(mixture, preparer, workers) if workers else None
        ahead = AHEAD * max(1, workers // len(lanes)) if workers else 0
        self._lanes = [
            _Lane(
                state,
                _Feed(mixture, preparer, self._readers, lane, num_lanes, state, ahead),
                cost,
                pack_tokens,
            )
            for lane, state in zip(lanes, states or [LaneState()] * len(lanes), strict=True)
        ]

    @property
    def states(self) -> list[LaneState]:
        """How far each lane has come."""
        return [lane.state() for lane in self._lanes]

    def step(self) -> list[list[PreparedSample]]:
        """Return the next pack of each lane.

        Raises:
            StrokewiseError: if a sample cannot be read, no sample fits a pack, or a worker process died.
        """
        packs = [lane.take() for lane in self._lanes]
        self.skipped = sum(lane.skipped for lane in self._lanes)
        return packs

    def close(self) -> None:
        """Stop the worker processes."""
        if self._readers is not None:
            self._readers.close()


@dataclass(frozen=True)
class _Waiting:
    """A sample that no pack has taken yet, by its number in the lane."""

    number: int
    sample: PreparedSample
    cost: float


class _Lane:
    """One lane: reads ahead, and fills packs from what waits."""

    def __init__(
        self, start: LaneState, feed: "_Feed", cost: Callable[[PreparedSample], float], pack_tokens: int
    ) -> None:
        self.feed, self.cost_of, self.pack_tokens = feed, cost, pack_tokens
        self.read, self.tokens, self.cost = start.read, start.tokens, start.cost
        self.skipped = self.refused = 0
        # What waits is read again by a resumed run, and was counted before.
        self.again, self.waiting = len(start.waiting), list[_Waiting]()

    def state(self) -> LaneState:
        return LaneState(self.read, tuple(one.number for one in self.waiting), self.tokens, self.cost)

    def take(self) -> list[PreparedSample]:
        room = self.pack_tokens
        while (
            len(self.waiting) < WAITING or sum(o.sample.length for o in self.waiting) < WAITING_PACKS * room
        ):
            self._read()
        lengths = [one.sample.length for one in self.waiting]
        wanted = AIM * room * self.cost / self.tokens
        chosen = choose(lengths, [one.cost for one in self.waiting], room, wanted)
        taken, left = [self.waiting[i].sample for i in chosen], {*range(len(self.waiting))} - {*chosen}
        self.waiting = [self.waiting[i] for i in sorted(left)]
        return taken

    def _read(self) -> None:
        """Read one more sample, unless it is too long."""
        number, sample = self.feed.next()
        known, self.again = self.again > 0, max(0, self.again - 1)
        self.read = max(self.read, number + 1)
        if sample is None or sample.length > self.pack_tokens:
            # Longer than a pack, or than the model's positions: left out and counted. Not an error, because
            # built data sets may hold a few such records.
            self.refused, self.skipped = self.refused + 1, self.skipped + 1
            if self.refused >= GIVE_UP:
                raise ConfigError(
                    f"{GIVE_UP} samples in a row are longer than a pack of {self.pack_tokens} tokens;"
                    " raise pack_tokens"
                )
            return
        self.refused = 0
        one = _Waiting(number, sample, self.cost_of(sample))
        self.waiting.append(one)
        if not known:
            self.tokens, self.cost = self.tokens + sample.length, self.cost + one.cost


class _Feed:
    """Numbers and samples of a lane one after another, read ahead by the workers if there are any."""

    def __init__(
        self,
        mixture: Mixture,
        preparer: Preparer,
        readers: Readers | None,
        lane: int,
        num_lanes: int,
        start: LaneState,
        ahead: int,
    ) -> None:
        self.mixture, self.preparer, self.readers, self.ahead = mixture, preparer, readers, ahead
        self.lane, self.num_lanes = lane, num_lanes
        self.numbers: Iterator[int] = chain(start.waiting, count(start.read))
        self.futures: deque[tuple[list[int], Future[list[PreparedSample | None]]]] = deque()
        self.ready: deque[tuple[int, PreparedSample | None]] = deque()

    def next(self) -> tuple[int, PreparedSample | None]:
        """Return a number and its sample, None if it is too long for the model."""
        if self.readers is None:
            number = next(self.numbers)
            return number, prepared(self.mixture, self.preparer, self._position(number))
        if not self.ready:
            self.ready.extend(self._read(self.readers))
        return self.ready.popleft()

    def _position(self, number: int) -> int:
        return self.lane + number * self.num_lanes

    def _read(self, readers: Readers) -> Iterator[tuple[int, PreparedSample | None]]:
        while len(self.futures) < self.ahead:
            numbers = list(islice(self.numbers, CHUNK))
            self.futures.append((numbers, readers.request([self._position(number) for number in numbers])))
        numbers, future = self.futures.popleft()
        return zip(numbers, future.result(), strict=True)
