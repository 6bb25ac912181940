"""Single canvases as samples: what is described is what is shown, and which of the two is supervised."""

import numpy as np
import pytest
from PIL import Image

from strokewise.critics.canvas_reader import read_canvas
from strokewise.critics.oracle import judge_sketch
from strokewise.data.scenes import SceneMix
from strokewise.datasets.samples import SampleImage
from strokewise.errors import ConfigError
from strokewise.recipes.nano.canvases import Canvases
from strokewise.trajectory.values import Message
from strokewise.world.language import (
    apply_stroke,
    parse_correction,
    parse_description,
    parse_inspection,
    split_inspection,
)
from strokewise.world.language.descriptions import compare, parse_seen
from strokewise.world.vocabulary import REGIONS


def described_and_shown(view, index, tokenizer, layout_jitter=0.0):
    """The sample, its description, its picture. A canvas that is described is read instance by instance."""
    sample = Canvases(view, SceneMix(layout_jitter=layout_jitter), seed=5).open(tokenizer).sample(index)
    text, picture = sorted(sample.parts, key=lambda part: isinstance(part, SampleImage))
    words = tokenizer.decode(list(text.ids))
    assert words.startswith("<des>")
    assert words.endswith("</des>")
    parse = parse_seen if view == "description" else parse_description
    return sample, parse(words[5:-6]), picture


@pytest.mark.parametrize("view", ["text-to-image", "description"])
@pytest.mark.parametrize("layout_jitter", [0.0, 1.0])
def test_the_canvas_shows_what_is_described(tokenizer, view, layout_jitter):
    for index in range(6):
        _, described, picture = described_and_shown(view, index, tokenizer, layout_jitter)
        assert not compare(described, read_canvas(Image.fromarray(picture.pixels))).faults


def test_the_canvas_is_supervised_or_its_description(tokenizer):
    drawing, reading = (
        described_and_shown(view, 0, tokenizer)[0] for view in ("text-to-image", "description")
    )
    assert [(type(part) is SampleImage, part.loss) for part in drawing.parts] == [
        (False, False),
        (True, True),
    ]
    assert [(type(part) is SampleImage, part.loss) for part in reading.parts] == [
        (True, False),
        (False, True),
    ]
    assert not drawing.ends
    assert not reading.ends


def test_what_a_look_sees_is_true(tokenizer):
    source = Canvases("verification", SceneMix(layout_jitter=0.0, plain=True), seed=5).open(tokenizer)
    verdicts = set()
    for index in range(40):
        plan, picture, said = source.sample(index).parts
        assert [part.loss for part in (plan, picture, said)] == [False, False, True]
        wanted = parse_description(tokenizer.decode(list(plan.ids))[5:-6])
        found = parse_inspection(tokenizer.decode(list(said.ids)))
        shown = read_canvas(Image.fromarray(picture.pixels))
        assert not compare(found.seen, shown).faults
        assert not compare(shown, found.seen).faults
        assert set(found.sketch) == set(judge_sketch(wanted, shown))
        verdicts.add(found.accepted)
    assert verdicts == {True, False}


def test_what_is_compared_leads_to_the_right_verdict_and_correction(tokenizer):
    source = Canvases("comparison", SceneMix(layout_jitter=0.0, plain=True), seed=5).open(tokenizer)
    corrections = 0
    for index in range(40):
        parts = source.sample(index).parts
        assert [part.loss for part in parts] == [False, True]
        plan, said = (tokenizer.decode(list(part.ids)) for part in parts)
        wanted, message = parse_description(plan[5:-6]), Message.parse(said)
        found, sentences = parse_inspection(message.inspect), split_inspection(message.inspect)
        assert tokenizer.decode(list(parts[1].ids[: parts[1].given])) == sentences.seen
        assert set(found.sketch) == set(judge_sketch(wanted, found.seen))
        repaired = found.seen
        for stroke in parse_correction(message.refine) if message.refine else ():
            repaired = apply_stroke(stroke, repaired)
        assert not judge_sketch(wanted, repaired)
        corrections += message.refine is not None
    assert 10 < corrections < 40


def test_canvases_are_read_in_one_order(tokenizer):
    for index in range(20):
        _, described, _ = described_and_shown("description", index, tokenizer)
        places = [[REGIONS.index(region) for region in regions] for regions in described.regions]
        assert all(regions == sorted(regions) for regions in places)
        first = [regions[0] for regions in places]
        assert first == sorted(first)


def test_the_same_number_gives_the_same_canvas(tokenizer):
    source = Canvases("text-to-image").open(tokenizer)
    one, other, third = source.sample(3), source.sample(3), source.sample(4)
    assert one.parts[0].ids == other.parts[0].ids
    assert np.array_equal(one.parts[1].pixels, other.parts[1].pixels)
    assert one.parts[0].ids != third.parts[0].ids


def test_views_that_are_not_there(tokenizer):
    with pytest.raises(ConfigError, match="unknown view 'process' of a canvas; known are text-to-image"):
        Canvases("process").open(tokenizer)
