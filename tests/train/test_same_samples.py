"""Samples are those of version 0.1.0, token by token: views and their names may change, data must not."""

import hashlib

import pytest

from strokewise.data.scenes import SceneMix
from strokewise.datasets.records import Rendered
from strokewise.datasets.samples import Text
from strokewise.recipes.nano.canvases import Canvases
from strokewise.recipes.nano.stages import NANO_SCENES
from strokewise.sequence import Tokenizer

SCENES = {"nano": NANO_SCENES, "default": SceneMix()}
# Digests of what the released code gave for seed 3, the first eight samples.
RELEASED = {
    "canvas text-to-image nano": "4578bd26d297",
    "canvas text-to-image default": "22ab2e1a0968",
    "canvas description nano": "04dd7a2a9e7d",
    "canvas description default": "959dcbf6fd36",
    "canvas verification nano": "3364bb19e0b7",
    "canvas verification default": "119953e20d16",
    "canvas comparison nano": "fff2d07d6e68",
    "canvas comparison default": "c410a0d94ce0",
    "multi-turn process nano": "2c41f2552cb5",
    "multi-turn process default": "626d7f5ab214",
    "multi-turn planning nano": "40922dfbcddd",
    "multi-turn planning default": "0495740a2389",
    "conflict process nano": "e93e2a03f42d",
    "conflict process default": "b8a86abad11a",
    "conflict planning nano": "65b094e05319",
    "conflict planning default": "303487e4cdcf",
    "conflict inspection nano": "10e2aa5f2072",
    "conflict inspection default": "190e5b49cc23",
    "alignment process nano": "0f333a8fdd21",
    "alignment process default": "bf25f2b5cb23",
    "alignment planning nano": "ed58cfb2faf0",
    "alignment planning default": "7df10dbce79c",
    "alignment inspection nano": "ecf88ba73d7d",
    "alignment inspection default": "ac56ddf1e225",
}


@pytest.fixture(scope="module")
def tokenizer():
    from strokewise.models import find_checkpoint

    return Tokenizer.load(find_checkpoint("nano"))


def digest(source):
    """Of the tokens and flags of the first samples of a source."""
    found = hashlib.sha256()
    for index in range(8):
        sample = source.sample(index)
        for part in sample.parts:
            ids = (*part.ids, part.guided, part.opens) if isinstance(part, Text) else part.pixels.shape
            found.update(repr((ids, part.loss)).encode())
        found.update(str(sample.ends).encode())
    return found.hexdigest()[:12]


@pytest.mark.parametrize("name", RELEASED)
def test_tokens_are_those_of_the_released_version(tokenizer, name):
    subset, view, scenes = name.split()
    if subset == "canvas":
        source = Canvases(view, SCENES[scenes], seed=3, side=64)
    else:
        source = Rendered(subset, view, SCENES[scenes], seed=3, side=64)
    assert digest(source.open(tokenizer)) == RELEASED[name]
