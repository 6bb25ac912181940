"""What a run reads, opened: sizes and tokenizer of its start, its mixture of samples. No weights."""

from dataclasses import dataclass

from strokewise.datasets.mixture import Mixture
from strokewise.datasets.prepare import Preparer
from strokewise.models.bagel import ModelConfig
from strokewise.models.bagel.loading import find_checkpoint, read_config
from strokewise.sequence import SpecialTokens, Tokenizer
from strokewise.train.config import TrainConfig


@dataclass(frozen=True)
class Inputs:
    """The data side of a run."""

    model: ModelConfig
    special: SpecialTokens
    mixture: Mixture
    preparer: Preparer

    @classmethod
    def open(cls, config: TrainConfig) -> "Inputs":
        """Open the sources of a run with the tokenizer of its start.

        Raises:
            StrokewiseError: if the start or a source is missing or damaged.
        """
        folder = find_checkpoint(config.model)
        model, tokenizer = read_config(folder), Tokenizer.load(folder)
        mixture = Mixture(
            [entry.name for entry in config.sources],
            [entry.source.open(tokenizer) for entry in config.sources],
            [entry.weight for entry in config.sources],
            config.seed,
        )
        preparer = Preparer(model, tokenizer.special, config.dropout, config.time_shift, config.noised_copies)
        return cls(model, tokenizer.special, mixture, preparer)
