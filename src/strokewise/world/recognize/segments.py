"""Where things may be in a picture: boxes around connected foreground, more of them than there are things.

This file knows connected components. It refuses to know sprites; `matching` says which boxes hold one.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

import numpy as np

PixelBox = tuple[int, int, int, int]  # x0, y0, x1, y1; x1 and y1 are beyond the last pixel
FloatBox = tuple[float, float, float, float]

_LEAST = 16.0  # levels that a pixel must differ from the background at least
# Times the threshold: stricter ones part what blur has joined, a laxer one finds what it has faded.
_FACTORS = (0.6, 1.8, 3.2, 5.5)
_JOIN = 5  # pixels between two parts that may still be one thing
_LONGEST = 0.66  # of the picture: the longest side of a thing
_SPECK = 6  # pixels: smaller components are noise
_MOST = 40  # components looked at, the largest: no scene has as many, but noise may


def strength(pixels: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """Return how much each pixel differs from the background: the largest difference of a channel."""
    return np.abs(pixels - ground).max(axis=-1)


def propose(differences: np.ndarray, noise: float) -> tuple[list[PixelBox], list[PixelBox]]:
    """Return boxes that may hold one thing each, and the boxes of the connected foreground that must be
    explained.

    differences: [size, size] as `strength` gives.
    noise: standard deviation of the picture's noise in levels.
    """
    longest = _LONGEST * differences.shape[0]
    threshold = max(_LEAST, 4.5 * noise)
    parts = _largest(differences > threshold, _SPECK)
    found = dict.fromkeys(parts)
    for factor in _FACTORS:
        found.update(dict.fromkeys(_largest(differences > threshold * factor, 3 * _SPECK)))
    found.update(dict.fromkeys(_unions(parts, longest)))
    return [box for box in found if max(box[2] - box[0], box[3] - box[1]) <= longest], parts


def _largest(mask: np.ndarray, least: int) -> list[PixelBox]:
    """Return boxes of the largest components of at least so many pixels."""
    large = [(area, box) for box, area in components(mask) if area >= least]
    return [box for _, box in sorted(large, reverse=True)[:_MOST]]


def components(mask: np.ndarray) -> list[tuple[PixelBox, int]]:
    """Return box and area of every 8-connected component of a [height, width] mask."""
    height, width = mask.shape
    padded = np.zeros((height, width + 2), np.int8)
    padded[:, 1:-1] = mask
    edges = np.diff(padded, axis=1)
    rows, starts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    roots = _join_runs(rows, starts, ends, height)
    boxes: dict[int, list[int]] = {}
    for root, y, x0, x1 in zip(roots, rows.tolist(), starts.tolist(), ends.tolist(), strict=True):
        box = boxes.get(root)
        if box is None:
            boxes[root] = [x0, y, x1, y + 1, x1 - x0]
        else:
            box[0], box[2] = min(box[0], x0), max(box[2], x1)
            box[3] = y + 1
            box[4] += x1 - x0
    return [((b[0], b[1], b[2], b[3]), b[4]) for b in boxes.values()]


def _join_runs(rows: np.ndarray, starts: np.ndarray, ends: np.ndarray, height: int) -> list[int]:
    """Return the number of the component of each run of foreground pixels; runs are sorted by row."""
    parents = list(range(len(rows)))

    def root(i: int) -> int:
        while parents[i] != i:
            parents[i] = parents[parents[i]]
            i = parents[i]
        return i

    first = np.searchsorted(rows, np.arange(height + 1)).tolist()
    begin, end = starts.tolist(), ends.tolist()
    for y in range(1, height):
        i, j = first[y - 1], first[y]
        while i < first[y] and j < first[y + 1]:
            # Diagonal neighbors count: a run may begin right where the one above has ended.
            if begin[i] <= end[j] and begin[j] <= end[i]:
                parents[root(j)] = root(i)
            if end[i] < end[j]:
                i += 1
            else:
                j += 1
    return [root(i) for i in range(len(parents))]


def _unions(parts: list[PixelBox], longest: float) -> Iterable[PixelBox]:
    """Yield boxes around parts that are close: every pair, and every cluster."""
    near = [(a, b) for a, b in combinations(parts, 2) if distance(a, b) <= _JOIN]
    for a, b in near:
        yield around((a, b))
    for gap in (1, 2, 4):
        clusters = [{p} for p in parts]
        for a, b in near:
            if distance(a, b) <= gap:
                first = next(c for c in clusters if a in c)
                second = next(c for c in clusters if b in c)
                if first is not second:
                    first |= second
                    clusters.remove(second)
        for cluster in clusters:
            box = around(cluster)
            if len(cluster) > 2 and max(box[2] - box[0], box[3] - box[1]) <= longest:
                yield box


def around(boxes: Iterable[PixelBox]) -> PixelBox:
    """Return the smallest box around boxes."""
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def distance(a: PixelBox, b: PixelBox) -> int:
    """Return pixels between two boxes along the axis where they are further apart; 0 when they touch."""
    return max(a[0] - b[2], b[0] - a[2], a[1] - b[3], b[1] - a[3], 0)


def tighten(strength: np.ndarray, box: PixelBox) -> FloatBox:
    """Return a box whose edges lie where the strength reaches half of what it soon becomes further inside.

    Blur widens what exceeds a threshold, but leaves such edges where they were.
    """
    x0, y0, x1, y1 = box
    inside = strength[y0:y1, x0:x1]
    rows, columns = inside.max(axis=1), inside.max(axis=0)
    return x0 + _rise(columns), y0 + _rise(rows), x1 - _rise(columns[::-1]), y1 - _rise(rows[::-1])


def _rise(profile: np.ndarray) -> float:
    """Return how far from the start of a profile it reaches half of its first peak; at most a quarter of
    it.
    """
    reach = min(6, max(len(profile) // 4, 1))
    half = profile[: reach + 1].max() / 2
    index = int(np.argmax(profile >= half))
    if index == 0:
        # The pixel itself is partly covered: its strength says how far.
        return float(np.clip(0.5 - (profile[0] - half) / max(2 * half, 1e-6), 0, 0.5))
    before, after = float(profile[index - 1]), float(profile[index])
    return min(index - 0.5 + (half - before) / max(after - before, 1e-6), float(reach))
