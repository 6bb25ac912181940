"""Looking before judging: what a canvas shows is written apart, and read into the sequence."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from strokewise.critics.verdicts import read_verdict
from strokewise.errors import ConfigError
from strokewise.inference import Engine, PaintingOptions, Request, WriteOptions
from strokewise.inference.formats import PROTOCOL_FORMATS
from strokewise.inference.generator import Generator
from strokewise.inference.messages import Messages
from strokewise.inference.policies import Instruct, Policy, Say
from strokewise.inference.writing import Written
from strokewise.sequence import Segment, pack
from strokewise.train.objectives.outputs import outputs_of
from strokewise.trajectory.events import TextDelta, TextFinished
from strokewise.trajectory.values import Message
from strokewise.world.language import listed_text, seen_text

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


def test_words_are_compared_by_rules(generator, tiny_tokenizer, described):
    """A cup on the left is planned, and two buses are seen."""
    text = paint(generator, tiny_tokenizer, options=replace(OPTIONS, compare_words=True))[1]
    assert text.startswith(
        "the sketch shows: two buses on the left and right. prompt: a cup: fits. the plan fits the"
    )
    assert "the sketch lacks a cup; it also shows two buses. <refine>" in text
    judged = paint(generator, tiny_tokenizer)[1]
    assert "<refine>" not in judged


def test_words_that_cannot_be_compared_are_judged_by_the_model(generator, tiny_tokenizer, described):
    engine = Engine(generator, tiny_tokenizer, "tiny", batch=1)
    texts = []
    for compare in (False, True):
        options = replace(OPTIONS, compare_words=compare)
        engine.open(Request("something pretty"), options, policy=Led())
        texts.append([event.text for _, event in engine.run() if isinstance(event, TextFinished)][1])
    assert texts[0] == texts[1]


def test_nobody_looks_for_what_is_said_by_others_or_switched_off(generator, tiny_tokenizer, described):
    paint(generator, tiny_tokenizer, Say(PLAN))
    paint(generator, tiny_tokenizer, None, PaintingOptions(steps=2, max_rounds=2, max_tokens=12))
    assert not described


def test_what_is_seen_counts_where_it_is_likelier_than_the_plan(generator, tiny_tokenizer, monkeypatch):
    scored, measure = [], Generator.log_likelihoods

    def recorded(self, contexts, texts):
        scored.append(measure(self, contexts, texts))
        return scored[-1]

    monkeypatch.setattr(Generator, "log_likelihoods", recorded)
    own = paint(generator, tiny_tokenizer)[1]
    assert not scored, "without a margin nothing is compared"
    paint(generator, tiny_tokenizer, options=replace(OPTIONS, fault_margin=1e-6))
    ((seen, planned),) = scored
    assert seen > planned, "the likeliest words of an untrained model are likelier than any plan"
    for factor, words in ((0.99, own), (1.01, "the sketch shows: a cup on the left.")):
        options = replace(OPTIONS, fault_margin=factor * (seen - planned))
        assert paint(generator, tiny_tokenizer, options=options)[1].startswith(words)


def test_a_look_that_describes_nothing_is_left_out(generator, tiny_tokenizer, monkeypatch):
    without = paint(generator, tiny_tokenizer, None, replace(OPTIONS, look=False))[1]
    monkeypatch.setattr(Messages, "_descriptions", lambda self, drafts: [("nothing", 1) for _ in drafts])
    assert paint(generator, tiny_tokenizer)[1] == without


class Refining(Policy):
    """A plan, then corrections of its canvas, then another reply; ``revises`` gives each a new plan."""

    def __init__(self, corrections, then=None, revises=False):
        self.corrections, self.then, self.revises = corrections, then, revises

    def message(self, session):
        if session.number == 0:
            return Say(PLAN)
        if session.number > self.corrections:
            return self.then
        new = {"ins": "add a bus.", "des": "a bus on the left."} if self.revises else {}
        return Say(Message("the sketch lacks a cup.", "add a cup.", **new))


@pytest.mark.parametrize("revises", [False, True])
def test_a_refined_canvas_is_read_in_the_place_of_its_sketch(generator, tiny_tokenizer, revises):
    """The model then stands where it would stand had the sketch been so, to the bit; the record keeps all."""
    options = replace(OPTIONS, look=False, replace_refined=True)
    engine = Engine(generator, tiny_tokenizer, "tiny", batch=1)
    session = engine.open(Request("a cup"), options, policy=Refining(2, revises=revises))
    while session.number < 3:
        list(engine.advance())
    assert [step.message.refine is not None for step in session.steps] == [False, True, True]
    plan = Message(ins="add a bus.", des="a bus on the left.") if revises else PLAN
    wanted = generator.context()
    generator.read([wanted], [tiny_tokenizer.encode("a cup")])
    generator.read([wanted], [tiny_tokenizer.encode(plan.text())])
    generator.see([wanted], [session.steps[-1].image])
    assert session.context.length == wanted.length
    for entry, other in zip(session.context.entries, wanted.entries, strict=True):
        assert entry.ids == other.ids
        torch.testing.assert_close(entry.last, other.last, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("revises", [False, True])
@pytest.mark.parametrize("way", ["fork", "before", "replace", "forgetful"])
def test_a_branch_refines_as_its_session_would(generator, tiny_tokenizer, revises, way):
    """Forked, resumed from its steps, cut back and repeated, or without kept contexts: the same."""
    options = replace(OPTIONS, look=False, replace_refined=True)
    engine = Engine(generator, tiny_tokenizer, "tiny", batch=1)
    policy = Refining(2, revises=revises)
    session = engine.open(Request("a cup", 3), options, policy=policy)
    while session.number < 3:
        list(engine.advance())
    engine.leave(session)
    if way == "fork":
        other = engine.fork(session, 2)
    elif way == "before":
        before = tuple(session.steps[:2])
        other = engine.open(Request("a cup", 3, before=before), options, policy=policy)
    elif way == "forgetful":
        other = engine.open(Request("a cup", 3), options, policy=policy, keep=False)
    else:
        other = engine.fork(session, 3)
        other.replace(2, message=session.steps[2].message)
    while other.number < 3:
        list(engine.advance())
    assert other.steps[2].image.tobytes() == session.steps[2].image.tobytes()
    if way != "forgetful":
        assert other.context.length == session.context.length
        torch.testing.assert_close(other.context.entries[-1].last, session.context.entries[-1].last)


def test_a_correction_before_any_sketch_is_read_as_it_stands(generator, tiny_tokenizer):
    options = replace(OPTIONS, look=False, replace_refined=True, keep_better=True)
    engine = Engine(generator, tiny_tokenizer, "tiny", batch=1)
    first = Say(Message(refine="add a cup."))
    session = engine.open(Request("a cup"), options, policy=Corrects(first))
    while session.number < 1:
        list(engine.advance())
    assert session.steps[0].image is not None


class Corrects(Policy):
    """One reply at first, then the model."""

    def __init__(self, first):
        self.first = first

    def message(self, session):
        return None if session.number else self.first


def test_a_canvas_refined_often_enough_is_taken_to_show_its_plan(generator, tiny_tokenizer, described):
    options = replace(OPTIONS, max_refinements=1)
    engine = Engine(generator, tiny_tokenizer, "tiny", batch=1)
    engine.open(Request("a cup"), options, policy=Refining(1))
    written = [event.text for _, event in engine.run() if isinstance(event, TextFinished)]
    assert written[2].startswith(seen_text(PLAN.des))
    assert not described


def test_what_is_wrong_after_the_last_refinement_is_said(generator, tiny_tokenizer, described):
    """The model reads that the canvas shows its plan, as without comparison, and writes the same after it."""
    read, said = [], []
    for compare in (False, True):
        options = replace(OPTIONS, max_refinements=1, compare_words=compare)
        engine = Engine(generator, tiny_tokenizer, "tiny", batch=1)
        session = engine.open(Request("a cup"), options, policy=Refining(1))
        events = [event for _, event in engine.run()]
        read.append([entry.ids for entry in session.context.entries])
        said.append([event.text for event in events if isinstance(event, TextFinished)][2])
        streamed = "".join(e.text for e in events if isinstance(e, TextDelta) and e.step == 2)
        assert said[-1].startswith(streamed)
        assert streamed
    assert read[0] == read[1]
    assert said[1].startswith("the sketch shows: two buses on the left and right. prompt: a cup: fits.")
    assert "also shows two buses." in said[1]
    verdict = read_verdict(Message(said[1].partition(" <")[0]))
    assert (verdict.plan, verdict.sketch) == (True, False)


def test_no_correction_follows_the_last_allowed_refinement(generator, tiny_tokenizer, described):
    """This model, untrained, would write the tag of a correction nearly everywhere."""
    options = replace(OPTIONS, max_refinements=1, max_tokens=40, temperature=1.0)
    engine = Engine(generator, tiny_tokenizer, "tiny", batch=4)
    for seed in range(4):
        engine.open(Request("a cup", seed), options, policy=Refining(1))
    written = [event.text for _, event in engine.run() if isinstance(event, TextFinished) and event.step == 2]
    assert len(written) == 4
    assert not any("<refine>" in text for text in written)
    assert all(len(text) > len(seen_text(PLAN.des)) for text in written)


def test_what_is_said_after_the_last_refinement_gives_way_to_an_instruction(
    generator, tiny_tokenizer, described
):
    options = replace(OPTIONS, max_refinements=1, compare_words=True)
    engine = Engine(generator, tiny_tokenizer, "tiny", batch=1)
    session = engine.open(Request("a cup"), options, policy=Refining(1, Instruct("add a bus.")))
    list(engine.run())
    assert "also shows two buses. <ins>add a bus.</ins> <des>" in session.steps[2].message.inspect


def test_log_likelihoods_equal_those_of_a_training_sample(generator, tiny_model, special):
    """Two at once, of different lengths, each against one pack; the contexts stay as they are."""
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 255, (32, 32, 3), np.uint8)) for _ in range(2)]
    texts = [[5, 6, 7, 8], [9, 10]]
    contexts = [generator.context() for _ in images]
    generator.see(contexts, images)
    lengths = [context.length for context in contexts]
    found = generator.log_likelihoods(contexts, texts)
    assert [context.length for context in contexts] == lengths
    for image, ids, value in zip(images, texts, found, strict=True):
        segments = [*generator.image_segments(image), Segment.text(ids, loss=True)]
        packed = pack([[segments]], tiny_model.pack_spec(special))
        wanted = outputs_of(tiny_model, packed)[0].sum()
        assert value == pytest.approx(wanted.item(), abs=1e-3)


@pytest.mark.parametrize("better", [False, True])
def test_the_better_of_two_canvases_is_kept_and_read(generator, tiny_tokenizer, monkeypatch, better):
    asked = []

    def likelihoods(self, contexts, texts):
        asked.append((len(contexts), tiny_tokenizer.decode(texts[0])))
        half = len(contexts) // 2
        return [-2.0] * half + [-1.0 if better else -2.0] * half

    monkeypatch.setattr(Generator, "log_likelihoods", likelihoods)
    options = replace(OPTIONS, look=False, replace_refined=True, keep_better=True)
    engine = Engine(generator, tiny_tokenizer, "tiny", batch=1)
    session = engine.open(Request("a cup"), options, policy=Refining(1))
    while session.number < 2:
        list(engine.advance())
    sketch, refined = session.steps[:2]
    assert asked == [(2, Message(des=PLAN.des).text())]
    assert (refined.image.tobytes() != sketch.image.tobytes()) is better
    assert (refined.seed != sketch.seed) is better
    wanted = generator.context()
    generator.read([wanted], [tiny_tokenizer.encode("a cup")])
    generator.read([wanted], [tiny_tokenizer.encode(PLAN.text())])
    generator.see([wanted], [refined.image])
    torch.testing.assert_close(
        session.context.entries[-1].last, wanted.entries[-1].last, atol=1e-5, rtol=1e-4
    )


def test_a_planned_description_is_listed_as_a_look_would():
    assert listed_text("two buses on the left and right.") == "a bus on the left; a bus on the right."
    assert listed_text("something else") == "something else"


def test_a_bias_on_faults_reaches_the_words_that_state_them(generator, tiny_tokenizer, monkeypatch):
    given, write = [], Generator.write

    def spied(self, contexts, options=None, seeds=()):
        given.append(options.logit_bias)
        return write(self, contexts, options, seeds)

    monkeypatch.setattr(Generator, "write", spied)
    paint(generator, tiny_tokenizer, options=replace(OPTIONS, look=False, fault_bias=-2.0))
    words = {tiny_tokenizer.encode(word)[0] for word in (" does", " not")}
    assert [dict(bias) for bias in given] == [dict.fromkeys(words, -2.0)]


def test_a_bias_is_refused_where_faults_have_no_known_words(generator, tiny_tokenizer):
    engine = Engine(generator, tiny_tokenizer, "tiny", batch=1)
    with pytest.raises(ConfigError, match="fault_bias"):
        engine.open(Request("a cup"), replace(OPTIONS, fault_bias=-1.0), protocol=PROTOCOL_FORMATS["unicot"])
