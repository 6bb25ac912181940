"""Means of results, and shares of successes, with bootstrap intervals, where several belong to one prompt.

Prompts are resampled with all their results: pictures of one prompt succeed and fail together, and intervals
that take them for independent are too narrow.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from strokewise.evals.text_table import TextTable

LEVEL = 0.95
RESAMPLES = 10_000


class Interval(NamedTuple):
    """A mean or share, 0..1, and the bounds that hold it in 95 % of the bootstrap's resamples."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def resampled_means(
    groups: Sequence[Sequence[float]], rng: np.random.Generator, resamples: int = RESAMPLES
) -> np.ndarray:
    """Return the mean result (of verdicts: the share of successes) in each resample, [resamples].

    Args:
        groups: results of each prompt; at least one group, none of them empty.
        rng: draws as many groups as there are, with replacement, for each resample.
        resamples: how many.
    """
    sums = np.array([sum(group) for group in groups])
    sizes = np.array([len(group) for group in groups])
    drawn = rng.integers(len(groups), size=(resamples, len(groups)))
    shares: np.ndarray = sums[drawn].sum(1) / sizes[drawn].sum(1)
    return shares


def interval_of(value: float, draws: np.ndarray) -> Interval:
    """Return the percentile interval of some resamples around the measured value."""
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


def mean_interval(groups: Sequence[Sequence[float]], seed: int = 0) -> Interval:
    """Return the mean of all results (of verdicts: the share of successes), with its interval.

    A share of 0 or 1 has no width; the bootstrap cannot know better.
    """
    value = sum(map(sum, groups)) / sum(map(len, groups))
    return interval_of(value, resampled_means(groups, np.random.default_rng(seed)))


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
        """Return the share of some results, grouped by prompt; see :func:`mean_interval`."""
        return cls(name, sum(map(sum, groups)), sum(map(len, groups)), mean_interval(groups, seed))


def shares_table(title: str, column: str, shares: Sequence[NamedShare], note: str = "") -> TextTable:
    """Return the shares as a table."""
    rows = [(one.name, f"{one.right:,} of {one.total:,}", str(one.interval)) for one in shares]
    return TextTable(title, (column, "right", "share (95 % interval)"), rows, note)


@dataclass(frozen=True)
class NamedMean:
    """The mean of some results of 0 to 1, as one row of a table.

    Attributes:
        name: of what is averaged.
        prompts: that the results belong to.
        results: how many.
        interval: the mean with its bounds.
    """

    name: str
    prompts: int
    results: int
    interval: Interval

    @classmethod
    def of(cls, name: str, results: Iterable[tuple[int, float]], seed: int = 0) -> "NamedMean":
        """Return the mean of some results, each with the number of its prompt; at least one."""
        groups: dict[int, list[float]] = {}
        for prompt, result in results:
            groups.setdefault(prompt, []).append(result)
        # Sorted, so that the interval does not depend on the order in which pictures were judged.
        ordered = [groups[prompt] for prompt in sorted(groups)]
        return cls(name, len(ordered), sum(map(len, ordered)), mean_interval(ordered, seed))


def means_table(title: str, column: str, means: Sequence[NamedMean], note: str = "") -> TextTable:
    """Return the means as a table."""
    rows = [(one.name, f"{one.prompts:,}", f"{one.results:,}", str(one.interval)) for one in means]
    return TextTable(title, (column, "prompts", "results", "mean (95 % interval)"), rows, note)
