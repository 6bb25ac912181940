"""Scene graphs: what a picture is meant to show, as a value.

A graph holds groups of equal things ("three green cups" is one object with count 3), relations between
groups and a background. This file knows when such a value contradicts itself, when two of them say the
same, how two of them differ, and in which order one can be painted. It refuses to know which words exist
(the caller hands the vocabulary to `check_vocabulary`), where anything stands on a canvas, and how any of
it is said in English.

A relation between groups means every pair of their instances, and it is an order along one axis of the
canvas: "left of" and "right of" order x, "above" and "below" order y; one is the inverse of the other.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from strokewise.errors import SceneError

RELATIONS = ("left of", "right of", "above", "below")
INVERSE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
MAX_COUNT = 4

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
class Thing:
    """What a group of equal things looks like, apart from which one it is; no color means any color."""

    name: str
    color: str | None = None
    count: int = 1

    def __str__(self) -> str:
        """A short form for messages, such as "3 x green cup"."""
        look = f"{self.color} {self.name}" if self.color else self.name
        return look if self.count == 1 else f"{self.count} x {look}"


@dataclass(frozen=True)
class SceneObject:
    """One group of equal things in a scene, known by its id within the graph."""

    id: str
    name: str
    color: str | None = None
    count: int = 1

    @property
    def thing(self) -> Thing:
        """The look of the group without its id."""
        return Thing(self.name, self.color, self.count)


@dataclass(frozen=True)
class Relation:
    """`subject` stands `kind` (one of RELATIONS) of `target`; both are object ids."""

    subject: str
    kind: str
    target: str

    def forward(self) -> Relation:
        """The same statement in the words "left of" or "above"."""
        if self.kind in ("right of", "below"):
            return Relation(self.target, INVERSE[self.kind], self.subject)
        return self


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
        """Whether there is any fault."""
        return bool(self.faults)

    def of_kind(self, kind: str) -> tuple[Fault, ...]:
        """The faults of one of FAULT_KINDS."""
        assert kind in FAULT_KINDS, kind
        return tuple(fault for fault in self.faults if fault.kind == kind)

    @property
    def missing(self) -> tuple[Fault, ...]:
        """Groups of which nothing was seen."""
        return self.of_kind("missing")

    @property
    def extra(self) -> tuple[Fault, ...]:
        """Things seen that nobody asked for."""
        return self.of_kind("extra")

    @property
    def wrong_color(self) -> tuple[Fault, ...]:
        """Instances of the right class in another color."""
        return self.of_kind("wrong color")

    @property
    def wrong_count(self) -> tuple[Fault, ...]:
        """Groups with too many or too few instances, but some."""
        return self.of_kind("wrong count")

    @property
    def wrong_relation(self) -> tuple[Fault, ...]:
        """Wanted relations between things that are there, which do not hold."""
        return self.of_kind("wrong relation")

    @property
    def wrong_background(self) -> tuple[Fault, ...]:
        """At most one fault: another background than the one asked for."""
        return self.of_kind("wrong background")

    @property
    def messages(self) -> tuple[str, ...]:
        """Every fault in words."""
        return tuple(fault.message for fault in self.faults)


@dataclass(frozen=True)
class SceneGraph:
    """Objects, relations between them, and a background (None: any)."""

    objects: tuple[SceneObject, ...] = ()
    relations: tuple[Relation, ...] = ()
    background: str | None = None

    def __getitem__(self, object_id: str) -> SceneObject:
        """The object with this id; SceneError when there is none."""
        for obj in self.objects:
            if obj.id == object_id:
                return obj
        known = ", ".join(obj.id for obj in self.objects) or "none"
        raise SceneError(f"the scene has no object with id {object_id!r}; its ids: {known}")

    def validate(self) -> None:
        """Raise SceneError when the graph contradicts itself."""
        _check_objects(self.objects)
        ids = {obj.id for obj in self.objects}
        for relation in self.relations:
            _check_relation(relation, ids)
        for word, kind in (("left of", "horizontal"), ("above", "vertical")):
            edges = [r for r in (r.forward() for r in self.relations) if r.kind == word]
            cycle = _find_cycle(edges)
            if cycle:
                chain = f" {word} ".join(f"{i!r}" for i in cycle)
                raise SceneError(f"contradictory {kind} relations: {chain}")

    def check_vocabulary(
        self, classes: Collection[str], colors: Collection[str], backgrounds: Collection[str]
    ) -> None:
        """Raise SceneError when a name, color or background is not among the given ones."""
        for obj in self.objects:
            if obj.name not in classes:
                raise SceneError(f"unknown class {obj.name!r} of object {obj.id!r}")
            if obj.color is not None and obj.color not in colors:
                raise SceneError(
                    f"unknown color {obj.color!r} of object {obj.id!r}; colors: {', '.join(colors)}"
                )
        if self.background is not None and self.background not in backgrounds:
            raise SceneError(f"unknown background {self.background!r}; backgrounds: {', '.join(backgrounds)}")

    def isomorphic(self, other: SceneGraph) -> bool:
        """Whether both say the same; ids, orders and the choice between a relation and its inverse are free."""
        if self.background != other.background or len(self.objects) != len(other.objects):
            return False
        mine, theirs = _forward_triples(self.relations), _forward_triples(other.relations)
        return len(mine) == len(theirs) and _can_map(self.objects, other.objects, mine, theirs, {})

    def diff(self, seen: SceneGraph) -> SceneDiff:
        """The faults of `seen` when this graph is wanted; see `diff`."""
        return diff(self, seen)

    def subgraph(self, ids: Iterable[str]) -> SceneGraph:
        """The named objects in this graph's order, the relations among them, and the background."""
        wanted = set(ids)
        for object_id in sorted(wanted):
            _ = self[object_id]
        return SceneGraph(
            tuple(obj for obj in self.objects if obj.id in wanted),
            tuple(r for r in self.relations if r.subject in wanted and r.target in wanted),
            self.background,
        )

    def painting_order(self, rng: random.Random | None = None) -> tuple[str, ...]:
        """Object ids such that a relation's target comes before its subject wherever that can be.

        So each object can be placed in relation to what is already there. Ties follow the graph's order, or
        `rng` when given.
        """
        waiting = {obj.id: {r.target for r in self.relations if r.subject == obj.id} for obj in self.objects}
        order: list[str] = []
        while waiting:
            # Relations on different axes may name each other as targets; then the fewest open ones go first.
            open_targets = {i: len(targets & waiting.keys()) for i, targets in waiting.items()}
            least = min(open_targets.values())
            ready = [i for i, number in open_targets.items() if number == least]
            chosen = rng.choice(ready) if rng else ready[0]
            order.append(chosen)
            del waiting[chosen]
        return tuple(order)

    def nested_subgraphs(self, rng: random.Random | None = None) -> tuple[SceneGraph, ...]:
        """Growing subgraphs, one object more each, in `painting_order`; the last one has all objects."""
        order = self.painting_order(rng)
        return tuple(self.subgraph(order[:size]) for size in range(1, len(order) + 1))

    def to_json(self) -> dict[str, Any]:
        """Plain values with a fixed order of keys, so that equal graphs give equal bytes."""
        return {
            "objects": [
                {"id": o.id, "name": o.name, "color": o.color, "count": o.count} for o in self.objects
            ],
            "relations": [{"subject": r.subject, "kind": r.kind, "target": r.target} for r in self.relations],
            "background": self.background,
        }

    @classmethod
    def from_json(cls, value: object) -> SceneGraph:
        """The valid graph that `to_json` wrote; SceneError on anything else."""
        data = _mapping(value, "a scene graph", {"objects", "relations", "background"}, {"objects"})
        graph = cls(
            tuple(_object_from_json(item) for item in _items(data, "objects")),
            tuple(_relation_from_json(item) for item in _items(data, "relations")),
            _text(data, "background", optional=True),
        )
        graph.validate()
        return graph


def diff(wanted: SceneGraph, seen: SceneGraph) -> SceneDiff:
    """All faults of `seen`, against what `wanted` asks for.

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


def _check_objects(objects: tuple[SceneObject, ...]) -> None:
    ids: set[str] = set()
    looks: set[tuple[str, str | None]] = set()
    for obj in objects:
        if not obj.id or not obj.name:
            raise SceneError(f"an object needs an id and a name: {obj}")
        if obj.id in ids:
            raise SceneError(f"two objects have the id {obj.id!r}")
        if not 1 <= obj.count <= MAX_COUNT:
            raise SceneError(f"the count of {obj.name!r} must be 1 to {MAX_COUNT}, not {obj.count}")
        if (obj.name, obj.color) in looks:
            # Texts and recognition know objects by their look only.
            look = Thing(obj.name, obj.color)
            raise SceneError(f"two objects are both '{look}'; make them one object with a count")
        ids.add(obj.id)
        looks.add((obj.name, obj.color))


def _check_relation(relation: Relation, ids: set[str]) -> None:
    if relation.kind not in RELATIONS:
        raise SceneError(f"unknown relation {relation.kind!r}; relations: {', '.join(RELATIONS)}")
    for object_id in (relation.subject, relation.target):
        if object_id not in ids:
            raise SceneError(f"a relation names the unknown object id {object_id!r}")
    if relation.subject == relation.target:
        raise SceneError(f"object {relation.subject!r} cannot stand {relation.kind} itself")


def _find_cycle(edges: list[Relation]) -> list[str]:
    """Ids along a cycle, the first one again at the end; empty when there is none."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for edge in edges:
        sorter.add(edge.target, edge.subject)
    try:
        sorter.prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _forward_triples(relations: Iterable[Relation]) -> set[tuple[str, str, str]]:
    return {(r.subject, r.kind, r.target) for r in (r.forward() for r in relations)}


def _can_map(
    mine: tuple[SceneObject, ...],
    theirs: tuple[SceneObject, ...],
    my_triples: set[tuple[str, str, str]],
    their_triples: set[tuple[str, str, str]],
    mapping: dict[str, str],
) -> bool:
    """Whether the rest of `mine` can be mapped onto unused objects of `theirs` with all relations kept."""
    if len(mapping) == len(mine):
        return True
    obj = mine[len(mapping)]
    for candidate in theirs:
        if candidate.thing != obj.thing or candidate.id in mapping.values():
            continue
        mapping[obj.id] = candidate.id
        known = [t for t in my_triples if t[0] in mapping and t[2] in mapping]
        if all((mapping[a], kind, mapping[b]) in their_triples for a, kind, b in known) and _can_map(
            mine, theirs, my_triples, their_triples, mapping
        ):
            return True
        del mapping[obj.id]
    return False


def _diff_class(
    wanted: list[SceneObject], seen: list[SceneObject], matches: dict[str, list[str]]
) -> list[Fault]:
    """Faults among objects of one class; fills `matches` with the seen ids that serve each wanted object."""
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
    """Unmatched instances that are too many of a wanted look; they leave `left`, the rest is extra."""
    surplus = {obj.id: 0 for obj in wanted}
    for source in seen:
        owners = [obj for obj in wanted if obj.color == source.color]
        owners += [obj for obj in wanted if obj.color is None]
        if owners:
            surplus[owners[0].id] += left[source.id]
            left[source.id] = 0
    return surplus


def _diff_relations(wanted: SceneGraph, seen: SceneGraph, matches: dict[str, list[str]]) -> list[Fault]:
    holding = _closure(_forward_triples(seen.relations))

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
    """All relations that follow from the given ones along each axis."""
    closed = set(triples)
    while True:
        new = {(a, k, d) for a, k, b in closed for c, kind, d in triples if b == c and k == kind} - closed
        if not new:
            return closed
        closed |= new


def _mapping(value: object, what: str, known: set[str], needed: set[str]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SceneError(f"{what} must be a JSON object, not {type(value).__name__}")
    unknown = sorted(str(key) for key in value if key not in known)
    if unknown:
        raise SceneError(f"{what} has unknown keys: {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    missing = sorted(key for key in needed if key not in value)
    if missing:
        raise SceneError(f"{what} lacks: {', '.join(missing)}")
    return value


def _items(data: Mapping[str, Any], key: str) -> list[Any]:
    value = data.get(key, [])
    if not isinstance(value, list | tuple):
        raise SceneError(f"{key!r} must be a list, not {type(value).__name__}")
    return list(value)


def _text(data: Mapping[str, Any], key: str, optional: bool = False) -> Any:
    value = data.get(key)
    if isinstance(value, str) or (optional and value is None):
        return value
    raise SceneError(f"{key!r} must be text{' or null' if optional else ''}, not {value!r}")


def _object_from_json(value: object) -> SceneObject:
    data = _mapping(value, "an object", {"id", "name", "color", "count"}, {"id", "name"})
    count = data.get("count", 1)
    if not isinstance(count, int) or isinstance(count, bool):
        raise SceneError(f"'count' must be a whole number, not {count!r}")
    return SceneObject(_text(data, "id"), _text(data, "name"), _text(data, "color", optional=True), count)


def _relation_from_json(value: object) -> Relation:
    keys = {"subject", "kind", "target"}
    data = _mapping(value, "a relation", keys, keys)
    return Relation(_text(data, "subject"), _text(data, "kind"), _text(data, "target"))
