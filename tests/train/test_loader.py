"""Packs are full, whatever serves them; rows hold what they can."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from strokewise.datasets.loader import Loader, arrange
from strokewise.datasets.mixture import Mixture
from strokewise.datasets.prepare import Preparer
from strokewise.datasets.samples import Sample, SampleText
from strokewise.sequence import Kind, Segment
from strokewise.train.config import Dropout


class Lengths:
    """Endless texts whose first id is their number, of lengths 3 to 42."""

    size = None

    def sample(self, index):
        length = np.random.default_rng(index).integers(1, 41)
        return Sample((SampleText((index,) * int(length)),), ends=False)


@pytest.fixture
def loader(tiny_config, special):
    preparer = Preparer(tiny_config, special, Dropout(), 1.0)

    def make(lanes, num_lanes=4, tokens=100, done=None):
        return Loader(Mixture(["a"], [Lengths()], [1.0], 0), preparer, tokens, lanes, num_lanes, 0, done)

    return make


def numbers(packs):
    return [[int(sample.segments[0].tokens[0]) for sample in pack] for pack in packs]


def test_lanes_do_not_depend_on_who_serves_them(loader):
    alone = loader(range(4))
    halves = loader(range(2)), loader(range(2, 4))
    for _ in range(5):
        assert numbers(alone.step()) == [*numbers(halves[0].step()), *numbers(halves[1].step())]


def test_packs_are_as_full_as_the_order_allows(loader):
    made = loader(range(4))
    for _ in range(5):
        for pack in made.step():
            assert 100 - 42 < sum(sample.length for sample in pack) <= 100


def test_nothing_is_lost_or_doubled(loader):
    made = loader(range(4))
    steps = [numbers(made.step()) for _ in range(10)]
    for lane in range(4):
        seen = [n for step in steps for n in step[lane]]
        assert seen == list(range(lane, lane + 4 * len(seen), 4))


def test_it_goes_on_where_it_stopped(loader):
    whole = loader(range(4))
    for _ in range(3):
        whole.step()
    again = loader(range(4), done=whole.done)
    assert numbers(again.step()) == numbers(whole.step())
    assert again.done == whole.done


def test_long_samples_are_left_out_and_counted(loader):
    made = loader(range(1), 1, tokens=20)
    packs = [made.step()[0] for _ in range(20)]
    assert all(sample.length <= 20 for pack in packs for sample in pack)
    assert made.skipped == made.done[0] - sum(map(len, packs)) > 0


@given(st.lists(st.integers(0, 60), min_size=1, max_size=30), st.integers(1, 200))
def test_rows_hold_every_sample_once(lengths, row_tokens):
    samples = [[Segment.text([i] * n)] for i, n in enumerate(lengths)]
    rows = arrange(samples, row_tokens)
    held = sorted(id(sample) for row in rows for sample in row)
    assert held == sorted(id(sample) for sample in samples)
    capacity = max(row_tokens, max(lengths) + 2)
    widest = max(sum(s.length for sample in row for s in sample) for row in rows)
    assert widest <= 1.5 * capacity


def test_rows_are_even_in_both_blocks():
    """Texts widen one block and pictures the other: rows of either alone would be half padding."""
    texts = [[Segment.text([1] * 98)] for _ in range(8)]
    pictures = [[Segment(Kind.CLEAN, torch.zeros(100, 4), grid=(10, 10))] for _ in range(8)]
    for row in arrange([*texts, *pictures], 400):
        kinds = [sample[0].kind for sample in row]
        assert kinds.count(Kind.TEXT) == kinds.count(Kind.CLEAN)
