"""Checks: an inspection's items one by one, each restated and judged, before the verdict on the whole.

A verdict on everything at once is a single decision that must compare two lists; here each item stands beside
its own judgment. Knows how items are worded and read. It refuses to judge them (the oracle does).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from strokewise.scene_graph import Thing
from strokewise.world.language import english as en
from strokewise.world.language.reader import Reader

FITS, FAILS, EXTRA = "fits", "does not fit", "not wanted"


@dataclass(frozen=True)
class CheckItem:
    """What one check is about.

    Attributes:
        thing: it, or the subject of a relation; None for the background.
        regions: one for each instance; () where its place is not at issue.
        kind: the relation that is checked, or the background's name where ``thing`` is None; "" for none.
        target: of the relation.
        target_regions: as ``regions``.
    """

    thing: Thing | None
    regions: tuple[str, ...] = ()
    kind: str = ""
    target: Thing | None = None
    target_regions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    """An item and its judgment: one of ``FITS``, ``FAILS`` and ``EXTRA``."""

    item: CheckItem
    judgment: str


def write_checks(head: str, checks: Sequence[Check]) -> str:
    """Return the checks as one sentence without its full stop; SceneError where an item has no words."""
    return f"{head} {'; '.join(f'{_write_item(check.item)}: {check.judgment}' for check in checks)}"


def read_checks(reader: Reader) -> tuple[Check, ...]:
    """Return what follows the head of `write_checks`; LanguageError saying what was not understood."""
    checks = [_read_check(reader)]
    while reader.accept(";"):
        checks.append(_read_check(reader))
    return tuple(checks)


def _write_item(item: CheckItem) -> str:
    if item.thing is None:
        return en.background_phrase(item.kind)
    text = _placed(item.thing, item.regions)
    return text if item.target is None else f"{text}, {item.kind} {_placed(item.target, item.target_regions)}"


def _placed(thing: Thing, regions: tuple[str, ...]) -> str:
    return " ".join(filter(None, (en.indefinite(thing), en.place(regions))))


def _read_check(reader: Reader) -> Check:
    background = reader.background()
    item = _read_item(reader) if background is None else CheckItem(None, kind=background)
    reader.expect(":")
    return Check(item, reader.expect(FITS, FAILS, EXTRA))


def _read_item(reader: Reader) -> CheckItem:
    thing = reader.thing()
    item = CheckItem(thing, reader.place(thing.count))
    if not reader.accept(","):
        return item
    kind = reader.relation()
    if kind is None:
        reader.fail("a relation, such as 'left of'")
    target = reader.thing()
    return CheckItem(thing, item.regions, kind, target, reader.place(target.count))
