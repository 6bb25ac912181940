"""From text and images to packed sequences: one packing for training and inference."""

from strokewise.sequence.images import (
    ImageLimits,
    grid_positions,
    load_rgb,
    normalize,
    patchify,
    resize,
    to_image,
    to_levels,
    to_tensor,
    unpatchify,
)
from strokewise.sequence.packed import Layout, Packed, PackSpec, sees
from strokewise.sequence.packing import pack
from strokewise.sequence.segments import Kind, Segment
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
    "normalize",
    "pack",
    "patchify",
    "resize",
    "sees",
    "to_image",
    "to_levels",
    "to_tensor",
    "unpatchify",
]
