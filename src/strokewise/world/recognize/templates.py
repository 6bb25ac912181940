"""What every look of every class is like in a small window of fixed size, at several degrees of blur.

A window is a box stretched to the same number of cells whatever its size, a little margin included, so that
one product compares a piece of a picture with all looks. A look is kept as its colors times alpha and its
alpha, hence it can be compared on any background color without being drawn anew. This file knows looks and
their likeness. It refuses to know where in a picture they are sought, and what is near enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from strokewise.world import atlas
from strokewise.world.render import resized
from strokewise.world.vocabulary import CLASSES, COLORS

LOOKS: tuple[tuple[str, str | None], ...] = tuple((n, c) for n in CLASSES for c in (None, *COLORS))
PER_CLASS = 1 + len(COLORS)
BLURS = (0.0, 1.0, 1.9, 3.0, 4.6)  # standard deviations, in pixels of a sprite whose longer side is DRAWN
DRAWN = 38
_SPACE = 14  # pixels around it, for blur and margin
MARGIN = 1 / 12  # of the box, on each side of the window
COARSE, FINE = 12, 24  # cells in the box of a window, margin not counted
_COARSE_BLUR = 1.0


def cells(fineness: int) -> int:
    """Return cells along a side of a window, margin included."""
    return fineness + 2 * round(fineness * MARGIN)


@dataclass(frozen=True)
class Bank:
    """Windows of all looks at one degree of blur.

    colors: [looks, 3, cells] float32, sRGB levels times alpha.
    alphas: [looks / per_class, cells] float32 in 0..1: looks of a class share them.
    own: [looks, 3], cross: [looks, 3], alpha_own: [looks]: products over the cells, for `residuals`.
    """

    colors: np.ndarray
    alphas: np.ndarray
    own: np.ndarray
    cross: np.ndarray
    alpha_own: np.ndarray

    per_class: int

    def only(self, looks: np.ndarray) -> Bank:
        """Return the bank of some looks, by their indices."""
        alphas = self.alphas[looks // self.per_class]
        return Bank(self.colors[looks], alphas, self.own[looks], self.cross[looks], self.alpha_own[looks], 1)

    def residuals(self, windows: np.ndarray, grounds: np.ndarray) -> np.ndarray:
        """Return share of each window's energy that each look leaves unexplained, [windows, looks].

        windows: [windows, 3, cells], picture minus background; grounds: [windows, 3], the background's color.
        """
        count = len(windows)
        flat = windows.reshape(count, -1)
        shade = (windows.reshape(count * 3, -1) @ self.alphas.T).reshape(count, 3, -1)
        shade = np.repeat((shade * grounds[:, :, None]).sum(1), self.per_class, axis=1)
        likeness = flat @ self.colors.reshape(len(self.colors), -1).T - shade
        energy = (
            self.own.sum(1)[None]
            - 2 * grounds @ self.cross.T
            + (grounds**2).sum(1)[:, None] * self.alpha_own[None]
        )
        whole = np.maximum((flat**2).sum(1), 1e-6)[:, None]
        return 1 + (energy - 2 * likeness) / whole


@cache
def coarse_bank() -> Bank:
    """Return all looks at low resolution, to find candidates."""
    return _bank(COARSE, _COARSE_BLUR)


@cache
def fine_banks() -> tuple[Bank, ...]:
    """Return all looks at full resolution, a bank for each of BLURS."""
    return tuple(_bank(FINE, blur) for blur in BLURS)


def window(differences: np.ndarray, box: tuple[float, float, float, float], fineness: int) -> np.ndarray:
    """Return a box of a picture as a window, [3, cells * cells].

    differences: [3, height, width], picture minus background; zero is assumed outside of it.
    box: (x0, y0, x1, y1) in pixels, fractions allowed.
    """
    _, height, width = differences.shape
    rows, first, last = _sampling(box[1], box[3], fineness, height)
    columns, left, right = _sampling(box[0], box[2], fineness, width)
    return (rows @ differences[:, first:last, left:right] @ columns.T).reshape(3, -1)


def _sampling(start: float, end: float, fineness: int, size: int) -> tuple[np.ndarray, int, int]:
    """Return weights [cells, pixels] of the pixels first..last for each cell along an axis: triangles."""
    count = cells(fineness)
    step = (end - start) / fineness
    centers = start + (np.arange(count) - (count - fineness) / 2 + 0.5) * step
    reach = max(step, 1.0)
    first = min(max(int(centers[0] - reach), 0), size - 1)
    last = max(min(int(centers[-1] + reach) + 1, size), first + 1)
    pixels = np.arange(first, last) + 0.5
    weights = np.maximum(1 - np.abs(pixels[None] - centers[:, None]) / reach, 0)
    # Divided by the area of the whole triangle: what lies outside of the picture counts as background.
    return (weights / reach).astype(np.float32), first, last


def _bank(fineness: int, blur: float) -> Bank:
    colors = np.empty((len(LOOKS), 3, cells(fineness) ** 2), np.float32)
    alphas = np.empty((len(LOOKS), cells(fineness) ** 2), np.float32)
    for index, planes in enumerate(_drawn_looks()):
        height, width = planes.shape[1:]
        inner = (_SPACE, width - _SPACE, height - _SPACE)
        rows, top, bottom = _sampling(inner[0], inner[2], fineness, height)
        columns, left, right = _sampling(inner[0], inner[1], fineness, width)
        rows = rows @ _blurring(height, blur)[top:bottom]
        columns = columns @ _blurring(width, blur)[left:right]
        small = (rows @ planes @ columns.T).reshape(4, -1)
        colors[index], alphas[index] = small[:3], small[3]
    own = np.einsum("ljp,ljp->lj", colors, colors)
    cross = np.einsum("ljp,lp->lj", colors, alphas)
    alpha_own = np.einsum("lp,lp->l", alphas, alphas)
    return Bank(colors, np.ascontiguousarray(alphas[::PER_CLASS]), own, cross, alpha_own, PER_CLASS)


@cache
def _blurring(size: int, blur: float) -> np.ndarray:
    """Return gaussian blur along an axis as a matrix [size, size]."""
    if not blur:
        return np.eye(size, dtype=np.float32)
    steps = np.arange(size)
    weights = np.exp(-((steps[:, None] - steps[None]) ** 2) / (2 * blur**2))
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


@cache
def _drawn_looks() -> tuple[np.ndarray, ...]:
    """Return every look at DRAWN pixels, space around it: [4, height, width], colors times alpha, then
    alpha.
    """
    drawn = []
    for name, color in LOOKS:
        aspect = atlas.sprite(name).aspect
        size = (max(1, round(DRAWN * min(1, aspect))), max(1, round(DRAWN * min(1, 1 / aspect))))
        pixels = np.asarray(resized(name, color, *size), np.float32)
        alpha = pixels[..., 3:] / 255
        planes = np.concatenate([pixels[..., :3] * alpha, alpha], axis=2).transpose(2, 0, 1)
        drawn.append(np.pad(planes, ((0, 0), (_SPACE, _SPACE), (_SPACE, _SPACE))))
    return tuple(drawn)
