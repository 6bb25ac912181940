"""Inspections: verdicts on a plan and on a sketch, in words and back.

This file knows how faults are told: what a plan *should* say, and what a sketch *shows* instead. It refuses
to find faults (`scene_graph.diff` and the recogniser do) or to repair them (`repairs` does).
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from strokewise.errors import LanguageError, SceneError
from strokewise.scene_graph import Fault, Thing
from strokewise.world.language import english as en
from strokewise.world.language import fault_phrases as phrases
from strokewise.world.language.descriptions import Description, read_description, write_description
from strokewise.world.language.reader import Reader

PLAN_FITS = ("the plan fits the prompt", "the plan agrees with the prompt")
PLAN_FAILS = ("the plan contradicts the prompt:", "the plan does not fit the prompt:")
SEEN = "the sketch shows:"
SKETCH_FITS = ("the sketch shows the plan", "the sketch agrees with the plan")


@dataclass(frozen=True)
class Inspection:
    """What an inspection found.

    plan: faults of the plan against the prompt; () when it fits, None when it was not judged.
    sketch: faults of the sketch against the plan, likewise.
    pending: things of the prompt that are not painted yet and were not due, which is no fault.
    pending_background: a background that is still to come, if any.
    seen: what the sketch shows, told before it is judged; None when only the verdict is told.
    """

    plan: tuple[Fault, ...] | None = ()
    sketch: tuple[Fault, ...] | None = ()
    pending: tuple[Thing, ...] = ()
    pending_background: str | None = None
    seen: Description | None = None

    @property
    def accepted(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.plan and not self.sketch


def write_inspection(inspection: Inspection, rng: random.Random) -> str:
    """The verdict in one to four sentences; SceneError on faults that cannot be told.

    `parse_inspection` gives back an equal inspection, but that counts above four are all read as five, and
    what is seen as an isomorphic graph.
    """
    if inspection.plan is None and inspection.sketch is None:
        raise SceneError("an inspection judges the plan, the sketch or both")
    sentences = []
    pending = [en.indefinite(thing) for thing in inspection.pending]
    if inspection.pending_background is not None:
        pending.append(en.background_phrase(inspection.pending_background))
    if inspection.plan is not None:
        sentences.append(_plan_sentence(inspection.plan, rng))
        if pending and not inspection.plan and rng.random() < 0.5:
            sentences[-1] += f"; {_coming(inspection, pending)}"
            pending = []
    if pending:
        sentences.append(f"still to come: {', '.join(pending)}")
    if inspection.seen is not None:
        sentences.append(f"{SEEN} {write_description(inspection.seen, rng).removesuffix('.')}")
    if inspection.sketch is not None:
        sentences.append(_sketch_sentence(inspection.sketch, rng))
    return ". ".join(sentences) + "."


@dataclass(frozen=True)
class InspectionParts:
    """The sentences of an inspection as they were written, by what they are about; "" where there are none.

    plan: the verdict on the plan, and what is still to come.
    seen: what the sketch shows.
    sketch: the verdict on the sketch.
    """

    plan: str = ""
    seen: str = ""
    sketch: str = ""


def parse_inspection(text: str) -> Inspection:
    """The verdict of a text; LanguageError saying what was not understood."""
    return _read_inspection(text)[0]


def split_inspection(text: str) -> InspectionParts:
    """The parts of a text that is an inspection; LanguageError saying what was not understood."""
    return _read_inspection(text)[1]


def _read_inspection(text: str) -> tuple[Inspection, InspectionParts]:
    reader = Reader(text)
    # Where each word that the reader counts begins in the text, and where the text ends.
    starts = [*(match.start() for match in re.finditer(r"\w+|[^\w\s]", text)), len(text)]
    parts: dict[str, list[str]] = {"plan": [], "seen": [], "sketch": []}
    plan: tuple[Fault, ...] | None = None
    sketch: tuple[Fault, ...] | None = None
    pending: tuple[list[Thing], list[str]] = ([], [])
    seen: Description | None = None
    while not reader.done:
        first, about = reader.position, "plan"
        if plan is None and reader.at("the plan"):
            plan = _read_plan(reader, pending)
        elif not any(pending) and reader.accept("still to come:"):
            _read_pending(reader, pending, until="")
        elif seen is None and reader.accept(SEEN):
            seen, about = read_description(reader), "seen"
        elif sketch is None and reader.at("the sketch"):
            sketch, about = _read_sketch(reader), "sketch"
        else:
            reader.fail("'the plan ...', 'still to come: ...' or 'the sketch ...', each once")
        stopped = reader.accept(".")
        parts[about].append(text[starts[first] : starts[reader.position]].strip())
        if not stopped:
            break
    reader.end()
    if plan is None and sketch is None:
        raise LanguageError("not understood: the text judges neither the plan nor the sketch")
    things, backgrounds = pending
    if len(backgrounds) > 1:
        raise LanguageError("not understood: more than one background is still to come")
    background = backgrounds[0] if backgrounds else None
    found = Inspection(plan, sketch, tuple(things), background, seen)
    return found, InspectionParts(**{name: " ".join(sentences) for name, sentences in parts.items()})


def _plan_sentence(faults: tuple[Fault, ...], rng: random.Random) -> str:
    if not faults:
        return rng.choice(PLAN_FITS)
    return f"{rng.choice(PLAN_FAILS)} {'; '.join(phrases.write_wish(fault) for fault in faults)}"


def _sketch_sentence(faults: tuple[Fault, ...], rng: random.Random) -> str:
    if not faults:
        return rng.choice(SKETCH_FITS)
    return "the sketch " + "; it ".join(phrases.write_sight(fault) for fault in faults)


def _coming(inspection: Inspection, pending: list[str]) -> str:
    number = sum(thing.count for thing in inspection.pending) + (inspection.pending_background is not None)
    return f"{en.listing(pending)} {'is' if number == 1 else 'are'} still to come"


def _read_plan(reader: Reader, pending: tuple[list[Thing], list[str]]) -> tuple[Fault, ...]:
    if reader.accept(*PLAN_FITS):
        if reader.accept(";"):
            _read_pending(reader, pending, until="still to come")
        return ()
    reader.expect(*PLAN_FAILS, *PLAN_FITS)
    faults = [phrases.read_wish(reader)]
    while reader.accept(";"):
        faults.append(phrases.read_wish(reader))
    return tuple(faults)


def _read_sketch(reader: Reader) -> tuple[Fault, ...]:
    if reader.accept(*SKETCH_FITS):
        return ()
    reader.expect("the sketch")
    faults = [phrases.read_sight(reader)]
    while reader.accept(";"):
        reader.accept("it")
        faults.append(phrases.read_sight(reader))
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
