"""Attention over rows: one signature, PyTorch's kernels behind it, chosen by what the queries see.

No tensor of queries x keys is made above `DENSE` pairs a row: larger masks are `Pieces` or a block mask of
flex attention (``visibility`` decides), and kernels that would keep such scores are refused. Knows queries,
keys, values and what is seen; refuses to know positions, caches and experts.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from strokewise.errors import ConfigError

# Most pairs of a query and a key in one mask of a row: 8 MB of bfloat16.
DENSE = 2**22
# Kernels that keep no scores. cuDNN's is left out: it plans anew for each shape, and packs rarely repeat one.
FUSED = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]


@dataclass(frozen=True)
class Piece:
    """Some queries of a row and the keys they see.

    Attributes:
        row: of the batch.
        queries: (n,) columns among the new tokens.
        keys: (k,) columns among cached and new tokens; the last n of them are the queries' own.
        causal: whether each query sees its own keys only up to itself; else it sees all.
    """

    row: int
    queries: Tensor
    keys: Tensor
    causal: bool


@dataclass(frozen=True)
class Pieces:
    """What is seen, as runs of queries that see the same keys; together they hold every query once."""

    parts: tuple[Piece, ...]


# What queries see: all keys (None), the same range of keys in each row, or what a mask or pieces say.
Visible = Tensor | tuple[slice, ...] | Pieces | BlockMask | None


def additive(seen: Visible, dtype: torch.dtype) -> Visible:
    """Convert a boolean mask to numbers that are added to scores, 0 or -inf; once, not in every layer."""
    if not isinstance(seen, Tensor):
        return seen
    return torch.zeros_like(seen, dtype=dtype).masked_fill_(~seen, -torch.inf)


def attend(query: Tensor, keys: Tensor, values: Tensor, seen: Visible = None) -> Tensor:
    """Compute grouped-query attention.

    Args:
        query: (rows, queries, heads, head_dim).
        keys: (rows, kv_heads, length, head_dim); each serves ``heads / kv_heads`` query heads.
        values: like ``keys``.
        seen: what the queries see: a mask (rows, 1 or queries, length) of numbers added to the scores (see
            :func:`additive`), the range of keys that all queries of each row see, pieces, or a block mask;
            None: everything.

    Returns:
        (rows, queries, heads · head_dim).

    Raises:
        ConfigError: if no kernel can compute it without a tensor of queries x keys above ``DENSE``.
    """
    if isinstance(seen, tuple):
        each = [(slice(row, row + 1), part) for row, part in enumerate(seen)]
        return torch.cat([attend(query[row], keys[row, :, part], values[row, :, part]) for row, part in each])
    if isinstance(seen, BlockMask):
        return _flex(query, keys, values, seen)
    if isinstance(seen, Pieces):
        return _piecewise(query, keys, values, seen)
    rows, queries, heads, head_dim = query.shape
    kv_heads, length = keys.shape[1:3]
    if seen is None or seen.shape[1] == 1:
        # Every query of a row sees the same keys: query heads of a group become further queries of their
        # key-value head, so that keys are neither repeated nor read twice.
        groups = heads // kv_heads
        folded = query.view(rows, queries, kv_heads, groups, head_dim).permute(0, 2, 3, 1, 4)
        folded = folded.reshape(rows, kv_heads, groups * queries, head_dim)
        with _kernels(query, queries, length):
            out = F.scaled_dot_product_attention(
                folded, keys, values, None if seen is None else seen[:, None]
            )
        out = out.view(rows, kv_heads, groups, queries, head_dim).permute(0, 3, 1, 2, 4)
        return out.reshape(rows, queries, heads * head_dim)
    if queries * length > DENSE:
        raise ConfigError(
            f"a mask of {queries:,} queries x {length:,} keys is over {DENSE:,} pairs; take what"
            " models.visibility gives for this size"
        )
    grouped = heads != kv_heads
    if grouped and query.is_cuda:  # there the kernel that takes a mask knows no groups
        keys, values = (x.repeat_interleave(heads // kv_heads, 1) for x in (keys, values))
        grouped = False
    out = F.scaled_dot_product_attention(
        query.transpose(1, 2), keys, values, seen[:, None], enable_gqa=grouped
    )
    return out.transpose(1, 2).reshape(rows, queries, heads * head_dim)


@contextmanager
def _kernels(query: Tensor, queries: int, length: int) -> Iterator[None]:
    """Use, above ``DENSE`` pairs, only kernels that keep no scores; that none of them can is an error."""
    if queries * length <= DENSE:
        yield
        return
    try:
        with sdpa_kernel(FUSED):
            yield
    except RuntimeError as error:
        if "kernel" not in str(error):
            raise
        raise ConfigError(
            f"no fused attention kernel for {queries:,} queries x {length:,} keys in {query.dtype} on"
            f" {query.device}; the one that is left would hold all scores in memory. Use bfloat16 on a GPU of"
            " compute capability 8.0 or more"
        ) from error


def _piecewise(query: Tensor, keys: Tensor, values: Tensor, pieces: Pieces) -> Tensor:
    """Compute attention piece after piece: full ones need no mask, causal ones small masks."""
    rows, queries, _, _ = query.shape
    found = [out for piece in pieces.parts for out in _piece(query, keys, values, piece)]
    places = torch.cat([piece.row * queries + piece.queries for piece in pieces.parts])
    return torch.cat(found)[places.argsort()].view(rows, queries, -1)


def _piece(query: Tensor, keys: Tensor, values: Tensor, piece: Piece) -> Iterator[Tensor]:
    """Yield results (n, heads · head_dim) of one piece, in one part, or causally in parts whose masks are
    small.
    """
    mine = query[piece.row, piece.queries][None]
    k, v = (x[piece.row, :, piece.keys][None] for x in (keys, values))
    count, length = len(piece.queries), len(piece.keys)
    if not piece.causal:
        yield attend(mine, k, v)[0]
        return
    step = max(1, DENSE // length)
    for at in range(0, count, step):
        some = mine[:, at : at + step]
        end = length - count + at + some.shape[1]
        mask = torch.ones(some.shape[1], end, dtype=torch.bool, device=query.device).tril(end - some.shape[1])
        yield attend(some, k[:, :, :end], v[:, :, :end], additive(mask[None], query.dtype))[0]


def _flex(query: Tensor, keys: Tensor, values: Tensor, mask: BlockMask) -> Tensor:
    """Compute flex attention on a GPU: only blocks in which something is seen are computed.

    Elsewhere it has no backward pass, and for small batches a mask of all pairs that the blocks and their
    rule let through takes its place.
    """
    count, length = query.shape[1], mask.shape[-1]
    if not query.is_cuda:
        return attend(query, keys, values, additive(_every_pair(mask, count), query.dtype))
    # The mask's length is a round one, so that few shapes are compiled; what is added sees itself alone.
    q, k, v = (
        F.pad(x, (0, 0, 0, length - count)) for x in (query.transpose(1, 2).contiguous(), keys, values)
    )
    out: Tensor = _compiled()(q, k, v, block_mask=mask, enable_gqa=q.shape[1] != k.shape[1])
    return out[:, :, :count].transpose(1, 2).flatten(2)


def _every_pair(mask: BlockMask, count: int) -> Tensor:
    """Return what a block mask lets through among the first ``count`` tokens, (rows, count, count)."""
    if count**2 > DENSE:
        raise ConfigError(
            f"flex attention over {count:,} tokens needs a GPU; elsewhere it would hold all scores in memory"
        )
    blocks = mask.to_dense()[:, 0].bool()
    for axis, size in enumerate(mask.BLOCK_SIZE, 1):
        blocks = blocks.repeat_interleave(size, axis)
    columns = torch.arange(count, device=blocks.device)
    row = torch.arange(len(blocks), device=blocks.device)[:, None, None]
    return blocks[:, :count, :count] & mask.mask_mod(row, row, columns[:, None], columns[None])


@cache
def _compiled() -> Callable[..., Any]:
    """Return the compiled kernel; one variant a length."""
    return torch.compile(flex_attention, dynamic=False)
