"""Blocks of keys and values, and the workspace they are gathered in."""

import pytest
import torch

from strokewise.errors import ContextLengthError
from strokewise.models import KVBlock, KVCache, image_visibility, visibility
from strokewise.sequence import Kind, PackSpec, Segment, pack

LAYERS, HEADS, SIZE = 2, 3, 4
EMPTY = KVBlock(*(torch.zeros(LAYERS, HEADS, 0, SIZE) for _ in range(2)))


def block(length, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return KVBlock(*(torch.randn(LAYERS, HEADS, length, SIZE, generator=draw) for _ in range(2)))


def test_a_head_shares_memory():
    whole = block(5)
    head = whole.head(3)
    assert (len(whole), len(head)) == (5, 3)
    assert head.keys.data_ptr() == whole.keys.data_ptr()
    assert head.values.data_ptr() == whole.values.data_ptr()


def test_join():
    joined = KVBlock.join([block(2, 1), block(3, 2)])
    assert len(joined) == 5
    assert torch.equal(joined.keys[:, :, :2], block(2, 1).keys)
    assert torch.equal(joined.values[:, :, 2:], block(3, 2).values)


def test_gather_lays_rows_side_by_side():
    rows = [[block(2, 1), block(3, 2)], [block(4, 3)], []]
    cache = KVCache.gather(rows, 6, EMPTY)
    assert cache.used == 5
    assert cache.keys.shape == (LAYERS, 3, HEADS, 11, SIZE)
    assert torch.equal(cache.keys[:, 0, :, :5], KVBlock.join(rows[0]).keys)
    assert torch.equal(cache.values[:, 1, :, 1:5], block(4, 3).values)
    assert cache.valid.sum(1).tolist() == [5, 4, 0]
    assert cache.valid[1].tolist() == [False] + [True] * 4 + [False] * 6


def test_padding_of_the_workspace_holds_numbers():
    cache = KVCache.gather([[block(5)], []], 2, EMPTY)
    assert not cache.keys[:, 1, :, :5].any()
    assert not cache.values[:, 1, :, :5].any()


def test_write_does_not_keep_and_keep_does():
    cache = KVCache.gather([[block(2)], [block(1)]], 4, EMPTY)
    first, second = (torch.full((2, 3, HEADS, SIZE), value) for value in (1.0, 2.0))
    for layer in range(LAYERS):
        keys, values = cache.write(layer, [first], [first + 10])
        assert keys.shape == values.shape == (2, HEADS, 5, SIZE)
        assert keys.data_ptr() == cache.keys[layer].data_ptr()
        assert bool((keys[:, :, 2:] == 1).all())
        assert bool((values[:, :, 2:] == 11).all())
    # The next write lies in the same place until it is kept.
    keys, _ = cache.write(0, [second], [second])
    assert bool((keys[:, :, 2:] == 2).all())
    assert torch.equal(keys[0, :, :2], block(2).keys[0])
    assert cache.used == 2
    cache.keep(3)
    assert cache.used == 5
    assert cache.valid.tolist() == [[True] * 5 + [False], [False, True, True, True, True, False]]
    keys, _ = cache.write(0, [first[:, :1]], [first[:, :1]])
    assert keys[0, 0, :, 0].tolist()[2:] == [2, 2, 2, 1]


def test_blocks_of_both_experts_are_written_side_by_side():
    cache = KVCache.gather([[block(2)], []], 5, EMPTY)
    draw = torch.Generator().manual_seed(0)
    text, latents = (torch.randn(2, n, HEADS, SIZE, generator=draw) for n in (2, 3))
    keys, values = cache.write(1, [text, latents], [latents[:, :2], torch.cat([text, text[:, :1]], dim=1)])
    assert torch.equal(keys[:, :, 2:4], text.transpose(1, 2))
    assert torch.equal(keys[:, :, 4:], latents.transpose(1, 2))
    assert torch.equal(values[:, :, 2:4], latents[:, :2].transpose(1, 2))
    assert torch.equal(values[:, :, 4:6], text.transpose(1, 2))


def test_the_mask_of_old_and_new_columns():
    cache = KVCache.gather([[block(2)], [block(1)]], 3, EMPTY)
    new = torch.ones(2, 3, 3, dtype=torch.bool).tril()
    mask = cache.mask(new)
    assert mask.shape == (2, 3, 5)
    assert mask[0, 0].tolist() == [True, True, True, False, False]
    assert mask[1, 2].tolist() == [False, True, True, True, True]


@pytest.mark.parametrize(
    ("lengths", "grids", "expected"),
    [
        ((2, 2), ((2, 2), (2, 2)), None),
        ((3, 1, 0), ((2, 2), (2, 2), (2, 2)), (slice(0, 9), slice(2, 9), slice(3, 9))),
        ((2, 2), ((2, 2), (1, 2)), (slice(0, 8), slice(0, 6))),
    ],
    ids=["alike", "other lengths", "other sizes"],
)
def test_rows_that_paint_see_one_range_of_columns(lengths, grids, expected, special):
    spec = PackSpec(special, latent_channels=4, latent_side=8, patch_channels=48, patch_side=8)
    blanks = [torch.zeros(rows * columns, 4) for rows, columns in grids]
    images = [
        Segment(Kind.NOISED, blank, grid=grid, noise=blank, time=1.0)
        for blank, grid in zip(blanks, grids, strict=True)
    ]
    packed = pack([[[image]] for image in images], spec, lengths)
    cache = KVCache.gather([[block(n)] if n else [] for n in lengths], packed.positions.shape[1], EMPTY)
    assert image_visibility(packed, cache) == expected
    mask = visibility(packed, cache)
    for row, seen in enumerate(expected or ()):
        # The queries of padding see nothing, and are cut off.
        queries = packed.layout.valid[row].nonzero()[:, 0]
        assert mask[row, queries][:, seen].all()
        assert mask[row, queries].sum() == len(queries) * (seen.stop - seen.start)


@pytest.mark.parametrize("columns", [slice(1, 3), torch.tensor([1, 2])], ids=["slice", "indices"])
def test_a_block_taken_out_is_a_copy(columns):
    cache = KVCache.gather([[block(4)]], 0, EMPTY)
    taken = cache.block(0, columns)
    cache.keys.zero_()
    cache.values.zero_()
    assert torch.equal(taken.keys, block(4).keys[:, :, 1:3])
    assert torch.equal(taken.values, block(4).values[:, :, 1:3])
    assert taken.keys.untyped_storage().nbytes() == taken.keys.nbytes


def test_no_memory_is_an_error_with_a_remedy():
    with pytest.raises(ContextLengthError, match=r"no memory for a cache of 1 rows x 1\d+ tokens.*fewer"):
        KVCache.gather([[]], 10**15, EMPTY)
