"""Writing: greedy against the naive engine, sampling, stops, limits, constraints, and going on."""

import pytest
import torch

from strokewise.errors import ConfigError
from strokewise.inference import TextStep, WriteOptions, Written
from strokewise.inference.writing import allow_only, choose
from strokewise.sequence import Segment


@pytest.fixture(scope="module")
def image(generator, random_image):
    with torch.no_grad():
        return generator.image_segments(random_image(8, 12, seed=3))


@pytest.fixture(scope="module")
def samples(image):
    """Contexts of different lengths, with and without images."""
    return [
        [Segment.text([10, 11, 12])],
        [Segment.text([20]), *image],
        [*image, Segment.text([30, 31, 32, 33, 34])],
        [Segment.text([20])],
    ]


def write(generator, contexts, options, seeds=()):
    """The steps and the result, checked against each other."""
    *steps, written = generator.write(contexts, options, seeds)
    assert isinstance(written, Written)
    assert all(isinstance(step, TextStep) for step in steps)
    for row, ids in enumerate(written.ids):
        streamed = [step.ids[row] for step in steps]
        emitted = [token for token in streamed if token is not None]
        assert list(ids) == [*options.prefix, *emitted]
        # Once a row has ended it stays so.
        assert streamed == emitted + [None] * (len(streamed) - len(emitted))
    return written


def one(generator, context, options, seeds=()):
    written = write(generator, [context], options, seeds)
    return list(written.ids[0]), written.stop_ids[0]


# --- greedy --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", range(4))
def test_greedy_writing_is_the_naive_loop(generator, naive, build, samples, row):
    expected = naive.write(samples[row], 12)
    assert len(expected[0]) > 1
    assert one(generator, build(samples[row]), WriteOptions(max_tokens=12)) == expected


def test_an_empty_context_can_be_written_in(generator, naive):
    assert one(generator, generator.context(), WriteOptions(max_tokens=5)) == naive.write([], 5)


def test_what_was_written_is_part_of_the_context(generator, build, samples, close):
    for sample in samples:
        context = build(sample)
        ids, _ = one(generator, context, WriteOptions(max_tokens=7))
        read = build([*sample, Segment.text(ids)])
        assert not context.is_open
        assert context.entries[-1].ids == (1, *ids, 2)
        assert (context.length, context.position) == (read.length, read.position)
        close(context.entries[-1].block.keys, read.entries[-1].block.keys, 1e-5)
        close(context.entries[-1].last, read.entries[-1].last, 1e-5)


def test_a_prefix_is_part_of_the_text(generator, naive, build, samples):
    options = WriteOptions(max_tokens=4, prefix=(40, 41))
    found = one(generator, build(samples[0]), options)
    assert found == naive.write(samples[0], 4, prefix=[40, 41])
    assert found[0][:2] == [40, 41]


def test_max_tokens_closes_the_text(generator, build, samples):
    context = build(samples[0])
    ids, stop = one(generator, context, WriteOptions(max_tokens=3))
    assert (len(ids), stop) == (3, None)
    assert context.entries[-1].ids == (1, *ids, 2)
    assert context.entries[-1].closed


def test_the_end_of_the_text_stops(generator, build, samples):
    """Only the end is allowed after two tokens."""

    def constraint(row, ids):
        return [2] if len(ids) == 2 else None

    context = build(samples[0])
    ids, stop = one(generator, context, WriteOptions(max_tokens=9, constraint=constraint))
    assert (len(ids), stop) == (2, 2)
    assert context.entries[-1].ids == (1, *ids, 2)


def test_a_stop_id_ends_the_text_and_is_not_part_of_it(generator, naive, build, samples):
    free, _ = naive.write(samples[0], 12)
    stop = next(token for token in free if token != free[0])
    context = build(samples[0])
    found = one(generator, context, WriteOptions(max_tokens=12, stop_ids=frozenset({stop})))
    assert found == (free[: free.index(stop)], stop)
    assert context.entries[-1].ids == (1, *found[0], 2)


# --- batches -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        WriteOptions(max_tokens=8),
        WriteOptions(max_tokens=8, prefix=(7, 8)),
        WriteOptions(max_tokens=8, temperature=0.9),
        WriteOptions(max_tokens=8, temperature=1.5, top_p=0.8),
    ],
    ids=["greedy", "prefix", "sampled", "top-p"],
)
def test_a_batch_writes_what_each_writes_alone(generator, build, samples, options, close):
    seeds = [5, 6, 7, 8]
    contexts = [build(sample) for sample in samples]
    written = write(generator, contexts, options, seeds)
    for i, sample in enumerate(samples):
        context = build(sample)
        found = one(generator, context, options, seeds[i : i + 1])
        assert found == (list(written.ids[i]), written.stop_ids[i])
        assert (context.length, context.position) == (contexts[i].length, contexts[i].position)
        close(contexts[i].entries[-1].block.keys, context.entries[-1].block.keys)
        close(contexts[i].entries[-1].last, context.entries[-1].last)


def test_rows_that_end_early_wait_and_change_nothing(generator, build, samples, close):
    ends = {0: 1, 1: 6, 2: 0, 3: 3}

    def constraint(row, ids):
        return [2] if len(ids) == ends[row] else range(5, 64)

    contexts = [build(sample) for sample in samples]
    options = WriteOptions(max_tokens=10, constraint=constraint)
    written = write(generator, contexts, options)
    assert [len(ids) for ids in written.ids] == [1, 6, 0, 3]
    for context, sample, ids in zip(contexts, samples, written.ids, strict=True):
        read = build([*sample, Segment.text(list(ids))])
        assert (context.length, context.position) == (read.length, read.position)
        close(context.entries[-1].block.keys, read.entries[-1].block.keys)
        close(context.entries[-1].last, read.entries[-1].last)


def test_the_same_seed_draws_the_same_and_another_does_not(generator, build, samples):
    options = WriteOptions(max_tokens=12, temperature=1.0)
    first, again, other = (one(generator, build(samples[0]), options, [seed])[0] for seed in (1, 1, 2))
    assert first == again
    assert first != other


# --- going on ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("events", [1, 2, 4])
def test_an_abandoned_text_stays_open_and_is_continued(generator, build, samples, events, close):
    options = WriteOptions(max_tokens=8)
    whole = build(samples[1])
    ids, _ = one(generator, whole, options)
    context = build(samples[1])
    stream = generator.write([context], options)
    emitted = [next(stream).ids[0] for _ in range(events)]
    stream.close()
    assert emitted == ids[:events]
    assert context.is_open
    # The token emitted last was chosen, but not read yet: it is not part of the context.
    assert context.entries[-1].ids == (1, *ids[: events - 1])
    rest, _ = one(generator, context, WriteOptions(max_tokens=8 - events + 1))
    assert ids[: events - 1] + rest == ids
    assert context.entries[-1].ids == whole.entries[-1].ids
    assert not context.is_open
    close(context.entries[-1].block.keys, whole.entries[-1].block.keys, 1e-5)
    close(context.entries[-1].last, whole.entries[-1].last, 1e-5)


def test_a_stream_that_was_never_asked_changes_nothing(generator, build, samples):
    context = build(samples[0])
    stream = generator.write([context], WriteOptions(max_tokens=3))
    stream.close()
    assert context.length == 5


def test_abandoning_a_batch_keeps_the_finished_texts_closed(generator, build, samples):
    def constraint(row, ids):
        return [2] if row == 0 and len(ids) == 1 else range(5, 64)

    contexts = [build(sample) for sample in samples]
    stream = generator.write(contexts, WriteOptions(max_tokens=9, constraint=constraint))
    emitted = [next(stream).ids for _ in range(4)]
    stream.close()
    assert [context.is_open for context in contexts] == [False, True, True, True]
    assert contexts[0].entries[-1].ids == (1, emitted[0][0], 2)
    for row in (1, 2, 3):
        assert contexts[row].entries[-1].ids == (1, *(ids[row] for ids in emitted[:3]))


def test_open_texts_of_different_lengths_are_continued_together(generator, build, samples):
    contexts = [build(sample) for sample in samples[:2]]
    alone = [build(sample) for sample in samples[:2]]
    for i in range(2):
        stream = generator.write([contexts[i]], WriteOptions(max_tokens=9))
        for _ in range(2 + 2 * i):
            next(stream)
        stream.close()
    write(generator, contexts, WriteOptions(max_tokens=20))
    for context, single in zip(contexts, alone, strict=True):
        ids, _ = one(generator, single, WriteOptions(max_tokens=30))
        begun = context.entries[-1].ids[1:-1]
        assert list(begun) == ids[: len(begun)]


def test_an_open_text_is_closed_by_an_end(generator, build, samples, close):
    context = build(samples[0])
    stream = generator.write([context], WriteOptions(max_tokens=9))
    emitted = [next(stream).ids[0] for _ in range(4)]
    stream.close()
    generator.append([context], [[Segment.text([], opens=False)]])
    read = build([*samples[0], Segment.text(emitted[:3])])
    assert not context.is_open
    assert context.entries[-1].ids == read.entries[-1].ids
    close(context.entries[-1].block.keys, read.entries[-1].block.keys, 1e-5)
    close(context.entries[-1].last, read.entries[-1].last, 1e-5)


# --- constraints ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.0, 2.0])
def test_a_constraint_lets_only_what_is_allowed_appear(generator, build, samples, temperature):
    allowed = {0: [10, 12, 14], 1: [33], 2: None, 3: [60, 61]}
    asked = []

    def constraint(row, ids):
        asked.append((row, len(ids)))
        return allowed[row]

    contexts = [build(sample) for sample in samples]
    options = WriteOptions(max_tokens=6, temperature=temperature, constraint=constraint)
    written = write(generator, contexts, options)
    for row in (0, 1, 3):
        assert len(written.ids[row]) == 6
        assert set(written.ids[row]) <= set(allowed[row])
    free = one(generator, build(samples[2]), WriteOptions(max_tokens=6, temperature=temperature), [2])
    assert list(written.ids[2]) == free[0]
    assert {(0, 0), (1, 3), (3, 5)} <= set(asked)


def test_a_constraint_sees_the_ids_so_far(generator, build, samples):
    """A grammar: count upwards."""

    def constraint(row, ids):
        return [50 + len(ids)] if len(ids) < 4 else [2]

    written = write(generator, [build(samples[0])], WriteOptions(max_tokens=9, constraint=constraint))
    assert written.ids == ((50, 51, 52, 53),)


def test_a_constraint_that_allows_nothing_is_an_error_and_keeps_the_text_open(generator, build, samples):
    context = build(samples[0])
    options = WriteOptions(max_tokens=9, constraint=lambda row, ids: [] if len(ids) == 2 else [40])
    with pytest.raises(ConfigError, match="allows no token at all; let it allow the end"):
        list(generator.write([context], options))
    assert context.is_open
    assert context.entries[-1].ids == (1, 40, 40)


def test_allow_only():
    logits = allow_only(torch.tensor([1.0, 2.0, 3.0]), [1])
    assert logits.tolist() == [-torch.inf, 2.0, -torch.inf]


# --- choosing ------------------------------------------------------------------------------------------

LOGITS = torch.log(torch.tensor([0.05, 0.5, 0.15, 0.3]))


def drawn(count=4000, **options):
    """Shares of the ids among many draws."""
    generators = [torch.Generator().manual_seed(seed) for seed in range(count)]
    chosen = choose(LOGITS.expand(count, -1), WriteOptions(**options), generators)
    return torch.bincount(torch.tensor(chosen), minlength=4) / count


def test_draws_follow_the_probabilities():
    torch.testing.assert_close(drawn(temperature=1.0), LOGITS.exp(), atol=0.03, rtol=0)


def test_temperature_flattens_and_sharpens():
    for temperature in (0.5, 2.0):
        expected = (LOGITS / temperature).softmax(0)
        torch.testing.assert_close(drawn(temperature=temperature), expected, atol=0.03, rtol=0)


@pytest.mark.parametrize(("top_p", "kept"), [(0.9, [1, 2, 3]), (0.6, [1, 3]), (0.45, [1]), (1e-6, [1])])
def test_top_p_keeps_the_likeliest(top_p, kept):
    expected = torch.zeros(4)
    expected[kept] = LOGITS.exp()[kept]
    found = drawn(temperature=1.0, top_p=top_p)
    torch.testing.assert_close(found, expected / expected.sum(), atol=0.03, rtol=0)
    assert set(found.nonzero()[:, 0].tolist()) == set(kept)


@pytest.mark.parametrize(
    "options", [{"temperature": 0.0}, {"temperature": 1e-4}, {"temperature": 3.0, "top_p": 1e-9}]
)
def test_cold_or_narrow_is_greedy(generator, build, samples, options):
    expected = one(generator, build(samples[0]), WriteOptions(max_tokens=8))
    assert one(generator, build(samples[0]), WriteOptions(max_tokens=8, **options), [3]) == expected


def test_forbidden_ids_are_never_drawn():
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0]])
    draws = [torch.Generator().manual_seed(0)]
    found = {choose(logits, WriteOptions(temperature=5.0), draws)[0] for _ in range(200)}
    assert found == {1, 3}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_tokens": 0}, "max_tokens is 0; it must be at least 1"),
        ({"temperature": -0.1}, r"temperature is -0.1.*0 is greedy"),
        ({"top_p": 0.0}, r"top_p is 0.0; it must lie in \(0, 1\]"),
        ({"top_p": 1.1}, "top_p is 1.1"),
    ],
)
def test_options_without_a_meaning_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        WriteOptions(**options)


def test_a_bias_is_added_before_the_choice(generator, build, samples):
    first = one(generator, build(samples[0]), WriteOptions(max_tokens=1))[0][0]
    never = WriteOptions(max_tokens=1, logit_bias=((first, -1e4),))
    second = one(generator, build(samples[0]), never)[0][0]
    assert second != first
    always = WriteOptions(max_tokens=3, logit_bias=((7, 1e4),))
    assert one(generator, build(samples[0]), always)[0] == [7, 7, 7]
