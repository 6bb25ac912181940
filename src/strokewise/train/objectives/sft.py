"""Supervised fine-tuning: λ_CE · CE + MSE, the paper's loss (arXiv 2604.04746, "Training").

Knows a backbone and a packed batch; division by global counts is the trainer's business.

Shape legend: n text tokens with a loss, M latent tokens with a loss, S hidden size, C latent channels.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from strokewise.models import Backbone, visibility
from strokewise.sequence import Packed

# Tokens whose logits are in memory together: for BAGEL's vocabulary 2048 rows of float32 are 1.2 GB.
TEXTS_AT_ONCE = 2048
FLOAT32 = 4


@dataclass(frozen=True)
class SupervisedFineTuning:
    """Cross-entropy of supervised text beside the squared error of velocities.

    Attributes:
        text_weight: λ_CE, the weight of the cross-entropy against the velocity error.
    """

    text_weight: float = 1.0

    @property
    def weights(self) -> Mapping[str, float]:
        """Weights of ``text`` (cross-entropy per token) and ``velocity`` (error per latent element)."""
        return {"text": self.text_weight, "velocity": 1.0}

    def counts(self, packed: Packed) -> dict[str, int]:
        """Count text tokens and delimiters with a label, and latent tokens with a target."""
        return {"text": len(packed.text_slots), "velocity": len(packed.latent_slots)}

    def sums(self, model: Backbone, packed: Packed) -> dict[str, Tensor]:
        """Sum the cross-entropy over labels, and the error, a mean over channels, over latent tokens.

        Both heads run even where nothing is supervised, so that every weight has a gradient on every rank.
        """
        hidden = model(packed, visibility(packed))
        states = hidden.understanding.flatten(0, 1)[packed.text_slots]
        velocity = model.velocity(hidden.generation.flatten(0, 1)[packed.latent_slots])
        errors = (velocity - packed.latent_targets).square().mean(-1)
        return {"text": _text_sum(model, states, packed.text_labels), "velocity": errors.sum()}

    def working_bytes(self, tokens: int, vocabulary: int) -> int:
        """Estimate the logits of one piece, their softmax and their gradient, all float32."""
        return 3 * min(TEXTS_AT_ONCE, tokens) * vocabulary * FLOAT32


def _text_sum(model: Backbone, states: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy sum of states (n, S), with the logits of few tokens in memory at once."""
    total = _cross_entropy(model, states[:TEXTS_AT_ONCE], labels[:TEXTS_AT_ONCE])
    for at in range(TEXTS_AT_ONCE, len(states), TEXTS_AT_ONCE):
        here = slice(at, at + TEXTS_AT_ONCE)
        total = total + checkpoint(_cross_entropy, model, states[here], labels[here], use_reentrant=False)
    return total


def _cross_entropy(model: Backbone, states: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(model.text_logits(states).float(), labels, reduction="sum")
