"""Repairs: the strokes that turn one described scene into another.

This file knows which changes are needed and in which order they can be made. It refuses to know why the
scenes differ and how the strokes are said.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import NamedTuple

from strokewise.scene_graph import MAX_COUNT, SceneGraph, Thing
from strokewise.world.language.descriptions import Description
from strokewise.world.language.strokes import Beside, Stroke


class _Instance(NamedTuple):
    name: str
    color: str | None
    region: str


class _Changes(NamedTuple):
    removed: list[_Instance]
    recolored: list[tuple[_Instance, _Instance]]
    added: list[_Instance]


def repair(wanted: Description, seen: Description) -> tuple[Stroke, ...]:
    """Return strokes that lead from `seen` to a scene without faults against `wanted`; () when there are
    none.

    What stands in the right place in the wrong color is recolored; what is in another place is removed and
    added anew, with a relation if the wanted graph has one to a thing that is there. All strokes have
    places. A wanted object without color takes any color if it is the only one of its class.
    """
    changes = _match(_instances(wanted), _instances(seen), _free_classes(wanted.graph))
    recolors = _order_recolors(changes, _instances(seen))
    strokes = [Stroke("remove", thing, None, regions) for thing, regions in _group(changes.removed)]
    strokes += recolors
    moved = {_look(instance) for instance in changes.added}
    for thing, regions in _group(changes.added):
        relation = _relation(wanted.graph, thing, seen.graph, moved)
        strokes.append(Stroke("add", thing, None, regions, relation))
    background = wanted.graph.background
    if background is not None and background != seen.graph.background:
        strokes.append(Stroke("background", background=background))
    return tuple(strokes)


def _instances(scene: Description) -> list[_Instance]:
    return [
        _Instance(obj.name, obj.color, region)
        for obj, regions in zip(scene.graph.objects, scene.regions, strict=True)
        for region in regions
    ]


def _free_classes(graph: SceneGraph) -> set[str]:
    """Return classes of which any color will do."""
    names = [obj.name for obj in graph.objects]
    return {obj.name for obj in graph.objects if obj.color is None and names.count(obj.name) == 1}


def _match(wanted: list[_Instance], seen: list[_Instance], free: set[str]) -> _Changes:
    left = list(seen)
    open_ones = []
    for want in wanted:
        right = next((s for s in left if s == want or (s.name in free and _at_same(s, want))), None)
        if right is None:
            open_ones.append(want)
        else:
            left.remove(right)
    recolored, added = [], []
    for want in open_ones:
        other = next((s for s in left if _at_same(s, want)), None) if want.color is not None else None
        if other is None:
            added.append(want)
        else:
            left.remove(other)
            recolored.append((other, want))
    return _Changes(left, recolored, added)


def _order_recolors(changes: _Changes, seen: list[_Instance]) -> list[Stroke]:
    """Return the recolorings in an order that never makes more than four of a look.

    Where there is none (four red and four blue ones to be exchanged), some become removed and added.
    """
    waiting = [
        (thing, replace(thing, color=color), regions)
        for color in dict.fromkeys(after.color for _, after in changes.recolored)
        for thing, regions in _group([before for before, after in changes.recolored if after.color == color])
    ]
    counts = Counter(_look(i) for i in seen) - Counter(_look(i) for i in changes.removed)
    ordered: list[Stroke] = []
    while waiting:
        fitting = (item for item in waiting if counts[_look(item[1])] + item[1].count <= MAX_COUNT)
        chosen = next(fitting, None)
        thing, becomes, regions = chosen or waiting[0]
        waiting.remove((thing, becomes, regions))
        counts[_look(thing)] -= thing.count
        if chosen:
            counts[_look(becomes)] += becomes.count
            ordered.append(Stroke("recolor", thing, becomes, regions))
        else:
            changes.removed.extend(_Instance(*_look(thing), region) for region in regions)
            changes.added.extend(_Instance(*_look(becomes), region) for region in regions)
    return ordered


def _look(thing: Thing | _Instance) -> tuple[str, str | None]:
    return thing.name, thing.color


def _at_same(one: _Instance, other: _Instance) -> bool:
    return (one.name, one.region) == (other.name, other.region)


def _group(instances: list[_Instance]) -> list[tuple[Thing, tuple[str, ...]]]:
    """Return things of one look with their regions, as many as a stroke has words for."""
    places: dict[tuple[str, str | None], list[str]] = {}
    for instance in instances:
        places.setdefault(_look(instance), []).append(instance.region)
    return [
        (Thing(*look, len(some)), some)
        for look, regions in places.items()
        for i in range(0, len(regions), MAX_COUNT)
        for some in [tuple(regions[i : i + MAX_COUNT])]
    ]


def _relation(
    wanted: SceneGraph, thing: Thing, seen: SceneGraph, moved: set[tuple[str, str | None]]
) -> Beside | None:
    """Return a relation of the thing to one that is painted as wanted and stays where it is."""
    for relation in wanted.relations:
        subject, target = wanted[relation.subject], wanted[relation.target].thing
        is_subject = _look(subject.thing) == _look(thing)
        there = any(obj.thing == target for obj in seen.objects)
        if is_subject and there and _look(target) not in moved:
            return Beside(relation.kind, target)
    return None
