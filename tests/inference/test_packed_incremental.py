"""One packed pass and reading segment by segment are the same network on the same tokens."""

import pytest
import torch

from strokewise.flow import Guidance
from strokewise.inference import PaintOptions
from strokewise.models import KVBlock, KVCache, visibility
from strokewise.sequence import Kind, Segment, pack


@pytest.fixture(scope="module")
def sample(generator, random_image):
    """A text, an image, a text: as clean latents and ViT tokens."""
    with torch.no_grad():
        image = generator.image_segments(random_image(16, 12, seed=1))
    return [Segment.text([10, 11, 12]), *image, Segment.text([13, 14])]


def run(generator, rows, starts=()):
    """Packed pass through an empty cache: hidden states and the keys of all columns."""
    packed = pack(rows, generator.spec, starts)
    columns = packed.positions.shape[1]
    cache = KVCache.gather([[]] * len(rows), columns, generator.model.language.empty_block())
    hidden = generator.model(packed, visibility(packed, cache), cache)
    return packed, hidden, cache


@pytest.mark.parametrize("parts", [[1, 1, 1, 1], [2, 2], [1, 3], [4]])
def test_keys_of_a_packed_pass_are_those_of_reading_in_parts(generator, sample, parts, close):
    packed, hidden, cache = run(generator, [[sample]])
    order = packed.layout.place[0].argsort()
    context = generator.context()
    rest = list(sample)
    for count in parts:
        generator.append([context], [rest[:count]])
        rest = rest[count:]
    read = KVBlock.join(context.blocks)
    close(read.keys, cache.keys[:, 0, :, order], 1e-5)
    close(read.values, cache.values[:, 0, :, order], 1e-5)
    assert context.length == len(order)
    assert context.position == 5 + 1 + 1 + 4
    ends = torch.tensor([len(entry) for entry in context.entries]).cumsum(0) - 1
    for entry, end in zip(context.entries, ends.tolist(), strict=True):
        close(entry.last, hidden.understanding[0, order[end]], 1e-5)


@pytest.mark.parametrize("time", [1.0, 0.3])
def test_a_noised_segment_in_the_pack_is_a_flow_step(generator, sample, time, close):
    """The training forward of a noised image gives the velocity that painting uses at that place."""
    draw = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(6, generator.spec.latent_channels, generator=draw) for _ in range(2))
    noised = Segment(Kind.NOISED, clean, grid=(2, 3), noise=noise, time=time)
    _, hidden, _ = run(generator, [[[*sample, noised]]])
    expected = generator.model.velocity(hidden.generation[0, -6:])
    context = generator.context()
    for segment in sample:
        generator.append([context], [[segment]])
    packed = pack([[[noised]]], generator.spec, [context.position])
    columns = packed.positions.shape[1]
    cache = KVCache.gather([context.blocks], columns, generator.model.language.empty_block())
    step = generator.model(packed, visibility(packed, cache), cache)
    close(generator.model.velocity(step.generation[0]), expected, 1e-5)


def test_one_step_of_painting_is_the_packed_velocity_at_time_1(generator, sample, close):
    noise = torch.randn(6, generator.spec.latent_channels, generator=torch.Generator().manual_seed(0))
    noised = Segment(Kind.NOISED, torch.zeros_like(noise), grid=(2, 3), noise=noise, time=1.0)
    _, hidden, _ = run(generator, [[[*sample, noised]]])
    context = generator.context()
    generator.append([context], [sample])
    options = PaintOptions(num_steps=1, guidance=Guidance.off(), feedback="none")
    *_, painted = generator.paint([context], [(8, 12)], options, noise=[noise])
    close(noise - painted.latents[0], generator.model.velocity(hidden.generation[0, -6:]), 1e-5)


def test_what_follows_a_noised_segment_does_not_feel_it(generator, sample, close):
    draw = torch.Generator().manual_seed(0)
    noise = torch.randn(6, generator.spec.latent_channels, generator=draw)
    noised = Segment(Kind.NOISED, noise, grid=(2, 3), noise=noise, time=0.5)
    after = [sample[1], Segment.text([15])]
    packed, hidden, _ = run(generator, [[[*sample, noised, *after]]])
    plain, plain_hidden, _ = run(generator, [[[*sample, *after]]])

    def last(found, of):
        return found.understanding[0, of.layout.place[0, : of.num_understanding].argmax()]

    close(last(hidden, packed), last(plain_hidden, plain), 1e-5)


def test_samples_of_a_training_row_are_as_alone(generator, sample, close):
    draw = torch.Generator().manual_seed(0)
    noise = torch.randn(4, generator.spec.latent_channels, generator=draw)
    noised = Segment(Kind.NOISED, noise, grid=(2, 2), noise=-noise, time=0.7, loss=True)
    samples = [
        [*sample, noised],
        [Segment.text([20], loss=True), noised, sample[1], sample[2]],
        [sample[2], Segment.text([21, 22, 23, 24], loss=True)],
    ]
    packed = pack([samples], generator.spec)
    hidden = generator.model(packed, packed.layout.mask())
    at_text = at_latents = 0
    for one in samples:
        alone = pack([[one]], generator.spec)
        expected = generator.model(alone, alone.layout.mask())
        width, depth = expected.understanding.shape[1], expected.generation.shape[1]
        close(hidden.understanding[:, at_text : at_text + width], expected.understanding, 1e-5)
        close(hidden.generation[:, at_latents : at_latents + depth], expected.generation, 1e-5)
        at_text, at_latents = at_text + width, at_latents + depth
    assert (at_text, at_latents) == (hidden.understanding.shape[1], hidden.generation.shape[1])


def test_rows_of_a_batch_are_as_alone(generator, sample, close):
    rows = [[sample], [[Segment.text([20])]], [[sample[1], Segment.text([21, 22])], [sample[2]]]]
    packed = pack(rows, generator.spec)
    hidden = generator.model(packed, packed.layout.mask())
    for i, row in enumerate(rows):
        alone = pack([row], generator.spec)
        expected = generator.model(alone, alone.layout.mask())
        close(hidden.understanding[i, : expected.understanding.shape[1]], expected.understanding[0], 1e-5)
        close(hidden.generation[i, : expected.generation.shape[1]], expected.generation[0], 1e-5)
    assert bool(torch.isfinite(hidden.understanding).all())


def test_gradients_of_a_training_row_are_the_sum_of_those_alone(make_model, tiny_config, generator, sample):
    model = make_model(tiny_config).requires_grad_(True)
    samples = [sample, [Segment.text([20, 21]), sample[2]]]

    def gradient(rows):
        model.zero_grad()
        packed = pack(rows, generator.spec)
        hidden = model(packed, packed.layout.mask())
        (hidden.understanding.pow(2).sum() + hidden.generation.sum()).backward()
        return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    together, first, second = gradient([samples]), gradient([samples[:1]]), gradient([samples[1:]])
    assert "vision.patch_embed.weight" in together
    for name, value in together.items():
        expected = first[name] + second.get(name, 0)
        scale = float(expected.abs().max()) + 1e-3
        torch.testing.assert_close(value / scale, expected / scale, atol=1e-4, rtol=0, msg=name)


def test_checkpointing_changes_no_gradient(make_model, tiny_config, generator, sample):
    def gradient(checkpointing):
        model = make_model(tiny_config).requires_grad_(True).train()
        model.language.checkpointing = model.vision.checkpointing = checkpointing
        packed = pack([[sample]], generator.spec)
        model(packed, packed.layout.mask()).understanding.pow(2).sum().backward()
        return torch.cat(
            [
                model.language.layers[0].understanding.qkv.weight.grad.flatten(),
                model.vision.layers[0].qkv.weight.grad.flatten(),
            ]
        )

    torch.testing.assert_close(gradient(True), gradient(False))
