"""Inspections of the sprite world as a text and its verdict, both ways.

Knows the language and the values that are stored. It refuses to know whether an inspection is right
(``oracle``).
"""

import random

from strokewise.errors import LanguageError
from strokewise.trajectory.values import Message, Verdict
from strokewise.world.language import (
    Inspection,
    InspectionParts,
    parse_inspection,
    split_inspection,
    write_inspection,
)


def word_inspection(inspection: Inspection, rng: random.Random) -> tuple[str, Verdict]:
    """Return an inspection in words, and as values."""
    parts = write_inspection(inspection, rng)
    return parts.text, _verdict(inspection, parts)


def read_verdict(message: Message) -> Verdict | None:
    """Return the verdict of a message's inspection; None where it is in other words than the language's."""
    try:
        return _verdict(parse_inspection(message.inspect), split_inspection(message.inspect))
    except LanguageError:
        return None


def _verdict(inspection: Inspection, parts: InspectionParts) -> Verdict:
    plan, sketch = inspection.plan, inspection.sketch
    fits, shows = (None if faults is None else not faults for faults in (plan, sketch))
    return Verdict(fits, shows, parts.of_plan, parts.seen)
