"""Which of many overlapping boxes are the things of a picture.

A box is good when the look it holds explains much of the picture's difference from its background; what it
leaves unexplained counts against it. This file knows how to choose. It refuses to know how boxes are found
(`segments`) and compared (`matching`), and how sure a match makes us (`reading`).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from strokewise.world.recognize.background import Ground
from strokewise.world.recognize.matching import Candidates, Match, compare_looks, refine
from strokewise.world.recognize.segments import FloatBox, PixelBox, propose, strength, tighten

_UNEXPLAINED = 3.0  # an unexplained share of the energy weighs this many times an explained one
_OVERLAP = 0.2  # of the smaller box: more means that both hold the same thing
_DOUBTFUL = 0.12  # residual from which overlapping boxes are given a chance
_HOPELESS = 0.8  # coarse residual from which a box holds no sprite
_CHANCES = 3
_LONGEST, _SHORTEST = 18.0, 5.0  # pixels: least longer and least shorter side of a box that can hold a sprite
_SAME = 0.8  # pixels that the edges of two boxes must differ by to be worth comparing both
# Sum of squared differences from the background, what noise adds taken off: less is dirt. The faintest sprite
# has several times as much.
_DIRT = 200_000.0
_RIM = 3  # pixels around a match that belong to it


def select(pixels: np.ndarray, ground: Ground) -> tuple[list[Match], list[PixelBox]]:
    """Return the matches that explain a picture, and boxes around foreground that none of them explains.

    pixels: [size, size, 3] float32 in 0..255.
    """
    found = strength(pixels, ground.pixels)
    proposed, parts = propose(found, ground.noise)
    boxes = _distinct(variant for box in proposed for variant in _variants(found, box))
    differences = np.ascontiguousarray((pixels - ground.pixels).transpose(2, 0, 1))

    def dirt(box: FloatBox) -> bool:
        x0, y0, x1, y1 = (max(round(edge), 0) for edge in box)
        inside = differences[:, y0:y1, x0:x1]
        return float((inside**2).sum()) - inside.size * ground.noise**2 < _DIRT

    matches = _choose(differences, compare_looks(differences, ground.pixels, boxes)) if boxes else []
    matches = [match for match in matches if not dirt(match.box)]
    return matches, [part for part in parts if not dirt(part) and not _explained(part, matches)]


def _variants(found: np.ndarray, box: PixelBox) -> Iterable[FloatBox]:
    """Yield a tightened box, and one halfway to it: thin parts that stick out look like blur to `tighten`."""
    tight = tighten(found, box)
    yield tight
    x0, y0, x1, y1 = ((a + b) / 2 for a, b in zip(tight, box, strict=True))
    yield x0, y0, x1, y1


def _distinct(boxes: Iterable[FloatBox]) -> list[FloatBox]:
    """Return the boxes large enough to hold a sprite, without near doubles."""
    kept: list[FloatBox] = []
    for box in boxes:
        sides = box[2] - box[0], box[3] - box[1]
        if max(sides) < _LONGEST or min(sides) < _SHORTEST:
            continue
        if all(max(abs(a - b) for a, b in zip(box, other, strict=True)) > _SAME for other in kept):
            kept.append(box)
    return kept


def _choose(differences: np.ndarray, candidates: Candidates) -> list[Match]:
    """Return refined matches that do not overlap, those that explain most first."""
    residuals = candidates.residuals.min(axis=1)
    gains = candidates.energies * (1 - _UNEXPLAINED * np.minimum(residuals, 1.0))
    waiting = [i for i in np.argsort(-gains).tolist() if residuals[i] < _HOPELESS]
    matches: list[Match] = []
    while waiting:
        index = waiting[0]
        if _parts_gain(candidates.boxes, gains, waiting) > gains[index] > 0:
            waiting = waiting[1:]
            continue
        rivals = [i for i in waiting if overlap(candidates.boxes[i], candidates.boxes[index]) > _OVERLAP]
        best, gain = None, -np.inf
        for i in rivals[:_CHANCES]:
            match = refine(differences, candidates, i)
            if match is not None and (worth := _gain(candidates, i, match)) > gain:
                best, gain = match, worth
            if best is not None and best.residual < _DOUBTFUL:
                break
        if best is None:
            waiting = waiting[1:]
            continue
        matches.append(best)
        waiting = [i for i in waiting if i != index and overlap(candidates.boxes[i], best.box) <= _OVERLAP]
    return matches


def _parts_gain(boxes: list[FloatBox], gains: np.ndarray, waiting: list[int]) -> float:
    """Return what separate boxes inside of the first waiting one explain together; 0 when there is but one.

    Two things side by side may be as likely one as each by itself, but then two explain more.
    """
    whole = boxes[waiting[0]]
    parts: list[int] = []
    for index in waiting[1:]:
        inside = overlap(boxes[index], whole) > 0.95 and _area(boxes[index]) < 0.75 * _area(whole)
        if inside and gains[index] > 0 and all(overlap(boxes[index], boxes[p]) <= _OVERLAP for p in parts):
            parts.append(index)
    return float(gains[parts].sum()) if len(parts) > 1 else 0.0


def _gain(candidates: Candidates, index: int, match: Match) -> float:
    return float(candidates.energies[index]) * (1 - _UNEXPLAINED * match.residual)


def overlap(a: FloatBox, b: FloatBox) -> float:
    """Return the shared area of two boxes as a share of the smaller one."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0) / max(min(_area(a), _area(b)), 1e-6)


def _area(box: FloatBox) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _explained(part: PixelBox, matches: list[Match]) -> bool:
    """Return whether the middle of a part lies in or right at a match."""
    x, y = (part[0] + part[2]) / 2, (part[1] + part[3]) / 2
    return any(
        m.box[0] - _RIM <= x <= m.box[2] + _RIM and m.box[1] - _RIM <= y <= m.box[3] + _RIM for m in matches
    )
