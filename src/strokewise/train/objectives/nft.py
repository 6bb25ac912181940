"""DiffusionNFT: reinforcement of the flow by its own training loss (arXiv 2509.16117, algorithm 1).

A painted canvas with credit r in [0, 1] is with probability r an example of a better flow, else of a worse
one. Both are written with the one velocity that is trained: the better lies from the old velocity in the
direction of the new, the worse as far in the opposite one. Each is fitted to the clean latents as in
supervised training, so there are no log-probabilities and any sampler may have painted.

Shape legend: M latent tokens of painted canvases, N latent channels.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from strokewise.models import Backbone
from strokewise.sequence import Packed
from strokewise.train.objectives.outputs import logits_bytes, outputs_of


@dataclass(frozen=True)
class DiffusionNFT:
    """The velocity errors of an implicit positive and an implicit negative policy.

    Attributes:
        beta: how far both lie from the old policy; at 1 the positive one is the trained model itself.
    """

    beta: float = 1.0

    @property
    def weights(self) -> Mapping[str, float]:
        """The weight of ``velocity``, the error per latent element."""
        return {"velocity": 1.0}

    def counts(self, packed: Packed) -> dict[str, int]:
        """Count latent tokens with a credit."""
        return {"velocity": len(packed.latent_slots)}

    def outputs(self, model: Backbone, packed: Packed) -> Tensor:
        """Compute the velocities (M, N)."""
        return outputs_of(model, packed)[1]

    def sums(self, model: Backbone, packed: Packed) -> dict[str, Tensor]:
        """Sum the error, a mean over channels, over latent tokens."""
        log_probabilities, new = outputs_of(model, packed)
        old, target, credits = packed.old, packed.latent_targets, packed.latent_credits
        assert old is not None, "the trainer computes it"
        change = self.beta * (new - old)
        positive, negative = ((v - target).square().mean(-1) for v in (old + change, old - change))
        errors = credits * positive + (1 - credits) * negative
        return {"velocity": errors.sum() + log_probabilities.sum() * 0}

    def working_bytes(self, tokens: int, vocabulary: int) -> int:
        """Estimate the memory of the logits."""
        return logits_bytes(tokens, vocabulary)
