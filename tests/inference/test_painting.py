"""Painting against the naive engine: guidance branches, batches, previews, feedback, and what is refused."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from strokewise.errors import ConfigError, ContextLengthError, InputError
from strokewise.flow import RENORMS, SOLVERS, Guidance, clean_estimate, timesteps
from strokewise.inference import Painted, PaintOptions, Preview, WriteOptions, painting
from strokewise.sequence import Kind, Segment

# Heights and widths in pixels of the contexts in ``samples``: all different.
SIZES = [(8, 12), (16, 16), (12, 4), (8, 8), (4, 20)]


@pytest.fixture(scope="module")
def images(generator, random_image):
    with torch.no_grad():
        return [generator.image_segments(random_image(12, 8, seed=i)) for i in range(2)]


@pytest.fixture(scope="module")
def samples(images):
    """Contexts of different lengths: text only, editing, image last, two images, empty."""
    return [
        [Segment.text([10, 11, 12])],
        [Segment.text([20]), *images[0], Segment.text([21, 22, 23, 24])],
        [Segment.text([30, 31]), *images[1]],
        [*images[0], Segment.text([40]), *images[1], Segment.text([41])],
        [],
    ]


def noise_of(generator, size, seed=0):
    grid = (size[0] // 4, size[1] // 4)
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(grid[0] * grid[1], generator.spec.latent_channels, generator=draw), grid


def paint(generator, contexts, sizes, options, **start):
    *previews, painted = generator.paint(contexts, sizes, options, **start)
    assert isinstance(painted, Painted)
    assert all(isinstance(preview, Preview) for preview in previews)
    return previews, painted


def latents_of(generator, context, size, options, **start):
    return paint(generator, [context], [size], options, **start)[1].latents[0]


# --- the velocity and its branches -----------------------------------------------------------------------


@pytest.mark.parametrize("row", range(5))
@pytest.mark.parametrize("renorm", RENORMS)
def test_guided_painting_is_the_naive_engines(generator, naive, build, samples, close, row, renorm):
    guidance = Guidance(3.0, 1.6, interval=(0.3, 0.95), renorm=renorm, renorm_min=0.1)
    options = PaintOptions(num_steps=4, guidance=guidance, feedback="none")
    noise, grid = noise_of(generator, SIZES[row])
    expected = naive.paint(samples[row], grid, noise, options)
    found = latents_of(generator, build(samples[row]), SIZES[row], options, noise=[noise])
    close(found, expected)
    # The comparison means something: guidance and steps matter at these weights.
    unguided = PaintOptions(num_steps=4, guidance=Guidance.off(), feedback="none")
    plain = latents_of(generator, build(samples[row]), SIZES[row], unguided, noise=[noise])
    assert (plain - expected).abs().max() > 1e-2 or row == 4


@pytest.mark.parametrize(
    "guidance",
    [Guidance.off(), Guidance(4.0, 1.0), Guidance.editing(), Guidance(2.0, interval=(0.0, 0.0))],
    ids=["off", "text only", "editing", "empty interval"],
)
def test_scales_and_interval_are_the_naive_engines(generator, naive, build, samples, close, guidance):
    options = PaintOptions(num_steps=3, shift=2.0, guidance=guidance, feedback="none")
    noise, grid = noise_of(generator, (8, 12))
    expected = naive.paint(samples[1], grid, noise, options)
    close(latents_of(generator, build(samples[1]), (8, 12), options, noise=[noise]), expected)


def test_a_system_text_stays_in_the_context_without_text(generator, naive, build, close):
    sample = [Segment.text([50, 51]), Segment.text([10, 11])]
    options = PaintOptions(num_steps=2, guidance=Guidance(4.0, interval=(0, 1)), feedback="none")
    noise, grid = noise_of(generator, (8, 8))
    expected = naive.paint(sample, grid, noise, options, system=1)
    found = latents_of(generator, build(sample, system=1), (8, 8), options, noise=[noise])
    close(found, expected)
    other = latents_of(generator, build(sample), (8, 8), options, noise=[noise])
    assert not torch.allclose(found, other, atol=1e-3)


def test_contexts_grown_in_one_pass_or_by_writing_paint_alike(generator, naive, build, samples, close):
    options = PaintOptions(num_steps=2, guidance=Guidance.editing(), feedback="none")
    noise, grid = noise_of(generator, (8, 8))
    context = build(samples[2])
    *_, written = generator.write([context], WriteOptions(max_tokens=5))
    segments = [*samples[2], Segment.text(list(written.ids[0]))]
    expected = naive.paint(segments, grid, noise, options)
    close(latents_of(generator, context.fork(), (8, 8), options, noise=[noise]), expected)
    at_once = generator.context()
    generator.append([at_once], [segments])
    close(latents_of(generator, at_once, (8, 8), options, noise=[noise]), expected)


# --- batches ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("renorm", RENORMS)
@pytest.mark.parametrize("together", [True, False], ids=["one pass", "passes of a row"])
def test_a_batch_paints_what_each_paints_alone(
    generator, build, samples, close, renorm, together, monkeypatch
):
    """Different lengths, different sizes, images in some contexts but not in others."""
    guidance = Guidance(3.0, 1.6, interval=(0.3, 0.95), renorm=renorm)
    options = PaintOptions(num_steps=3, guidance=guidance, previews=1)
    alone = [build(sample) for sample in samples]
    results = [
        paint(generator, [c], [s], options, seeds=[i + 5])
        for i, (c, s) in enumerate(zip(alone, SIZES, strict=True))
    ]
    if not together:
        monkeypatch.setattr(painting, "TOKENS_PER_PASS", 1)
    contexts = [build(sample) for sample in samples]
    previews, painted = paint(generator, contexts, SIZES, options, seeds=range(5, 10))
    for i, (one_previews, one) in enumerate(results):
        close(painted.latents[i], one.latents[0])
        assert painted.images[i].size == one.images[0].size == SIZES[i][::-1]
        assert largest_difference(painted.images[i], one.images[0]) <= 1
        assert largest_difference(previews[0].images[i], one_previews[0].images[0]) <= 1
        assert (contexts[i].length, contexts[i].position) == (alone[i].length, alone[i].position)
        close(contexts[i].entries[-1].last, alone[i].entries[-1].last, 1e-2)


def largest_difference(one, other):
    return int(np.abs(np.asarray(one).astype(int) - np.asarray(other).astype(int)).max())


@pytest.mark.parametrize("limit", [16, 40, 100])
def test_passes_of_several_rows(generator, build, samples, close, limit, monkeypatch):
    """Rows are cut into passes anywhere; what is painted stays the same."""
    options = PaintOptions(num_steps=2, guidance=Guidance.editing(), feedback="none")
    expected = paint(generator, [build(s) for s in samples], SIZES, options)[1].latents
    monkeypatch.setattr(painting, "TOKENS_PER_PASS", limit)
    found = paint(generator, [build(s) for s in samples], SIZES, options)[1].latents
    for one, other in zip(found, expected, strict=True):
        close(one, other)


def test_the_same_seed_paints_the_same_and_another_does_not(generator, build, samples):
    options = PaintOptions(num_steps=1, feedback="none")
    first, again, other = (
        latents_of(generator, build(samples[0]), (8, 8), options, seeds=[seed]) for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_seeds_draw_the_noise(generator, build, samples):
    options = PaintOptions(num_steps=2, feedback="none")
    noise, _ = noise_of(generator, (8, 12), seed=9)
    one = latents_of(generator, build(samples[0]), (8, 12), options, seeds=[9])
    assert torch.equal(one, latents_of(generator, build(samples[0]), (8, 12), options, noise=[noise]))


# --- what is computed ------------------------------------------------------------------------------------


def rows_of(generator, count_rows, contexts, options):
    """Rows that went through the decoder to paint in contexts (feedback none)."""
    generator.read_texts_alone(contexts)
    count_rows.clear()
    paint(generator, contexts, [(8, 8)] * len(contexts), options)
    return sum(count_rows)


def test_the_third_branch_is_computed_only_where_an_image_was_read(generator, build, samples, count_rows):
    options = PaintOptions(num_steps=3, guidance=Guidance(4.0, 1.5, interval=(0, 1)), feedback="none")

    def rows(*which):
        return rows_of(generator, count_rows, [build(samples[i]) for i in which], options)

    assert rows(0) == 3 * 2
    assert rows(1) == 3 * 3
    assert rows(0, 1, 2) == 3 * (3 + 3 + 2)


def test_outside_the_interval_one_branch_is_computed(generator, build, samples, count_rows):
    times = timesteps(6, 3.0)[:-1]
    low, high = 0.4, 0.9
    guided = sum(low < time <= high for time in times)
    assert 0 < guided < 6
    guidance = Guidance(4.0, 1.5, interval=(low, high))
    options = PaintOptions(num_steps=6, guidance=guidance, feedback="none")
    assert rows_of(generator, count_rows, [build(samples[1])], options) == 3 * guided + (6 - guided)


def test_without_guidance_or_image_scale_fewer_branches_are_computed(generator, build, samples, count_rows):
    for guidance, branches in ((Guidance.off(), 1), (Guidance(4.0, 1.0, interval=(0, 1)), 2)):
        options = PaintOptions(num_steps=2, guidance=guidance, feedback="none")
        assert rows_of(generator, count_rows, [build(samples[1])], options) == 2 * branches


@pytest.mark.parametrize(("evaluate", "guide"), [(1, 1), (1, 3), (2, 1), (2, 2)])
@pytest.mark.parametrize("row", [0, 1])
def test_what_is_extrapolated_is_not_computed(generator, build, samples, count_rows, evaluate, guide, row):
    guidance = Guidance(4.0, 1.5 if row else 1.0, interval=(0.3, 1))
    options = PaintOptions(9, 3.0, guidance, 0, "none", evaluate_every=evaluate, guide_every=guide)
    found = rows_of(generator, count_rows, [build(samples[row])], options)
    assert found == options.passes(after_image=row > 0)
    # 9 steps, 8 of them with guidance; every second step is 0, 1, 2, 4, 6, 8, the last without guidance.
    full, others = {(1, 1): (9, 8), (1, 3): (9, 4), (2, 1): (6, 5), (2, 2): (6, 4)}[evaluate, guide]
    assert found == full + others * (2 if row else 1)


@pytest.mark.parametrize("solver", SOLVERS)
def test_extrapolating_and_second_order_come_near_many_steps(generator, build, samples, solver):
    """All end where 200 Euler steps end, each nearer than a few Euler steps."""

    def latents(num_steps, **options):
        guidance = Guidance(3.0, 1.5, interval=(0, 1))
        chosen = PaintOptions(num_steps, 3.0, guidance, 0, "none", **options)
        return latents_of(generator, build(samples[1]), (8, 12), chosen)

    exact, rough = latents(200), latents(6)

    def error(found):
        return float((found - exact).norm() / exact.norm())

    assert error(latents(24, solver=solver)) < error(rough)
    assert error(latents(24, solver=solver, evaluate_every=2)) < error(rough)
    assert error(latents(24, solver=solver, guide_every=2)) < error(rough)


def test_extrapolation_leaves_batches_equal(generator, build, samples, close):
    options = PaintOptions(7, 3.0, Guidance.editing(), 0, "none", "unipc", guide_every=2)
    together = paint(generator, [build(s) for s in samples], SIZES, options)[1].latents
    for i, (sample, size) in enumerate(zip(samples, SIZES, strict=True)):
        close(together[i], latents_of(generator, build(sample), size, options, seeds=[i]))


def test_the_context_is_read_once_not_in_every_step(generator, build, samples):
    """A step feeds the canvas and its two delimiters only."""
    widths = []
    handle = generator.model.language.register_forward_pre_hook(
        lambda module, args: widths.append(args[0].shape[1] + args[1].shape[1])
    )
    try:
        options = PaintOptions(num_steps=3, guidance=Guidance.off(), feedback="none")
        context = build(samples[1])
        widths.clear()
        paint(generator, [context], [(8, 12)], options)
    finally:
        handle.remove()
    assert widths == [8, 8, 8]


# --- previews --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("num_steps", "count"), [(1, 0), (5, 0), (5, 2), (5, 4), (6, 4)])
def test_previews_are_as_many_as_asked_and_in_order(generator, build, samples, num_steps, count):
    options = PaintOptions(num_steps=num_steps, previews=count, feedback="none")
    previews, painted = paint(generator, [build(s) for s in samples[:2]], SIZES[:2], options)
    assert len(previews) == count
    steps = [preview.step for preview in previews]
    assert steps == sorted(set(steps))
    assert all(1 <= step <= num_steps for step in steps)
    for preview in previews:
        assert preview.num_steps == num_steps
        assert preview.time == timesteps(num_steps, options.shift)[preview.step - 1]
        assert [image.size for image in preview.images] == [size[::-1] for size in SIZES[:2]]
    assert [image.size for image in painted.images] == [size[::-1] for size in SIZES[:2]]


def test_a_preview_is_the_clean_estimate(generator, naive, build, samples):
    options = PaintOptions(num_steps=3, guidance=Guidance.off(), previews=2, feedback="none")
    latents, grid = noise_of(generator, (8, 12))
    previews, _ = paint(generator, [build(samples[0])], [(8, 12)], options, noise=[latents])
    assert [preview.step for preview in previews] == [1, 2]
    for preview, (time, following) in zip(previews, pairwise(timesteps(3, options.shift)), strict=False):
        velocity = naive.velocity(samples[0], latents, grid, time)
        expected = naive.decode(clean_estimate(latents, velocity, time), grid)
        assert largest_difference(preview.images[0], expected) <= 1
        latents = latents - velocity * (time - following)


def test_previews_do_not_change_the_image(generator, build, samples):
    plain, watched = (
        latents_of(generator, build(samples[1]), (8, 8), PaintOptions(num_steps=4, previews=n))
        for n in (0, 3)
    )
    assert torch.equal(plain, watched)


def test_the_image_is_the_decoded_latents(generator, naive, build, samples):
    options = PaintOptions(num_steps=2, feedback="none")
    _, painted = paint(generator, [build(samples[0])], [(8, 12)], options)
    assert largest_difference(painted.images[0], naive.decode(painted.latents[0], (2, 3))) == 0


# --- feedback --------------------------------------------------------------------------------------------


def test_pixels_are_fed_back_as_the_image_would_be_seen(generator, build, samples, close):
    context, seen = build(samples[1]), build(samples[1])
    _, painted = paint(generator, [context], [(8, 12)], PaintOptions(num_steps=2))
    generator.see([seen], list(painted.images))
    assert [entry.kind for entry in context.entries[-2:]] == [Kind.CLEAN, Kind.VIT]
    for one, other in zip(context.entries, seen.entries, strict=True):
        close(one.block.keys, other.block.keys, 1e-5)
        close(one.last, other.last, 1e-5)


def test_latents_are_fed_back_as_they_are(generator, build, samples, close):
    context, read = build(samples[1]), build(samples[1])
    options = PaintOptions(num_steps=2, feedback="latents")
    _, painted = paint(generator, [context], [(8, 12)], options)
    clean = Segment(Kind.CLEAN, painted.latents[0], grid=(2, 3))
    with torch.no_grad():
        vit = generator.image_segments(painted.images[0])[1]
    generator.append([read], [[clean]])
    generator.append([read], [[vit]])
    for one, other in zip(context.entries, read.entries, strict=True):
        close(one.block.keys, other.block.keys, 1e-5)


def test_no_feedback_leaves_the_context_alone(generator, build, samples):
    context = build(samples[1])
    before, keys = context.length, [block.keys.clone() for block in context.blocks]
    paint(generator, [context], [(8, 12)], PaintOptions(num_steps=2, feedback="none"))
    assert context.length == before
    assert all(torch.equal(a, b.keys) for a, b in zip(keys, context.blocks, strict=True))


def test_an_abandoned_painting_leaves_the_context_alone(generator, build, samples):
    context = build(samples[0])
    stream = generator.paint([context], [(8, 8)], PaintOptions(num_steps=4, previews=3))
    next(stream)
    stream.close()
    assert context.length == 5
    assert not context.has_image


def test_a_whole_trajectory_is_the_naive_engines(generator, naive, samples, close):
    """Text, image, text, image: each image conditions what follows, exactly as packed anew."""
    options = PaintOptions(num_steps=2, guidance=Guidance.editing(), feedback="latents")
    context, segments = generator.context(), []
    generator.read([context], [[10, 11]])
    segments.append(Segment.text([10, 11]))
    for seed in (1, 2):
        expected, _ = naive.write(segments, 4)
        *_, written = generator.write([context], WriteOptions(max_tokens=4))
        assert list(written.ids[0]) == expected
        segments.append(Segment.text(expected))
        noise, grid = noise_of(generator, (8, 12), seed)
        _, painted = paint(generator, [context], [(8, 12)], options, noise=[noise])
        close(painted.latents[0], naive.paint(segments, grid, noise, options))
        with torch.no_grad():
            vit = generator.image_segments(painted.images[0])[1]
        segments += [Segment(Kind.CLEAN, painted.latents[0], grid=grid), vit]
    assert context.length == sum(segment.length for segment in segments)
    assert context.position == sum(segment.advance for segment in segments)


# --- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((10, 8), r"height 10 is not a multiple of 4 pixels; try 8"),
        ((8, 15), r"width 15 is not a multiple of 4 pixels; try 16"),
        ((0, 8), r"height 0 is not a multiple of 4 pixels; try 4"),
        ((8, 36), r"width 36 is over the model's largest side, 32 pixels"),
    ],
)
def test_a_canvas_of_odd_size_is_refused_with_one_that_works(generator, build, samples, size, message):
    with pytest.raises(InputError, match=message):
        next(generator.paint([build(samples[0])] * 2, [(8, 8), size]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_steps": 0}, "num_steps is 0"),
        ({"shift": 0.0}, "shift is 0.0"),
        ({"solver": "heun"}, "unknown solver 'heun'; known are euler, adams, dpm, unipc"),
        ({"evaluate_every": 0}, "evaluate_every is 0; it must be at least 1"),
        ({"guide_every": -1}, "guide_every is -1; it must be at least 1"),
        ({"previews": -1}, r"previews is -1; it must lie in 0\.\.48"),
        ({"num_steps": 3, "previews": 4}, r"previews is 4; it must lie in 0\.\.2"),
    ],
)
def test_options_without_a_meaning_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        PaintOptions(**options)


def test_an_overlong_context_is_refused_before_painting(generator, count_rows):
    limit = generator.model.config.language.max_positions
    context = generator.context()
    generator.read([context], [[10] * (limit - 3)])
    count_rows.clear()
    with pytest.raises(ContextLengthError, match=rf"knows {limit}; .*paint fewer rounds"):
        list(generator.paint([context], [(8, 8)], PaintOptions(num_steps=1)))
    assert count_rows == []
    assert not context.has_image


def test_damaged_weights_are_noticed(make_model, tiny_config, special):
    from strokewise.inference import Generator

    model = make_model(tiny_config)
    with torch.no_grad():
        model.latent_out.bias[0] = float("nan")
    generator = Generator(model, special)
    context = generator.context()
    generator.read([context], [[10]])
    with pytest.raises(InputError, match="NaN or infinite"):
        list(generator.paint([context], [(8, 8)], PaintOptions(num_steps=1)))


@pytest.mark.parametrize(("feedback", "positions"), [("none", 1), ("latents", 2), ("pixels", 2)])
def test_an_image_may_take_the_last_positions(generator, feedback, positions):
    limit = generator.model.config.language.max_positions
    context = generator.context()
    generator.read([context], [[10] * (limit - positions - 2)])
    options = PaintOptions(num_steps=1, guidance=Guidance.off(), feedback=feedback)
    list(generator.paint([context], [(8, 8)], options))
    assert context.position == (limit if positions == 2 else limit - 1)


@pytest.mark.parametrize("work", ["read", "see", "paint"])
def test_nothing_but_text_follows_an_open_text(generator, build, samples, random_image, count_rows, work):
    context = build(samples[0])
    context.truncate(tokens=3)
    count_rows.clear()
    works = {
        "read": lambda: generator.read([context], [[10]]),
        "see": lambda: generator.see([context], [random_image(8, 8)]),
        "paint": lambda: list(generator.paint([context], [(8, 8)], PaintOptions(num_steps=1))),
    }
    with pytest.raises(ConfigError, match="open text"):
        works[work]()
    assert count_rows == []
    assert context.length == 3
