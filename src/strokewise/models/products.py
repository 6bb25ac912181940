"""Linear layers by the faster of the two libraries for matrix products that torch has for a CPU.

torch multiplies float32 matrices with MKL, which takes slower kernels on some processors than oneDNN does;
oneDNN is reached by an operation that is not public. It measures what bfloat16 would gain, too. Knows layers;
refuses to know models.
"""

from collections.abc import Callable
from functools import cache
from time import perf_counter
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Rows from which oneDNN can win; with fewer, MKL is faster on every processor that was measured.
ROWS = 64
# The gain that is asked of a change: less could be chance, and the last digits would change from run to run.
GAIN = 1.15
# The same of bfloat16, which changes more than last digits.
BFLOAT16_GAIN = 1.2
REPEATS = 8

Module = TypeVar("Module", bound=nn.Module)


class OneDNNLinear(nn.Linear):
    """A linear layer that multiplies with oneDNN where that can win: many rows, float32, no gradients."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        few = x.numel() < ROWS * self.in_features
        if few or torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        return _onednn(x, self.weight, self.bias)


def choose_products(model: Module) -> Module:
    """Give a model of float32 weights on a CPU the faster of the two products, in place."""
    for module in model.modules():
        if type(module) is nn.Linear and _is_plain(module.weight) and onednn_is_faster():
            module.__class__ = OneDNNLinear
    return model


@cache
def onednn_is_faster() -> bool:
    """Measure both products once in a process, about 20 ms."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    rows, weight = torch.ones(4 * ROWS, 512), torch.ones(512, 512)
    return _gain(lambda: F.linear(rows, weight), lambda: _onednn(rows, weight, None)) > GAIN


@cache
def bfloat16_gain() -> float:
    """Measure once how many times as fast as float32 this CPU multiplies in bfloat16, about 50 ms."""
    rows, weight = torch.ones(4 * ROWS, 512), torch.ones(512, 512)
    low_rows, low_weight = rows.bfloat16(), weight.bfloat16()
    faster = _onednn if onednn_is_faster() else F.linear
    return _gain(lambda: faster(rows, weight, None), lambda: F.linear(low_rows, low_weight))


def _gain(first: Callable[[], Tensor], second: Callable[[], Tensor]) -> float:
    """Return how many times as fast the second is, the best of both in turns."""
    firsts, seconds = [], []
    for _ in range(REPEATS):
        start = perf_counter()
        first()
        between = perf_counter()
        second()
        firsts.append(between - start)
        seconds.append(perf_counter() - between)
    return min(firsts) / min(seconds)


def _is_plain(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype == torch.float32


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
