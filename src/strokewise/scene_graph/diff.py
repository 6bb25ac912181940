"""How a seen scene differs from a wanted one, as values.

This file matches the objects of two graphs and names every fault. It refuses to know how either graph came
about (a prompt, a plan, a picture), and what is to be done about a fault.
"""

from __future__ import annotations

from dataclasses import dataclass

from strokewise.scene_graph.graph import (
    INVERSE,
    RELATIONS,
    Relation,
    SceneGraph,
    SceneObject,
    Thing,
    forward_triples,
)

FAULT_KINDS = (
    "missing",
    "extra",
    "wrong color",
    "wrong count",
    "wrong place",
    "wrong relation",
    "wrong background",
)


@dataclass(frozen=True)
class Fault:
    """One difference between a wanted and a seen scene.

    subject: the thing it is about. For "extra" this is the seen thing, else the wanted one. For "missing",
        "extra" and "wrong color" its count is the number of instances concerned, else that of the group.
    target: for "wrong relation", the wanted thing that the subject should stand beside.
    wanted, seen: colors, counts, region names, relation kinds or background names, by kind; `seen` is None
        where nothing definite stands in its place.
    """

    kind: str
    subject: Thing | None = None
    target: Thing | None = None
    wanted: str | int | None = None
    seen: str | int | None = None

    @property
    def message(self) -> str:
        """The fault in words, for people and logs."""
        if self.kind in ("missing", "extra"):
            return f"{self.kind}: {self.subject}"
        seen = "none" if self.seen is None else self.seen
        if self.kind == "wrong background":
            return f"wrong background: wanted {self.wanted}, seen {seen}"
        if self.kind == "wrong relation":
            return f"wrong relation: wanted {self.subject} {self.wanted} {self.target}, seen {seen}"
        return f"{self.kind} of {self.subject}: wanted {self.wanted}, seen {seen}"


@dataclass(frozen=True)
class SceneDiff:
    """All faults of a seen scene against a wanted one; false when there is none."""

    faults: tuple[Fault, ...] = ()

    def __bool__(self) -> bool:
        """Return whether there is any fault."""
        return bool(self.faults)

    def of_kind(self, kind: str) -> tuple[Fault, ...]:
        """Return the faults of one of FAULT_KINDS."""
        assert kind in FAULT_KINDS, kind
        return tuple(fault for fault in self.faults if fault.kind == kind)

    @property
    def missing(self) -> tuple[Fault, ...]:
        """Groups of which nothing was seen."""
        return self.of_kind("missing")

    @property
    def extra(self) -> tuple[Fault, ...]:
        """Things seen that are not wanted."""
        return self.of_kind("extra")

    @property
    def messages(self) -> tuple[str, ...]:
        """Every fault in words."""
        return tuple(fault.message for fault in self.faults)


def diff(wanted: SceneGraph, seen: SceneGraph) -> SceneDiff:
    """Return all faults of `seen`, against `wanted`.

    Instances of a class are matched so that as many as possible are right in class and color. A wanted object
    without color takes any. Relations are judged only between objects of which something was seen, and may
    follow from others in `seen` (left of b, b left of c). What `wanted` leaves open is never a fault.
    """
    matches: dict[str, list[str]] = {obj.id: [] for obj in wanted.objects}
    faults: list[Fault] = []
    names = dict.fromkeys(obj.name for obj in (*wanted.objects, *seen.objects))
    for name in names:
        mine = [obj for obj in wanted.objects if obj.name == name]
        theirs = [obj for obj in seen.objects if obj.name == name]
        faults += _diff_class(mine, theirs, matches)
    faults += _diff_relations(wanted, seen, matches)
    if wanted.background is not None and wanted.background != seen.background:
        faults.append(Fault("wrong background", wanted=wanted.background, seen=seen.background))
    return SceneDiff(tuple(sorted(faults, key=lambda fault: FAULT_KINDS.index(fault.kind))))


def _diff_class(
    wanted: list[SceneObject], seen: list[SceneObject], matches: dict[str, list[str]]
) -> list[Fault]:
    """Return faults among objects of one class; fills `matches` with the seen ids that serve each wanted
    object.
    """
    left = {obj.id: obj.count for obj in seen}
    taken = {obj.id: 0 for obj in wanted}
    faults: list[Fault] = []

    def take(obj: SceneObject, source: SceneObject) -> int:
        number = max(0, min(obj.count - taken[obj.id], left[source.id]))
        left[source.id] -= number
        taken[obj.id] += number
        if number and source.id not in matches[obj.id]:
            matches[obj.id].append(source.id)
        return number

    for obj in wanted:
        for source in seen:
            if obj.color == source.color:
                take(obj, source)
    for obj in wanted:
        if obj.color is None:
            for source in seen:
                take(obj, source)
    for obj in wanted:
        for source in seen:
            if obj.color is not None and (number := take(obj, source)):
                subject = Thing(obj.name, obj.color, number)
                faults.append(Fault("wrong color", subject, wanted=obj.color, seen=source.color))
    surplus = _spread_surplus(wanted, seen, left)
    for obj in wanted:
        number = taken[obj.id] + surplus[obj.id]
        if number == 0:
            faults.append(Fault("missing", obj.thing))
        elif number != obj.count:
            faults.append(Fault("wrong count", obj.thing, wanted=obj.count, seen=number))
    faults += [Fault("extra", Thing(obj.name, obj.color, left[obj.id])) for obj in seen if left[obj.id] > 0]
    return faults


def _spread_surplus(
    wanted: list[SceneObject], seen: list[SceneObject], left: dict[str, int]
) -> dict[str, int]:
    """Return unmatched instances that are too many of a wanted look; they leave `left`, the rest is extra."""
    surplus = {obj.id: 0 for obj in wanted}
    for source in seen:
        owners = [obj for obj in wanted if obj.color == source.color]
        owners += [obj for obj in wanted if obj.color is None]
        if owners:
            surplus[owners[0].id] += left[source.id]
            left[source.id] = 0
    return surplus


def _diff_relations(wanted: SceneGraph, seen: SceneGraph, matches: dict[str, list[str]]) -> list[Fault]:
    holding = _closure(forward_triples(seen.relations))

    def holds(subject: str, kind: str, target: str) -> bool:
        pairs = [Relation(a, kind, b).forward() for a in matches[subject] for b in matches[target]]
        return all((r.subject, r.kind, r.target) in holding for r in pairs)

    faults = []
    for relation in wanted.relations:
        subject, kind, target = relation.subject, relation.kind, relation.target
        if matches[subject] and matches[target] and not holds(subject, kind, target):
            others = (INVERSE[kind], *(other for other in RELATIONS if other not in (kind, INVERSE[kind])))
            instead = next((other for other in others if holds(subject, other, target)), None)
            fault = Fault("wrong relation", wanted[subject].thing, wanted[target].thing, kind, instead)
            faults.append(fault)
    return faults


def _closure(triples: set[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
    """Return all relations that follow from the given ones along each axis."""
    closed = set(triples)
    while True:
        new = {(a, k, d) for a, k, b in closed for c, kind, d in triples if b == c and k == kind} - closed
        if not new:
            return closed
        closed |= new
