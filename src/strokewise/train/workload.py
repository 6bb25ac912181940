"""How much there is to compute for a batch: tokens, attended pairs, and operations. Counting only.

Model operations are counted, as usual: a multiplication with an addition is two, the backward pass costs
twice the forward one (once where the weights are frozen), and what is recomputed or padded is not counted.
Knows segments; what a token costs in a network is counted by its architecture.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from strokewise.datasets.prepare import PreparedSample
from strokewise.models import TrainingCosts
from strokewise.sequence import Kind, Segment


@dataclass(frozen=True)
class Workload:
    """Counts over samples.

    Attributes:
        samples: number of samples.
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
    def of(cls, sample: Sequence[Segment]) -> "Workload":
        """Count one sample."""
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

    def __add__(self, other: "Workload") -> "Workload":
        return Workload(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def flops(self, costs: TrainingCosts, frozen: bool = False) -> float:
        """Count the operations of both passes; ``frozen`` weights need no gradients of their own."""
        linear = costs.linear_flops(self.tokens, self.text_losses, self.patches)
        attention = costs.attention_flops(self.pairs, self.patch_pairs)
        return linear * (2 if frozen else 3) + attention * 3


def sample_flops(sample: PreparedSample, costs: TrainingCosts, frozen: bool = False) -> float:
    """Count the operations of a training sample, encoding of its canvases included."""
    sizes = [canvas.shape for canvas in sample.canvases]
    encoding = sum(costs.encoding_flops(height, width) for _, height, width in sizes)
    return Workload.of(sample.segments).flops(costs, frozen) + encoding
