"""Supervised fine-tuning: λ_CE · CE + MSE, the paper's loss (arXiv 2604.04746, "Training").

Knows a backbone and a packed batch; division by global counts is the trainer's business.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from strokewise.models import Backbone
from strokewise.sequence import Packed
from strokewise.train.objectives.outputs import logits_bytes, outputs_of


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
        """Sum the cross-entropy over labels, and the error, a mean over channels, over latent tokens."""
        log_probabilities, velocity = outputs_of(model, packed)
        errors = (velocity - packed.latent_targets).square().mean(-1)
        return {"text": -log_probabilities.sum(), "velocity": errors.sum()}

    def working_bytes(self, tokens: int, vocabulary: int) -> int:
        """Estimate the memory of the logits."""
        return logits_bytes(tokens, vocabulary)
