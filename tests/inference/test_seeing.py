"""Images given by the caller: fitted to the sizes the model was taught, and encoded by both encoders."""

import pytest
import torch
from PIL import Image

from strokewise.errors import InputError
from strokewise.sequence import Kind, to_tensor


@pytest.mark.parametrize(
    ("size", "canvas", "vit"),
    [
        ((16, 12), (3, 4), (3, 4)),
        ((32, 32), (8, 8), (8, 8)),
        ((13, 9), (2, 3), (2, 3)),
        ((100, 50), (4, 8), (4, 8)),
        ((3, 2), (2, 3), (2, 3)),
        ((64, 4), (1, 8), (1, 8)),
    ],
)
def test_an_image_is_fitted_to_the_models_sizes(generator, random_image, size, canvas, vit):
    clean, patches = generator.image_segments(random_image(*size))
    assert (clean.kind, patches.kind) == (Kind.CLEAN, Kind.VIT)
    assert (clean.grid, patches.grid) == (canvas, vit)
    assert clean.tokens.shape == (canvas[0] * canvas[1], generator.spec.latent_channels)
    assert patches.tokens.shape == (vit[0] * vit[1], generator.spec.patch_channels)


def test_an_image_that_fits_is_not_resampled(generator, random_image):
    image = random_image(12, 8)
    clean, patches = generator.image_segments(image)
    with torch.no_grad():
        expected = generator.model.encode_image(to_tensor(image))
    torch.testing.assert_close(clean.tokens, expected)
    # The first patch is the upper left corner: row, column, channel.
    corner = to_tensor(image)[:, :4, :4].permute(1, 2, 0).flatten()
    torch.testing.assert_close(patches.tokens[0], corner)


def test_latent_tokens_are_patches_of_the_scaled_posterior_mean(generator, random_image):
    pixels = to_tensor(random_image(8, 12))
    with torch.no_grad():
        tokens = generator.model.encode_image(pixels)
        mean, _ = generator.model.autoencoder.moments(pixels[None])
    coder = generator.model.config.autoencoder
    latents = coder.scale * (mean[0] - coder.shift)
    # Token 1 is the second column of 2 x 2 latents, channel last.
    expected = latents[:, 0:2, 2:4].permute(1, 2, 0).flatten()
    torch.testing.assert_close(tokens[1], expected)


def test_decoding_reverses_the_order_of_tokens(generator):
    draw = torch.Generator().manual_seed(0)
    latents = torch.randn(4, 4, 6, generator=draw)
    tokens = latents.reshape(4, 2, 2, 3, 2).permute(1, 3, 2, 4, 0).reshape(6, 16)
    with torch.no_grad():
        expected = generator.model.autoencoder.decode(latents[None])[0]
        found = generator.model.decode_image(tokens, 2, 3)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("mode", ["RGBA", "L", "P", "CMYK", "1"])
def test_modes_are_read(generator, mode):
    context = generator.context()
    generator.see([context], [Image.new(mode, (8, 12))])
    assert [entry.kind for entry in context.entries] == [Kind.CLEAN, Kind.VIT]


def test_an_unreadable_image_is_refused_and_nothing_is_read(generator, random_image):
    contexts = [generator.context(), generator.context()]
    with pytest.raises(InputError, match="32 bits"):
        generator.see(contexts, [random_image(8, 8), Image.new("F", (8, 8))])
    assert [context.length for context in contexts] == [0, 0]
