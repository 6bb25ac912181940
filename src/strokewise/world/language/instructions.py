"""Instructions: strokes in words, as plans give them (`<ins>`) and as corrections do (`<refine>`).

This file knows the sentences for one stroke and for several in a row. It refuses to know what is on the
canvas: whether a stroke fits is for `strokes.apply_stroke` to say.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from strokewise.errors import LanguageError, SceneError
from strokewise.scene_graph import Thing
from strokewise.world.language import english as en
from strokewise.world.language.reader import Reader
from strokewise.world.language.strokes import Beside, Stroke

ADD_VERBS = ("add", "draw", "place")
REMOVE_VERBS = ("remove", "erase")
RECOLOR_VERBS = ("recolor", "change")
SWAP_VERBS = (("replace", "with"), ("swap", "for"))
BACKGROUND_VERBS = ("make the background", "change the background to")
_PRONOUN_CHANCE = 0.5
# Read but never written.
_OTHER_ADD_VERBS = ("paint", "put", "insert")
_OTHER_REMOVE_VERBS = ("delete",)
_OTHER_RECOLOR_VERBS = ("recolour", *(f"change the {color} of" for color in ("color", "colour")))
_OTHER_BACKGROUND_VERBS = ("paint the background", "set the background to")


def write_instruction(stroke: Stroke, rng: random.Random) -> str:
    """Return one stroke as a sentence; SceneError when it is not a valid stroke of words the world knows.

    `parse_instruction` gives back an equal stroke.
    """
    return f"{_sentence(stroke, rng, None)}."


def parse_instruction(text: str) -> Stroke:
    """Return the stroke of a sentence; LanguageError saying what was not understood."""
    strokes = parse_correction(text)
    if len(strokes) != 1:
        raise LanguageError(f"one stroke is expected, not {len(strokes)} sentences")
    return strokes[0]


def reword_instruction(text: str) -> str:
    """Return the instruction of one stroke in its plain wording; LanguageError saying what was not
    understood.
    """
    return write_instruction(parse_instruction(text), en.PlainWording())


def write_correction(strokes: Sequence[Stroke], rng: random.Random) -> str:
    """Return strokes in their order, one sentence each; needs at least one.

    "it" and "them" may stand for the thing that the sentence before named after its relation.
    `parse_correction` gives back equal strokes.
    """
    if not strokes:
        raise SceneError("a correction needs at least one stroke")
    sentences = []
    known: Thing | None = None
    for stroke in strokes:
        sentences.append(_sentence(stroke, rng, known))
        known = stroke.relation.target if stroke.relation else None
    return ". ".join(sentences) + "."


def parse_correction(text: str) -> tuple[Stroke, ...]:
    """Return the strokes of one or more sentences; LanguageError saying what was not understood."""
    reader = Reader(text)
    strokes: list[Stroke] = []
    known: Thing | None = None
    while True:
        stroke = _read_stroke(reader, known)
        strokes.append(stroke)
        known = stroke.relation.target if stroke.relation else None
        if not reader.accept(".") or reader.done:
            break
    reader.end()
    return tuple(strokes)


def _sentence(stroke: Stroke, rng: random.Random, known: Thing | None) -> str:
    stroke.validate()
    if stroke.thing is None:
        assert stroke.background is not None
        en.background_phrase(stroke.background)
        return f"{rng.choice(BACKGROUND_VERBS)} {stroke.background}"
    where = _where(stroke, rng, known)
    if stroke.kind == "add":
        return f"{rng.choice(ADD_VERBS)} {en.indefinite(stroke.thing)}{where}"
    thing = en.definite(stroke.thing)
    if stroke.kind == "remove":
        return f"{rng.choice(REMOVE_VERBS)} {thing}{where}"
    assert stroke.becomes is not None
    where += "," if stroke.relation and stroke.kind != "recount" else ""
    en.check_names((stroke.becomes,))
    if stroke.kind == "recolor":
        return f"{rng.choice(RECOLOR_VERBS)} {thing}{where} to {stroke.becomes.color}"
    if stroke.kind == "recount":
        return f"turn {thing} into {en.number(stroke.becomes.count)}{where}"
    verb, preposition = rng.choice(SWAP_VERBS)
    return f"{verb} {thing}{where} {preposition} {en.indefinite(stroke.becomes)}"


def _where(stroke: Stroke, rng: random.Random, known: Thing | None) -> str:
    """Return the place and the relation of a stroke, with the space before them."""
    text = f" {en.place(stroke.regions)}" if stroke.regions else ""
    if stroke.relation is None:
        return text
    target = stroke.relation.target
    by_pronoun = target == known and rng.random() < _PRONOUN_CHANCE
    noun = en.pronoun(target) if by_pronoun else en.definite(target)
    return f"{text}{',' if text else ''} {stroke.relation.kind} {noun}"


def _read_stroke(reader: Reader, known: Thing | None) -> Stroke:
    reader.accept("please")
    if reader.accept(*BACKGROUND_VERBS, *_OTHER_BACKGROUND_VERBS):
        reader.accept("a", "an")
        background = reader.background_name()
        reader.accept("background")
        return _checked(Stroke("background", background=background))
    if reader.accept(*REMOVE_VERBS, *_OTHER_REMOVE_VERBS):
        return _read_change(reader, "remove", known)
    if reader.accept("turn"):
        return _read_change(reader, "recount", known)
    if reader.accept(*_OTHER_RECOLOR_VERBS, *RECOLOR_VERBS):
        return _read_change(reader, "recolor", known)
    if reader.accept(*(verb for verb, _ in SWAP_VERBS)):
        return _read_change(reader, "swap", known)
    if reader.accept(*ADD_VERBS, *_OTHER_ADD_VERBS):
        noun = reader.noun()
        if noun.article == "the" or noun.count is None:
            reader.fail("a new thing before that, such as 'a red bus'; 'the' means one already there")
        thing = Thing(noun.name, noun.color, noun.count)
        regions, relation = _read_where(reader, thing.count, known)
        return _checked(Stroke("add", thing, regions=regions, relation=relation))
    return reader.fail("a stroke: add, remove, recolor, turn, replace or 'make the background'")


def _read_change(reader: Reader, kind: str, known: Thing | None) -> Stroke:
    """Read the rest of a stroke that is about something already there."""
    thing = reader.thing("the")
    becomes = None
    if kind == "recount":
        reader.expect("into")
        count = reader.number()
        if count is None:
            reader.fail("a count")
        becomes = Thing(thing.name, thing.color, count)
    regions, relation = _read_where(reader, (becomes or thing).count, known)
    reader.accept(",")
    if kind == "recolor":
        reader.expect("to")
        color = reader.color()
        if color is None:
            reader.fail("a color")
        becomes = Thing(thing.name, color, thing.count)
    elif kind == "swap":
        reader.expect("with", "for", "by")
        becomes = reader.thing()
    return _checked(Stroke(kind, thing, becomes, regions, relation))


def _read_where(reader: Reader, count: int, known: Thing | None) -> tuple[tuple[str, ...], Beside | None]:
    regions = reader.place(count)
    before = reader.position
    reader.accept(",")
    kind = reader.relation()
    if kind is None:
        reader.position = before
        return regions, None
    if reader.accept("it", "them"):
        if known is None:
            reader.fail("a thing before that; 'it' has nothing to mean")
        return regions, Beside(kind, known)
    return regions, Beside(kind, reader.thing("the"))


def _checked(stroke: Stroke) -> Stroke:
    try:
        stroke.validate()
    except SceneError as error:
        raise LanguageError(f"not a stroke that can be done: {error}") from error
    return stroke
