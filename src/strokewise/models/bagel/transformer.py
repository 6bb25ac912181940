"""The mixture-of-transformers decoder: two experts a layer, one attention over all tokens.

Tokens come in two blocks, understanding and generation, so that an expert is a slice. Knows embeddings and
positions; what they stand for is decided in ``unified``.

Shape legend: rows of the batch, columns of a block (U understanding, G generation), keys = cached and new
columns, size = hidden size.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from strokewise.models.attention import Visible, additive, attend
from strokewise.models.bagel.config import LanguageConfig
from strokewise.models.bagel.layers import RMSNorm, embedding, rotary, rotate
from strokewise.models.kv_cache import KVBlock, KVCache

Rotary = tuple[Tensor, Tensor]


class Expert(nn.Module):
    """The weights of one expert in one layer: norms, projections, gated MLP."""

    def __init__(self, config: LanguageConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = config.num_heads, config.num_kv_heads, config.head_dim
        size = config.hidden_size
        self.attention_norm = RMSNorm(size, config.norm_eps)
        # One product for queries, keys and values, and one for gate and up: fewer kernels.
        self.qkv = nn.Linear(size, (self.heads + 2 * self.kv_heads) * self.head_dim)
        self.q_norm = RMSNorm(self.head_dim, config.norm_eps)
        self.k_norm = RMSNorm(self.head_dim, config.norm_eps)
        self.out = nn.Linear(self.heads * self.head_dim, size, bias=False)
        self.mlp_norm = RMSNorm(size, config.norm_eps)
        self.gate_up = nn.Linear(size, 2 * config.intermediate_size, bias=False)
        self.down = nn.Linear(config.intermediate_size, size, bias=False)

    def compile_parts(self) -> None:
        """Compile what comes before and after attention, for any number of rows and columns.

        Attention stays out: its kernel is fast as it is, and on a CPU it cannot be compiled with a mask.
        """
        self.project = torch.compile(self.project, dynamic=True)  # type: ignore[method-assign]
        self.finish = torch.compile(self.finish, dynamic=True)  # type: ignore[method-assign]

    def project(self, x: Tensor, turn: Rotary) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values of (rows, columns, size), each (rows, columns, heads, head_dim)."""
        qkv = self.qkv(self.attention_norm(x)).unflatten(-1, (-1, self.head_dim))
        query, key, value = qkv.split([self.heads, self.kv_heads, self.kv_heads], dim=2)
        # Together: while text is written, the number of operations is what costs.
        turned = rotate(torch.cat([self.q_norm(query), self.k_norm(key)], dim=2), *turn)
        return turned[:, :, : self.heads], turned[:, :, self.heads :], value

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """Add what attention found, then the MLP."""
        x = x + self.out(attended)
        gate, up = self.gate_up(self.mlp_norm(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class DecoderLayer(nn.Module):
    """One layer: each expert on its own block, attention over both."""

    def __init__(self, config: LanguageConfig, index: int) -> None:
        super().__init__()
        self.index = index
        self.understanding = Expert(config)
        self.generation = Expert(config)

    def forward(
        self, blocks: list[Tensor], turns: list[Rotary], mask: Visible, cache: KVCache | None
    ) -> list[Tensor]:
        """Return both blocks (rows, columns, size) one layer further; an empty block stays as it is."""
        experts = (self.understanding, self.generation)
        # While text is written the generation block is empty, and its expert's weights are not even read.
        active = [i for i, block in enumerate(blocks) if block.shape[1]]
        projected = [experts[i].project(blocks[i], turns[i]) for i in active]
        queries, new_keys, new_values = zip(*projected, strict=True)
        if cache is None:
            keys, values = _joined(new_keys).transpose(1, 2), _joined(new_values).transpose(1, 2)
        else:
            keys, values = cache.write(self.index, new_keys, new_values)
        attended = attend(_joined(queries), keys, values, mask)
        pieces = attended.split([blocks[i].shape[1] for i in active], dim=1)
        result = list(blocks)
        for i, piece in zip(active, pieces, strict=True):
            result[i] = experts[i].finish(blocks[i], piece)
        return result


class Decoder(nn.Module):
    """Embedding, layers, final norms and the language head."""

    def __init__(self, config: LanguageConfig) -> None:
        super().__init__()
        self.config = config
        self.checkpointing = False
        self.embed = embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config, i) for i in range(config.num_layers))
        self.understanding_norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.generation_norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    def forward(
        self,
        understanding: Tensor,
        generation: Tensor,
        positions: Tensor,
        mask: Visible,
        cache: KVCache | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return hidden states after the final norms.

        Args:
            understanding: embedded tokens (rows, U, size).
            generation: embedded tokens (rows, G, size).
            positions: rotary positions (rows, U + G).
            mask: what is seen of cached and new tokens, see ``Backbone.__call__``.
            cache: keys and values of what came before; new ones are written behind them, not kept.
        """
        dtype = _arithmetic(understanding)
        mask = additive(mask, dtype)
        cos, sin = rotary(positions, self.config.head_dim, self.config.rope_theta, dtype)
        edge = understanding.shape[1]
        turns = [(cos[:, :edge], sin[:, :edge]), (cos[:, edge:], sin[:, edge:])]
        blocks = [understanding, generation]
        for layer in self.layers:
            if self.checkpointing and self.training:
                blocks = checkpoint(layer, blocks, turns, mask, cache, use_reentrant=False)
            else:
                blocks = layer(blocks, turns, mask, cache)
        return self.understanding_norm(blocks[0]), self.generation_norm(blocks[1])

    def empty_block(self) -> KVBlock:
        """Return a block of no tokens with this model's shape, dtype and device."""
        c = self.config
        empty = self.embed.weight.new_empty(c.num_layers, c.num_kv_heads, 0, c.head_dim)
        return KVBlock(empty, empty)


def _arithmetic(like: Tensor) -> torch.dtype:
    """Return the dtype that products of ``like`` are computed in."""
    kind = like.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else like.dtype


def _joined(blocks: Sequence[Tensor]) -> Tensor:
    """Return blocks side by side along the columns."""
    return blocks[0] if len(blocks) == 1 else torch.cat(list(blocks), dim=1)
