"""The paper's loss, λ_CE · CE + MSE, as sums over tokens. Division by global counts is the trainer's.

Knows a model and a packed batch. This module is what FSDP wraps, so that every weight is used inside its
``forward``.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from strokewise.models.bagel import UnifiedModel
from strokewise.sequence import Packed

TEXTS_AT_ONCE = 2048


@dataclass(frozen=True)
class LossSums:
    """Sums over the tokens of a batch that carry a loss, float32 scalars.

    Attributes:
        text: cross-entropy over text tokens and delimiter labels.
        velocity: squared error over noised latent tokens, mean over channels.
    """

    text: Tensor
    velocity: Tensor


class Losses(nn.Module):
    """A model and its losses."""

    def __init__(self, model: UnifiedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, packed: Packed) -> LossSums:
        """Loss sums of a batch.

        Both heads run even where nothing is to be learnt from them, so that every weight has a gradient on
        every rank.
        """
        hidden = self.model(packed, packed.layout.mask())
        states = hidden.understanding.flatten(0, 1)[packed.text_slots]
        velocity = self.model.velocity(hidden.generation.flatten(0, 1)[packed.latent_slots])
        errors = (velocity - packed.latent_targets).square().mean(-1)
        return LossSums(self._text(states, packed.text_labels), errors.sum())

    def _text(self, states: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy sum of states (n, size), with the logits of few tokens in memory at once."""
        total = self._cross_entropy(states[:TEXTS_AT_ONCE], labels[:TEXTS_AT_ONCE])
        for at in range(TEXTS_AT_ONCE, len(states), TEXTS_AT_ONCE):
            here = slice(at, at + TEXTS_AT_ONCE)
            total = total + checkpoint(self._cross_entropy, states[here], labels[here], use_reentrant=False)
        return total

    def _cross_entropy(self, states: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(self.model.text_logits(states).float(), labels, reduction="sum")
