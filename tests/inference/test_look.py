"""Looking before judging: what a canvas shows is written apart, and read into the sequence."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from strokewise.inference import Engine, PaintingOptions, Request, WriteOptions
from strokewise.inference.generator import Generator
from strokewise.inference.messages import Messages
from strokewise.inference.policies import Instruct, Policy, Say
from strokewise.inference.writing import Written
from strokewise.sequence import Segment, pack
from strokewise.trajectory.events import TextFinished
from strokewise.trajectory.values import Message

OPTIONS = PaintingOptions(steps=2, max_rounds=2, max_tokens=12, look=True)
PLAN = Message(ins="add a cup on the left.", des="a cup on the left.")


class Led(Policy):
    """A plan, then whatever is given."""

    def __init__(self, then=None):
        self.then = then

    def message(self, session):
        return Say(PLAN) if session.number == 0 else self.then


@pytest.fixture(autouse=True)
def never_ending(monkeypatch):
    """An untrained model would end its sequence anywhere."""
    monkeypatch.setattr(Generator, "continuations", lambda self, contexts: ["text"] * len(contexts))


@pytest.fixture
def described(monkeypatch):
    """What the model is made to say that a canvas shows; returns the canvases it was asked about."""
    asked = []

    def descriptions(self, drafts):
        asked.extend(draft.session.steps[-1].image for draft in drafts)
        return [("<des>a bus on the right; a bus on the left.</des>", 7) for _ in drafts]

    monkeypatch.setattr(Messages, "_descriptions", descriptions)
    return asked


def paint(generator, tokenizer, then=None, options=OPTIONS):
    """The first canvas, and the message after it as it was written."""
    engine = Engine(generator, tokenizer, "tiny", batch=1)
    session = engine.open(Request("a cup"), options, policy=Led(then))
    written = [event.text for _, event in engine.run() if isinstance(event, TextFinished)]
    return session.steps[0].image, written[1]


def test_words_of_a_look_equal_those_of_a_training_sample(generator, tiny_model, special):
    """A fork that holds the canvas alone is the sample of the canvas and its description, token for token."""
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    image = Image.fromarray(pixels)
    context = generator.context()
    generator.see([context], [image])
    *_, written = generator.write([context], WriteOptions(max_tokens=10))
    assert isinstance(written, Written)
    (entry,) = context.entries[2:]
    segments = [*generator.image_segments(image), Segment.text(entry.ids[1:-1], loss=True)]
    packed = pack([[segments]], tiny_model.pack_spec(special))
    hidden = tiny_model(packed, packed.layout.mask()).understanding
    likeliest = tiny_model.text_logits(hidden[0, packed.text_slots]).argmax(-1)
    free = len(written.ids[0])
    assert free
    assert likeliest[:free].tolist() == list(written.ids[0])


@pytest.mark.parametrize("then", [None, Instruct("add a bus.")])
def test_an_inspection_begins_with_what_is_seen(generator, tiny_tokenizer, described, then):
    canvas, text = paint(generator, tiny_tokenizer, then)
    assert described[0].tobytes() == canvas.tobytes()
    assert text.startswith("the sketch shows: two buses on the left and right.")
    assert "add a bus." in text or then is None


def test_nobody_looks_for_what_is_said_by_others_or_switched_off(generator, tiny_tokenizer, described):
    paint(generator, tiny_tokenizer, Say(PLAN))
    paint(generator, tiny_tokenizer, None, PaintingOptions(steps=2, max_rounds=2, max_tokens=12))
    assert not described


def test_a_look_that_describes_nothing_is_left_out(generator, tiny_tokenizer, monkeypatch):
    without = paint(generator, tiny_tokenizer, None, replace(OPTIONS, look=False))[1]
    monkeypatch.setattr(Messages, "_descriptions", lambda self, drafts: [("nothing", 1) for _ in drafts])
    assert paint(generator, tiny_tokenizer)[1] == without
