"""Contexts: they share what they have read, continue independently, and are cut back to earlier points."""

import pytest
import torch

from strokewise.errors import ConfigError, ContextLengthError
from strokewise.flow import Guidance
from strokewise.inference import PaintOptions, WriteOptions
from strokewise.models import KVBlock
from strokewise.sequence import Kind, Segment


@pytest.fixture(scope="module")
def story(generator, random_image):
    """Prompt, image (clean, then ViT), plan."""
    with torch.no_grad():
        image = generator.image_segments(random_image(8, 12, seed=3))
    return [Segment.text([10, 11, 12]), *image, Segment.text([13, 14])]


def written(generator, context, max_tokens=6):
    *_, done = generator.write([context], WriteOptions(max_tokens=max_tokens))
    return done.ids[0]


def keys(context):
    return KVBlock.join(context.blocks).keys


def addresses(context):
    return [(block.keys.data_ptr(), block.values.data_ptr()) for block in context.blocks]


# --- reading -------------------------------------------------------------------------------------------


def test_a_context_counts_tokens_and_positions(build, story):
    context = build(story)
    assert [entry.kind for entry in context.entries] == [Kind.TEXT, Kind.CLEAN, Kind.VIT, Kind.TEXT]
    assert [len(entry) for entry in context.entries] == [5, 8, 8, 4]
    assert (context.length, context.position) == (25, 5 + 1 + 1 + 4)
    assert context.has_image
    assert not context.is_open
    assert context.texts() == [0, 3]
    assert context.entries[0].ids == (1, 10, 11, 12, 2)


def test_read_and_see_append_texts_and_images(generator, random_image, close):
    image = random_image(8, 12, seed=3)
    context, by_hand = generator.context(), generator.context()
    generator.read([context], [[10, 11]], guided=False)
    generator.see([context], [image])
    with torch.no_grad():
        segments = generator.image_segments(image)
    generator.append([by_hand], [[Segment.text([10, 11])]])
    generator.append([by_hand], [segments])
    close(keys(context), keys(by_hand), 1e-6)
    assert [entry.guided for entry in context.entries] == [False, True, True]


def test_a_text_read_in_parts_is_the_text_and_what_follows_stands_behind_it(generator, random_image, close):
    whole, parts = generator.context(), generator.context()
    generator.append([whole], [[Segment.text([10, 11, 12, 13])]])
    generator.append([parts], [[Segment.text([10, 11], closes=False)]])
    generator.append([parts], [[Segment.text([12, 13], opens=False)]])
    for context in (whole, parts):
        generator.see([context], [random_image(8, 8)])
        generator.read([context], [[14]])
    assert (parts.position, parts.length) == (whole.position, whole.length)
    assert [entry.ids for entry in parts.entries] == [entry.ids for entry in whole.entries]
    for one, other in zip(parts.blocks, whole.blocks, strict=True):
        close(one.keys, other.keys, 1e-5)


def test_different_segments_are_appended_to_several_contexts_as_to_each_alone(generator, story, build, close):
    rows = [story, story[:1], [], story[1:3], [Segment.text([30] * 9), story[2]]]
    contexts = [generator.context() for _ in rows]
    generator.append(contexts, rows)
    assert contexts[2].length == 0
    for context, row in zip(contexts, rows, strict=True):
        if row:
            alone = build(row)
            close(keys(context), keys(alone))
            close(context.entries[-1].last, alone.entries[-1].last)
            assert context.position == alone.position


def test_a_context_of_a_batch_owns_only_its_own_memory(generator, story):
    """No entry keeps the workspace or the hidden states of the whole batch alive."""
    contexts = [generator.context() for _ in range(3)]
    generator.append(contexts, [story, story[:1], story[1:2]])
    for context in contexts:
        for block in context.blocks:
            assert block.keys.untyped_storage().nbytes() == block.keys.nbytes
        for entry in context.entries:
            assert entry.last.untyped_storage().nbytes() == entry.last.nbytes


def test_an_overlong_context_is_refused_before_it_is_read(generator):
    context = generator.context()
    limit = generator.model.config.language.max_positions
    generator.read([context], [[10] * 10])
    with pytest.raises(ContextLengthError, match=rf"{limit + 2} positions .* knows {limit}; shorten"):
        generator.read([context], [[10] * (limit - 12)])
    assert context.length == 12
    with pytest.raises(ContextLengthError, match="shorten"):
        next(generator.write([context], WriteOptions(max_tokens=limit)))
    assert context.length == 12


def test_a_context_may_be_read_up_to_the_last_position(generator):
    context = generator.context()
    limit = generator.model.config.language.max_positions
    generator.read([context], [[10] * (limit - 2)])
    assert context.position == limit


# --- forks ---------------------------------------------------------------------------------------------


def test_a_fork_shares_every_block(build, story):
    context = build(story)
    fork = context.fork()
    assert addresses(fork) == addresses(context)
    assert [a is b for a, b in zip(fork.blocks, context.blocks, strict=True)] == [True] * 4


def test_forks_go_on_independently(generator, build, story, close):
    context = build(story)
    before, where = keys(context).clone(), addresses(context)
    fork = context.fork()
    generator.read([fork], [[20, 21]])
    ids = written(generator, fork)
    options = PaintOptions(num_steps=2, guidance=Guidance(), feedback="latents")
    list(generator.paint([fork], [(8, 8)], options))
    # What was shared is where it was, and neither longer nor changed.
    assert addresses(context) == where
    assert addresses(fork)[: len(where)] == where
    assert context.length == 25
    assert torch.equal(keys(context), before)
    # The other branch continues as if the first had never been.
    generator.read([context], [[20, 21]])
    assert written(generator, context) == ids


def test_forks_of_forks_diverge(generator, build, story):
    context = build(story)
    branches = [context.fork() for _ in range(3)]
    for i, branch in enumerate(branches):
        generator.read([branch], [[20 + i]])
    deeper = branches[1].fork()
    generator.read([deeper], [[40]])
    assert [b.entries[-1].ids for b in branches] == [(1, 20, 2), (1, 21, 2), (1, 22, 2)]
    assert [e.ids for e in deeper.entries[-2:]] == [(1, 21, 2), (1, 40, 2)]
    assert addresses(deeper)[:4] == addresses(context)


# --- truncation ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("segments", [0, 1, 2, 3, 4])
def test_truncating_to_segments_is_never_having_gone_on(generator, build, story, segments, close):
    context = build(story)
    generator.read([context], [[20]])
    written(generator, context)
    context.truncate(segments=segments)
    fresh = build(story[:segments])
    assert (context.length, context.position) == (fresh.length, fresh.position)
    for one in (context, fresh):
        generator.read([one], [[30, 31]])
    close(keys(context), keys(fresh), 1e-5)
    assert written(generator, context) == written(generator, fresh)


@pytest.mark.parametrize("tokens", [0, 1, 3, 4, 5, 21, 22, 24, 25])
def test_truncating_to_tokens_is_never_having_gone_on(generator, build, story, tokens, close):
    """A cut inside a text leaves it open; going on gives what the uncut text would have given."""
    context = build(story)
    full = keys(context)
    context.truncate(tokens=tokens)
    assert context.length == tokens
    assert context.is_open is (tokens in (1, 3, 4, 22, 24))
    if tokens:
        close(keys(context), full[:, :, :tokens], 0)
    # Read the rest of the text in which the cut lies, by hand.
    ids = [id for segment in story if segment.is_text for id in [1, *segment.tokens.tolist(), 2]]
    if context.is_open:
        at = tokens if tokens < 5 else tokens - 16
        end = 5 if tokens < 5 else 9
        generator.append([context], [[Segment.text(ids[at:end], opens=False, closes=False)]])
        close(keys(context), full[:, :, : context.length], 1e-5)


@pytest.mark.parametrize("tokens", [6, 12, 14, 20])
def test_no_cut_inside_an_image(build, story, tokens):
    context = build(story)
    with pytest.raises(ConfigError, match="image is no place to cut; keep whole segments"):
        context.truncate(tokens=tokens)
    assert context.length == 25


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        ({"segments": 5}, "5 segments of 4"),
        ({"segments": -1}, "-1 segments of 4"),
        ({"tokens": 26}, "26 tokens of 25"),
        ({"tokens": -1}, "-1 tokens of 25"),
        ({}, "either segments or tokens"),
        ({"segments": 1, "tokens": 1}, "either segments or tokens"),
    ],
)
def test_impossible_cuts_are_refused(build, story, cut, message):
    context = build(story)
    with pytest.raises(ConfigError, match=message):
        context.truncate(**cut)
    assert context.length == 25


def test_truncating_a_fork_leaves_the_other(generator, build, story):
    context = build(story)
    fork = context.fork()
    fork.truncate(segments=1)
    assert (context.length, fork.length) == (25, 5)
    before = keys(context).clone()
    generator.read([fork], [[33] * 20])
    assert torch.equal(keys(context), before)


def test_a_cut_text_is_written_on_as_from_its_beginning(generator, build, story):
    """Writing on from a cut equals writing with what stands before the cut as prefix."""
    context = build(story)
    context.truncate(tokens=23)
    assert context.is_open
    fresh = build(story[:3])
    *_, expected = generator.write([fresh], WriteOptions(max_tokens=5, prefix=(13,)))
    assert written(generator, context, 5) == expected.ids[0][1:]
    assert context.length == fresh.length
    assert context.entries[-1].ids == fresh.entries[-1].ids


# --- guidance contexts -----------------------------------------------------------------------------------


def test_without_text_is_the_prefix_up_to_the_texts_since_the_last_image(build, story):
    image = story[1:3]
    assert build(story).without_text().length == 21
    assert build([*story, Segment.text([1]), Segment.text([2])]).without_text().length == 21
    assert build([*story, *image]).without_text().length == 25 + 16
    assert build([Segment.text([9]), Segment.text([8])]).without_text().length == 0
    assert build([Segment.text([9]), Segment.text([8])], system=1).without_text().length == 3
    assert build([]).without_text().length == 0


def test_without_text_equals_a_context_built_without(generator, build, story, close):
    prefix = build(story).without_text()
    separate = build(story[:3])
    close(keys(prefix), keys(separate), 0)
    assert prefix.position == separate.position


@pytest.mark.parametrize("together", [True, False])
def test_texts_alone_equal_a_context_of_the_texts(generator, build, story, together, close):
    sample = [Segment.text([40]), *story, Segment.text([15, 16])]
    context = build(sample)
    other = build([*story[1:3], Segment.text([17])])
    text_only = build(story[:1])
    if together:
        generator.read_texts_alone([context, text_only, other])
    else:
        for one in (context, text_only, other):
            generator.read_texts_alone([one])
    for one, texts in (
        (context, [segment for segment in sample if segment.is_text]),
        (other, [Segment.text([17])]),
    ):
        alone = KVBlock.join([one.entries[i].alone for i in one.texts()])
        close(alone.keys, keys(build(texts)), 1e-5)
    # Texts before the first image are the same in both; nothing was read anew, nothing copied.
    assert context.entries[0].alone is context.entries[0].block


def test_texts_alone_go_on_when_the_context_does(generator, build, story, close):
    context = build(story)
    generator.read_texts_alone([context])
    kept = context.entries[3].alone
    generator.read([context], [[50, 51]])
    generator.read_texts_alone([context])
    assert context.entries[3].alone is kept
    alone = KVBlock.join([context.entries[i].alone for i in context.texts()])
    close(alone.keys, keys(build([story[0], story[3], Segment.text([50, 51])])), 1e-5)


def test_texts_alone_after_a_cut_and_another_ending(generator, build, story, close):
    context = build(story)
    generator.read_texts_alone([context])
    context.truncate(tokens=23)
    generator.append([context], [[Segment.text([50, 51], opens=False)]])
    generator.read_texts_alone([context])
    alone = KVBlock.join([context.entries[i].alone for i in context.texts()])
    close(alone.keys, keys(build([story[0], Segment.text([13, 50, 51])])), 1e-5)


def test_a_system_text_that_is_written_on_stays_one(generator, build, story):
    context = build(story[:1], system=1)
    context.truncate(tokens=3)
    written(generator, context)
    generator.read([context], [[60]])
    assert [entry.guided for entry in context.entries] == [False, True]
    assert context.without_text().length == len(context.entries[0])


# --- what the model would do next ----------------------------------------------------------------------


def test_continuations_are_the_likeliest_of_the_known_openings(generator, naive, build, story):
    names = {1: "text", 3: "image", 0: "end"}
    samples = [story, story[:1], story[:3], *([Segment.text([i])] for i in range(10, 30))]
    expected = []
    for sample in samples:
        logits = naive.next_logits(sample)
        expected.append(names[max(names, key=lambda i: float(logits[i]))])
    assert generator.continuations([build(sample) for sample in samples]) == expected
    assert len(set(expected)) > 1


def test_nothing_continues_an_empty_or_an_open_context(generator, build, story):
    open_context = build(story)
    open_context.truncate(tokens=24)
    for context in (generator.context(), open_context):
        with pytest.raises(ConfigError, match="nothing to continue from"):
            generator.continuations([build(story), context])
