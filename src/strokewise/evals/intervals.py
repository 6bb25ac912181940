"""Shares of successes with bootstrap intervals, where several results belong to one prompt.

Prompts are resampled with all their results: pictures of one prompt succeed and fail together, and intervals
that take them for independent are too narrow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from strokewise.evals.text_table import TextTable

LEVEL = 0.95
RESAMPLES = 10_000


class Interval(NamedTuple):
    """A share, 0..1, and the bounds that hold it in 95 % of the bootstrap's resamples."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def resampled_shares(
    groups: Sequence[Sequence[bool]], rng: np.random.Generator, resamples: int = RESAMPLES
) -> np.ndarray:
    """Return the share of successes in each resample of the groups, [resamples].

    Args:
        groups: results of each prompt; at least one group, none of them empty.
        rng: draws as many groups as there are, with replacement, for each resample.
        resamples: how many.
    """
    successes = np.array([sum(group) for group in groups])
    sizes = np.array([len(group) for group in groups])
    drawn = rng.integers(len(groups), size=(resamples, len(groups)))
    shares: np.ndarray = successes[drawn].sum(1) / sizes[drawn].sum(1)
    return shares


def interval_of(value: float, draws: np.ndarray) -> Interval:
    """Return the percentile interval of some resamples around the measured value."""
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


def share_interval(groups: Sequence[Sequence[bool]], seed: int = 0) -> Interval:
    """Return the share of successes among all results, with its interval.

    A share of 0 or 1 has no width; the bootstrap cannot know better.
    """
    value = sum(map(sum, groups)) / sum(map(len, groups))
    return interval_of(value, resampled_shares(groups, np.random.default_rng(seed)))


@dataclass(frozen=True)
class NamedShare:
    """How often something is right, as one row of a table.

    Attributes:
        name: of what is counted.
        right: results that are right.
        total: results.
        interval: the share with its bounds.
    """

    name: str
    right: int
    total: int
    interval: Interval

    @classmethod
    def of(cls, name: str, groups: Sequence[Sequence[bool]], seed: int = 0) -> "NamedShare":
        """Return the share of some results, grouped by prompt; see :func:`share_interval`."""
        return cls(name, sum(map(sum, groups)), sum(map(len, groups)), share_interval(groups, seed))


def shares_table(title: str, column: str, shares: Sequence[NamedShare], note: str = "") -> TextTable:
    """Return the shares as a table."""
    rows = [(one.name, f"{one.right:,} of {one.total:,}", str(one.interval)) for one in shares]
    return TextTable(title, (column, "right", "share (95 % interval)"), rows, note)
