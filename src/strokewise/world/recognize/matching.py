"""Which look a box of a picture holds, if any.

Candidates come from a coarse comparison with all looks; the few best are compared finely, at several
degrees of blur, and the box is moved a little when that is not clear at once. This file knows likeness. It
refuses to know how boxes were found, what to do with several that overlap, and what is near enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from strokewise.world import atlas
from strokewise.world.recognize.segments import FloatBox
from strokewise.world.recognize.templates import (
    COARSE,
    FINE,
    PER_CLASS,
    coarse_bank,
    fine_banks,
    window,
)
from strokewise.world.vocabulary import CLASSES

_CLASSES_KEPT = 6  # candidates of the fine comparison
_LOOKS_KEPT = 3  # of each
_ASPECT_SLACK = 0.4  # log of the ratio of a box's aspect to a sprite's, beyond which they cannot be one
_MOVES = 6
_FURTHEST = 4.0  # pixels that an edge of a box may be moved for a better match
_CLEAR = 0.06  # residual below which a match is good ...
_APART = 2.5  # ... if the next class's is this many times as large


@dataclass(frozen=True)
class Match:
    """The best look for a box.

    look: index in LOOKS. box: where it fits best, in pixels, (x0, y0, x1, y1).
    residual: share of the window's energy left unexplained. rival: that of the best look of another class.
    color_rival: that of the best other look of the same class. blur: index in BLURS of the degree that fits.
    """

    look: int
    box: FloatBox
    residual: float
    rival: float
    color_rival: float
    blur: int


@dataclass(frozen=True)
class Candidates:
    """Boxes of a picture, coarsely compared with all looks.

    residuals: [boxes, looks], infinite where a box's aspect rules a class out.
    grounds: [boxes, 3], the background's color at each box.
    energies: [boxes], the sum of squared differences from the background in and right around each box.
    """

    boxes: list[FloatBox]
    residuals: np.ndarray
    grounds: np.ndarray
    energies: np.ndarray


def compare_looks(differences: np.ndarray, ground: np.ndarray, boxes: list[FloatBox]) -> Candidates:
    """Compare at least one box with all looks.

    differences: [3, size, size], picture minus background; ground: [size, size, 3], the background.
    """
    windows = np.stack([window(differences, box, COARSE) for box in boxes])
    grounds = np.stack([_ground_color(ground, box) for box in boxes])
    residuals = coarse_bank().residuals(windows, grounds)
    sides = np.array([(b[2] - b[0], b[3] - b[1]) for b in boxes])
    off = np.abs(np.log(sides[:, :1] / sides[:, 1:]) - _log_aspects()) > _ASPECT_SLACK
    residuals[np.repeat(off, PER_CLASS, axis=1)] = np.inf
    energies = (windows**2).sum(axis=(1, 2)) * sides.prod(axis=1) / COARSE**2
    return Candidates(boxes, residuals, grounds, energies)


def refine(differences: np.ndarray, candidates: Candidates, index: int) -> Match | None:
    """Return the best look for one of the candidates, finely compared; None when no class has its aspect."""
    looks = _promising(candidates.residuals[index])
    if not len(looks):
        return None
    box, color = candidates.boxes[index], candidates.grounds[index : index + 1]
    piece = window(differences, box, FINE)[None]
    banks = [bank.only(looks) for bank in fine_banks()]
    found = [bank.residuals(piece, color)[0] for bank in banks]
    blur = int(np.argmin([residuals.min() for residuals in found]))
    residuals = found[blur]
    if _clear(looks, residuals):
        return _match(looks, residuals, box, blur)
    start, step = box, 1.0
    for _ in range(_MOVES):
        others = _neighbors(box, step, start)
        pieces = np.stack([window(differences, other, FINE) for other in others])
        table = banks[blur].residuals(pieces, np.repeat(color, len(others), axis=0))
        best = int(np.argmin(table.min(axis=1)))
        if table[best].min() < residuals.min():
            box, residuals = others[best], table[best]
            if _clear(looks, residuals):
                break
        elif step < 1:
            break
        else:
            step = 0.5
    return _match(looks, residuals, box, blur)


def _promising(coarse: np.ndarray) -> np.ndarray:
    """Return indices of the looks worth a fine comparison, given the coarse residuals [looks]."""
    table = coarse.reshape(len(CLASSES), PER_CLASS)
    best = np.argsort(table.min(axis=1))[:_CLASSES_KEPT]
    looks = [
        i * PER_CLASS + np.argsort(table[i])[:_LOOKS_KEPT] for i in best.tolist() if np.isfinite(table[i, 0])
    ]
    return np.concatenate(looks) if looks else np.empty(0, int)


def _neighbors(box: FloatBox, step: float, start: FloatBox) -> list[FloatBox]:
    """Return the box moved, and with one edge moved, by a step; no edge further from `start` than allowed."""
    allowed = min(_FURTHEST, (start[2] - start[0]) / 4, (start[3] - start[1]) / 4)
    x0, y0, x1, y1 = box
    moves = [
        (step, 0, step, 0),
        (0, step, 0, step),
        (step, 0, 0, 0),
        (0, step, 0, 0),
        (0, 0, step, 0),
        (0, 0, 0, step),
    ]
    found = []
    for a, b, c, d in moves:
        for sign in (1, -1):
            other = (x0 + sign * a, y0 + sign * b, x1 + sign * c, y1 + sign * d)
            if max(abs(e - f) for e, f in zip(other, start, strict=True)) <= allowed:
                found.append(other)
    return found


def _clear(looks: np.ndarray, residuals: np.ndarray) -> bool:
    match = _match(looks, residuals, (0, 0, 1, 1), 0)
    return match.residual < _CLEAR and match.rival > _APART * match.residual


def _match(looks: np.ndarray, residuals: np.ndarray, box: FloatBox, blur: int) -> Match:
    best = int(np.argmin(residuals))
    look = int(looks[best])
    same = looks // PER_CLASS == look // PER_CLASS
    others = residuals[~same]
    siblings = np.delete(residuals[same], int(np.argmin(residuals[same])))
    return Match(
        look,
        box,
        float(residuals[best]),
        float(others.min()) if len(others) else 1.0,
        float(siblings.min()) if len(siblings) else 1.0,
        blur,
    )


def _ground_color(ground: np.ndarray, box: FloatBox) -> np.ndarray:
    size = ground.shape[0]
    y = min(max(int((box[1] + box[3]) / 2), 0), size - 1)
    x = min(max(int((box[0] + box[2]) / 2), 0), size - 1)
    return ground[y, x]


@cache
def _log_aspects() -> np.ndarray:
    return np.log([atlas.sprite(name).aspect for name in CLASSES])
