"""Scenes for the training data: sampled at random, and changed one thing at a time.

This file knows graphs and placements. It refuses to know what is written of a scene and which change is a
fault.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from strokewise.errors import SceneError
from strokewise.io.bounds import LARGEST, check_numbers
from strokewise.io.schema import checked
from strokewise.scene_graph import INVERSE, MAX_COUNT, RELATIONS, Relation, SceneGraph, SceneObject
from strokewise.world import atlas
from strokewise.world.layout import Box, Placement, Scene, even_box, holds, place, region_of
from strokewise.world.vocabulary import (
    BACKGROUNDS,
    CLASSES,
    COLORS,
    DEFAULT_BACKGROUND,
    MAX_INSTANCES,
    REGIONS,
)

TRIES = 50


@dataclass(frozen=True)
class SceneMix:
    """How scenes are sampled.

    Attributes:
        objects: weight of 1, 2, … objects.
        counts: weight of 1, 2, … instances of an object.
        color_share: share of objects with a color.
        relation_share: share of further objects that are related to an earlier one.
        background_share: share of scenes with a stated background.
        classes: what there is to sample from; at least six more than a scene has objects.
        layout_jitter: how far sizes and places are left to chance (``Scene``).
        plain: whether the painter's texts have one wording, and take things up in the order of the prompt.
    """

    objects: tuple[float, ...] = (0.18, 0.19, 0.22, 0.23, 0.18)
    counts: tuple[float, ...] = (0.78, 0.12, 0.06, 0.04)
    color_share: float = 0.6
    relation_share: float = 0.55
    background_share: float = 0.5
    classes: tuple[str, ...] = CLASSES
    layout_jitter: float = 1.0
    plain: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers that are no weights and shares."""
        shares = dict.fromkeys(("color_share", "relation_share", "background_share", "layout_jitter"), (0, 1))
        check_numbers(self, objects=(0, LARGEST), counts=(0, LARGEST), **shares)


def sample_scene(rng: random.Random, mix: SceneMix) -> Scene:
    """Return a random graph with a layout."""
    for _ in range(TRIES):
        graph = sample_graph(rng, mix)
        try:
            return place(graph, rng.randrange(2**31), layout_jitter=mix.layout_jitter)
        except SceneError:
            continue  # relations that the grid cannot satisfy together; they are rare
    raise AssertionError("no layout was found for any sampled scene")


def sample_graph(rng: random.Random, mix: SceneMix) -> SceneGraph:
    """Return a random graph: classes without repetition, so that its class identifies every object."""
    number = rng.choices(range(1, len(mix.objects) + 1), mix.objects)[0]
    room = MAX_INSTANCES - number
    objects: list[SceneObject] = []
    for i, name in enumerate(rng.sample(mix.classes, number)):
        count = min(rng.choices(range(1, len(mix.counts) + 1), mix.counts)[0], 1 + room)
        room -= count - 1
        color = rng.choice(COLORS) if rng.random() < mix.color_share else None
        objects.append(SceneObject(f"o{i}", name, color, count))
    relations = tuple(
        Relation(objects[i].id, rng.choice(RELATIONS), objects[rng.randrange(i)].id)
        for i in range(1, number)
        if rng.random() < mix.relation_share
    )
    background = rng.choice(BACKGROUNDS) if rng.random() < mix.background_share else None
    return SceneGraph(tuple(objects), relations, background)


def in_prompt_order(prompt: SceneGraph, scene: Scene) -> Scene:
    """Return a scene of the prompt with its objects in the prompt's order, related as in
    ``later_to_earlier``.
    """
    ids = {obj.name: obj.id for obj in scene.graph.objects}
    by_prompt = {obj.id: ids[obj.name] for obj in prompt.objects}
    objects = tuple(scene.graph[by_prompt[obj.id]] for obj in prompt.objects)
    relations = tuple(
        Relation(by_prompt[r.subject], r.kind, by_prompt[r.target])
        for r in later_to_earlier(prompt).relations
    )
    return scene.subset(replace(scene.graph, objects=objects, relations=relations))


def later_to_earlier(graph: SceneGraph) -> SceneGraph:
    """Return an equivalent graph: each relation states where a later object stands beside an earlier one."""
    at = {obj.id: i for i, obj in enumerate(graph.objects)}
    turned = (
        r if at[r.subject] > at[r.target] else Relation(r.target, INVERSE[r.kind], r.subject)
        for r in graph.relations
    )
    return replace(graph, relations=tuple(dict.fromkeys(turned)))


# --- changes ------------------------------------------------------------------------------------------------


def with_object(scene: Scene, obj: SceneObject) -> Scene:
    """Return the scene with an object (same id) looking otherwise, or with fewer instances; places are
    kept.
    """
    old = scene.graph[obj.id]
    objects = tuple(obj if o.id == obj.id else o for o in scene.graph.objects)
    placements = [
        replace(p, box=_box_of(scene, p, obj.name)) if p.object_id == obj.id and obj.name != old.name else p
        for p in scene.placements
        if p.object_id != obj.id or p.index < obj.count
    ]
    return replace(scene, graph=replace(scene.graph, objects=objects), placements=tuple(placements))


def without(scene: Scene, object_id: str) -> Scene:
    """Return the scene without an object."""
    return scene.subset(scene.graph.subgraph(o.id for o in scene.graph.objects if o.id != object_id))


def with_more(scene: Scene, obj: SceneObject, rng: random.Random) -> Scene:
    """Return the scene with a new object, or more instances of one (same id), in free places.

    Raises:
        SceneError: if there is no room.
    """
    known = any(o.id == obj.id for o in scene.graph.objects)
    objects = tuple(obj if o.id == obj.id else o for o in scene.graph.objects) + (() if known else (obj,))
    graph = replace(scene.graph, objects=objects)
    return place(graph, rng.randrange(2**31), scene.placements, scene.layout_jitter)


def with_one_more(
    scene: Scene, obj: SceneObject, rng: random.Random, max_count: int = MAX_COUNT
) -> Scene | None:
    """Return the scene with one instance more of an object; None if it has as many as can be."""
    return with_more(scene, replace(obj, count=obj.count + 1), rng) if obj.count < max_count else None


def recolored(scene: Scene, obj: SceneObject, rng: random.Random) -> Scene | None:
    """Return the scene with an object in another color; None if it has none."""
    if obj.color is None:
        return None
    return with_object(scene, replace(obj, color=rng.choice([c for c in COLORS if c != obj.color])))


def moved(scene: Scene, object_id: str, rng: random.Random) -> Scene:
    """Return the scene with an object in other regions, its relations forgotten.

    Raises:
        SceneError: if there is no room.
    """
    relations = tuple(r for r in scene.graph.relations if object_id not in (r.subject, r.target))
    graph = replace(scene.graph, relations=relations)
    fixed = [p for p in scene.placements if p.object_id != object_id]
    old = {p.region for p in scene.placements if p.object_id == object_id}
    for _ in range(TRIES):
        found = place(graph, rng.randrange(2**31), fixed, scene.layout_jitter)
        if not old & {p.region for p in found.placements if p.object_id == object_id}:
            return found
    raise SceneError("no other place is free")


def against_relation(scene: Scene, relation: Relation, rng: random.Random) -> Scene:
    """Return the scene with the subject of a relation moved where the relation does not hold, and so related.

    The opposite side comes first; where the target leaves it no room, another side does.

    Raises:
        SceneError: if the layout allows no such place.
    """
    subject, target = relation.subject, relation.target
    others = tuple(r for r in scene.graph.relations if subject not in (r.subject, r.target))
    fixed = [p for p in scene.placements if p.object_id != subject]
    opposite = INVERSE[relation.kind]
    sides = [kind for kind in RELATIONS if kind not in (relation.kind, opposite)]
    for kind in (opposite, *rng.sample(sides, len(sides))):
        graph = replace(scene.graph, relations=(*others, Relation(subject, kind, target)))
        try:
            found = place(graph, rng.randrange(2**31), fixed, scene.layout_jitter)
        except SceneError:
            continue
        if not _related_anywhere(found, relation):
            return found
    raise SceneError("no place is free on another side")


def _related_anywhere(scene: Scene, relation: Relation) -> bool:
    """Return whether a relation holds between any instance of its subject and any of its target."""
    subjects = [p.box for p in scene.placements if p.object_id == relation.subject]
    targets = [p.box for p in scene.placements if p.object_id == relation.target]
    return any(holds(relation.kind, one, other) for one in subjects for other in targets)


def _box_of(scene: Scene, placement: Placement, name: str) -> Box:
    """Return the box of another class in the place of an instance."""
    even = scene.layout_jitter == 0
    return even_box(name, REGIONS.index(placement.region)) if even else fitted(placement.box, name)


def fitted(box: Box, name: str) -> Box:
    """Return the largest box of a class's aspect inside a box, about the same center, on whole steps of
    1/128.
    """
    width, height = box[2] - box[0], box[3] - box[1]
    aspect = atlas.sprite(name).aspect
    size = (min(width, height * aspect), min(height, width / aspect))
    edges = []
    for low, high, length in ((box[0], box[2], size[0]), (box[1], box[3], size[1])):
        steps = max(1, round(length * 128))
        start = round(((low + high) / 2) * 128 - steps / 2)
        edges.append((start / 128, (start + steps) / 128))
    (left, right), (top, bottom) = edges
    return left, top, right, bottom


def unused_class(graph: SceneGraph, classes: Sequence[str], rng: random.Random) -> str:
    """Return one of the classes that a graph does not have."""
    shown = {o.name for o in graph.objects}
    return rng.choice([name for name in classes if name not in shown])


# --- as JSON --------------------------------------------------------------------------------


def scene_to_json(scene: Scene) -> dict[str, object]:
    """Return plain values."""
    placements = [[p.object_id, p.index, list(p.box)] for p in scene.placements]
    value = {"graph": scene.graph.to_json(), "placements": placements, "seed": scene.seed}
    return value if scene.layout_jitter == 1 else {**value, "layout_jitter": scene.layout_jitter}


_Edge = Annotated[float, Field(ge=0, le=1)]


class _StoredScene(TypedDict):
    graph: dict[str, Any]
    placements: list[tuple[str, int, tuple[_Edge, _Edge, _Edge, _Edge]]]
    seed: int
    layout_jitter: NotRequired[float]
    freedom: NotRequired[float]  # what version 0.1 called the layout jitter


def scene_from_json(value: object) -> Scene:
    """Return the inverse of :func:`scene_to_json`.

    Raises:
        SceneError: if it is not a scene.
    """
    data = checked(_StoredScene, value, "not a scene", SceneError)
    placements = tuple(Placement(name, i, region_of(box), box) for name, i, box in data["placements"])
    layout_jitter = data.get("layout_jitter", data.get("freedom", 1.0))
    graph = SceneGraph.from_json(data["graph"], MAX_INSTANCES)  # a faulty canvas's, too
    scene = Scene(graph, placements, data["seed"], layout_jitter)
    _check_placements(scene)
    return scene


def _check_placements(scene: Scene) -> None:
    """Check that every instance is of the world's vocabulary and stands once, in a box on the canvas."""
    scene.graph.check_vocabulary(CLASSES, COLORS, BACKGROUNDS)
    wanted = [(obj.id, i) for obj in scene.graph.objects for i in range(obj.count)]
    if sorted((p.object_id, p.index) for p in scene.placements) != sorted(wanted):
        raise SceneError("the placements are not those of the graph's objects")
    for placement in scene.placements:
        left, top, right, bottom = placement.box
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise SceneError(f"the box {placement.box} of {placement.object_id!r} is not on the canvas")


def empty_scene(scene: Scene) -> Scene:
    """Return the canvas before anything is painted."""
    return Scene(
        SceneGraph((), (), scene.graph.background or DEFAULT_BACKGROUND), (), scene.seed, scene.layout_jitter
    )
