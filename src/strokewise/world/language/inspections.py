"""Inspections: verdicts on a plan and on a sketch, in words and back.

This file knows how faults are worded: what a plan *should* say, and what a sketch *shows* instead. It refuses
to find faults (`scene_graph.diff` and the recognizer do) or to repair them (`repairs` does).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

from strokewise.errors import LanguageError, SceneError
from strokewise.scene_graph import Fault, Thing
from strokewise.world.language import english as en
from strokewise.world.language import fault_phrases as phrases
from strokewise.world.language.checks import Check, read_checks, write_checks
from strokewise.world.language.descriptions import (
    Description,
    in_reading_order,
    parse_description,
    parse_seen,
    read_description,
    write_description,
    write_seen,
)
from strokewise.world.language.reader import Reader
from strokewise.world.vocabulary import MAX_INSTANCES

PLAN_FITS = ("the plan fits the prompt", "the plan agrees with the prompt")
PLAN_FAILS = ("the plan contradicts the prompt:", "the plan does not fit the prompt:")
PENDING = "still to come:"
SEEN = "the sketch shows:"
# Heads of the checks: items of the prompt in the plan, items of the plan on the sketch.
PROMPT_ITEMS, PLAN_ITEMS = "prompt:", "plan:"
SKETCH_FITS = ("the sketch shows the plan", "the sketch agrees with the plan")


@dataclass(frozen=True)
class Inspection:
    """What an inspection found.

    plan: faults of the plan against the prompt; () when it fits, None when it was not judged.
    sketch: faults of the sketch against the plan, likewise.
    pending: things of the prompt that are not painted yet and were not due, which is no fault.
    pending_background: a background that is still to come, if any.
    seen: what the sketch shows, stated before anything is judged; None when only verdicts are stated.
    prompt_checks: items of the prompt and of the plan judged one by one before the verdict on the plan.
    plan_checks: items of the plan and of the sketch judged one by one before the verdict on the sketch.
    """

    plan: tuple[Fault, ...] | None = ()
    sketch: tuple[Fault, ...] | None = ()
    pending: tuple[Thing, ...] = ()
    pending_background: str | None = None
    seen: Description | None = None
    prompt_checks: tuple[Check, ...] = ()
    plan_checks: tuple[Check, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.plan and not self.sketch


class InspectionParts(NamedTuple):
    """The sentences of an inspection by what they are about, each with its full stop; "" where it has none.

    seen: what the sketch shows.
    prompt_items: the checks before the verdict on the plan.
    plan: the verdict on the plan, perhaps with what is still to come ("...; a bus is still to come.").
    pending: what is still to come, where that is a sentence of its own.
    plan_items: the checks before the verdict on the sketch.
    sketch: the verdict on the sketch.
    """

    seen: str = ""
    prompt_items: str = ""
    plan: str = ""
    pending: str = ""
    plan_items: str = ""
    sketch: str = ""

    @property
    def of_plan(self) -> str:
        """What needs no look at the sketch: the verdict on the plan, and what is still to come."""
        return " ".join(filter(None, (self.prompt_items, self.plan, self.pending)))

    @property
    def of_sketch(self) -> str:
        """The checks and the verdict on the sketch, without what it shows."""
        return " ".join(filter(None, (self.plan_items, self.sketch)))

    @property
    def text(self) -> str:
        """The whole inspection."""
        return " ".join(filter(None, self))


def write_inspection(inspection: Inspection, rng: random.Random) -> InspectionParts:
    """Return the inspection in one to six sentences, by what they are about; `.text` is the whole of it.

    `parse_inspection` of the text gives back an equal inspection, except that counts above four in faults
    are all read as five, and what is seen as an isomorphic graph.

    Raises:
        SceneError: on faults for which there are no words.
    """
    if inspection.plan is None and inspection.sketch is None:
        raise SceneError("an inspection judges the plan, the sketch or both")
    plan, later, seen, sketch = "", "", "", ""
    prompt_items = write_checks(PROMPT_ITEMS, inspection.prompt_checks) if inspection.prompt_checks else ""
    plan_items = write_checks(PLAN_ITEMS, inspection.plan_checks) if inspection.plan_checks else ""
    pending = [en.indefinite(thing) for thing in inspection.pending]
    if inspection.pending_background is not None:
        pending.append(en.background_phrase(inspection.pending_background))
    if inspection.plan is not None:
        plan = _plan_sentence(inspection.plan, rng)
        if pending and not inspection.plan and rng.random() < 0.5:
            plan += f"; {_coming(inspection, pending)}"
            pending = []
    if pending:
        later = f"{PENDING} {', '.join(pending)}"
    if inspection.seen is not None:
        seen = f"{SEEN} {write_description(inspection.seen, rng).removesuffix('.')}"
    if inspection.sketch is not None:
        sketch = _sketch_sentence(inspection.sketch, rng)
    written = (seen, prompt_items, plan, later, plan_items, sketch)
    return InspectionParts(*(f"{part}." if part else "" for part in written))


def seen_text(description: str) -> str:
    """Return the sentence that a description of the sketch, with its full stop, makes of itself in an
    inspection.

    Equal things that it lists one by one are put together, as plans have them; a text outside the language
    stays as it is.
    """
    try:
        seen = in_reading_order(parse_seen(description))
        return f"{SEEN} {write_description(seen, en.PlainWording())}"
    except (LanguageError, SceneError):
        return f"{SEEN} {description}"


def listed_text(description: str) -> str:
    """Return a planned description thing by thing, as a canvas that shows it is described; else as it
    stands.
    """
    try:
        return write_seen(parse_description(description))
    except (LanguageError, SceneError):
        return description


def listed_seen(seen: str) -> str:
    """Return what an inspection says that the sketch shows, thing by thing, as a look at the canvas writes
    it.

    Raises:
        LanguageError: saying what was not understood.
        SceneError: if the description is not valid.
    """
    return write_seen(parse_seen(seen.removeprefix(SEEN)))


def parse_inspection(text: str) -> Inspection:
    """Return the inspection that a text states; LanguageError saying what was not understood."""
    return _read(Reader(text))[0]


def split_inspection(text: str) -> InspectionParts:
    """Return the sentences of an inspection by what they are about; LanguageError as for `parse_inspection`.

    Sentences come back as they stand in the text; `split_inspection(parts.text)` equals `parts` for what
    `write_inspection` wrote.
    """
    return _read(Reader(text))[1]


def _read(reader: Reader) -> tuple[Inspection, InspectionParts]:
    plan: tuple[Fault, ...] | None = None
    sketch: tuple[Fault, ...] | None = None
    pending: tuple[list[Thing], list[str]] = ([], [])
    seen: Description | None = None
    checks: dict[str, tuple[Check, ...]] = {PROMPT_ITEMS: (), PLAN_ITEMS: ()}
    sentences: dict[str, str] = {}
    while not reader.done:
        start = reader.position
        if not checks[PROMPT_ITEMS] and reader.accept(PROMPT_ITEMS):
            part, checks[PROMPT_ITEMS] = "prompt_items", read_checks(reader)
        elif not checks[PLAN_ITEMS] and reader.accept(PLAN_ITEMS):
            part, checks[PLAN_ITEMS] = "plan_items", read_checks(reader)
        elif plan is None and reader.at("the plan"):
            part, plan = "plan", _read_plan(reader, pending)
        elif not any(pending) and reader.accept(PENDING):
            part = "pending"
            _read_pending(reader, pending, until="")
        elif seen is None and reader.accept(SEEN):
            part, seen = "seen", read_description(reader, MAX_INSTANCES)
        elif sketch is None and reader.at("the sketch"):
            part, sketch = "sketch", _read_sketch(reader)
        else:
            reader.fail("'the plan ...', 'still to come: ...' or 'the sketch ...', each once")
        has_stop = reader.accept(".") is not None
        sentences[part] = reader.text_since(start)
        if not has_stop:
            break
    reader.end()
    if plan is None and sketch is None:
        raise LanguageError("not understood: the text judges neither the plan nor the sketch")
    things, backgrounds = pending
    if len(backgrounds) > 1:
        raise LanguageError("not understood: more than one background is still to come")
    background = backgrounds[0] if backgrounds else None
    found = Inspection(
        plan, sketch, tuple(things), background, seen, checks[PROMPT_ITEMS], checks[PLAN_ITEMS]
    )
    return found, InspectionParts(**sentences)


def _plan_sentence(faults: tuple[Fault, ...], rng: random.Random) -> str:
    if not faults:
        return rng.choice(PLAN_FITS)
    return f"{rng.choice(PLAN_FAILS)} {'; '.join(phrases.write_expectation(fault) for fault in faults)}"


def _sketch_sentence(faults: tuple[Fault, ...], rng: random.Random) -> str:
    if not faults:
        return rng.choice(SKETCH_FITS)
    return "the sketch " + "; it ".join(phrases.write_observation(fault) for fault in faults)


def _coming(inspection: Inspection, pending: list[str]) -> str:
    number = sum(thing.count for thing in inspection.pending) + (inspection.pending_background is not None)
    return f"{en.listing(pending)} {'is' if number == 1 else 'are'} still to come"


def _read_plan(reader: Reader, pending: tuple[list[Thing], list[str]]) -> tuple[Fault, ...]:
    if reader.accept(*PLAN_FITS):
        if reader.accept(";"):
            _read_pending(reader, pending, until="still to come")
        return ()
    reader.expect(*PLAN_FAILS, *PLAN_FITS)
    faults = [phrases.read_expectation(reader)]
    while reader.accept(";"):
        faults.append(phrases.read_expectation(reader))
    return tuple(faults)


def _read_sketch(reader: Reader) -> tuple[Fault, ...]:
    if reader.accept(*SKETCH_FITS):
        return ()
    reader.expect("the sketch")
    faults = [phrases.read_observation(reader)]
    while reader.accept(";"):
        reader.accept("it")
        faults.append(phrases.read_observation(reader))
    return tuple(faults)


def _read_pending(reader: Reader, pending: tuple[list[Thing], list[str]], until: str) -> None:
    """Read "a bus, two cups and a sky background", then the verb and the words `until`, if there are any."""
    things, backgrounds = pending
    while True:
        background = reader.background()
        if background is not None:
            backgrounds.append(background)
        else:
            things.append(reader.thing())
        if not reader.accept(", and", ",", "and"):
            break
    if until:
        reader.expect("is", "are")
        reader.expect(until)
