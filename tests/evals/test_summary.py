"""Scores and their intervals."""

import inspect

import numpy as np
import pytest

from strokewise.cli.evals import run
from strokewise.errors import InputError
from strokewise.evals.benchmarks.geneval.summary import Judged, summarize, table
from strokewise.evals.intervals import mean_interval
from strokewise.world.language import geneval_metadata, geneval_prompts

PROMPTS = [geneval_metadata(prompt) for prompt in geneval_prompts()]


def judged(share, pictures=4, seed=0):
    """Verdicts on pictures of every prompt, of which all tasks have about the same share right."""
    rng = np.random.default_rng(seed)
    return [Judged(metadata, bool(right)) for metadata in PROMPTS for right in rng.random(pictures) < share]


def test_overall_is_the_plain_mean_of_the_six_tasks():
    right = {"single_object": 1.0, "two_object": 0.5, "counting": 0.25}
    verdicts = [
        Judged(metadata, picture < 4 * right.get(metadata["tag"], 0.0))
        for metadata in PROMPTS
        for picture in range(4)
    ]
    summary = summarize(verdicts)
    assert summary.complete
    assert [one.score.value for one in summary.tags.values()] == [1.0, 0.5, 0.25, 0, 0, 0]
    assert summary.overall.value == pytest.approx(1.75 / 6)
    assert [one.prompts for one in summary.tags.values()] == [80, 99, 80, 94, 100, 100]
    assert sum(one.pictures for one in summary.tags.values()) == 553 * 4
    assert summary.solved == pytest.approx((80 + 99 + 80) / 553)


def test_intervals_hold_the_score_and_are_repeatable():
    verdicts = judged(0.5)
    summary = summarize(verdicts, seed=3)
    for score in [summary.overall, *(one.score for one in summary.tags.values())]:
        assert 0 < score.low < score.value < score.high < 1
    assert summary == summarize(verdicts[::-1], seed=3)
    assert summary != summarize(verdicts, seed=4)


def test_intervals_are_as_wide_as_theory_has_them():
    """One picture a prompt: the interval of a binomial share, 1.96 sqrt(p (1 - p) / n) to each side."""
    summary = summarize(judged(0.5, pictures=1))
    one = summary.tags["position"]
    half = 1.96 * np.sqrt(one.score.value * (1 - one.score.value) / one.pictures)
    assert one.score.high - one.score.value == pytest.approx(half, rel=0.15)
    # The mean of six independent scores is narrower.
    assert summary.overall.high - summary.overall.low < one.score.high - one.score.low


def test_pictures_of_a_prompt_that_succeed_together_count_once():
    alone = [Judged(metadata, number % 2 == 0) for number, metadata in enumerate(PROMPTS)]
    together = [verdict for verdict in alone for _ in range(4)]
    assert summarize(alone, seed=1).overall == summarize(together, seed=1).overall


def test_the_table_tells_when_tasks_are_missing():
    def summary_of(verdicts):
        return " ".join(cell for row in table(summarize(verdicts)).lines for cell in row)

    everything = summary_of(judged(0.5))
    assert "overall" in everything
    assert "color_attr" in everything
    some = summary_of([one for one in judged(0.5) if one.metadata["tag"] in ("colors", "position")])
    assert "mean of 2 of 6 tasks" in some
    assert "overall" not in some


@pytest.mark.parametrize("verdicts", [[], [Judged({"tag": "texture"}, True)]])
def test_nothing_and_other_tags_are_refused(verdicts):
    with pytest.raises(InputError, match="GenEval's are"):
        summarize(verdicts)


def test_prompts_are_resampled_with_all_their_images():
    """Four images that agree leave the interval as wide as one image does; independent ones halve it."""
    rng = np.random.default_rng(5)
    alone = [[bool(right)] for right in rng.random(200) < 0.5]
    width = np.diff(mean_interval(alone, seed=1)[1:])
    assert np.diff(mean_interval([group * 4 for group in alone], seed=1)[1:]) == pytest.approx(width)
    independent = [list(map(bool, rng.random(4) < 0.5)) for _ in range(200)]
    assert np.diff(mean_interval(independent, seed=1)[1:]) == pytest.approx(width / 2, rel=0.15)
    # Prompts with more images weigh more, in the share and in each resample.
    assert mean_interval([[True] * 3, [False]]) == (0.75, 0.0, 1.0)


def test_every_image_of_a_prompt_counts_in_the_default_run():
    """The protocol of GenEval is four images a prompt."""
    assert inspect.signature(run).parameters["seeds"].default == "0-3"
