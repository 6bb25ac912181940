"""Muon: momentum with an update made nearly orthogonal (https://kellerjordan.github.io/posts/muon).

``torch.optim.Muon`` orthogonalizes in bfloat16 on every device. A CPU without instructions for it multiplies
bfloat16 at a tenth of float32's rate, and an optimizer step of nano took four times as long as the rest of
the training step. Knows matrices; refuses to know what they are for.
"""

from collections.abc import Sequence
from math import sqrt

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
# Coefficients of the quintic iteration: steepest at zero, where it matters most; it ends near one, not at it.
QUINTIC = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
EPS = 1e-7


class Muon:
    """Momentum with Nesterov's look-ahead and orthogonal updates; weights decay apart from them.

    Each matrix's state is its ``momentum_buffer``, allocated at once, so that a checkpoint can be read into
    it.
    """

    def __init__(self, matrices: Sequence[nn.Parameter], weight_decay: float) -> None:
        """Allocate the state of parameters of shape (rows, columns)."""
        self.matrices, self.weight_decay = matrices, weight_decay
        self.state: dict[nn.Parameter, dict[str, Tensor]] = {
            matrix: {"momentum_buffer": torch.zeros_like(matrix)} for matrix in matrices
        }

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Take one step along the gradients that are there."""
        for matrix in self.matrices:
            if matrix.grad is None:
                continue
            momentum = self.state[matrix]["momentum_buffer"]
            momentum.lerp_(matrix.grad, 1 - MOMENTUM)
            update = orthogonalized(matrix.grad.lerp(momentum, MOMENTUM))
            rows, columns = matrix.shape
            matrix.mul_(1 - rate * self.weight_decay)
            matrix.add_(update, alpha=-rate * sqrt(max(1, rows / columns)))


def orthogonalized(matrix: Tensor) -> Tensor:
    """Return a matrix with the same singular vectors, and singular values between about 0.7 and 1.2.

    Args:
        matrix: (rows, columns), not zero.

    Returns:
        The same shape; bfloat16 on a GPU, float32 on a CPU.
    """
    tall = matrix.size(0) > matrix.size(1)
    x = matrix.to(torch.float32 if matrix.device.type == "cpu" else torch.bfloat16)
    x = x.T if tall else x
    x = x / x.norm().clamp(min=EPS)
    a, b, c = QUINTIC
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x
