"""The Python API called with what is no text, number, picture or list: errors of ours, nothing painted."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from strokewise import Painter, PaintingOptions
from strokewise.errors import StrokewiseError
from strokewise.inference.policies import SinglePass

FAST = {"steps": 1, "max_images": 1, "max_rounds": 1, "max_tokens": 4, "size": (16, 16)}
NOTHING = object()
OTHERS = [
    *(True, -1, 1.5, float("nan"), float("inf"), 10**30, np.float32(1.5), np.array([1, 2])),
    *("x", "2", b"a", "", [], (1, 2), {}, NOTHING, Path("x")),
]


@pytest.fixture(scope="module")
def painter(tiny_folder):
    return Painter.load(tiny_folder, device="cpu")


def accepted(function):
    """The values that a function takes; the others raise an error of ours."""
    taken = []
    for other in OTHERS:
        try:
            function(other)
        except StrokewiseError:
            continue
        taken.append(repr(other))
    return taken


@pytest.mark.parametrize("field", fields(PaintingOptions), ids=lambda field: field.name)
def test_options_of_other_types_are_refused(field):
    taken = set(accepted(lambda other: PaintingOptions().changed({field.name: other})))
    meant = {
        "bool": {"True"},
        "int": set(),
        "float": {"-1", "1.5", "np.float32(1.5)"},
        "tuple[int, int] | None": {"(1, 2)"},
        "tuple[float, float] | None": {"(1, 2)"},
    }
    kind = field.type if isinstance(field.type, str) else getattr(field.type, "__name__", str(field.type))
    assert taken <= meant.get(kind, set()), kind


def test_numbers_of_numpy_are_numbers():
    options = PaintingOptions().changed({"steps": np.int64(3), "temperature": np.float32(0.5)})
    assert (type(options.steps), type(options.temperature)) == (int, float)


def test_requests_of_other_types_are_refused(painter):
    def paint(**changes):
        return painter.paint(**{"prompt": "a cup", "check": False, **FAST, **changes})

    assert accepted(lambda other: paint(prompt=other)) == ["'x'", "'2'"]
    assert accepted(lambda other: paint(seed=other)) == ["True"]
    assert accepted(lambda other: paint(image=other)) == []
    assert accepted(lambda other: paint(instruct=other)) == ["[]"]
    for text in ("\ud800", "a \udc80 cup"):
        with pytest.raises(StrokewiseError, match="half a character"):
            paint(prompt=text)


def test_lists_of_other_types_are_refused(painter):
    def paint(prompts=("a cup",), **changes):
        return painter.paint_many(prompts, check=False, **{**FAST, **changes})

    assert accepted(paint) == ["[]", "{}"]
    assert accepted(lambda other: paint(seeds=other)) == []
    assert accepted(lambda other: paint(batch=other)) == ["True", str(10**30)]
    assert [one.prompt for one in paint(text for text in ("a cup", "a bus"))] == ["a cup", "a bus"]


def test_places_and_precisions_of_other_types_are_refused(tiny_folder):
    assert accepted(lambda other: Painter.load(other)) == []
    assert accepted(lambda other: Painter.load(tiny_folder, dtype=other)) == []
    assert accepted(lambda other: Painter.load(tiny_folder, device=other)) == ["''", "[]", "{}"]


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (0, 5), (40, 700)])
def test_pictures_of_any_size_are_painted_on_or_refused(painter, size):
    assert len(accepted_sizes(painter, size)) <= 1


def accepted_sizes(painter, size):
    try:
        made = painter.paint("a cup", image=Image.new("RGB", size), check=False, **FAST)
    except StrokewiseError:
        return []
    return [made.source.size]


def test_a_picture_is_painted_on_as_a_viewer_shows_it(painter):
    turned = Image.new("RGB", (48, 16), "red")
    turned.getexif()[0x112] = 6
    made = painter.paint("a cup", image=turned, check=False, policy=SinglePass(), **FAST | {"size": None})
    assert made.images[0].height > made.images[0].width
