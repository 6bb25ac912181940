"""Reading the world's English: a cursor over words, and the phrases every kind of text shares.

This file knows things, places, relations and backgrounds; `prompts`, `instructions` and the others build
their sentences from it. It refuses to guess: what it cannot read ends in a LanguageError that names the words
and what could have stood there. It never raises anything else, whatever the text.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, NoReturn, TypeVar

from strokewise.errors import LanguageError
from strokewise.scene_graph import Thing
from strokewise.world.language import english as en
from strokewise.world.vocabulary import BACKGROUNDS, CLASSES, COLORS, REGIONS

T = TypeVar("T")

PREPOSITIONS = ("in the", "on the", "at the")
# What people may write beyond what the world writes itself.
_TOO_MANY = ("five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_OTHER_WORDS = (
    "1",
    "2",
    "3",
    "4",
    "over",
    "beneath",
    "underneath",
    "against",
    "please",
    "create",
    "paint",
    "put",
)


@dataclass(frozen=True)
class Table(Generic[T]):
    """Phrases, cut into words, with what each stands for."""

    values: Mapping[tuple[str, ...], T]
    longest: int

    @classmethod
    def of(cls, phrases: Mapping[str, T]) -> Table[T]:
        """A table of these phrases."""
        values = {en.parts(phrase): value for phrase, value in phrases.items()}
        return cls(values, max(map(len, values)))


class Form(NamedTuple):
    """A class name as it can be written; `one` and `many` say which counts the form is right for."""

    name: str
    one: bool
    many: bool


@dataclass(frozen=True)
class Noun:
    """A thing as it was written; `count` is None for "the cups", `article` is "a", "the" or "" (a number)."""

    article: str
    name: str
    color: str | None
    count: int | None

    def __str__(self) -> str:
        """The phrase without article or count."""
        return f"{self.color} {self.name}" if self.color else self.name


def _forms() -> Table[Form]:
    forms = {}
    for name in CLASSES:
        # GenEval adds -s or -es without looking: "sheeps", "knifes", "toothbrushs".
        naive = name + ("es" if name.endswith("s") else "s")
        for spelling in (en.plural(name), naive):
            forms[spelling] = Form(name, False, True)
        forms[name] = Form(name, True, name == en.plural(name))
    return Table.of(forms)


FORMS = _forms()
_COLORS = Table.of({color: color for color in COLORS})
_REGIONS = Table.of({region: region for region in REGIONS})
_BACKGROUNDS = Table.of({background: background for background in BACKGROUNDS})
_NUMBERS = Table.of(
    {word: count for count, word in enumerate(en.NUMBERS, start=1)}
    | {str(count): count for count in range(1, len(en.NUMBERS) + 1)}
    | {en.MANY: en.MANY_COUNT}
)
_RELATIONS = Table.of(
    {
        "left of": "left of",
        "to the left of": "left of",
        "on the left of": "left of",
        "right of": "right of",
        "to the right of": "right of",
        "on the right of": "right of",
        "above": "above",
        "over": "above",
        "below": "below",
        "under": "below",
        "beneath": "below",
        "underneath": "below",
    }
)
_NAME_WORDS = {word for table in (FORMS, _COLORS, _BACKGROUNDS) for key in table.values for word in key}
_KNOWN = {*en.words(), *_OTHER_WORDS, *_TOO_MANY, *_NAME_WORDS}


class Reader:
    """A cursor over the words of one text."""

    def __init__(self, text: str) -> None:
        """Split the text; LanguageError when it is empty or holds words that no sentence could use."""
        if not isinstance(text, str):
            raise LanguageError(f"a text is needed, not {type(text).__name__}")
        self._folded = text.lower()
        self._spans = [match.span() for match in en.WORD.finditer(self._folded)]
        self.words = [self._folded[start:end] for start, end in self._spans]
        self.position = 0
        if not self.words:
            raise LanguageError("the text is empty")
        unknown = list(dict.fromkeys(word for word in self.words if word not in _KNOWN))
        if unknown:
            raise LanguageError(_unknown_words(unknown))

    @property
    def done(self) -> bool:
        """Whether every word was read."""
        return self.position >= len(self.words)

    def text_since(self, position: int) -> str:
        """The text from the word at an earlier position up to the last word read, in lower case."""
        if position == self.position:
            return ""
        return self._folded[self._spans[position][0] : self._spans[self.position - 1][1]]

    def fail(self, expected: str) -> NoReturn:
        """Raise LanguageError at the current word."""
        rest = " ".join(self.words[self.position : self.position + 6])
        before = " ".join(self.words[max(0, self.position - 4) : self.position])
        where = f" after {before!r}" if before else ""
        what = repr(rest) if rest else "the end of the text"
        raise LanguageError(f"not understood: {what}{where}; expected {expected}")

    def at(self, *phrases: str) -> bool:
        """Whether one of these phrases comes next."""
        return any(self._matches(en.parts(phrase)) for phrase in phrases)

    def accept(self, *phrases: str) -> str | None:
        """Read the first of these phrases that comes next and return it; None when none does."""
        for phrase in phrases:
            parts = en.parts(phrase)
            if self._matches(parts):
                self.position += len(parts)
                return phrase
        return None

    def expect(self, *phrases: str) -> str:
        """Read one of these phrases or fail."""
        found = self.accept(*phrases)
        return found if found is not None else self.fail(" or ".join(repr(phrase) for phrase in phrases))

    def lookup(self, table: Table[T]) -> T | None:
        """Read the longest phrase of a table that comes next and return its value."""
        for size in range(table.longest, 0, -1):
            key = tuple(self.words[self.position : self.position + size])
            if len(key) == size and key in table.values:
                self.position += size
                return table.values[key]
        return None

    def end(self) -> None:
        """Read a last full stop, if any, and fail unless that was the end."""
        self.accept(".")
        if not self.done:
            self.fail("the end of the text")

    def noun(self) -> Noun:
        """Read a thing: "a red bus", "the three cups", "two pairs of skis"."""
        start = self.position
        article = self.accept("a", "an", "the") or ""
        count = 1 if article in ("a", "an") else self.lookup(_NUMBERS)
        if self.at(*_TOO_MANY):
            self.fail(f"a count from one to {en.NUMBERS[-1]}")
        pair = self.accept("pair of", "pairs of")
        color = self._color()
        form = self.lookup(FORMS)
        if form is None:
            self.fail(
                "a thing, such as 'a red bus' or 'three cups'" if self.position == start else "a class name"
            )
        if pair and form.name not in en.PAIRED:
            self.fail(f"no {pair!r} before {form.name!r}")
        one, many = (pair == "pair of", pair == "pairs of") if pair else (form.one, form.many)
        if count is None and (one if article else form.name in en.PAIRED):
            count = 1
        if count is None and not article:
            self.position = start
            self.fail(f"an article or a count before {form.name!r}")
        if (count == 1 and not one) or (count and count > 1 and not many):
            self.fail(f"the {'singular' if count == 1 else 'plural'} of {form.name!r} after its count")
        return Noun("a" if article == "an" else article, form.name, color, count)

    def thing(self, article: str | None = None) -> Thing:
        """Read a thing whose count is plain, with "the" before it if asked for, and forget the article."""
        start = self.position
        noun = self.noun()
        if noun.count is None:
            self.position = start
            self.fail(f"a count before {noun.name!r}")
        if article and noun.article != article:
            self.position = start
            self.fail(f"{article!r}")
        return Thing(noun.name, noun.color, noun.count)

    def color(self) -> str | None:
        """Read a color."""
        return self.lookup(_COLORS)

    def number(self) -> int | None:
        """Read a count."""
        return self.lookup(_NUMBERS)

    def relation(self) -> str | None:
        """Read a relation, in any wording."""
        return self.lookup(_RELATIONS)

    def place(self, count: int) -> tuple[str, ...]:
        """Read where `count` instances stand, one region each; () when no place is told here."""
        start = self.position
        regions = []
        if self.accept(*PREPOSITIONS) and (region := self._region()):
            regions.append(region)
        else:
            self.position = start
            return ()
        while True:
            before = self.position
            self.accept(", and", ",", "and")
            self.accept(*PREPOSITIONS, "the")
            region = self._region() if self.position > before else None
            if region is None:
                self.position = before
                break
            regions.append(region)
        if len(regions) not in (1, count):
            self.fail(f"one region or {count} regions, not {len(regions)}")
        return tuple(regions * count if len(regions) == 1 else regions)

    def background(self) -> str | None:
        """Read "a sky background", with "on" or "with" before it or not; the cursor stays when it is none."""
        start = self.position
        self.accept("on", "with", "against")
        self.accept("a", "an")
        found = self.lookup(_BACKGROUNDS)
        if found is None or not self.accept("background"):
            self.position = start
            return None
        return found

    def background_name(self) -> str:
        """Read the bare name of a background or fail."""
        found = self.lookup(_BACKGROUNDS)
        return found if found is not None else self.fail(f"a background: {', '.join(BACKGROUNDS)}")

    def _matches(self, parts: tuple[str, ...]) -> bool:
        return tuple(self.words[self.position : self.position + len(parts)]) == parts

    def _color(self) -> str | None:
        """A color before a class name; "orange" is both, and alone it is the fruit."""
        start = self.position
        color = self.color()
        after = self.position
        if color is not None and self.lookup(FORMS) is None:
            if color not in CLASSES:
                self.fail("a class name")
            self.position = start
            return None
        self.position = after
        return color

    def _region(self) -> str | None:
        """A region that is not the start of a relation ("left" but not "left of")."""
        start = self.position
        region = self.lookup(_REGIONS)
        if region is not None and self.at("of"):
            self.position = start
            return None
        return region


def _unknown_words(unknown: list[str]) -> str:
    told = []
    for word in unknown[:8]:
        near = difflib.get_close_matches(word[:40], sorted(_NAME_WORDS), n=1, cutoff=0.75)
        told.append(f"{word[:40]!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
    more = f" and {len(unknown) - 8} more" if len(unknown) > 8 else ""
    return (
        f"unknown words: {', '.join(told)}{more}. Known are the names of the {len(CLASSES)} GenEval classes, "
        f"the colors {', '.join(COLORS)}, the counts {', '.join(en.NUMBERS)}, the relations "
        f"left of, right of, above, below, and the backgrounds {', '.join(BACKGROUNDS)}"
    )
