"""Objectives: what turns a packed batch into a loss.

The trainer runs any `Objective` and knows none by name. A loss is a weighted sum of *terms*; an objective
gives the sum of each term over the tokens of one pack and the number of these tokens, and the trainer divides
by the counts of all packs of all ranks: the loss does not depend on how samples are spread over packs.
"""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from strokewise.models import Backbone
from strokewise.sequence import Packed


class Objective(Protocol):
    """A frozen dataclass of plain values, kept with every checkpoint as part of the configuration."""

    @property
    def weights(self) -> Mapping[str, float]:
        """The terms of the loss by name, in the order in which they are logged, and their weights."""

    def counts(self, packed: Packed) -> dict[str, int]:
        """Count the tokens of a pack that each term is a sum over."""

    def sums(self, model: Backbone, packed: Packed) -> dict[str, Tensor]:
        """Compute each term's sum over a pack, float32 scalars with gradients.

        Every trained weight must be used, also where nothing is supervised: under FSDP all ranks reduce the
        same gradients.
        """

    def working_bytes(self, tokens: int, vocabulary: int) -> int:
        """Estimate the memory of what the loss itself keeps for a pack of so many tokens."""


@runtime_checkable
class ComparingObjective(Objective, Protocol):
    """An objective that compares with an old policy: the averaged weights, which sampled what is trained on.

    The trainer computes ``outputs`` with these weights first and passes them as ``Packed.old``.
    """

    def outputs(self, model: Backbone, packed: Packed) -> Tensor:
        """Compute what is compared: a row for each token with a loss."""


class TrainedModel(nn.Module):
    """A model under an objective: the module that FSDP wraps, so that its ``forward`` uses every weight."""

    model: Backbone

    def __init__(self, model: Backbone, objective: Objective) -> None:
        """Train ``model`` by ``objective``."""
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, packed: Packed) -> dict[str, Tensor]:
        """Compute the terms of the loss, summed over the pack."""
        return self.objective.sums(self.model, packed)
