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
from strokewise.scene_graph import RELATIONS, Thing
from strokewise.world.language import english as en
from strokewise.world.language.synonyms import (
    BACKGROUND_SYNONYMS,
    CLASS_SYNONYMS,
    CONJUNCTIONS,
    HOLDING,
    NEAR_WORDS,
    OTHER_PLURALS,
    PICTURES,
    POLITE,
    REGION_SYNONYMS,
    RELATION_SYNONYMS,
    REQUESTS,
)
from strokewise.world.vocabulary import BACKGROUNDS, CLASSES, COLORS, REGIONS

T = TypeVar("T")

PREPOSITIONS = ("in the", "on the", "at the")
_TOO_MANY = ("five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
# Marks that may end a text, or stand around it, and say nothing.
_QUOTES = frozenset("\"'`«»")
_CLOSING = _QUOTES | frozenset(".,;:!?")
_OTHER_WORDS = """
    single colored coloured side hand corner it them please put insert delete recolour color colour set by
"""


@dataclass(frozen=True)
class Table(Generic[T]):
    """Phrases, cut into words, with what each stands for."""

    values: Mapping[tuple[str, ...], T]
    longest: int

    @classmethod
    def of(cls, phrases: Mapping[str, T]) -> Table[T]:
        """Return a table of these phrases."""
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
        """Return the phrase without article or count."""
        return f"{self.color} {self.name}" if self.color else self.name


def _forms() -> Table[Form]:
    forms = {}
    for name in CLASSES:
        for spelling in (name, *CLASS_SYNONYMS.get(name, ())):
            # GenEval adds -s or -es without looking: "sheeps", "knifes", "toothbrushs".
            naive = spelling + ("es" if spelling.endswith("s") else "s")
            for many in (en.plural(spelling), naive):
                forms[many] = Form(name, False, True)
            forms[spelling] = Form(name, True, spelling == en.plural(spelling))
    for many, name in OTHER_PLURALS.items():
        forms[many] = Form(name, many in CLASSES, True)
    return Table.of(forms)


FORMS = _forms()
_COLORS = Table.of({color: color for color in COLORS})
_REGIONS = Table.of({region: region for region in REGIONS} | REGION_SYNONYMS)
_BACKGROUNDS = Table.of({background: background for background in BACKGROUNDS} | BACKGROUND_SYNONYMS)
_NUMBERS = Table.of(
    {word: count for count, word in enumerate(en.NUMBERS, start=1)}
    | {str(count): count for count in range(1, len(en.NUMBERS) + 1)}
    | {en.MANY: en.MANY_COUNT}
)
_RELATIONS = Table.of({kind: kind for kind in RELATIONS} | RELATION_SYNONYMS)
_NEAR = Table.of(NEAR_WORDS)
_NAME_WORDS = {word for table in (FORMS, _COLORS, _BACKGROUNDS) for key in table.values for word in key}
_PHRASES = (*POLITE, *REQUESTS, *PICTURES, *HOLDING, *CONJUNCTIONS, *_TOO_MANY, _OTHER_WORDS)
_KNOWN = {
    *en.words(),
    *_NAME_WORDS,
    *(word for table in (_REGIONS, _RELATIONS, _NUMBERS) for key in table.values for word in key),
    *(word for phrase in _PHRASES for word in en.parts(phrase)),
    *_CLOSING,
}
_KNOWN_WORDS = (
    f"Known are the names of the {len(CLASSES)} GenEval classes, the colors {', '.join(COLORS)}, the counts"
    f" {', '.join(en.NUMBERS)}, the relations left of, right of, above, below, and the backgrounds"
    f" {', '.join(BACKGROUNDS)}"
)


class Reader:
    """A cursor over the words of one text."""

    def __init__(self, text: str) -> None:
        """Split the text; LanguageError when it is empty or holds words that no sentence could use."""
        if not isinstance(text, str):
            raise LanguageError(f"a text is needed, not {type(text).__name__}")
        self._folded = en.fold(text)
        self._spans = [match.span() for match in en.WORD.finditer(self._folded)]
        self.words = [self._folded[start:end] for start, end in self._spans]
        if not self.words:
            raise LanguageError("the text is empty")
        size = len(self.words)
        self._end = next((i for i in range(size, 0, -1) if self.words[i - 1] not in _CLOSING), 0)
        self.position = next((i for i in range(self._end) if self.words[i] not in _QUOTES), 0)
        unknown = [word for word in dict.fromkeys(self.words) if word not in _KNOWN and not word.isdecimal()]
        if unknown:
            raise LanguageError(_unknown_words(unknown), _KNOWN_WORDS)

    @property
    def done(self) -> bool:
        """Whether every word was read; closing marks may be left."""
        return self.position >= self._end

    @property
    def plain(self) -> str:
        """The whole text with single spaces, without marks around it."""
        first = next((i for i in range(self._end) if self.words[i] not in _QUOTES), 0)
        return " ".join(self.words[first : self._end])

    def text_since(self, position: int) -> str:
        """Return the text from the word at an earlier position up to the last word read, in lower case."""
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
        """Return whether one of these phrases comes next."""
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
        """Fail unless this is the end, but for closing marks."""
        if not self.done:
            self.fail("the end of the text" + self._suggestion())

    def noun(self) -> Noun:
        """Read a thing: "a red bus", "the three cups", "two pairs of skis"."""
        start = self.position
        article = self.accept("a", "an", "the") or ""
        count = 1 if article in ("a", "an") else self.lookup(_NUMBERS)
        if count == 1 and article:
            self.accept("single")
        if self.at(*_TOO_MANY) or (not self.done and self.words[self.position].isdecimal()):
            self.fail(f"a count from one to {en.NUMBERS[-1]}")
        pair = self.accept("pair of", "pairs of")
        color = self._color()
        form = self.lookup(FORMS)
        if form is None:
            what = (
                "a thing, such as 'a red bus' or 'three cups'" if self.position == start else "a class name"
            )
            self.fail(what + self._suggestion())
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
        """Read a thing whose count is plain, with "the" before it if required, and forget the article."""
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
        """Read where `count` instances stand, one region each; () when no place is stated here.

        More than four have as many regions as there are.
        """
        start = self.position
        regions = []
        if self.accept(*PREPOSITIONS) and (region := self._region()):
            regions.append(region)
        else:
            self.position = start
            return ()
        while True:
            before = self.position
            self.accept(*CONJUNCTIONS)
            self.accept(*PREPOSITIONS, "the")
            region = self._region() if self.position > before else None
            if region is None:
                self.position = before
                break
            regions.append(region)
        more = count == en.MANY_COUNT and len(regions) > count
        if len(regions) not in (1, count) and not more:
            self.fail(f"one region or {count} regions, not {len(regions)}")
        return tuple(regions * count if len(regions) == 1 else regions)

    def background(self) -> str | None:
        """Read "a sky background", with "on" or "with" before it or not; the cursor stays when it is none."""
        start = self.position
        self.accept("on", "with", "against")
        self.accept("a", "an", "the")
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
        """Return a color before a class name; "orange" is both, and alone it is the fruit."""
        start = self.position
        color = self.color()
        if color is not None:
            self.accept("colored", "coloured")
        after = self.position
        if color is not None and self.lookup(FORMS) is None:
            if color not in CLASSES:
                self.fail("a class name" + self._suggestion())
            self.position = start
            return None
        self.position = after
        return color

    def _region(self) -> str | None:
        """Return a region that is not the start of a relation ("left" but not "left of")."""
        start = self.position
        region = self.lookup(_REGIONS)
        if region is not None:
            self.accept("corner", "side", "hand side")
            if self.at("of"):
                self.position = start
                return None
        return region

    def _suggestion(self) -> str:
        """Return the nearest thing to the current word that can be read, for an error; "" when none is
        near.
        """
        start = self.position
        near = self.lookup(_NEAR)
        self.position = start
        return f" (did you mean '{near}'?)" if near else ""


def _unknown_words(unknown: list[str]) -> str:
    named = []
    for word in unknown[:8]:
        near = NEAR_WORDS.get(word) or next(
            iter(difflib.get_close_matches(word[:40], sorted(_NAME_WORDS), n=1, cutoff=0.8)), None
        )
        named.append(f"{word[:40]!r}" + (f" (did you mean '{near}'?)" if near else ""))
    more = f" and {len(unknown) - 8} more" if len(unknown) > 8 else ""
    return f"unknown words: {', '.join(named)}{more}"
