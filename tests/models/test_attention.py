"""Attention's three forms: equal results and gradients, and no large tensor of queries x keys."""

import sys

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention.flex_attention import flex_attention
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import strokewise.models.attention as attention
from strokewise.errors import ConfigError
from strokewise.models import KVBlock, KVCache, visibility
from strokewise.models.attention import DENSE, Pieces, additive, attend
from strokewise.models.visibility import BLOCK, block_mask, pieces
from strokewise.sequence import Kind, PackSpec, Segment, SpecialTokens, pack

SPEC = PackSpec(SpecialTokens(1, 2, 3, 4, 0), 4, 512, 12, 512)


def image(kind, rows, columns):
    width = 12 if kind is Kind.VIT else 4
    tokens = torch.zeros(rows * columns, width)
    noise = tokens if kind is Kind.NOISED else None
    return Segment(kind, tokens, grid=(rows, columns), noise=noise, loss=kind is Kind.NOISED)


def sample(text, side):
    """Prompt, then twice a plan with its canvas as BAGEL trains it."""
    parts = [Segment.text([9] * text)]
    kinds = (Kind.NOISED, Kind.CLEAN, Kind.VIT)
    for _ in range(2):
        parts += [
            Segment.text([9] * text),
            *(image(k, side, side) for k in kinds),
        ]
    return parts


class Watch(TorchDispatchMode):
    """The largest tensor that any operation gives, and the kernels of attention that ran."""

    def __init__(self):
        super().__init__()
        self.largest, self.kernels = 0, set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if "attention" in name:
            self.kernels.add(name)
        sizes = [
            x.untyped_storage().nbytes() // x.itemsize for x in tree_leaves(result) if torch.is_tensor(x)
        ]
        self.largest = max([self.largest, *sizes])
        return result


def heads(rows, columns, length, draw, dim=16):
    query = torch.randn(rows, columns, 4, dim, generator=draw)
    keys, values = torch.randn(2, rows, 2, length, dim, generator=draw)
    return [x.requires_grad_(True) for x in (query, keys, values)]


@pytest.fixture
def few_pairs(monkeypatch):
    """A limit so small that causal pieces are read in several parts."""
    monkeypatch.setattr(attention, "DENSE", 500)


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("form", [pieces, block_mask])
def test_all_forms_and_their_gradients_are_equal(form, rows, request):
    samples = [[sample(5, 3), sample(20, 2)], [sample(9, 3)]][:rows]
    layout = pack(samples, SPEC).layout
    columns = layout.sample.shape[1]
    inputs = heads(rows, columns, columns, torch.Generator().manual_seed(0))
    weight = torch.randn(rows, columns, 64) * layout.valid[..., None]

    def run(seen):
        out = attend(*inputs, seen)
        return out * layout.valid[..., None], *torch.autograd.grad((out * weight).sum(), inputs)

    expected = run(additive(layout.mask(), torch.float32))
    if form is pieces:
        request.getfixturevalue("few_pairs")
    found = run(form(layout))
    for ours, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, wanted, atol=1e-5, rtol=1e-4)


def test_pieces_behind_a_cache_of_uneven_rows(request):
    packed = pack([[[Segment.text([9] * 30), image(Kind.CLEAN, 2, 3)]], [[image(Kind.VIT, 4, 4)]]], SPEC)
    columns = packed.positions.shape[1]
    blocks = [KVBlock(*torch.zeros(2, 1, 2, n, 16)) for n in (40, 17)]
    cache = KVCache.gather([[block] for block in blocks], columns, blocks[0].head(0))
    inputs = heads(2, columns, cache.used + columns, torch.Generator().manual_seed(1))
    valid = packed.layout.valid[..., None]
    expected = attend(*inputs, additive(cache.mask(packed.layout.mask()), torch.float32)) * valid
    request.getfixturevalue("few_pairs")
    found = attend(*inputs, pieces(packed.layout, cache)) * valid
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_without_a_gpu_a_block_mask_means_what_flex_attention_makes_of_it():
    layout = pack([[sample(5, 3), sample(20, 2)], [sample(9, 3)]], SPEC).layout
    columns = layout.sample.shape[1]
    query, keys, values = heads(2, columns, columns, torch.Generator().manual_seed(0))
    mask = block_mask(layout)
    padded = [F.pad(x, (0, 0, 0, mask.shape[-1] - columns)) for x in (query.transpose(1, 2), keys, values)]
    expected = flex_attention(*padded, block_mask=mask, enable_gqa=True)[:, :, :columns]
    found, valid = attend(query, keys, values, mask), layout.valid
    torch.testing.assert_close(found[valid], expected.transpose(1, 2).flatten(2)[valid], atol=1e-5, rtol=1e-4)


def test_blocks_hold_what_is_seen_and_no_more():
    layout = pack([[sample(150, 14), sample(40, 9)]], SPEC).layout
    found = block_mask(layout)
    columns = layout.sample.shape[1]
    padded = torch.zeros(found.shape[-2:], dtype=torch.bool)
    padded[:columns, :columns] = layout.mask()[0]
    padded[columns:, columns:] = True
    some = padded.unflatten(1, (-1, BLOCK)).unflatten(0, (-1, BLOCK)).any(3).any(1)
    assert torch.equal(found.to_dense()[0, 0].bool(), some)
    whole = padded.unflatten(1, (-1, BLOCK)).unflatten(0, (-1, BLOCK)).all(3).all(1)
    assert int(found.full_kv_num_blocks.sum()) == int(whole.sum()) > 0
    assert 0.1 < found.sparsity() / 100 < 0.9


def test_every_query_sees_itself_in_a_padded_batch():
    layout = pack([[sample(5, 3)], [[Segment.text([9])]]], SPEC).layout
    assert layout.mask().diagonal(dim1=1, dim2=2).all()
    for piece in pieces(layout).parts:
        assert torch.equal(piece.keys[-len(piece.queries) :], piece.queries)


@pytest.mark.parametrize("shrunk", [2, pytest.param(1, marks=pytest.mark.slow)])
def test_a_pack_of_33k_tokens_makes_no_large_tensor(monkeypatch, shrunk):
    """33,000 tokens of 1024-pixel canvases and 518-pixel views, heads scaled down; or all of it."""
    limit = DENSE // shrunk**2
    for module in (attention, sys.modules[pieces.__module__]):
        monkeypatch.setattr(module, "DENSE", limit)

    def text(count):
        return Segment.text([9] * (count // shrunk**2))

    def shown():
        side, seen = 64 // shrunk, 37 // shrunk
        return [image(Kind.NOISED, side, side), image(Kind.CLEAN, side, side), image(Kind.VIT, seen, seen)]

    packed = pack([[[text(1500), *shown()], [text(300), *shown(), *shown()]]], SPEC)
    columns = packed.positions.shape[1]
    assert 30_000 < columns * shrunk**2 < 33_000
    with Watch() as watch:
        seen = visibility(packed)
        query = torch.randn(1, columns, 1, 8, requires_grad=True)
        keys = torch.randn(1, 1, columns, 8, requires_grad=True)
        attend(query, keys, keys, seen).sum().backward()
    assert isinstance(seen, Pieces)
    assert watch.largest <= limit
    assert watch.kernels == {
        "_scaled_dot_product_flash_attention_for_cpu",
        "_scaled_dot_product_flash_attention_for_cpu_backward",
    }
    with Watch() as watch:
        block_mask(packed.layout)
    assert watch.largest <= 2 * limit


def test_a_third_image_of_1024_pixels_makes_no_large_tensor():
    """Behind two such images and their texts; heads and channels scaled down, tokens not."""
    packed = pack([[[image(Kind.CLEAN, 64, 64), image(Kind.VIT, 70, 70), Segment.text([9] * 400)]]], SPEC)
    columns = packed.positions.shape[1]
    past = KVBlock(*torch.zeros(2, 1, 1, 18_800, 8))
    cache = KVCache.gather([[past]], columns, past.head(0))
    with Watch() as watch, torch.no_grad():
        seen = visibility(packed, cache)
        attend(torch.randn(1, columns, 2, 8), *torch.randn(2, 1, 1, cache.used + columns, 8), seen)
    assert isinstance(seen, Pieces)
    assert watch.largest <= DENSE
    assert watch.kernels == {"_scaled_dot_product_flash_attention_for_cpu"}


def test_large_masks_and_slow_kernels_are_refused(monkeypatch):
    draw = torch.Generator().manual_seed(2)
    layout = pack([[[Segment.text([9] * 60)]]], SPEC).layout
    query, keys, values = heads(1, 62, 62, draw)
    mask, blocks = additive(layout.mask(), torch.float32), block_mask(layout)
    monkeypatch.setattr(attention, "DENSE", 1000)
    with pytest.raises(ConfigError, match="62 queries x 62 keys is over 1,000"):
        attend(query, keys, values, mask)
    with pytest.raises(ConfigError, match="needs a GPU"):
        attend(query, keys, values, blocks)
    with pytest.raises(ConfigError, match="no fused attention kernel for 62 queries x 62 keys"):
        attend(query, keys, values[..., :8])
