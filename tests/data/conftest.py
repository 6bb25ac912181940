"""Records of the three subsets, made once."""

import random
from functools import cache

import pytest


@pytest.fixture(scope="session")
def records_of():
    """Records of a subset: the same list for the same arguments, so do not change it."""
    from strokewise.data.build import MAKERS
    from strokewise.data.canvas_painters import SpritePainter

    @cache
    def make(subset, count=256, seed=1, mix=None, size=64):
        maker, default = MAKERS[subset]
        return [
            maker(random.Random(f"{subset}/{seed}/{i}"), mix or default(), SpritePainter(size))
            for i in range(count)
        ]

    return make
