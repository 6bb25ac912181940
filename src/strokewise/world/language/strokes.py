"""Strokes: one change to a canvas, as a value, and what it does to a described scene.

This file knows what a change consists of and when it makes sense for a scene. It refuses to know how it is
said (`instructions`) and how it is painted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from strokewise.errors import SceneError
from strokewise.scene_graph import MAX_COUNT, RELATIONS, SceneGraph, SceneObject, Thing
from strokewise.world.language.descriptions import Description

STROKE_KINDS = ("add", "recolor", "recount", "swap", "remove", "background")


@dataclass(frozen=True)
class Beside:
    """A relation to a thing that is already on the canvas, such as ("left of", bus)."""

    kind: str
    target: Thing


@dataclass(frozen=True)
class Stroke:
    """One change to the canvas.

    kind: one of STROKE_KINDS.
    thing: what it is about: the thing added or removed, or the thing as it is before the change, with the
        count of instances concerned. None for "background".
    becomes: the thing after "recolor", "recount" or "swap"; else None.
    regions: where the instances are, one region each, or () to leave it open. For "recount" the places after
        the stroke (`becomes.count` of them), else `thing.count`.
    relation: where the thing stands beside another one; None to leave it open.
    background: the new background of "background"; else None.
    """

    kind: str
    thing: Thing | None = None
    becomes: Thing | None = None
    regions: tuple[str, ...] = ()
    relation: Beside | None = None
    background: str | None = None

    def validate(self) -> None:
        """Raise SceneError when the parts do not make one stroke."""
        if self.kind not in STROKE_KINDS:
            raise SceneError(f"unknown kind of stroke {self.kind!r}; kinds: {', '.join(STROKE_KINDS)}")
        is_background, changes = self.kind == "background", self.kind in ("recolor", "recount", "swap")
        if (self.thing is None) != is_background or (self.background is None) == is_background:
            raise SceneError(f"a {self.kind!r} stroke needs {'a background' if is_background else 'a thing'}")
        if (self.becomes is not None) != changes:
            raise SceneError(
                f"a {self.kind!r} stroke has {'to state the' if changes else 'no'} thing after it"
            )
        if is_background and (self.regions or self.relation):
            raise SceneError("a background has no place")
        if self.relation is not None and self.relation.kind not in RELATIONS:
            raise SceneError(f"unknown relation {self.relation.kind!r}; relations: {', '.join(RELATIONS)}")
        if self.thing is not None:
            self._check_change(self.thing, self.becomes)

    def _check_change(self, thing: Thing, becomes: Thing | None) -> None:
        may_differ = {"recolor": ("color",), "recount": ("count",), "swap": ("name", "color")}
        if becomes is not None:
            differ = {
                key for key in ("name", "color", "count") if getattr(thing, key) != getattr(becomes, key)
            }
            if not differ or not differ <= set(may_differ[self.kind]):
                raise SceneError(f"a {self.kind!r} stroke cannot turn '{thing}' into '{becomes}'")
            if self.kind == "recolor" and becomes.color is None:
                raise SceneError("a 'recolor' stroke needs a color")
        placed = becomes if becomes is not None and self.kind == "recount" else thing
        if self.regions and len(self.regions) != placed.count:
            raise SceneError(f"'{placed}' needs {placed.count} regions, not {len(self.regions)}")


class _Instance(NamedTuple):
    """One painted thing: its look, its region, and the id of the object it belongs to ("" for a new one)."""

    name: str
    color: str | None
    region: str
    id: str


def apply_stroke(stroke: Stroke, scene: Description) -> Description:
    """Return the scene as it is after a stroke; SceneError when the stroke does not fit the scene.

    A thing without color in the stroke means any thing of its class, if the scene has none without color.
    Things that look the same afterwards are one object. Relations are kept between objects that are still
    there; none is added, since the regions determine where everything stands.
    """
    stroke.validate()
    if stroke.thing is None:
        return replace(scene, graph=replace(scene.graph, background=stroke.background))
    instances = [
        _Instance(obj.name, obj.color, region, obj.id)
        for obj, regions in zip(scene.graph.objects, scene.regions, strict=True)
        for region in regions
    ]
    if stroke.kind == "add":
        if not stroke.regions:
            raise SceneError(f"the stroke does not say where '{stroke.thing}' is added")
        added = [_Instance(stroke.thing.name, stroke.thing.color, region, "") for region in stroke.regions]
        return _regroup([*instances, *added], scene.graph)
    chosen = _choose(instances, stroke, scene)
    return _regroup(_change(instances, chosen, stroke), scene.graph)


def _choose(instances: list[_Instance], stroke: Stroke, scene: Description) -> list[int]:
    """Return indexes of the instances a stroke is about."""
    thing = stroke.thing
    assert thing is not None
    same_class = [i for i, instance in enumerate(instances) if instance.name == thing.name]
    found = [i for i in same_class if instances[i].color == thing.color]
    if not found and thing.color is None:
        found = same_class
    if stroke.regions and stroke.kind != "recount":
        left = list(found)
        found = []
        for region in stroke.regions:
            match = next((i for i in left if instances[i].region == region), None)
            if match is not None:
                left.remove(match)
                found.append(match)
    if len(found) != thing.count:
        known = ", ".join(f"'{obj.thing}'" for obj in scene.graph.objects) or "nothing"
        raise SceneError(f"the stroke is about '{thing}', found {len(found)}; the scene has {known}")
    return found


def _change(instances: list[_Instance], chosen: list[int], stroke: Stroke) -> list[_Instance]:
    if stroke.kind == "remove":
        return [instance for i, instance in enumerate(instances) if i not in chosen]
    becomes = stroke.becomes
    assert becomes is not None
    if stroke.kind != "recount":
        return [
            instance._replace(name=becomes.name, color=becomes.color) if i in chosen else instance
            for i, instance in enumerate(instances)
        ]
    if not stroke.regions:
        raise SceneError(f"the stroke does not say where '{becomes}' are to be")
    first = instances[chosen[0]]
    placed = [first._replace(region=region) for region in stroke.regions]
    kept = [instance for i, instance in enumerate(instances) if i not in chosen]
    return kept[: chosen[0]] + placed + kept[chosen[0] :]


def _regroup(instances: Iterable[_Instance], before: SceneGraph) -> Description:
    """Return objects from instances of equal look, under the first id of theirs that is still free."""
    groups: dict[tuple[str, str | None], list[_Instance]] = {}
    for instance in instances:
        groups.setdefault((instance.name, instance.color), []).append(instance)
    used: set[str] = set()
    objects = []
    for (name, color), members in groups.items():
        ids = (member.id for member in members if member.id and member.id not in used)
        object_id = next(ids, None) or _fresh_id(used | {obj.id for obj in before.objects})
        used.add(object_id)
        objects.append(SceneObject(object_id, name, color, len(members)))
    relations = tuple(r for r in before.relations if r.subject in used and r.target in used)
    graph = SceneGraph(tuple(objects), relations, before.background)
    # A faulty canvas may show more of a thing than a stroke may lead to.
    graph.validate(max([MAX_COUNT, *(obj.count for obj in before.objects)]))
    return Description(graph, tuple(tuple(member.region for member in m) for m in groups.values()))


def _fresh_id(used: set[str]) -> str:
    return next(i for number in range(1, len(used) + 2) if (i := f"o{number}") not in used)
