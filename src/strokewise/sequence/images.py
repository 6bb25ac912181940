"""Images to tensors and back: sizes, resizing, normalization, patches, grid positions.

The one place where images are resized and normalized, for training and inference alike. Knows pixels and
patch geometry; what a patch means to a network is the model's business.
"""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from strokewise.errors import ConfigError, InputError
from strokewise.io.outside import as_seen

MAX_ASPECT = 16


@dataclass(frozen=True)
class ImageLimits:
    """Sides, in pixels, an image may have: multiples of ``stride`` from ``smallest`` to ``largest``."""

    stride: int
    smallest: int
    largest: int

    def fit(self, width: int, height: int) -> tuple[int, int]:
        """Return the nearest (width, height) within these limits, aspect kept (BAGEL's rule)."""
        # The smallest side has the last word on scale, and the largest is enforced again below: a thin image
        # that was enlarged for its short side may pass it.
        scale = min(self.largest / max(width, height), 1.0)
        scale = max(scale, self.smallest / min(width, height))
        width, height = self._strided(width * scale), self._strided(height * scale)
        if max(width, height) > self.largest:
            scale = self.largest / max(width, height)
            width, height = self._strided(width * scale), self._strided(height * scale)
        return width, height

    def limited(self, side: int | None) -> "ImageLimits":
        """Return these limits with a smaller largest side; None changes nothing.

        Raises:
            ConfigError: if it is no multiple of the stride, or larger than the largest now.
        """
        if side is None:
            return self
        if side < self.stride or side % self.stride or side > self.largest:
            raise ConfigError(
                f"a largest side of {side} pixels is not possible here: it must be a multiple of"
                f" {self.stride} up to {self.largest}"
            )
        return ImageLimits(self.stride, min(self.smallest, side), side)

    def check(self, height: int, width: int) -> None:
        """Refuse a canvas size that the model cannot paint.

        Raises:
            InputError: if a side is no multiple of the stride, or larger than the largest.
        """
        for name, side in (("height", height), ("width", width)):
            if side < self.stride or side % self.stride:
                nearest = max(self.stride, round(side / self.stride) * self.stride)
                raise InputError(
                    f"image {name} {side} is not a multiple of {self.stride} pixels; try {nearest}"
                )
            if side > self.largest:
                raise InputError(
                    f"image {name} {side} is over the model's largest side, {self.largest} pixels"
                )

    def _strided(self, side: float) -> int:
        return max(self.stride, round(round(side) / self.stride) * self.stride)


def load_rgb(image: Image.Image) -> Image.Image:
    """Return the image as a viewer shows it, in mode RGB: turned as its EXIF data state, over white.

    Raises:
        InputError: if it is no image, empty, of 32 bits a channel, or too thin to be resized sensibly.
    """
    if not isinstance(image, Image.Image):
        raise InputError(f"expected an image of Pillow (Image.open(path) gives one), not {image!r:.60}")
    width, height = image.size
    if width == 0 or height == 0:
        raise InputError("the image is empty (a side of 0 pixels)")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise InputError(
            f"the image is {width}x{height}: sides may differ {MAX_ASPECT}-fold at most; crop it"
        )
    return as_seen(image)


def resize(image: Image.Image, limits: ImageLimits) -> Image.Image:
    """Return the image at the size within ``limits`` that is nearest to its own, bicubic as in BAGEL."""
    size = limits.fit(*image.size)
    return image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)


def to_levels(image: Image.Image) -> Tensor:
    """Convert an RGB image to bytes (3, height, width)."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def normalize(levels: Tensor) -> Tensor:
    """Return bytes of any shape to float32 in [-1, 1]."""
    return levels.float().div_(127.5).sub_(1)


def to_tensor(image: Image.Image) -> Tensor:
    """Convert an RGB image to float32 (3, height, width) in [-1, 1]."""
    return normalize(to_levels(image).contiguous())


def to_image(pixels: Tensor) -> Image.Image:
    """Convert a Tensor (3, height, width) in [-1, 1] to an RGB image; values are clamped and truncated as in
    BAGEL.

    Raises:
        InputError: if a value is not finite.
    """
    if not bool(torch.isfinite(pixels).all()):
        raise InputError(
            "the decoded picture holds NaN or infinite values; the weights or latents are damaged"
        )
    levels = (pixels.float() * 0.5 + 0.5).clamp(0, 1) * 255
    return Image.fromarray(levels.to(torch.uint8).permute(1, 2, 0).cpu().numpy())


def patchify(grid: Tensor, patch: int) -> Tensor:
    """Map (channels, height, width) to (rows·columns, patch·patch·channels); a token is row, column,
    channel.
    """
    channels, height, width = grid.shape
    rows, columns = height // patch, width // patch
    patches = grid.reshape(channels, rows, patch, columns, patch)
    return patches.permute(1, 3, 2, 4, 0).reshape(rows * columns, patch * patch * channels)


def unpatchify(tokens: Tensor, patch: int, rows: int, columns: int) -> Tensor:
    """Invert :func:`patchify`: (rows·columns, patch·patch·channels) to (channels, height, width)."""
    channels = tokens.shape[-1] // patch**2
    patches = tokens.reshape(rows, columns, patch, patch, channels)
    return patches.permute(4, 0, 2, 1, 3).reshape(channels, rows * patch, columns * patch)


def grid_positions(rows: int, columns: int, side: int) -> Tensor:
    """Return indices row·side + column into a square position table, shape (rows·columns,)."""
    return (torch.arange(rows)[:, None] * side + torch.arange(columns)).flatten()
