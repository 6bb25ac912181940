"""What every token of a batch sees, in the form that its attention is computed fastest in.

The rules stand in ``sequence.packed``. Knows layouts and caches; refuses to know kernels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from strokewise.models.attention import DENSE, Piece, Pieces, Visible
from strokewise.models.kv_cache import KVCache
from strokewise.sequence import Layout, Packed, sees

# Tokens in a block of flex attention, and what the length of its mask is a multiple of.
BLOCK, ROUND = 128, 2048


def visibility(packed: Packed, cache: KVCache | None = None) -> Tensor | Pieces | BlockMask | None:
    """Return what the tokens of a batch see of what their rows have read and of each other.

    Returns:
        None if all is seen; up to ``DENSE`` pairs a row a boolean mask (rows, understanding + generation
        columns, cached and new columns); above that a block mask for training on a GPU, else pieces.
    """
    columns = packed.positions.shape[1]
    if columns * (columns + (cache.used if cache else 0)) > DENSE:
        if cache is None and packed.positions.is_cuda:
            return block_mask(packed.layout)
        return pieces(packed.layout, cache)
    mask = packed.layout.mask()
    if cache is not None:
        mask = cache.mask(mask)
    return None if bool(mask.all()) else mask


def image_visibility(packed: Packed, cache: KVCache) -> Visible:
    """Return what the tokens of one image a row see: all that the row has read, and each other.

    Returns:
        None if no row is shorter than another; else on a CPU the range of columns of each row, because a row
        at a time costs less there than padding and a mask, and elsewhere a mask (rows, 1, columns).
    """
    seen = torch.cat([cache.valid[:, : cache.used], packed.layout.valid], dim=1)
    if bool(seen.all()):
        return None
    if seen.device.type != "cpu":
        return seen[:, None]
    firsts, counts = seen.int().argmax(1).tolist(), seen.sum(1).tolist()
    return tuple(slice(first, first + count) for first, count in zip(firsts, counts, strict=True))


def pieces(layout: Layout, cache: KVCache | None = None) -> Pieces:
    """Return every segment as a piece: it sees what was cached, what stands before it in its sample, and
    itself.
    """
    used = cache.used if cache else 0
    parts: list[Piece] = []
    for row in range(len(layout.sample)):
        sample, segment, place = layout.sample[row], layout.segment[row], layout.place[row]
        cached = sample.new_zeros(0)
        if cache is not None:
            cached = cache.valid[row, :used].nonzero()[:, 0]
        seen, present = [cached], None
        for number in segment.unique().tolist():
            own = (segment == number).nonzero()[:, 0]
            own = own[place[own].argsort()]
            first = int(own[0])
            if int(sample[first]) != present:
                seen, present = [cached], int(sample[first])
            causal = bool(layout.causal[row, first])
            parts.append(Piece(row, own, torch.cat([*seen, own + used]), causal))
            if not layout.noised[row, first]:
                seen.append(own + used)
    return Pieces(tuple(parts))


@torch.no_grad()
def block_mask(layout: Layout) -> BlockMask:
    """Return the block mask of a training batch, made a strip of queries at a time."""
    rows, columns = layout.sample.shape
    length = -(-columns // ROUND) * ROUND
    facts = [F.pad(fact, (0, length - columns), value=blank) for fact, blank in layout.facts()]

    def seen(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return sees([fact[row, query] for fact in facts], [fact[row, key] for fact in facts])

    some, every = [], []
    strip = max(1, DENSE // (rows * BLOCK * length)) * BLOCK
    for at in range(0, length, strip):
        queries = [fact[:, at : at + strip, None] for fact in facts]
        mask = sees(queries, [fact[:, None] for fact in facts])
        tiles = mask.unflatten(2, (-1, BLOCK)).unflatten(1, (-1, BLOCK))
        some.append(tiles.any(4).any(2))
        every.append(tiles.all(4).all(2))
    whole = torch.cat(every, 1)
    partly = torch.cat(some, 1) & ~whole
    return BlockMask.from_kv_blocks(
        *_listed(partly), *_listed(whole), BLOCK, mask_mod=seen, seq_lengths=(length, length)
    )


def _listed(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """Return number and indices of the chosen key blocks of each query block, (rows, 1, blocks) and (…,
    blocks).
    """
    order = blocks.to(torch.int8).argsort(dim=-1, descending=True, stable=True)
    return blocks.sum(-1, dtype=torch.int32)[:, None], order.to(torch.int32)[:, None]
