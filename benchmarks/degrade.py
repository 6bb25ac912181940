"""Ways to spoil a picture, for the benchmark of recognition: what cameras, codecs and painting models do.

A way is a name with a strength, several joined by "+": "blur2", "low3+tint8". Strengths are pixels of a
picture of 128 pixels, levels of 255, or what the function says.
"""

import io
import re
from collections.abc import Callable

import numpy as np
from PIL import Image


def degrade(image: Image.Image, way: str, rng: np.random.Generator) -> Image.Image:
    """Return the picture spoiled in a way; "clean" leaves it as it is."""
    pixels = np.asarray(image, np.float32)
    for part in way.split("+"):
        found = re.fullmatch(r"([a-z]+)([\d.]*)", part)
        assert found, part
        if found[1] != "clean":
            pixels = WAYS[found[1]](pixels, float(found[2]), rng)
    return _image(pixels)


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8))


def _blur(pixels: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian blur."""
    reach = int(3 * deviation * pixels.shape[0] / 128) + 1
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * (deviation * pixels.shape[0] / 128) ** 2))
    weights /= weights.sum()
    for axis in (0, 1):
        padded = np.pad(pixels, [(reach, reach) if a == axis else (0, 0) for a in range(3)], mode="edge")
        views = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=axis)
        pixels = views @ weights
    return pixels


def _noise(pixels: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Independent noise in every pixel and channel."""
    return pixels + rng.normal(0, deviation, pixels.shape)


def _jpeg(pixels: np.ndarray, quality: float, rng: np.random.Generator) -> np.ndarray:
    """JPEG at a quality of 1 to 95."""
    stream = io.BytesIO()
    _image(pixels).save(stream, "JPEG", quality=int(quality))
    return np.asarray(Image.open(stream).convert("RGB"), np.float32)


def _bend(pixels: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Displacements that vary smoothly across the picture."""
    size = pixels.shape[0]
    y, x = np.mgrid[:size, :size] + _smooth(rng, 2, 6, deviation * size / 128, size)
    x, y = x.clip(0, size - 1.001), y.clip(0, size - 1.001)
    left, top = x.astype(int), y.astype(int)
    right, down = (x - left)[..., None], (y - top)[..., None]
    upper = pixels[top, left] * (1 - right) + pixels[top, left + 1] * right
    lower = pixels[top + 1, left] * (1 - right) + pixels[top + 1, left + 1] * right
    return upper * (1 - down) + lower * down


def _shift(pixels: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Return the whole picture's color moved."""
    return pixels + rng.normal(0, deviation, 3)


def _low(pixels: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
    """Details lost as by an autoencoder: shrunk by a factor and enlarged again."""
    size = pixels.shape[0]
    small = round(size / factor)
    planes = [Image.fromarray(np.ascontiguousarray(pixels[..., c], np.float32)) for c in range(3)]
    shrunk = [plane.resize((small, small), Image.Resampling.BOX) for plane in planes]
    return np.stack([np.asarray(p.resize((size, size), Image.Resampling.BICUBIC)) for p in shrunk], axis=-1)


def _tint(pixels: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Errors of color that vary smoothly, on the scale of an autoencoder's cells of 8 pixels."""
    return pixels + np.moveaxis(_smooth(rng, 3, 16, deviation, pixels.shape[0]), 0, -1)


def _smooth(rng: np.random.Generator, planes: int, cells: int, deviation: float, size: int) -> np.ndarray:
    """Smooth random fields [planes, size, size]."""
    coarse = rng.normal(0, deviation, (planes, cells, cells)).astype(np.float32)
    fields = [Image.fromarray(plane).resize((size, size), Image.Resampling.BICUBIC) for plane in coarse]
    return np.stack([np.asarray(field) for field in fields])


WAYS: dict[str, Callable[[np.ndarray, float, np.random.Generator], np.ndarray]] = {
    "blur": _blur,
    "noise": _noise,
    "jpeg": _jpeg,
    "bend": _bend,
    "shift": _shift,
    "low": _low,
    "tint": _tint,
}
