"""How much work a batch is: tokens, attended pairs, and the operations of a step. Counting only.

Model operations are counted, as usual: a multiplication with an addition is two, the backward pass costs
twice the forward one (once where the weights are frozen), and what is recomputed or padded is not counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from strokewise.models.bagel import AutoencoderConfig, ModelConfig
from strokewise.models.bagel.costs import attention_flops, expert_weights
from strokewise.models.bagel.vae import Encoder
from strokewise.sequence import Kind, Segment


@dataclass(frozen=True)
class Work:
    """Counts over samples.

    Attributes:
        samples: how many.
        tokens: of the sequences, delimiters included.
        pairs: of a query and a key it sees.
        patches: of ViT views.
        patch_pairs: of patches of one view.
        text_losses: tokens that carry a cross-entropy.
        velocity_losses: latent tokens that carry a velocity error.
    """

    samples: int = 0
    tokens: int = 0
    pairs: int = 0
    patches: int = 0
    patch_pairs: int = 0
    text_losses: int = 0
    velocity_losses: int = 0

    @classmethod
    def of(cls, sample: Sequence[Segment]) -> "Work":
        """Of one sample."""
        before = tokens = pairs = patches = patch_pairs = text_losses = velocity_losses = 0
        for segment in sample:
            n = segment.length
            tokens += n
            pairs += n * before + (n * (n + 1) // 2 if segment.is_text else n * n)
            before += 0 if segment.kind is Kind.NOISED else n
            if segment.kind is Kind.VIT:
                patches += len(segment.tokens)
                patch_pairs += len(segment.tokens) ** 2
            if segment.is_text and segment.loss:
                text_losses += n - 1
            text_losses += segment.end_label is not None
            velocity_losses += len(segment.tokens) if segment.loss and not segment.is_text else 0
        return cls(1, tokens, pairs, patches, patch_pairs, text_losses, velocity_losses)

    def __add__(self, other: "Work") -> "Work":
        return Work(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def flops(self, config: ModelConfig, frozen: bool = False) -> float:
        """Operations of forward and backward pass; ``frozen`` weights need no gradients of their own."""
        language, vision = config.language, config.vision
        size, seen = language.hidden_size, vision.hidden_size
        head = language.vocab_size * size * self.text_losses
        layer = 4 * seen**2 + 2 * seen * vision.intermediate_size
        reading = vision.num_layers * layer + seen * vision.patch_channels + seen * size + size**2
        linear = 2.0 * (expert_weights(language) * self.tokens + head + reading * self.patches)
        attention = (
            attention_flops(language, 1, self.pairs) + 4.0 * vision.num_layers * seen * self.patch_pairs
        )
        return linear * (2 if frozen else 3) + attention * 3


@cache
def encoding_flops(config: AutoencoderConfig, height: int, width: int) -> float:
    """Operations of encoding one picture with the frozen autoencoder."""
    with torch.device("meta"):
        encoder, pixels = Encoder(config), torch.empty(1, 3, height, width)
    with FlopCounterMode(display=False) as counter:
        encoder(pixels)
    return float(counter.get_total_flops())
