"""What a run reads, opened: tokenizer and sizes of its start, its mixture of samples. No weights."""

from dataclasses import dataclass

from strokewise.datasets.mixture import Mixture
from strokewise.datasets.prepare import Preparer
from strokewise.models import Architecture, BackboneConfig, TrainingCosts, architecture_of, find_checkpoint
from strokewise.sequence import SpecialTokens, Tokenizer
from strokewise.train.config import TrainConfig


@dataclass(frozen=True)
class RunData:
    """The data side of a run.

    Attributes:
        architecture: of the checkpoint the run starts from.
        sizes: of its model.
        special: ids of its tokenizer.
        mixture: which sample comes when.
        preparer: samples to segments.
    """

    architecture: Architecture
    sizes: BackboneConfig
    special: SpecialTokens
    mixture: Mixture
    preparer: Preparer

    @classmethod
    def open(cls, config: TrainConfig) -> "RunData":
        """Open the sources of a run with the tokenizer of its start.

        Raises:
            StrokewiseError: if the start or a source is missing or damaged.
        """
        folder = find_checkpoint(config.model)
        architecture, tokenizer = architecture_of(folder), Tokenizer.load(folder)
        sizes = architecture.read_config(folder).limited(config.canvas_side, config.view_side)
        mixture = Mixture(
            [entry.name for entry in config.sources],
            [entry.source.open(tokenizer) for entry in config.sources],
            [entry.weight for entry in config.sources],
            config.seed,
        )
        preparer = Preparer(sizes, tokenizer.special, config.dropout, config.time_shift, config.noised_copies)
        return cls(architecture, sizes, tokenizer.special, mixture, preparer)

    @property
    def costs(self) -> TrainingCosts:
        """What training such a model costs."""
        return self.architecture.costs(self.sizes)
