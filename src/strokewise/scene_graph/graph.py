"""Scene graphs: what a picture is meant to show, as a value.

A graph holds groups of equal things ("three green cups" is one object with count 3), relations between
groups and a background. This file knows when such a value contradicts itself, when two of them say the
same, and in which order one can be painted. It refuses to know which words exist
(the caller hands the vocabulary to `check_vocabulary`), where anything stands on a canvas, and how any of
it is said in English.

A relation between groups means every pair of their instances, and it is an order along one axis of the
canvas: "left of" and "right of" order x, "above" and "below" order y; one is the inverse of the other.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from strokewise.errors import SceneError
from strokewise.io.schema import checked

RELATIONS = ("left of", "right of", "above", "below")
INVERSE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
MAX_COUNT = 4  # of a thing that is requested or planned


@dataclass(frozen=True)
class Thing:
    """What a group of equal things looks like, apart from which one it is; no color means any color."""

    name: str
    color: str | None = None
    count: int = 1

    def __str__(self) -> str:
        """Return a short form for messages, such as "3 x green cup"."""
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
        """Return the same statement in the words "left of" or "above"."""
        if self.kind in ("right of", "below"):
            return Relation(self.target, INVERSE[self.kind], self.subject)
        return self


@dataclass(frozen=True)
class SceneGraph:
    """Objects, relations between them, and a background (None: any)."""

    objects: tuple[SceneObject, ...] = ()
    relations: tuple[Relation, ...] = ()
    background: str | None = None

    def __getitem__(self, object_id: str) -> SceneObject:
        """Return the object with this id; SceneError when there is none."""
        for obj in self.objects:
            if obj.id == object_id:
                return obj
        known = ", ".join(obj.id for obj in self.objects) or "none"
        raise SceneError(f"the scene has no object with id {object_id!r}; its ids: {known}")

    def validate(self, max_count: int = MAX_COUNT) -> None:
        """Raise SceneError when the graph contradicts itself.

        Args:
            max_count: the most of a thing; what a canvas shows may be more than can be requested.
        """
        _check_objects(self.objects, max_count)
        ids = {obj.id for obj in self.objects}
        for relation in self.relations:
            _check_relation(relation, ids)
        for word, kind in (("left of", "horizontal"), ("above", "vertical")):
            edges = [r for r in (r.forward() for r in self.relations) if r.kind == word]
            cycle = _find_cycle(edges)
            if cycle:
                looks = [Thing(self[i].name, self[i].color) for i in cycle]
                chain = f" {word} ".join(f"'{look}'" for look in looks)
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
        """Return whether both say the same; ids, orders and which of two inverse relations may differ."""
        if self.background != other.background or len(self.objects) != len(other.objects):
            return False
        mine, theirs = forward_triples(self.relations), forward_triples(other.relations)
        return len(mine) == len(theirs) and _can_map(self.objects, other.objects, mine, theirs, {})

    def subgraph(self, ids: Iterable[str]) -> SceneGraph:
        """Return the named objects in this graph's order, the relations among them, and the background."""
        wanted = set(ids)
        for object_id in sorted(wanted):
            _ = self[object_id]
        return SceneGraph(
            tuple(obj for obj in self.objects if obj.id in wanted),
            tuple(r for r in self.relations if r.subject in wanted and r.target in wanted),
            self.background,
        )

    def painting_order(self, rng: random.Random | None = None) -> tuple[str, ...]:
        """Return object ids such that a relation's target comes before its subject wherever that can be.

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
        """Return growing subgraphs, one object more each, in `painting_order`; the last one has all
        objects.
        """
        order = self.painting_order(rng)
        return tuple(self.subgraph(order[:size]) for size in range(1, len(order) + 1))

    def to_json(self) -> dict[str, Any]:
        """Return plain values with a fixed order of keys, so that equal graphs give equal bytes."""
        return {
            "objects": [
                {"id": o.id, "name": o.name, "color": o.color, "count": o.count} for o in self.objects
            ],
            "relations": [{"subject": r.subject, "kind": r.kind, "target": r.target} for r in self.relations],
            "background": self.background,
        }

    @classmethod
    def from_json(cls, value: object, max_count: int = MAX_COUNT) -> SceneGraph:
        """Return the valid graph that `to_json` wrote.

        Args:
            value: plain values.
            max_count: as in `validate`.

        Raises:
            SceneError: naming each field that is missing, unknown or of another type, or a contradiction.
        """
        data = checked(_StoredGraph, value, "a scene graph", SceneError)
        graph = cls(data.objects, data.relations, data.background)
        graph.validate(max_count)
        return graph


@dataclass(frozen=True)
class _StoredGraph:
    """A graph as JSON has it: its objects are stated even where there are none."""

    objects: tuple[SceneObject, ...]
    relations: tuple[Relation, ...] = ()
    background: str | None = None


def _check_objects(objects: tuple[SceneObject, ...], max_count: int) -> None:
    ids: set[str] = set()
    looks: set[tuple[str, str | None]] = set()
    for obj in objects:
        if not obj.id or not obj.name:
            raise SceneError(f"an object needs an id and a name: {obj}")
        if obj.id in ids:
            raise SceneError(f"two objects have the id {obj.id!r}")
        if not 1 <= obj.count <= max_count:
            raise SceneError(f"the count of {obj.name!r} must be 1 to {max_count}, not {obj.count}")
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
    """Return ids along a cycle, the first one again at the end; empty when there is none."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for edge in edges:
        sorter.add(edge.target, edge.subject)
    try:
        sorter.prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def forward_triples(relations: Iterable[Relation]) -> set[tuple[str, str, str]]:
    """Return the relations as (subject, "left of" or "above", target), each said once."""
    return {(r.subject, r.kind, r.target) for r in (r.forward() for r in relations)}


def _can_map(
    mine: tuple[SceneObject, ...],
    theirs: tuple[SceneObject, ...],
    my_triples: set[tuple[str, str, str]],
    their_triples: set[tuple[str, str, str]],
    mapping: dict[str, str],
) -> bool:
    """Return whether the rest of `mine` maps onto unused objects of `theirs` with all relations kept."""
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
