"""Phrases for single faults, as expectations and as observations.

The expectation, for plans: "the bird should be below the skateboard, not above it".
The observation, for sketches: "shows the bird above the skateboard instead of below it".

This file knows one clause for every kind of fault in either of them. It refuses to know the sentences around
them (`inspections`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from strokewise.errors import SceneError
from strokewise.scene_graph import FAULT_KINDS, RELATIONS, Fault, Thing
from strokewise.world.language import english as en
from strokewise.world.language.reader import Reader
from strokewise.world.vocabulary import BACKGROUNDS, COLORS, REGIONS

_VALUES: dict[str, Collection[str]] = {
    "wrong color": COLORS,
    "wrong place": REGIONS,
    "wrong relation": RELATIONS,
    "wrong background": BACKGROUNDS,
}


def check_fault(fault: Fault) -> None:
    """Raise SceneError unless the fault has just the parts its kind needs, so that it reads back as
    written.
    """
    kind, subject = fault.kind, fault.subject
    if kind not in FAULT_KINDS:
        raise SceneError(f"unknown kind of fault {kind!r}; kinds: {', '.join(FAULT_KINDS)}")
    if (subject is None) != (kind == "wrong background") or (fault.target is None) == (
        kind == "wrong relation"
    ):
        raise SceneError(f"a fault of kind {kind!r} has the wrong parts: {fault}")
    en.check_names(thing for thing in (subject, fault.target) if thing is not None)
    if kind in _VALUES:
        good = fault.wanted in _VALUES[kind] and (fault.seen is None or fault.seen in _VALUES[kind])
    elif kind == "wrong count":
        good = all(isinstance(value, int) and value >= 1 for value in (fault.wanted, fault.seen))
    else:
        good = fault.wanted is None and fault.seen is None
    if subject is not None and kind in ("wrong color", "wrong count"):
        good = good and fault.wanted == (subject.color if kind == "wrong color" else subject.count)
    if not good or (fault.wanted is not None and fault.wanted == fault.seen):
        raise SceneError(f"a fault that cannot be: {fault.message}")


def write_expectation(fault: Fault) -> str:
    """Return a plan's fault: what should be, and what is not wanted."""
    check_fault(fault)
    thing = fault.subject
    if thing is None:
        return f"the background should be {fault.wanted}" + (f", not {fault.seen}" if fault.seen else "")
    if fault.kind == "missing":
        return f"{en.indefinite(thing)} {en.is_or_are(thing)} missing"
    if fault.kind == "extra":
        return f"{en.indefinite(thing)} {en.is_or_are(thing)} not wanted"
    if fault.kind == "wrong count":
        return f"there should be {en.indefinite(thing)}, not {en.number(_count(fault.seen))}"
    text = f"{_pointer(fault, thing)} should be {_value(fault, fault.wanted)}"
    return text if fault.seen is None else f"{text}, not {_value(fault, fault.seen, again=True)}"


def write_observation(fault: Fault) -> str:
    """Return a sketch's fault: what it shows instead of what was planned, without the words "the sketch"."""
    check_fault(fault)
    thing = fault.subject
    if thing is None:
        if fault.seen is None:
            return f"does not show {en.background_phrase(str(fault.wanted))}"
        return f"shows {en.background_phrase(str(fault.seen))} instead of {fault.wanted}"
    if fault.kind == "missing":
        return f"lacks {en.indefinite(thing)}"
    if fault.kind == "extra":
        return f"also shows {en.indefinite(thing)}"
    if fault.kind == "wrong count":
        seen = replace(thing, count=_count(fault.seen))
        return f"shows {en.indefinite(seen)} instead of {en.number(_count(fault.wanted))}"
    pointer = _pointer(fault, thing) + (" in" if fault.kind == "wrong color" else "")
    if fault.seen is None:
        return f"does not show {pointer} {_value(fault, fault.wanted)}"
    wanted = _value(fault, fault.wanted, again=True)
    return f"shows {pointer} {_value(fault, fault.seen)} instead of {wanted}"


def read_expectation(reader: Reader) -> Fault:
    """Read what `write_expectation` writes."""
    if reader.accept("the background should be"):
        wanted = reader.background_name()
        seen = reader.background_name() if reader.accept(", not") else None
        return Fault("wrong background", wanted=wanted, seen=seen)
    if reader.accept("there should be"):
        thing = reader.thing()
        reader.expect(", not")
        return _count_fault(reader, thing, wanted=thing.count, seen=_read_number(reader))
    if not reader.at("the", "one of the"):
        thing = reader.thing()
        reader.expect("is", "are")
        return Fault("missing" if reader.expect("missing", "not wanted") == "missing" else "extra", thing)
    is_one, thing = reader.accept("one of") is not None, reader.thing("the")
    reader.expect("should be")
    kind, wanted, target = _read_value(reader, None)
    seen = _read_value(reader, (kind, target))[1] if reader.accept(", not") else None
    return _difference(reader, Fault(kind, thing, target, wanted, seen), is_one)


def read_observation(reader: Reader) -> Fault:
    """Read what `write_observation` writes."""
    if reader.accept("lacks"):
        return Fault("missing", reader.thing())
    if reader.accept("also shows"):
        return Fault("extra", reader.thing())
    is_denied = reader.expect("shows", "does not show") == "does not show"
    background = reader.background()
    if background is not None:
        if is_denied:
            return Fault("wrong background", wanted=background)
        reader.expect("instead of")
        return Fault("wrong background", wanted=reader.background_name(), seen=background)
    if not reader.at("the", "one of the"):
        thing = reader.thing()
        reader.expect("instead of")
        return _count_fault(reader, thing, wanted=_read_number(reader), seen=thing.count)
    is_one, thing = reader.accept("one of") is not None, reader.thing("the")
    kind, first, target = _read_value(reader, None)
    if is_denied:
        return _difference(reader, Fault(kind, thing, target, first), is_one)
    reader.expect("instead of")
    wanted = _read_value(reader, (kind, target))[1]
    return _difference(reader, Fault(kind, thing, target, wanted, first), is_one)


def _count(value: object) -> int:
    assert isinstance(value, int)
    return value


def _pointer(fault: Fault, thing: Thing) -> str:
    """Return the phrase for the thing a fault is about; a color at fault is left out, a place is that of
    one.
    """
    if fault.kind == "wrong color":
        return en.definite(replace(thing, color=None))
    is_one_of_many = fault.kind == "wrong place" and thing.count > 1
    return f"one of {en.definite(thing)}" if is_one_of_many else en.definite(thing)


def _value(fault: Fault, value: object, again: bool = False) -> str:
    """Return a color, a place or a relation; `again` when the target of the relation was named just
    before.
    """
    if fault.kind == "wrong place":
        return en.place((str(value),))
    if fault.target is None:
        return str(value)
    return f"{value} {en.pronoun(fault.target) if again else en.definite(fault.target)}"


def _read_value(reader: Reader, before: tuple[str, Thing | None] | None) -> tuple[str, str, Thing | None]:
    """Read what `_value` writes: kind of fault, value, target; of the same kind as `before` if given."""
    if regions := reader.place(1):
        found: tuple[str, str, Thing | None] = ("wrong place", regions[0], None)
    elif relation := reader.relation():
        target = before[1] if before and reader.accept("it", "them") else reader.thing("the")
        found = ("wrong relation", relation, target)
    else:
        reader.accept("in")
        color = reader.color()
        if color is None:
            reader.fail("a color, a place or a relation")
        found = ("wrong color", color, None)
    if before is not None and (found[0], found[2]) != before:
        reader.fail("the same kind of thing on both sides before that")
    return found


def _read_number(reader: Reader) -> int:
    count = reader.number()
    return count if count is not None else reader.fail("a count")


def _count_fault(reader: Reader, thing: Thing, wanted: int, seen: int) -> Fault:
    if wanted == seen:
        reader.fail("two different counts before that")
    return Fault("wrong count", replace(thing, count=wanted), wanted=wanted, seen=seen)


def _difference(reader: Reader, fault: Fault, is_one: bool) -> Fault:
    thing = fault.subject
    assert thing is not None
    if fault.wanted == fault.seen:
        reader.fail("two different values before that")
    if is_one != (fault.kind == "wrong place" and thing.count > 1):
        reader.fail("'one of' before a place of several things, and only there")
    if fault.kind == "wrong color":
        return replace(fault, subject=replace(thing, color=str(fault.wanted)))
    return fault
