"""Which background a picture has, and what the picture would be without any thing on it.

This file knows the graded backgrounds. It refuses to know sprites: whatever is not background is foreground.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from strokewise.world.render import background_array
from strokewise.world.vocabulary import BACKGROUNDS

_FAR = 48.0  # a pixel further than this from a background is equally not of it
_ROUNDS = 3
_THIN = 3  # every third row and column is enough to know the background by
_LEAST_SHARE = 0.2  # of the pixels, that must be of a background to name it
_LEAST_CONFIDENCE = 0.06  # that the nearest background must be ahead of the next
_MOST_SHIFT = 30.0  # in levels, between a background as painted and as it should be, to name it


@dataclass(frozen=True)
class Ground:
    """The background of a picture.

    name: the nearest known background.
    known: whether the picture's background is near enough to be called by that name.
    confidence: 0..1, how much better the name fits than the next one.
    pixels: [size, size, 3] float32, the background as it is in this picture, smooth shifts of color included.
    noise: standard deviation of the picture's noise, in levels of 255.
    """

    name: str
    known: bool
    confidence: float
    pixels: np.ndarray
    noise: float


def find_ground(pixels: np.ndarray) -> Ground:
    """Return the background of a square picture, [size, size, 3] float32 in 0..255."""
    size = pixels.shape[0]
    thin = pixels[::_THIN, ::_THIN]
    costs = [float(np.minimum(_distance(thin, known), _FAR).mean()) for known in _thinned(size)]
    order = np.argsort(costs)
    name = BACKGROUNDS[int(order[0])]
    plane, share, noise = _fit_shift(thin, _thinned(size)[int(order[0])])
    fitted = background_array(name, size) + _design(size) @ plane
    shift = float(np.abs(plane[0]).max())
    confidence = 1 - costs[int(order[0])] / max(costs[int(order[1])], 1e-6)
    known = share >= _LEAST_SHARE and shift <= _MOST_SHIFT and confidence >= _LEAST_CONFIDENCE
    return Ground(name, known, confidence if known else 0.0, fitted, noise)


def _distance(pixels: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.abs(pixels - other).max(axis=-1)


@cache
def _thinned(size: int) -> tuple[np.ndarray, ...]:
    return tuple(background_array(name, size).astype(np.float32)[::_THIN, ::_THIN] for name in BACKGROUNDS)


@cache
def _design(size: int) -> np.ndarray:
    """Return [size, size, 3]: one, and x and y from -1 to 1."""
    steps = np.linspace(-1, 1, size, dtype=np.float32)
    y, x = np.meshgrid(steps, steps, indexing="ij")
    return np.stack([np.ones_like(x), x, y], axis=-1)


def _fit_shift(pixels: np.ndarray, ideal: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return a plane of color per channel, [3, 3] for one, x and y, that takes `ideal` to the picture's
    background.

    Also the share of the pixels that are background then, and the standard deviation of their noise.
    """
    design = _design(pixels.shape[0])
    plane = np.zeros((3, 3), np.float32)
    offsets = pixels - ideal
    share, noise, near = 0.0, 0.0, _FAR
    for _ in range(_ROUNDS):
        inside = np.abs(offsets - design @ plane).max(axis=-1) < near
        share = float(inside.mean())
        if share < 0.02:
            break
        middle = np.median(offsets[inside], axis=0)
        close = inside & (np.abs(offsets - middle).max(axis=-1) < near / 2)
        plane = np.linalg.lstsq(design[close], offsets[close], rcond=None)[0].astype(np.float32)
        rest = np.abs(offsets[close] - design[close] @ plane)
        noise = float(1.4826 * np.median(rest))
        near = max(16.0, 5 * noise)
    return plane, share, noise
