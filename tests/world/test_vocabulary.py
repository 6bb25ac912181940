"""The words of the world are GenEval's, and region names and grid cells are the same thing."""

import pytest

from strokewise.errors import SceneError
from strokewise.world import atlas
from strokewise.world.language import geneval_metadata, geneval_prompts
from strokewise.world.recolor import PAINTS
from strokewise.world.render import GRADES
from strokewise.world.vocabulary import (
    BACKGROUNDS,
    CLASSES,
    COLORS,
    DEFAULT_BACKGROUND,
    REGIONS,
    region_at,
    region_cell,
)


def test_geneval_says_these_words_and_no_others():
    items = [item for prompt in geneval_prompts() for item in geneval_metadata(prompt)["include"]]
    assert {item["class"] for item in items} == set(CLASSES)
    assert {item["color"] for item in items if "color" in item} == set(COLORS)


def test_classes_are_in_the_order_of_coco():
    places = {
        0: "person",
        9: "traffic light",
        15: "cat",
        39: "bottle",
        62: "tv",
        65: "tv remote",
        79: "toothbrush",
    }
    assert {i: CLASSES[i] for i in places} == places


def test_every_word_can_be_drawn():
    assert set(atlas.glyph_table()) == set(CLASSES)
    assert set(PAINTS) == set(COLORS)
    assert set(GRADES) == set(BACKGROUNDS)
    assert DEFAULT_BACKGROUND in BACKGROUNDS


def test_regions_are_cells():
    cells = [region_cell(region) for region in REGIONS]
    assert cells == [(row, column) for row in range(3) for column in range(3)]
    assert [region_at((column + 0.5) / 3, (row + 0.5) / 3) for row, column in cells] == list(REGIONS)


@pytest.mark.parametrize(
    ("x", "y", "region"),
    [(0.0, 0.0, "upper left"), (1.0, 1.0, "lower right"), (0.334, 0.33, "top"), (-0.2, 0.5, "left")],
)
def test_borders_of_regions(x, y, region):
    assert region_at(x, y) == region


def test_unknown_region():
    with pytest.raises(SceneError, match="'middle'"):
        region_cell("middle")
