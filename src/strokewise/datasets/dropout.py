"""How often a training sample loses its conditions, so that guidance has its branches."""

from dataclasses import dataclass, fields

from strokewise.errors import ConfigError


@dataclass(frozen=True)
class Dropout:
    """How often conditions are left out, so that guidance has its branches (BAGEL's rates).

    Only samples without supervised text lose conditions: what a text describes must be there.

    Attributes:
        text: share that loses the texts since the last image.
        vit: share that loses all ViT views; each still takes its rotary position.
        latents: the same for clean latents.
        cut: share of the samples with both supervised texts and images that are cut behind one of their
            images and supervise only images, and so may lose conditions.
    """

    text: float = 0.1
    vit: float = 0.3
    latents: float = 0.3
    cut: float = 0.3

    def __post_init__(self) -> None:
        """Refuse values outside 0..1."""
        for entry in fields(self):
            value = getattr(self, entry.name)
            if not 0 <= value <= 1:
                raise ConfigError(f"dropout.{entry.name} is {value}; it must lie in 0..1")
