"""The engine in the precisions that checkpoints are loaded in: it runs, and stays near float32."""

import pytest
import torch

from strokewise.flow import Guidance
from strokewise.inference import Generator, PaintOptions, WriteOptions


@pytest.fixture(scope="module", params=[torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def low(request, make_model, tiny_config, special):
    return Generator(make_model(tiny_config).to(request.param), special)


def trajectory(generator, image):
    """Read, see, paint with all branches, write; the painted latents and what the model would say next."""
    context = generator.context()
    generator.read([context], [[10, 11, 12]])
    generator.see([context], [image])
    generator.read([context], [[13]])
    options = PaintOptions(num_steps=3, guidance=Guidance(2.0, 1.3, interval=(0, 1)), previews=1)
    noise = torch.randn(6, 16, generator=torch.Generator().manual_seed(0))
    *_, painted = generator.paint([context], [(8, 12)], options, noise=[noise])
    logits = generator.model.text_logits(context.entries[-1].last).float()
    *_, written = generator.write([context], WriteOptions(max_tokens=4, temperature=0.7), seeds=[0])
    assert 1 <= len(written.ids[0]) <= 4 or written.stop_ids[0] is not None
    return painted.latents[0], logits


def test_a_trajectory_in_low_precision_is_near_float32(low, generator, random_image):
    image = random_image(8, 12, seed=3)
    expected_latents, expected_logits = trajectory(generator, image)
    latents, logits = trajectory(low, image)
    # Latents are integrated in float32 whatever the weights are.
    assert latents.dtype == torch.float32
    for found, expected in ((latents, expected_latents), (logits, expected_logits)):
        assert 1e-6 < float((found - expected).norm() / expected.norm()) < 0.1


def test_velocities_and_encoded_images_are_float32(low):
    size = low.model.config.language.hidden_size
    assert low.model.velocity(torch.zeros(1, size, dtype=low.model.dtype)).dtype == torch.float32
    with torch.no_grad():
        assert low.model.encode_image(torch.zeros(3, 8, 8)).dtype == torch.float32


def test_the_cache_is_kept_in_the_precision_of_the_weights(low):
    context = low.context()
    low.read([context], [[10]])
    assert context.blocks[0].keys.dtype == low.model.dtype
