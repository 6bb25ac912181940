"""From verdicts to GenEval's score, with how sure it is.

GenEval's score is the plain mean of its six tasks' shares of right pictures (the official
`summary_scores.py`), whatever the number of their prompts. This file knows verdicts. It refuses to know
pictures and rules.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from strokewise.errors import InputError
from strokewise.evals.intervals import RESAMPLES, Interval, interval_of, resampled_means
from strokewise.evals.text_table import TextTable
from strokewise.world.language.geneval import GENEVAL_TAGS


class Judged(NamedTuple):
    """The verdict on one picture; the same metadata are the same prompt."""

    metadata: Mapping[str, Any]
    correct: bool


@dataclass(frozen=True)
class TagScore:
    """The score of one task: its pictures, how many of them are right, its prompts."""

    pictures: int
    right: int
    prompts: int
    score: Interval


@dataclass(frozen=True)
class GenEvalSummary:
    """The score of a benchmark run.

    tags: the tasks that have pictures, in GenEval's order.
    overall: the plain mean of their scores; GenEval's own score if all six are there.
    solved: the share of prompts of which at least one picture is right.
    """

    tags: dict[str, TagScore]
    overall: Interval
    solved: float

    @property
    def complete(self) -> bool:
        """Whether all six tasks have pictures."""
        return set(self.tags) == set(GENEVAL_TAGS)


def summarize(judged: Iterable[Judged], seed: int = 0, resamples: int = RESAMPLES) -> GenEvalSummary:
    """Return the scores with percentile intervals from resampling the prompts of each task.

    Prompts are drawn, not pictures: the pictures of a prompt succeed and fail together, and intervals that
    take them for independent are too narrow. A task of which all pictures are right (or wrong) has no width.

    Args:
        judged: the verdicts, in any order.
        seed: of the resampling; the same verdicts and seed give the same intervals.
        resamples: how often to draw.

    Raises:
        InputError: if there are no verdicts, or a tag is not GenEval's.
    """
    counts: dict[str, dict[str, list[bool]]] = {}
    for metadata, correct in judged:
        prompts = counts.setdefault(metadata["tag"], {})
        prompts.setdefault(json.dumps(metadata, sort_keys=True), []).append(correct)
    if not counts or not counts.keys() <= set(GENEVAL_TAGS):
        raise InputError(f"cannot sum up the tags {sorted(counts)}; GenEval's are {', '.join(GENEVAL_TAGS)}")
    rng = np.random.default_rng(seed)
    scores, draws, solved = {}, [], []
    for tag in (tag for tag in GENEVAL_TAGS if tag in counts):
        # Sorted, so that the intervals do not depend on the order in which pictures were scored.
        verdicts = [verdicts for _, verdicts in sorted(counts[tag].items())]
        draws.append(resampled_means(verdicts, rng, resamples))
        total, right = sum(map(len, verdicts)), sum(map(sum, verdicts))
        scores[tag] = TagScore(total, right, len(verdicts), interval_of(right / total, draws[-1]))
        solved += [any(prompt) for prompt in verdicts]
    mean = float(np.mean([score.score.value for score in scores.values()]))
    return GenEvalSummary(scores, interval_of(mean, np.mean(draws, axis=0)), float(np.mean(solved)))


def table(summary: GenEvalSummary, title: str = "GenEval") -> TextTable:
    """Return the summary as a table."""
    rows: list[tuple[str, ...]] = [
        (tag, str(one.prompts), str(one.pictures), str(one.right), *_cells(one.score))
        for tag, one in summary.tags.items()
    ]
    name = "overall" if summary.complete else f"mean of {len(summary.tags)} of {len(GENEVAL_TAGS)} tasks"
    sums = [
        sum(getattr(one, key) for one in summary.tags.values()) for key in ("prompts", "pictures", "right")
    ]
    rows.append((name, *map(str, sums), *_cells(summary.overall)))
    head = ("task", "prompts", "pictures", "right", "score", "95 % interval")
    return TextTable(title, head, rows, f"prompts with a right picture: {summary.solved:.1%}")


def _cells(score: Interval) -> tuple[str, str]:
    return f"{score.value:.4f}", f"{score.low:.3f} to {score.high:.3f}"
