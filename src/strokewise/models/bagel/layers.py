"""Small modules shared by the parts of the model: norms, rotary and sin-cos positions, time, connector.

Shape legend: rows of the batch, columns of a block, size = channels of a token; "..." is any number of axes.
Knows tensors; refuses to know tokens and experts.
"""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TIME_FREQUENCIES = 256


class RMSNorm(nn.Module):
    """Root-mean-square norm over the last dimension, computed in float32."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (..., size)."""
        return F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), self.eps)


# Cached: it is needed at every token that is written, and always the same.
@lru_cache(maxsize=16)
def _inverse_frequencies(head_dim: int, theta: float, device: torch.device) -> Tensor:
    exponents = torch.arange(0, head_dim, 2, dtype=torch.int64).float() / head_dim
    return (1.0 / theta**exponents).to(device)


def rotary(positions: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return cosine and sine for positions (rows, columns), each (rows, columns, 1, head_dim).

    The first half of the sines is negative, as :func:`rotate` needs it.
    """
    inverse = _inverse_frequencies(head_dim, theta, positions.device)
    # float32 whatever the network computes in: bfloat16 cannot tell neighboring positions above 256 apart.
    angles = (positions[..., None].float() * inverse)[:, :, None]
    cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
    return torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply the rotary embedding to (rows, columns, heads, head_dim); halves are paired as in Qwen2."""
    # Three operations, where work on the halves takes nine: on a token each costs more than it computes.
    return (x * cos).addcmul_(x.roll(x.shape[-1] // 2, -1), sin)


def sincos_table(side: int, size: int, base: float = 10000.0) -> Tensor:
    """Return fixed 2-D sin-cos positions of a side x side grid, (side², size); columns first (BAGEL, DiT).

    Args:
        side: of the grid.
        size: channels.
        base: the slowest wave's length over the fastest's; 10000 in BAGEL.
    """
    quarter = size // 4
    omega = 1.0 / base ** (torch.arange(quarter, dtype=torch.float64) / quarter)
    angles = torch.arange(side, dtype=torch.float64)[:, None] * omega
    line = torch.cat([angles.sin(), angles.cos()], dim=1)
    columns, rows = line.repeat(side, 1), line.repeat_interleave(side, 0)
    return torch.cat([columns, rows], dim=1).float()


class PositionTable(nn.Module):
    """A frozen table of 2-D sin-cos positions, stored with the weights as in the released checkpoints."""

    def __init__(self, side: int, size: int) -> None:
        super().__init__()
        self.table: Tensor
        # Computed on the CPU: arithmetic on the meta device imports torch's compiler, which takes 1.5 s.
        with torch.device("cpu"):
            table = sincos_table(side, size)
        self.register_buffer("table", table.to(torch.get_default_device()))

    def forward(self, places: Tensor) -> Tensor:
        """Return rows of the table, shape (..., size)."""
        return F.embedding(places, self.table)


def embedding(count: int, size: int) -> nn.Embedding:
    """Return a learned table with arbitrary values.

    torch's own would draw normal numbers, which on the meta device imports its compiler too.
    """
    return nn.Embedding(count, size, _weight=torch.zeros(count, size))


class TimeEmbedding(nn.Module):
    """Flow time in [0, 1] to a vector: sinusoids, then two linear layers with SiLU."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(TIME_FREQUENCIES, size)
        self.fc2 = nn.Linear(size, size)

    def forward(self, times: Tensor) -> Tensor:
        """Embed times (...) to (..., size)."""
        half = TIME_FREQUENCIES // 2
        steps = torch.arange(half, dtype=torch.float32, device=times.device)
        # Times are used as they are, in 0..1, as BAGEL was trained (not scaled by 1000 as in DiT).
        angles = times[..., None].float() * torch.exp(steps * (-math.log(10000) / half))
        waves = torch.cat([angles.cos(), angles.sin()], dim=-1)
        return self.fc2(F.silu(self.fc1(waves.to(self.fc1.weight.dtype))))


class Connector(nn.Module):
    """ViT features to the language model's width: two linear layers with tanh-GELU."""

    def __init__(self, size_in: int, size_out: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(size_in, size_out)
        self.fc2 = nn.Linear(size_out, size_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., size_in) to (..., size_out)."""
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))
