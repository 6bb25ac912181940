"""Keys and values of what a model has read: immutable blocks, and the workspace of one text or image.

A context owns a list of blocks, one for each segment; a fork copies the list, never a key. Before a text is
written or an image is painted, the contexts of all rows are laid side by side in one workspace with room for
the new tokens; each step then writes its keys in place behind them, so nothing is copied per layer and step.
Knows layers, heads and columns; refuses to know which network they belong to.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from strokewise.errors import ContextLengthError


@dataclass(frozen=True)
class KVBlock:
    """Keys and values of a run of tokens, each (layers, kv_heads, tokens, head_dim). Never written to."""

    keys: Tensor
    values: Tensor

    def __len__(self) -> int:
        return self.keys.shape[2]

    def head(self, length: int) -> "KVBlock":
        """Return the first ``length`` tokens, sharing memory."""
        return KVBlock(self.keys[:, :, :length], self.values[:, :, :length])

    @classmethod
    def join(cls, blocks: Sequence["KVBlock"]) -> "KVBlock":
        """Return several runs as one."""
        return cls(torch.cat([b.keys for b in blocks], 2), torch.cat([b.values for b in blocks], 2))


class KVCache:
    """The workspace: keys and values of several rows, (layers, rows, kv_heads, capacity, head_dim).

    ``used`` columns hold what was read; ``write`` puts new ones behind them without keeping them, so that a
    flow step can be repeated at other latents; ``keep`` makes them part of what was read.
    """

    def __init__(self, keys: Tensor, values: Tensor, used: int, valid: Tensor) -> None:
        """Wrap storage; ``valid`` (rows, capacity) is True for tokens, False for padding, in used columns."""
        self.keys, self.values = keys, values
        self.used = used
        self.valid = valid

    @classmethod
    def gather(cls, rows: Sequence[Sequence[KVBlock]], room: int, like: KVBlock) -> "KVCache":
        """Lay the blocks of each row side by side, with ``room`` further columns.

        Shorter rows begin later, so that what a row has read and what it will write are one range of columns.

        Args:
            rows: blocks of each row; rows may be of different length.
            room: columns to leave free.
            like: an empty block that states layers, heads, dtype and device.

        Raises:
            ContextLengthError: if memory does not suffice.
        """
        lengths = [sum(len(block) for block in blocks) for blocks in rows]
        used = max(lengths)
        layers, heads, _, head_dim = like.keys.shape
        shape = (layers, len(rows), heads, used + room, head_dim)
        try:
            keys, values = like.keys.new_empty(shape), like.keys.new_empty(shape)
        except RuntimeError as error:
            size = 2 * torch.Size(shape).numel() * like.keys.element_size() / 2**30
            raise ContextLengthError(
                f"no memory for a cache of {len(rows)} rows x {used + room} tokens ({size:.1f} GiB);"
                " use fewer prompts at once, smaller images or fewer rounds"
            ) from error
        for row, blocks in enumerate(rows):
            # Padding stands before a row's first token, so that all rows write into the same columns.
            at = used - lengths[row]
            # Masked columns must hold numbers: a NaN left in memory would pass through 0 · NaN.
            keys[:, row, :, :at] = 0
            values[:, row, :, :at] = 0
            for block in blocks:
                keys[:, row, :, at : at + len(block)] = block.keys
                values[:, row, :, at : at + len(block)] = block.values
                at += len(block)
        columns = torch.arange(used + room)
        valid = (columns < used) & (columns >= used - torch.tensor(lengths)[:, None])
        return cls(keys, values, used, valid.to(keys.device))

    def write(self, layer: int, keys: Sequence[Tensor], values: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Put blocks of keys and values, each (rows, columns, kv_heads, head_dim), behind the used columns.

        Returns:
            All keys and values of the layer so far, (rows, kv_heads, used + columns, head_dim), as views.
        """
        end = self.used
        for key, value in zip(keys, values, strict=True):
            start, end = end, end + key.shape[1]
            self.keys[layer, :, :, start:end] = key.transpose(1, 2)
            self.values[layer, :, :, start:end] = value.transpose(1, 2)
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def keep(self, columns: int) -> None:
        """Make the last written ``columns`` part of what every row has read."""
        self.valid[:, self.used : self.used + columns] = True
        self.used += columns

    def mask(self, new: Tensor) -> Tensor:
        """Return visibility of all columns, (rows, queries or 1, used + columns), given that of the new
        ones.
        """
        before = self.valid[:, None, : self.used].expand(-1, new.shape[1], -1)
        return torch.cat([before, new], dim=2)

    def block(self, row: int, columns: Tensor | slice) -> KVBlock:
        """Return a copy of some columns of a row, which shares no memory with the workspace."""
        keys, values = self.keys[:, row, :, columns], self.values[:, row, :, columns]
        return KVBlock(keys.contiguous().clone(), values.contiguous().clone())
