"""How differently texts are worded: how many are different, how they begin, and distinct-n.

Distinct-n (Li et al. 2016, arXiv 1510.03055) is the share of different ones among all runs of n words. Both
fall with the number of texts, so that number is fixed. This file knows words. It refuses to know what the
texts are about.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

FIRST = 1_000  # texts that are compared
_WORD = re.compile(r"[^\W_]+")


@dataclass
class Diversity:
    """Figures of the first texts of many.

    Attributes:
        texts: these, as words in lower case.
    """

    texts: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, texts: Iterable[str]) -> None:
        """Count texts in while there is room."""
        room = FIRST - len(self.texts)
        self.texts += (tuple(_WORD.findall(text.casefold())) for text in islice(texts, room))

    @property
    def different(self) -> float:
        """Share of different texts, 0..1."""
        return len(set(self.texts)) / max(1, len(self.texts))

    @property
    def beginnings(self) -> int:
        """Number of different first words."""
        return len({words[:1] for words in self.texts})

    def distinct(self, n: int) -> float:
        """Share of different ones among all runs of ``n`` words within a text, 0..1."""
        runs = [run for words in self.texts for run in zip(*(words[i:] for i in range(n)), strict=False)]
        return len(set(runs)) / max(1, len(runs))

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield the figures for a table; none if there are no texts."""
        if self.texts:
            yield f"instructions, different among {len(self.texts):,}", f"{self.different:.1%}"
            yield "  their different first words", f"{self.beginnings:,}"
            yield "  distinct-1, distinct-2", f"{self.distinct(1):.3f}, {self.distinct(2):.3f}"
