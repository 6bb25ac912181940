"""What layers keep for the backward pass, as estimated and as a real pass saves it."""

import pytest
import torch

from strokewise.models import visibility
from strokewise.models.bagel import ARCHITECTURE, fresh_model, nano
from strokewise.sequence import Kind, Segment, SpecialTokens, pack

FLOAT32 = 4


def saved_bytes(model, run):
    """Bytes of all memory that autograd holds after ``run``, parameters left out."""
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    held, sizes = [], {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            sizes[storage.data_ptr()] = storage.nbytes()
            held.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        result = run()
    del result
    return sum(sizes.values())


@pytest.fixture(scope="module")
def model():
    return fresh_model(nano(), 0).train().requires_grad_(True)


@pytest.fixture(scope="module")
def packed(model):
    spec = model.pack_spec(SpecialTokens(1, 2, 3, 4, 0))
    latents = torch.randn(64, spec.latent_channels)
    sample = [
        Segment.text([9] * 200),
        Segment(Kind.NOISED, latents, grid=(8, 8), noise=latents, time=0.5, loss=True),
        Segment(Kind.CLEAN, latents, grid=(8, 8)),
        Segment(Kind.VIT, torch.randn(256, spec.patch_channels), grid=(16, 16)),
    ]
    return pack([[sample]], spec)


def test_what_the_decoder_keeps_is_estimated(model, packed):
    blocks = [block.detach().requires_grad_() for block in model.embed(packed)]
    seen = visibility(packed)
    found = saved_bytes(model, lambda: model.language(*blocks, packed.positions, seen))
    tokens = packed.positions.shape[1]
    assert ARCHITECTURE.costs(model.config).sizes.kept * tokens * FLOAT32 == pytest.approx(found, rel=0.1)


def test_what_the_vit_keeps_is_estimated(model, packed):
    places = packed.patch_places
    found = saved_bytes(model, lambda: model.vision(packed.patches, places, packed.patch_lengths))
    patches = len(packed.patches)
    assert ARCHITECTURE.costs(model.config).sizes.kept_patch * patches * FLOAT32 == pytest.approx(
        found, rel=0.1
    )
