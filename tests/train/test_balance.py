"""Eight ranks over the mixture of bagel-7b-process: little padding, and packs that cost the same."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from strokewise.models import find_checkpoint
from strokewise.models.bagel import nano
from strokewise.recipes.registry import recipe_config
from strokewise.sequence import Tokenizer

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def loading():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        spec = importlib.util.spec_from_file_location("loading", BENCHMARKS / "loading.py")
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        yield module


def test_packs_of_eight_ranks_are_full_and_cost_the_same(loading):
    """At nano's image sizes, in packs of as many samples as at 7B."""
    config = replace(recipe_config("bagel-7b-process", "nano"), pack_tokens=3000)
    steps, tokenizer = 8, Tokenizer.load(find_checkpoint("nano"))
    ahead, early = loading.simulated(config, nano(), tokenizer, steps)
    assert 3 < ahead.samples / steps / 8 < 6
    assert ahead.padding <= 0.05
    assert ahead.spreads.mean() <= 0.05
    assert early.padding > 0.1
    assert early.spreads.mean() > 0.2
