"""The order of samples: a weighted mixture of sources as a pure function of the position.

Positions count all samples of a run. They come in blocks in which every source has its exact share, shuffled;
a finite source is gone through in a new order each epoch. So the only state of the data is an integer, and
any worker, rank or resumed run can read any position. Knows no tokens and no tensors.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strokewise.datasets.samples import Sample, Source
from strokewise.errors import ConfigError, StrokewiseError

BLOCK = 1000


def derive_seed(*parts: int) -> int:
    """Return a 63-bit seed from whole numbers; any change of one gives an unrelated seed."""
    digest = hashlib.blake2b(",".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@dataclass(frozen=True)
class Draw:
    """The sample at a position: number ``index`` of source ``source``."""

    source: int
    index: int


class Mixture:
    """Weighted sources as one endless sequence of samples."""

    def __init__(
        self, names: Sequence[str], sources: Sequence[Source], weights: Sequence[float], seed: int
    ) -> None:
        """Mix ``sources``; a weight of zero leaves a source out.

        Raises:
            ConfigError: if there is no source of positive weight, or such a one is empty.
        """
        used = [i for i, weight in enumerate(weights) if weight > 0]
        if not used:
            raise ConfigError("no source of training samples has a positive weight")
        self.names = [names[i] for i in used]
        self.sources = [sources[i] for i in used]
        self.seed = seed
        for name, source in zip(self.names, self.sources, strict=True):
            if source.size == 0:
                raise ConfigError(
                    f"the source {name!r} holds no samples; build it first or set its weight to 0"
                )
        self.counts = block_counts([weights[i] for i in used])
        self._block: tuple[int, NDArray[np.int64]] | None = None
        self._orders: dict[int, tuple[int, NDArray[np.int64]]] = {}

    def draw(self, position: int) -> Draw:
        """Return which sample stands at ``position``."""
        block, place = divmod(position, BLOCK)
        kinds = self._kinds(block)
        source = int(kinds[place])
        before = block * self.counts[source] + int((kinds[:place] == source).sum())
        size = self.sources[source].size
        if size is None:
            return Draw(source, before)
        epoch, at = divmod(before, size)
        return Draw(source, int(self._order(source, epoch, size)[at]))

    def sample(self, position: int) -> Sample:
        """Return the sample at ``position``.

        Raises:
            StrokewiseError: if its source cannot give it; the message names source and number.
        """
        draw = self.draw(position)
        try:
            return self.sources[draw.source].sample(draw.index)
        except StrokewiseError as error:
            raise type(error)(f"sample {draw.index} of {self.names[draw.source]!r}: {error}") from error

    def _kinds(self, block: int) -> NDArray[np.int64]:
        if self._block is None or self._block[0] != block:
            kinds = np.repeat(np.arange(len(self.counts)), self.counts)
            np.random.default_rng(derive_seed(self.seed, 1, block)).shuffle(kinds)
            self._block = (block, kinds)
        return self._block[1]

    def _order(self, source: int, epoch: int, size: int) -> NDArray[np.int64]:
        if source not in self._orders or self._orders[source][0] != epoch:
            draw = np.random.default_rng(derive_seed(self.seed, 2, source, epoch))
            self._orders[source] = (epoch, draw.permutation(size))
        return self._orders[source][1]


def block_counts(weights: Sequence[float]) -> list[int]:
    """Return how many of ``BLOCK`` samples each source gives: by largest remainder, at least one each."""
    shares = np.asarray(weights, dtype=np.float64) / sum(weights) * BLOCK
    counts = np.maximum(np.floor(shares).astype(int), 1)
    order = np.argsort(-(shares - counts), kind="stable")
    for i in range(BLOCK - int(counts.sum())):
        counts[order[i % len(order)]] += 1
    while counts.sum() > BLOCK:
        counts[counts.argmax()] -= 1
    return counts.tolist()
