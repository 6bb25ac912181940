"""Rows of a batch: how the samples of a pack are laid beside and below each other. Knows lengths only."""

from collections.abc import Sequence
from dataclasses import dataclass

from strokewise.sequence import Kind, Segment

PAINTED, DELIMITERS = (Kind.CLEAN, Kind.NOISED), 2


def arrange(samples: Sequence[Sequence[Segment]], row_tokens: int) -> list[list[Sequence[Segment]]]:
    """Return rows of samples, so many that they are about ``row_tokens`` wide and little of them is padding.

    A row is as wide as the widest understanding block and the widest generation block of all rows together,
    so both are kept even.
    """
    sizes = [_block_sizes(sample) for sample in samples]
    total, longest = sum(map(sum, sizes)), max(map(sum, sizes), default=0)
    target = max(row_tokens, longest)
    fewest = max(1, -(-total // target))

    def cost(rows: _Rows) -> tuple[int, int]:
        return max(0, sum(rows.widths) - target), len(rows.members) * sum(rows.widths)

    found = min((_spread(sizes, n) for n in range(fewest, min(2 * fewest, len(samples)) + 1)), key=cost)
    return [[samples[i] for i in row] for row in found.members]


@dataclass(frozen=True)
class _Rows:
    """Samples by number in each row, and how wide both blocks are."""

    members: list[list[int]]
    widths: tuple[int, int]


def _spread(sizes: Sequence[tuple[int, int]], number: int) -> _Rows:
    """Spread the samples over so many rows, the longest first, each where it widens the batch least."""
    members: list[list[int]] = [[] for _ in range(number)]
    loads = [(0, 0)] * number
    wide = (0, 0)

    def widened(row: int, size: tuple[int, int]) -> tuple[int, int]:
        return max(wide[0], loads[row][0] + size[0]), max(wide[1], loads[row][1] + size[1])

    # The longest first: the short ones then fill what is left (longest-processing-time rule).
    for i in sorted(range(len(sizes)), key=lambda i: -sum(sizes[i])):
        row = min(range(number), key=lambda r: (sum(widened(r, sizes[i])), sum(loads[r])))
        wide = widened(row, sizes[i])
        loads[row] = (loads[row][0] + sizes[i][0], loads[row][1] + sizes[i][1])
        members[row].append(i)
    return _Rows([row for row in members if row], wide)


def _block_sizes(sample: Sequence[Segment]) -> tuple[int, int]:
    """Return tokens for the understanding and for the generation expert."""
    painted = sum(segment.length - DELIMITERS for segment in sample if segment.kind in PAINTED)
    return sum(segment.length for segment in sample) - painted, painted
