"""From text and images to packed sequences: one packing for training and inference."""

from strokewise.sequence.images import (
    ImageLimits,
    grid_positions,
    load_rgb,
    patchify,
    to_image,
    to_tensor,
    unpatchify,
)
from strokewise.sequence.packed import Kind, Layout, Packed, PackSpec, Segment, pack
from strokewise.sequence.tokenizer import SpecialTokens, Tokenizer

__all__ = [
    "ImageLimits",
    "Kind",
    "Layout",
    "PackSpec",
    "Packed",
    "Segment",
    "SpecialTokens",
    "Tokenizer",
    "grid_positions",
    "load_rgb",
    "pack",
    "patchify",
    "to_image",
    "to_tensor",
    "unpatchify",
]
