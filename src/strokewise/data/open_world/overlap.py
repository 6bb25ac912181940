"""Drafts that are worth painting: no near-duplicates of each other, none by which models are measured.

Two drafts are near-duplicates if their scenes have 0.9 of their facts in common (Jaccard index): objects with
counts, each attribute, relations, the place; words and order do not count. A draft is too like a measured
prompt if 0.9 of their words are the same, in any order. This file knows scenes and prompts. It refuses to
know which benchmarks there are.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from strokewise.data.open_world.drafts import Draft
from strokewise.data.open_world.scene import OpenScene

ALIKE = 0.9
MEASURED = "too like a measured prompt"
# Words that say nothing of what is shown.
EMPTY = frozenset(("a", "an", "the", "of", "and", "is", "are", "photo", "picture", "image"))
_WORD = re.compile(r"[^\W_]+")
Features = frozenset[str]


@dataclass(frozen=True)
class Selection:
    """The drafts that are painted, and how many are not.

    Attributes:
        count: of the drafts among which they were chosen.
        numbers: of the drafts.
        canvases: of these in all.
        duplicates: drafts too like an earlier one.
        measured: drafts too like a prompt by which models are measured.
    """

    count: int
    numbers: tuple[int, ...]
    canvases: int
    duplicates: int
    measured: int

    @property
    def removed(self) -> dict[str, int]:
        """How many drafts are left out, by reason."""
        found = {"near-duplicates": self.duplicates, MEASURED: self.measured}
        return {reason: count for reason, count in found.items() if count}


def select(draft: Callable[[int], Draft], count: int, measured: Sequence[str]) -> Selection:
    """Return the drafts from 0 to ``count`` without those that are too like others.

    Args:
        draft: the drafts by number.
        count: of those to choose among.
        measured: prompts by which models are measured.
    """
    drafts = [draft(number) for number in range(count)]
    facts, words = [facts_of(one.scene) for one in drafts], [words_of(one.prompt) for one in drafts]
    tests = [words_of(text) for text in measured]
    of_tests, of_drafts = _Seen([*tests, *words]), _Seen(facts)
    for test in tests:
        of_tests.add(test)
    kept: list[Draft] = []
    duplicates = 0
    unmeasured = [i for i in range(count) if not of_tests.has_like(words[i])]
    for i in unmeasured:
        if of_drafts.has_like(facts[i]):
            duplicates += 1
        else:
            of_drafts.add(facts[i])
            kept.append(drafts[i])
    canvases = sum(len(one.steps) for one in kept)
    return Selection(count, tuple(one.number for one in kept), canvases, duplicates, count - len(unmeasured))


def words_of(prompt: str) -> Features:
    """Return the words of a prompt that say what is shown, in lower case."""
    return frozenset(_WORD.findall(prompt.lower())) - EMPTY


def facts_of(scene: OpenScene) -> Features:
    """Return what a scene states, a fact each."""
    facts = {f"{one.name} {one.count}" for one in scene.objects}
    facts |= {f"{one.name} {k} {v}" for one in scene.objects for k, v in one.attributes.items()}
    facts |= {f"{r.subject} {r.name} {r.target}" for r in scene.relations}
    return frozenset(facts | {scene.place})


def alike(one: Features, other: Features) -> bool:
    """Return whether two sets have so much in common that one of them is left out."""
    return len(one & other) >= ALIKE * len(one | other)


class _Seen:
    """Sets of features, found by their size and the rarest of their features.

    Sets that are alike differ little in size, and share one of the first ``size - ceil(0.9 size) + 1``
    features of each, in any one order of all features (prefix filtering).
    """

    def __init__(self, all_sets: Iterable[Features]) -> None:
        frequency = Counter(feature for one in all_sets for feature in one)
        self._order = {feature: (count, feature) for feature, count in frequency.items()}
        self._found_by: dict[tuple[int, str], list[Features]] = defaultdict(list)

    def add(self, features: Features) -> None:
        for feature in self._prefix(features):
            self._found_by[len(features), feature].append(features)

    def has_like(self, features: Features) -> bool:
        """Return whether a set that is alike was added."""
        sizes = range(math.ceil(ALIKE * len(features)), math.floor(len(features) / ALIKE) + 1)
        return any(
            alike(features, other)
            for feature in self._prefix(features)
            for size in sizes
            for other in self._found_by.get((size, feature), ())
        )

    def _prefix(self, features: Features) -> list[str]:
        ordered = sorted(features, key=self._order.__getitem__)
        return ordered[: len(ordered) - math.ceil(ALIKE * len(ordered)) + 1]
