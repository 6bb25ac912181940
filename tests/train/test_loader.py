"""Packs are full and cost the same, whatever serves them; rows hold what they can."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from strokewise.datasets.filling import choose
from strokewise.datasets.loader import LaneState, Loader
from strokewise.datasets.mixture import Mixture
from strokewise.datasets.prepare import Preparer
from strokewise.datasets.rows import arrange
from strokewise.datasets.samples import Sample, SampleText
from strokewise.sequence import Kind, Segment
from strokewise.train.config import Dropout


class Lengths:
    """Endless texts whose first id is their number, of lengths 3 to 42."""

    size = None

    def sample(self, index):
        length = np.random.default_rng(index).integers(1, 41)
        return Sample((SampleText((index,) * int(length)),), ends=False)


def cost(sample):
    """Long samples cost more a token."""
    return sample.length + sample.length**2 / 100


@pytest.fixture
def loader(tiny_config, special):
    preparer = Preparer(tiny_config, special, Dropout(), 1.0)

    def make(lanes, num_lanes=4, tokens=100, workers=0, states=None):
        mixture = Mixture(["a"], [Lengths()], [1.0], 0)
        return Loader(mixture, preparer, cost, tokens, lanes, num_lanes, workers, states)

    return make


def numbers(packs):
    return [[int(sample.segments[0].tokens[0]) for sample in pack] for pack in packs]


def test_lanes_do_not_depend_on_who_serves_them(loader):
    alone = loader(range(4))
    halves = loader(range(2)), loader(range(2, 4))
    for _ in range(5):
        assert numbers(alone.step()) == [*numbers(halves[0].step()), *numbers(halves[1].step())]


def test_packs_are_full_and_cost_the_same(loader):
    made = loader(range(8), 8)
    steps = [made.step() for _ in range(20)]
    filled = [sum(sample.length for sample in pack) for step in steps for pack in step]
    assert max(filled) <= 100
    assert sum(filled) / len(filled) > 97
    spreads = []
    for step in steps:
        costs = [sum(map(cost, pack)) for pack in step]
        spreads.append((max(costs) - min(costs)) / (sum(costs) / 8))
    assert sum(spreads) / 20 < 0.05


def test_nothing_is_lost_or_doubled_and_nothing_waits_long(loader):
    made = loader(range(4))
    steps = [numbers(made.step()) for _ in range(40)]
    for lane, state in enumerate(made.states):
        seen = [n for step in steps for n in step[lane]]
        waiting = [lane + 4 * n for n in state.waiting]
        assert sorted(seen + waiting) == list(range(lane, lane + 4 * state.read, 4))
        # Each pack takes what has waited longest, so nothing waits for more packs than samples wait with it.
        for number, step in enumerate(steps):
            later = [n for others in steps[number:] for n in others[lane]]
            assert min(step[lane]) == min(later + waiting)


def test_it_goes_on_where_it_stopped(loader):
    whole = loader(range(4))
    for _ in range(3):
        whole.step()
    states = [LaneState(**json.loads(json.dumps(asdict(state)))) for state in whole.states]
    again, two = loader(range(4), states=states), loader(range(2), states=states[:2])
    for _ in range(12):
        expected = numbers(whole.step())
        assert numbers(again.step()) == expected
        assert numbers(two.step()) == expected[:2]
        assert again.states == whole.states


def test_workers_prepare_the_same(loader):
    alone, helped = loader(range(2)), loader(range(2), workers=2)
    try:
        for _ in range(4):
            assert [[repr(s) for s in p] for p in helped.step()] == [
                [repr(s) for s in p] for p in alone.step()
            ]
    finally:
        helped.close()


def test_long_samples_are_left_out_and_counted(loader):
    made = loader(range(1), 1, tokens=20)
    packs = [made.step()[0] for _ in range(20)]
    assert all(sample.length <= 20 for pack in packs for sample in pack)
    state = made.states[0]
    assert made.skipped == state.read - len(state.waiting) - sum(map(len, packs)) > 0


lengths_and_costs = st.lists(st.tuples(st.integers(1, 100), st.floats(0.1, 10)), min_size=1, max_size=24)


@given(lengths_and_costs, st.floats(1, 1000))
def test_choices_hold_the_first_and_fit(samples, wanted):
    lengths, costs = zip(*samples, strict=True)
    chosen = choose(lengths, costs, 100, wanted)
    assert chosen[0] == 0
    assert chosen == sorted({*chosen})
    assert sum(lengths[i] for i in chosen) <= 100


def test_a_choice_weighs_tokens_and_cost():
    """Both pairs fill the pack; the second costs what is wanted."""
    assert choose([60, 40, 40], [60, 80, 39], 100, 98) == [0, 2]
    assert choose([60, 40, 40], [60, 39, 80], 100, 98) == [0, 1]


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
