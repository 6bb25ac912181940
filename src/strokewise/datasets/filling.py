"""Which of the waiting samples fill a pack, so that every pack is full and costs the same.

Ranks wait for the one whose pack costs most, and a sample of many tokens costs more a token than two short
ones. So samples are chosen for both, tokens and cost. Knows numbers only.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

# What a pack should cost, as a share of one without padding: a little room on both sides.
AIM = 0.98
# Padding of a pack, or twice its distance from the aimed cost, below which there is nothing to improve.
ENOUGH = 0.01


def choose(lengths: Sequence[int], costs: Sequence[float], room: int, wanted: float) -> list[int]:
    """Choose samples for a pack: the first, which has waited longest, and others beside it.

    Begins with the first ones that fit, then exchanges up to two by up to two others while that helps.

    Args:
        lengths: tokens of each waiting sample, at most ``room``.
        costs: of each.
        room: tokens of a pack.
        wanted: cost of a pack.

    Returns:
        Their numbers, in ascending order.
    """
    # Two more of nothing, so that a pair also stands for one sample and for none.
    sizes = np.array([*lengths, 0, 0]), np.array([*costs, 0.0, 0.0])
    count = len(lengths)
    chosen, free = [0], room - lengths[0]
    for i in range(1, count):
        if lengths[i] <= free:
            chosen.append(i)
            free -= lengths[i]
    distance = _distance(sizes[0][chosen].sum(), sizes[1][chosen].sum(), room, wanted)
    while distance > ENOUGH:
        removed = np.array([*combinations([*chosen[1:], count, count + 1], 2)])
        others = sorted({*range(count)} - {*chosen})
        added = np.array([*combinations([*others, count, count + 1], 2)])
        length, cost = (
            of[chosen].sum() - of[removed].sum(1)[:, None] + of[added].sum(1)[None] for of in sizes
        )
        distances = _distance(length, cost, room, wanted)
        best = np.unravel_index(distances.argmin(), distances.shape)
        if distances[best] >= distance:
            break
        distance = distances[best]
        exchanged = {*chosen} - {*removed[best[0]].tolist()} | {*added[best[1]].tolist()}
        chosen = sorted(exchanged - {count, count + 1})
    return chosen


def _distance(length: Any, cost: Any, room: int, wanted: float) -> NDArray[np.float64]:
    """Return how far packs are from being full and of the wanted cost; too long ones are infinitely far."""
    far = np.maximum(1 - length / room, 2 * np.abs(cost / wanted - 1))
    return np.where(length <= room, far, np.inf)
