"""The words of the sprite world's English: names in singular and plural, articles, counts, places.

This file knows how a thing, a list, a place and a relation are written, and every word that any text of the
world can hold. It refuses to know what a sentence is for, and reads nothing back (`reader` does).

All texts are lower case with the punctuation `. , ; :` so that a small model can have a word a token.
"""

from __future__ import annotations

import math
import random
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from strokewise.errors import SceneError
from strokewise.scene_graph import RELATIONS, Thing
from strokewise.world.vocabulary import BACKGROUNDS, CLASSES, COLORS, REGIONS

WORD = re.compile(r"\w+|[^\w\s]")  # a word or a punctuation mark
_HYPHEN = re.compile(r"(?<=[^\W_])[-_\u2010]+(?=[^\W_])")
_MARKS = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "&": " and "})
_PIECE = 4096
NUMBERS = ("one", "two", "three", "four")
# A picture may show more than a prompt can request; such counts are all written, and read, as this one.
MANY = "more than four"
MANY_COUNT = 5

# Counted in pairs, since "a scissors" is not English (though GenEval says it).
PAIRED = ("skis", "scissors")
_IRREGULAR = {
    "person": "people",
    "sheep": "sheep",
    "knife": "knives",
    "computer mouse": "computer mice",
    "skis": "skis",
    "scissors": "scissors",
}

PREPOSITIONS = {
    "top": "at the",
    "bottom": "at the",
    "left": "on the",
    "right": "on the",
}
LONG_RELATIONS = {"left of": "to the left of", "right of": "to the right of"}

FUNCTION_WORDS = """
    . , ; : a an the and of pair pairs it them one is are not to in on at with background
    photo picture image drawing scene draw show there
    add place remove erase recolor change replace swap for make turn into empty canvas
    plan prompt fits fit agrees contradicts does still come should be missing wanted
    sketch shows lacks also instead
"""


class PlainWording(random.Random):
    """Chance for the `write_...` functions that always takes the first, plainest wording.

    A small model that writes in one wording only has to be trained in what to say, not how.
    """

    def choice(self, seq: Any) -> Any:
        """Return the first one."""
        return seq[0]

    def random(self) -> float:
        """Draw never what is said only now and then."""
        return math.nextafter(1.0, 0.0)


def plural(name: str) -> str:
    """Return the correct plural of a class name, such as "wine glasses" or "people"."""
    if name in _IRREGULAR:
        return _IRREGULAR[name]
    return name + ("es" if name.endswith(("s", "sh", "ch", "x")) else "s")


def article(phrase: str) -> str:
    """Return the indefinite article that goes before a phrase of the world's words."""
    return "an" if phrase[:1] in "aeiou" else "a"


def check_names(things: Iterable[Thing]) -> None:
    """Raise SceneError unless every thing has a class, a color and a count that there are words for."""
    for thing in things:
        if thing.name not in CLASSES:
            raise SceneError(f"the world has no word for the class {thing.name!r}")
        if thing.color is not None and thing.color not in COLORS:
            raise SceneError(f"the world has no word for the color {thing.color!r}")
        if thing.count < 1:
            raise SceneError(f"{thing.count} of {thing.name!r} cannot be written; counts start at 1")


def number(count: int) -> str:
    """Return a count in words; all above four are "more than four"."""
    return NUMBERS[count - 1] if count <= len(NUMBERS) else MANY


def noun(name: str, color: str | None, count: int) -> str:
    """Return the phrase without article or count: "red bus", "wine glasses", "pairs of red skis"."""
    check_names((Thing(name, color, count),))
    look = f"{color} " if color else ""
    if name in PAIRED:
        return f"{'pair' if count == 1 else 'pairs'} of {look}{name}"
    return look + (name if count == 1 else plural(name))


def indefinite(thing: Thing) -> str:
    """Return the phrase that brings a thing up: "a red bus", "three cups"."""
    phrase = noun(thing.name, thing.color, thing.count)
    return f"{article(phrase) if thing.count == 1 else number(thing.count)} {phrase}"


def definite(thing: Thing) -> str:
    """Return the phrase that points at a thing already known: "the red bus", "the three cups"."""
    count = "" if thing.count == 1 else f"{number(thing.count)} "
    return f"the {count}{noun(thing.name, thing.color, thing.count)}"


def is_or_are(thing: Thing) -> str:
    """Return the verb for a thing."""
    return "is" if thing.count == 1 else "are"


def pronoun(thing: Thing) -> str:
    """Return the object pronoun for a thing."""
    return "it" if thing.count == 1 else "them"


def listing(phrases: Sequence[str]) -> str:
    """Return phrases joined as "a, b and c"."""
    return " and ".join(part for part in (", ".join(phrases[:-1]), *phrases[-1:]) if part)


def place(regions: Sequence[str]) -> str:
    """Return where instances stand: "in the upper left", "on the left, center and right".

    One region an instance; when all are the same it is said once, and stands for all of them (but for so many
    that only the number of regions tells their count).
    """
    unknown = sorted(set(regions) - set(REGIONS))
    if unknown:
        raise SceneError(f"unknown region {unknown[0]!r}; regions: {', '.join(REGIONS)}")
    named = regions[:1] if len(set(regions)) == 1 and len(regions) <= MANY_COUNT else regions
    return f"{PREPOSITIONS.get(named[0], 'in the')} {listing(named)}" if named else ""


def background_phrase(background: str) -> str:
    """Return a background with its article, such as "a sky background"."""
    if background not in BACKGROUNDS:
        raise SceneError(f"the world has no word for the background {background!r}")
    return f"{article(background)} {background} background"


@lru_cache(maxsize=4096)
def parts(phrase: str) -> tuple[str, ...]:
    """Return `split`, remembered, for phrases of the program's own."""
    return tuple(split(phrase))


def split(text: str) -> list[str]:
    """Return the words and punctuation marks of a text, lower-cased."""
    return WORD.findall(text.lower())


def fold(text: str) -> str:
    """Return a text as it is read: lower case, one character for each of Unicode's compatible forms, plain
    quotes.

    Characters that show nothing are dropped; a hyphen or an underscore inside a word stands for a space.
    """
    # A long run of combining marks is sorted in quadratic time unless it is folded piece by piece.
    pieces = (text[at : at + _PIECE] for at in range(0, len(text), _PIECE))
    folded = "".join(unicodedata.normalize("NFKC", piece) for piece in pieces).lower()
    shown = "".join(c for c in folded if c.isascii() or unicodedata.category(c) != "Cf")
    return _HYPHEN.sub(" ", shown.translate(_MARKS))


def words() -> tuple[str, ...]:
    """Return every word and mark that a written text can hold, sorted; `split` cuts any text into these."""
    phrases = (
        *CLASSES,
        *(plural(name) for name in CLASSES),
        *COLORS,
        *BACKGROUNDS,
        *REGIONS,
        *RELATIONS,
        *NUMBERS,
        MANY,
        FUNCTION_WORDS,
    )
    return tuple(sorted({word for phrase in phrases for word in split(phrase)}))
