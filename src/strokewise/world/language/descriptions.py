"""Descriptions: the whole scene with the place of every thing, written compactly and read back.

This file knows what stands where, in words. It refuses to know boxes and pixels, and whether a description
is true of a picture.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from strokewise.errors import SceneError
from strokewise.scene_graph import (
    FAULT_KINDS,
    MAX_COUNT,
    Fault,
    SceneDiff,
    SceneGraph,
    SceneObject,
    Thing,
    diff,
)
from strokewise.world.language import english as en
from strokewise.world.language.builder import GraphBuilder
from strokewise.world.language.reader import Noun, Reader
from strokewise.world.vocabulary import DEFAULT_BACKGROUND, MAX_INSTANCES, REGIONS


@dataclass(frozen=True)
class Description:
    """A scene graph with a region for every instance: `regions[i]` are those of `graph.objects[i]`.

    Relations in the graph are written too; the regions imply many more, which are not. What a canvas shows
    may be more of a thing than can be planned.
    """

    graph: SceneGraph
    regions: tuple[tuple[str, ...], ...]

    def validate(self) -> None:
        """Raise SceneError when the graph is not valid or the regions do not fit it."""
        self.graph.validate(MAX_INSTANCES)
        if len(self.regions) != len(self.graph.objects):
            raise SceneError(f"{len(self.graph.objects)} objects but places for {len(self.regions)}")
        for obj, regions in zip(self.graph.objects, self.regions, strict=True):
            if len(regions) != obj.count:
                raise SceneError(f"'{obj.thing}' needs {obj.count} regions, not {len(regions)}")

    def regions_of(self, object_id: str) -> tuple[str, ...]:
        """Return the regions of one object's instances."""
        obj = self.graph[object_id]
        return self.regions[self.graph.objects.index(obj)]


def compare(wanted: Description, seen: Description) -> SceneDiff:
    """Return all faults of a seen scene: those of `scene_graph.diff`, and instances in another region than
    wanted.

    Places are compared for objects of equal look and count; one fault an instance that is out of place.
    """
    faults = list(diff(wanted.graph, seen.graph).faults)
    for obj, regions in zip(wanted.graph.objects, wanted.regions, strict=True):
        for other, other_regions in zip(seen.graph.objects, seen.regions, strict=True):
            if obj.thing == other.thing:
                left = list((Counter(regions) - Counter(other_regions)).elements())
                right = list((Counter(other_regions) - Counter(regions)).elements())
                pairs = zip(left, right, strict=True)
                faults += [Fault("wrong place", obj.thing, None, want, see) for want, see in pairs]
    return SceneDiff(tuple(sorted(faults, key=lambda fault: FAULT_KINDS.index(fault.kind))))


def in_reading_order(seen: Description) -> Description:
    """Return things and their instances from the upper left to the lower right: the only order to be seen."""
    shown = [
        (obj, tuple(sorted(regions, key=REGIONS.index)))
        for obj, regions in zip(seen.graph.objects, seen.regions, strict=True)
    ]
    shown.sort(key=lambda entry: REGIONS.index(entry[1][0]))
    graph = replace(seen.graph, objects=tuple(obj for obj, _ in shown))
    return Description(graph, tuple(regions for _, regions in shown))


class PlacementLike(Protocol):
    """What is read of a placement in a laid-out scene."""

    @property
    def object_id(self) -> str: ...
    @property
    def index(self) -> int: ...
    @property
    def region(self) -> str: ...


class SceneLike(Protocol):
    """What is read of a laid-out scene."""

    @property
    def graph(self) -> SceneGraph: ...
    @property
    def placements(self) -> Sequence[PlacementLike]: ...


def describe(scene: SceneLike, relations: bool = False) -> Description:
    """Return the description of a laid-out scene: its objects, their regions, and the background it is
    painted on.

    relations: also keep the relations of its graph, most of which follow from the regions.
    """
    places: dict[str, list[tuple[int, str]]] = {obj.id: [] for obj in scene.graph.objects}
    for placement in scene.placements:
        places[placement.object_id].append((placement.index, placement.region))
    kept = scene.graph.relations if relations else ()
    description = Description(
        SceneGraph(scene.graph.objects, kept, scene.graph.background or DEFAULT_BACKGROUND),
        tuple(tuple(region for _, region in sorted(places[obj.id])) for obj in scene.graph.objects),
    )
    description.validate()
    return description


def write_description(description: Description, rng: random.Random) -> str:
    """Return the scene in words, in one of a few wordings; SceneError when it is not valid.

    `parse_description` gives back an isomorphic graph, with the objects and regions in the same order.
    """
    description.validate()
    graph = description.graph
    items = "; ".join(
        _write_item(obj, regions, graph)
        for obj, regions in zip(graph.objects, description.regions, strict=True)
    )
    if graph.background is None:
        return f"{items}." if items else "an empty canvas."
    if not items:
        return f"an empty {graph.background} background."
    phrase = en.background_phrase(graph.background)
    return f"on {phrase}: {items}." if rng.random() < 0.5 else f"{items}; {phrase}."


def parse_description(text: str) -> Description:
    """Return the described scene; LanguageError saying what was not understood."""
    reader = Reader(text)
    description = read_description(reader)
    reader.end()
    return description


def write_seen(seen: Description) -> str:
    """Return what is seen, thing by thing from the upper left to the lower right.

    One pass over a canvas can write it: how many there are of a thing is known only after the last one.

    Raises:
        SceneError: if the description is not valid.
    """
    seen.validate()
    placed = [
        (region, obj)
        for obj, regions in zip(seen.graph.objects, seen.regions, strict=True)
        for region in regions
    ]
    placed.sort(key=lambda entry: REGIONS.index(entry[0]))
    items = [f"{en.indefinite(Thing(obj.name, obj.color))} {en.place((region,))}" for region, obj in placed]
    if seen.graph.background is None:
        return f"{'; '.join(items) or 'an empty canvas'}."
    background = en.background_phrase(seen.graph.background)
    return f"{'; '.join((*items, background))}." if items else f"an empty {seen.graph.background} background."


def parse_seen(text: str) -> Description:
    """Return what `write_seen` wrote: equal things come back as one object with all places.

    Raises:
        LanguageError: saying what was not understood.
    """
    reader, background = Reader(text), None
    places: dict[tuple[str, str | None], list[str]] = {}
    if reader.at("an empty"):
        return parse_description(text)
    while not reader.done:
        if (found := reader.background()) is not None:
            background = found
        else:
            thing = reader.thing()
            places.setdefault((thing.name, thing.color), []).extend(
                _read_place(reader, thing.count, str(thing))
            )
        if not reader.accept(";", ":"):
            break
    reader.end()
    objects = tuple(
        SceneObject(f"o{i}", name, color, len(regions))
        for i, ((name, color), regions) in enumerate(places.items())
    )
    return Description(
        SceneGraph(objects, (), background), tuple(tuple(regions) for regions in places.values())
    )


def read_description(reader: Reader, max_count: int = MAX_COUNT) -> Description:
    """Return the described scene, up to the full stop; LanguageError saying what was not understood.

    max_count: the most of a thing; more than can be planned may be seen.
    """
    builder = GraphBuilder()
    regions: list[tuple[str, ...]] = []
    relations: list[tuple[str, str, Noun]] = []
    if reader.accept("an empty canvas"):
        pass
    elif reader.accept("an empty"):
        builder.set_background(reader.background_name())
        reader.expect("background")
    else:
        _read_items(reader, builder, regions, relations)
    for subject, kind, target in relations:
        builder.relate(subject, kind, builder.refer(target))
    return Description(builder.graph(max_count), tuple(regions))


def _write_item(obj: SceneObject, regions: tuple[str, ...], graph: SceneGraph) -> str:
    text = f"{en.indefinite(obj.thing)} {en.place(regions)}"
    beside = [
        f"{r.kind} {en.definite(graph[r.target].thing)}" for r in graph.relations if r.subject == obj.id
    ]
    return f"{text}, {' and '.join(beside)}" if beside else text


def _read_items(
    reader: Reader,
    builder: GraphBuilder,
    regions: list[tuple[str, ...]],
    relations: list[tuple[str, str, Noun]],
) -> None:
    background = reader.background()
    if background is not None:
        builder.set_background(background)
        if not reader.accept(":", ",", ";"):
            return
    while True:
        background = reader.background()
        if background is not None:
            builder.set_background(background)
        else:
            subject, place = _read_item(reader, builder)
            regions.append(place)
            relations += [(subject, kind, target) for kind, target in _read_relations(reader)]
        if not reader.accept(";"):
            break


def _read_item(reader: Reader, builder: GraphBuilder) -> tuple[str, tuple[str, ...]]:
    noun = reader.noun()
    if noun.count != en.MANY_COUNT:
        return builder.add(noun), _read_place(reader, noun.count or 1, str(noun))
    regions = _read_place(reader, noun.count, str(noun))
    return builder.add(replace(noun, count=len(regions))), regions


def _read_place(reader: Reader, count: int, what: str) -> tuple[str, ...]:
    place = reader.place(count)
    if not place:
        reader.fail(f"where '{what}' is, such as 'in the upper left'")
    return place


def _read_relations(reader: Reader) -> list[tuple[str, Noun]]:
    """Read ", left of the bus and above the cat", if it comes next."""
    found = []
    reader.accept(",")
    while (kind := reader.relation()) is not None:
        found.append((kind, reader.noun()))
        if not reader.accept("and"):
            break
    return found
