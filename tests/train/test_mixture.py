"""Every position has its sample, shares are exact, epochs complete, and nothing else is remembered."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strokewise.datasets.mixture import BLOCK, Mixture, block_counts, derive_seed
from strokewise.datasets.samples import Sample, SampleText
from strokewise.errors import ConfigError, RecordError


class Numbers:
    """Samples that are their own number."""

    def __init__(self, size, broken=()):
        self.size, self.broken = size, broken

    def sample(self, index):
        if index in self.broken:
            raise RecordError("cut off")
        return Sample((SampleText((index,)),))


def mixture(*sizes, weights=None, seed=0, **options):
    names = [f"source{i}" for i in range(len(sizes))]
    return Mixture(names, [Numbers(n, **options) for n in sizes], weights or [1.0] * len(sizes), seed)


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=20))
def test_counts_fill_a_block(weights):
    counts = block_counts(weights)
    assert sum(counts) == BLOCK
    assert min(counts) >= 1


def test_shares_are_exact_in_every_block():
    made = mixture(7, None, weights=[0.3, 0.7])
    for block in range(3):
        draws = [made.draw(p).source for p in range(block * BLOCK, (block + 1) * BLOCK)]
        assert Counter(draws) == {0: 300, 1: 700}
        assert draws != sorted(draws)


def test_finite_sources_are_gone_through_whole_and_in_new_orders():
    made = mixture(50)
    epochs = [[made.draw(p).index for p in range(e * 50, (e + 1) * 50)] for e in range(3)]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_endless_sources_never_repeat():
    made = mixture(None, 5)
    draws = [made.draw(p) for p in range(3 * BLOCK)]
    indices = [d.index for d in draws if d.source == 0]
    assert indices == list(range(len(indices)))


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=20))
def test_positions_may_be_asked_in_any_order(positions):
    one = mixture(13, None, 100, weights=[1, 2, 3], seed=5)
    wanted = {p: mixture(13, None, 100, weights=[1, 2, 3], seed=5).draw(p) for p in positions}
    assert [one.draw(p) for p in positions] == [wanted[p] for p in positions]


def test_seeds_matter():
    first, second = mixture(1000, seed=1), mixture(1000, seed=2)
    assert [first.draw(p) for p in range(50)] != [second.draw(p) for p in range(50)]
    assert derive_seed(1, 23) != derive_seed(12, 3)


def test_errors_name_source_and_sample():
    made = mixture(3, broken={1})
    at = next(p for p in range(BLOCK) if made.draw(p).index == 1)
    with pytest.raises(RecordError, match="sample 1 of 'source0': cut off"):
        made.sample(at)


def test_nothing_to_mix():
    with pytest.raises(ConfigError, match="'source0' holds no samples"):
        mixture(0)
    with pytest.raises(ConfigError, match="positive weight"):
        mixture(5, weights=[0.0])


def test_weight_zero_leaves_a_source_out():
    made = mixture(5, 0, weights=[1.0, 0.0])
    assert made.names == ["source0"]
