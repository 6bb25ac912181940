"""Group-relative policy gradient on text tokens (GRPO, arXiv 2402.03300), clipped by whole texts.

A token's credit is its advantage within its group of rollouts; which reward it comes from is decided where
the samples are made (``datasets/rollouts``). The ratio of new to old probability is that of a whole text, the
geometric mean over its tokens, while the gradient reaches each token with its own advantage (GSPO-token,
arXiv 2507.18071, section 4.3). There is no penalty for leaving the old policy.

Shape legend: C text tokens with a credit.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from strokewise.models import Backbone
from strokewise.sequence import Packed
from strokewise.train.objectives.outputs import logits_bytes, outputs_of


@dataclass(frozen=True)
class PolicyGradient:
    """The clipped surrogate of the policy gradient.

    Attributes:
        clip_low: a text whose ratio fell below 1 - clip_low is not made less likely any further.
        clip_high: one whose ratio passed 1 + clip_high is not made more likely any further.
        temperature: at which the texts were sampled.
    """

    clip_low: float = 0.2
    clip_high: float = 0.28
    temperature: float = 1.0

    @property
    def weights(self) -> Mapping[str, float]:
        """The weight of ``policy``, the surrogate per token."""
        return {"policy": 1.0}

    def counts(self, packed: Packed) -> dict[str, int]:
        """Count text tokens with a credit."""
        return {"policy": len(packed.text_slots)}

    def outputs(self, model: Backbone, packed: Packed) -> Tensor:
        """Compute the log-probabilities (C,) of what was written."""
        return outputs_of(model, packed, self.temperature)[0]

    def sums(self, model: Backbone, packed: Packed) -> dict[str, Tensor]:
        """Sum the negative surrogate over tokens."""
        new, velocity = outputs_of(model, packed, self.temperature)
        old, advantages = packed.old, packed.text_credits
        assert old is not None, "the trainer computes it"
        ratio = text_ratios(new.detach() - old, packed) * (new - new.detach()).exp()
        clipped = ratio.clamp(1 - self.clip_low, 1 + self.clip_high)
        surrogate = torch.minimum(ratio * advantages, clipped * advantages)
        return {"policy": velocity.sum() * 0 - surrogate.sum()}

    def working_bytes(self, tokens: int, vocabulary: int) -> int:
        """Estimate the memory of the logits."""
        return logits_bytes(tokens, vocabulary)


def text_ratios(differences: Tensor, packed: Packed) -> Tensor:
    """Return the ratio (C,) of each token's text: exp of the mean over its tokens of log-probability
    differences.
    """
    rows, columns = packed.ids.shape
    segments = packed.layout.segment[:, :columns]
    numbered = segments + torch.arange(rows, device=segments.device)[:, None] * (segments.max() + 1)
    texts = numbered.flatten()[packed.text_slots].unique(return_inverse=True)[1]
    counts = torch.bincount(texts).to(differences)
    sums = torch.zeros_like(counts).index_add(0, texts, differences)
    return (sums / counts).exp()[texts]
