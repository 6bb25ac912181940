"""Attention over rows: one signature, PyTorch's scaled-dot-product kernels behind it.

Knows queries, keys, values and a mask; refuses to know positions, caches and experts.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

# What queries see: all keys (None), the same range of keys in each row, or what a mask says.
Visible = Tensor | tuple[slice, ...] | None


def attend(query: Tensor, keys: Tensor, values: Tensor, mask: Visible = None) -> Tensor:
    """Grouped-query attention.

    Args:
        query: (rows, queries, heads, head_dim).
        keys: (rows, kv_heads, length, head_dim); each serves ``heads / kv_heads`` query heads.
        values: like ``keys``.
        mask: (rows, 1 or queries, length), added to the scores: 0 where attention is allowed, else -inf; or
            the range of keys that all queries of each row see; None: allowed everywhere.

    Returns:
        (rows, queries, heads · head_dim).
    """
    if isinstance(mask, tuple):
        each = [(slice(row, row + 1), seen) for row, seen in enumerate(mask)]
        return torch.cat([attend(query[row], keys[row, :, seen], values[row, :, seen]) for row, seen in each])
    rows, queries, heads, head_dim = query.shape
    kv_heads = keys.shape[1]
    if mask is None or mask.shape[1] == 1:
        # Every query of a row sees the same keys: query heads of a group become further queries of their
        # key-value head, so that keys are neither repeated nor read twice.
        groups = heads // kv_heads
        folded = query.view(rows, queries, kv_heads, groups, head_dim).permute(0, 2, 3, 1, 4)
        folded = folded.reshape(rows, kv_heads, groups * queries, head_dim)
        out = F.scaled_dot_product_attention(folded, keys, values, None if mask is None else mask[:, None])
        out = out.view(rows, kv_heads, groups, queries, head_dim).permute(0, 3, 1, 2, 4)
    else:
        out = F.scaled_dot_product_attention(
            query.transpose(1, 2), keys, values, mask[:, None], enable_gqa=heads != kv_heads
        ).transpose(1, 2)
    return out.reshape(rows, queries, heads * head_dim)
