"""Where the things of a scene stand.

Every instance gets a cell of the 3 x 3 grid of regions for itself, and a box around a point in it, such
that boxes do not touch and every stated relation holds by GenEval's own rule, with margin, between all
instances of both objects. Relations nobody stated are left to chance. This file knows boxes and regions. It
refuses to know how a sprite looks, except its aspect, and what a scene is for.

Boxes are in canvas units, 0..1 from the upper left, in whole steps of 1/128, so that a canvas whose size is a
multiple of 128 shows sprites exactly at their boxes.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations

from strokewise.errors import SceneError
from strokewise.scene_graph import INVERSE, Relation, SceneGraph, SceneObject
from strokewise.world import atlas
from strokewise.world.vocabulary import (
    DEFAULT_BACKGROUND,
    GRID,
    MAX_INSTANCES,
    REGIONS,
    region_at,
    region_cell,
)

Box = tuple[float, float, float, float]

STEP = 1 / 128
# Longer side of a sprite in canvas units. Neighboring cells leave room for a third of the canvas each.
SMALLEST, CROWDED, SPARSE, ALONE = 0.24, 0.295, 0.40, 0.54
# Without jitter: one size, and middles such that on 128 px every sprite lies alike in patches of 16 px.
EVEN = 30 * STEP
EVEN_MIDDLES = (16 * STEP, 64 * STEP, 112 * STEP)
EDGE = 2 * STEP  # least distance of a box from the canvas's edge
GAP = 4 * STEP  # least distance between two boxes on one axis
INNER = 0.03  # least distance of a box's center from the border of its region, so that small errors keep it
POSITION_THRESHOLD = 0.5  # GenEval's
MARGIN = 0.56  # what layouts must reach instead, so that a small error of a box changes no relation
SHRINK = 0.1  # GenEval's share of both sizes that an offset must exceed
_TRIES = 40


@dataclass(frozen=True)
class Placement:
    """Where one instance stands.

    object_id: id of the group in the scene's graph.
    index: which instance of the group, from 0.
    region: the name of the grid cell that holds the center of the box.
    box: (x0, y0, x1, y1) of the visible sprite in canvas units: 0..1 from the upper left.
    """

    object_id: str
    index: int
    region: str
    box: Box


@dataclass(frozen=True)
class Scene:
    """A graph together with a place for every instance; all that the renderer needs.

    layout_jitter: how far sizes, places in cells and the order of an object's instances are left to chance: 0
    (one size, the same place in every cell, reading order) to 1. What is added later is placed likewise.
    """

    graph: SceneGraph
    placements: tuple[Placement, ...]
    seed: int = 0
    layout_jitter: float = 1.0

    @property
    def background(self) -> str:
        """The background that is painted: the stated one, or the default."""
        return self.graph.background or DEFAULT_BACKGROUND

    def subset(self, graph: SceneGraph) -> Scene:
        """Return the scene of a smaller graph, with its objects where they stand here.

        `graph` may have fewer instances of an object than there are (the first ones stay), and another
        look. SceneError when it has an instance that has no place here.
        """
        kept = []
        for obj in graph.objects:
            mine = [p for p in self.placements if p.object_id == obj.id and p.index < obj.count]
            if len(mine) != obj.count:
                raise SceneError(f"'{obj.thing}' has {len(mine)} places in the scene, not {obj.count}")
            kept += mine
        return replace(self, graph=graph, placements=tuple(kept))


def region_of(box: Box) -> str:
    """Return the region that holds the center of a box in canvas units."""
    return region_at((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)


def place(
    graph: SceneGraph, seed: int = 0, fixed: Sequence[Placement] = (), layout_jitter: float = 1.0
) -> Scene:
    """Return a place for every instance of the graph.

    seed: the same graph, seed and fixed placements give the same scene.
    fixed: placements that stay as they are; those of objects or instances that the graph lacks are dropped.
    layout_jitter: see `Scene`.

    Raises:
        SceneError: if the graph is not valid, has more than MAX_INSTANCES instances, or no layout on the grid
            satisfies its relations (with what is fixed).
    """
    rng = random.Random(seed)
    kept = _kept(graph, fixed)
    free = {obj.id: obj.count - sum(p.object_id == obj.id for p in kept) for obj in graph.objects}
    cells = {REGIONS.index(p.region) for p in kept}
    total = len(kept) + sum(free.values())
    if total > MAX_INSTANCES:
        raise SceneError(f"{total} instances are more than the {MAX_INSTANCES} that have room on a canvas")
    boxes = {obj.id: [p.box for p in kept if p.object_id == obj.id] for obj in graph.objects}
    for _ in range(_TRIES):
        chosen = _choose_cells(graph, free, cells, boxes, rng)
        if chosen is None:
            break
        scene = _fill(
            graph, chosen if layout_jitter else _in_reading_order(chosen), kept, seed, rng, layout_jitter
        )
        if scene is not None:
            return scene
    raise SceneError(_impossible(graph, kept))


def place_in(
    graph: SceneGraph, regions: Mapping[str, Sequence[str]], seed: int = 0, layout_jitter: float = 1.0
) -> Scene:
    """Return a place for every instance in the region that is given for it.

    regions: by object id, one region for each instance, as in `Description.regions`.
    layout_jitter: see `Scene`.

    Raises:
        SceneError: if regions are missing, unknown or given twice, or contradict the graph's relations.
    """
    given = [(obj, region) for obj in graph.objects for region in regions.get(obj.id, ())]
    for obj in graph.objects:
        if len(regions.get(obj.id, ())) != obj.count:
            raise SceneError(f"'{obj.thing}' needs {obj.count} regions, not {len(regions.get(obj.id, ()))}")
    used = [region for _, region in given]
    for region in used:
        _ = region_cell(region)
        if used.count(region) > 1:
            raise SceneError(f"two things cannot both stand in the region {region!r}")
    graph.validate(MAX_INSTANCES)
    rng = random.Random(seed)
    chosen = {obj.id: tuple(REGIONS.index(r) for r in regions[obj.id]) for obj in graph.objects}
    for _ in range(_TRIES):
        scene = _fill(graph, chosen, (), seed, rng, layout_jitter)
        if scene is not None:
            return scene
    raise SceneError("the regions contradict the relations: " + _relations_text(graph))


def holds(kind: str, first: Box, second: Box, threshold: float = POSITION_THRESHOLD) -> bool:
    """Return whether `first` stands `kind` of `second` by GenEval's rule (boxes in any one unit).

    The offset of the centers is shortened on each axis by a tenth of both sizes, and divided by its
    unshortened length; an axis counts beyond `threshold`.
    """
    offsets, shortened = [], []
    for axis in (0, 1):
        offset = (first[axis] + first[axis + 2] - second[axis] - second[axis + 2]) / 2
        sizes = first[axis + 2] - first[axis] + second[axis + 2] - second[axis]
        offsets.append(offset)
        shortened.append(math.copysign(max(abs(offset) - SHRINK * sizes, 0.0), offset))
    length = math.hypot(*offsets)
    if max(abs(shortened[0]), abs(shortened[1])) < 1e-3:
        return False
    axis, sign = _AXES[kind]
    return sign * shortened[axis] / length > threshold


_AXES = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}


def _kept(graph: SceneGraph, fixed: Sequence[Placement]) -> tuple[Placement, ...]:
    graph.validate(MAX_INSTANCES)
    counts = {obj.id: obj.count for obj in graph.objects}
    kept = tuple(p for p in fixed if p.index < counts.get(p.object_id, 0))
    regions = [p.region for p in kept]
    for p in kept:
        if p.region != region_of(p.box) or regions.count(p.region) > 1:
            raise SceneError(f"the fixed placement of {p.object_id!r} does not have a region for itself")
    return kept


def _cell_box(cell: int, side: float = CROWDED) -> Box:
    row, column = divmod(cell, GRID)
    x, y = (column + 0.5) / GRID, (row + 0.5) / GRID
    return x - side / 2, y - side / 2, x + side / 2, y + side / 2


@cache
def _partners(kind: str, cell: int) -> frozenset[int]:
    """Return cells where a target can stand so that a sprite in `cell` stands `kind` of it."""
    cells = range(MAX_INSTANCES)
    return frozenset(other for other in cells if holds(kind, _cell_box(cell), _cell_box(other), MARGIN))


def _choose_cells(
    graph: SceneGraph,
    free: Mapping[str, int],
    occupied: set[int],
    boxes: Mapping[str, Sequence[Box]],
    rng: random.Random,
) -> dict[str, tuple[int, ...]] | None:
    """Return cells for the instances not yet placed, by object; None when the relations cannot be satisfied.

    Searches groups of cells object by object, the one with the fewest choices first.
    """
    open_cells = set(range(MAX_INSTANCES)) - occupied
    domains = {i: frozenset(open_cells) for i in free}
    for relation in graph.relations:
        for subject, kind, target in _both_ways(relation):
            for box in boxes[target]:
                near = {c for c in domains[subject] if holds(kind, _cell_box(c), box, MARGIN)}
                domains[subject] = frozenset(near)
    waiting = {i: count for i, count in free.items() if count}
    return _search(graph, waiting, domains, {}, rng)


def _in_reading_order(chosen: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {object_id: tuple(sorted(cells)) for object_id, cells in chosen.items()}


def _search(
    graph: SceneGraph,
    waiting: dict[str, int],
    domains: dict[str, frozenset[int]],
    chosen: dict[str, tuple[int, ...]],
    rng: random.Random,
) -> dict[str, tuple[int, ...]] | None:
    if not waiting:
        return chosen
    if any(len(domains[i]) < count for i, count in waiting.items()):
        return None
    # The most constrained object first: dead ends show early, and the search stays shallow.
    object_id = min(waiting, key=lambda i: math.comb(len(domains[i]), waiting[i]))
    choices = list(combinations(sorted(domains[object_id]), waiting[object_id]))
    rng.shuffle(choices)
    rest = {i: count for i, count in waiting.items() if i != object_id}
    for choice in choices:
        # Which instance stands in which cell is left to chance too.
        cells = list(choice)
        rng.shuffle(cells)
        narrowed = _narrow(graph, object_id, choice, domains)
        found = _search(graph, rest, narrowed, {**chosen, object_id: tuple(cells)}, rng)
        if found is not None:
            return found
    return None


def _narrow(
    graph: SceneGraph, object_id: str, cells: tuple[int, ...], domains: dict[str, frozenset[int]]
) -> dict[str, frozenset[int]]:
    """Return the cells left to each object once `object_id` stands in `cells`."""
    narrowed = {i: domain.difference(cells) for i, domain in domains.items()}
    for relation in graph.relations:
        for subject, kind, target in _both_ways(relation):
            if subject == object_id:
                for cell in cells:
                    narrowed[target] &= _partners(kind, cell)
    return narrowed


def _both_ways(relation: Relation) -> tuple[tuple[str, str, str], tuple[str, str, str]]:
    return (
        (relation.subject, relation.kind, relation.target),
        (relation.target, INVERSE[relation.kind], relation.subject),
    )


def _fill(
    graph: SceneGraph,
    chosen: Mapping[str, tuple[int, ...]],
    kept: Sequence[Placement],
    seed: int,
    rng: random.Random,
    layout_jitter: float,
) -> Scene | None:
    """Return boxes in the chosen cells, first with chance in size and place, at last all alike."""
    slots = [(graph[i], cell) for i, cells in chosen.items() for cell in cells]
    cells = [cell for _, cell in slots] + [REGIONS.index(p.region) for p in kept]
    for allowed in [step for step in (1.0, 1.0, 0.5, 0.25) if step <= layout_jitter] + [0.0]:
        if allowed:
            side = _common_side(cells, rng)
            boxes = [
                _box(obj, cell, side * rng.uniform(1 - 0.12 * allowed, 1), allowed, rng)
                for obj, cell in slots
            ]
        else:
            boxes = [even_box(obj.name, cell) for obj, cell in slots]
        scene = Scene(graph, _merge(graph, slots, boxes, kept), seed, layout_jitter)
        if _sound(scene):
            return scene
    return None


def _common_side(cells: Sequence[int], rng: random.Random) -> float:
    """Return about how large the scene's sprites are: larger where no two stand in neighboring cells."""
    if len(cells) <= 1:
        return rng.uniform(SPARSE, ALONE)
    spots = [divmod(cell, GRID) for cell in cells]
    nearest = min(max(abs(a[0] - b[0]), abs(a[1] - b[1])) for a, b in combinations(spots, 2))
    return rng.uniform(CROWDED, SPARSE) if nearest > 1 else rng.uniform(CROWDED - 0.03, CROWDED)


def even_box(name: str, cell: int) -> Box:
    """Return the box of a class in a cell when nothing is left to chance."""
    row, column = divmod(cell, GRID)
    (left, width), (top, height) = (
        (round((EVEN_MIDDLES[index] - length / 2) / STEP) * STEP, max(round(length / STEP), 1) * STEP)
        for index, length in zip((column, row), _sides(name, EVEN), strict=True)
    )
    return left, top, left + width, top + height


def _sides(name: str, side: float) -> tuple[float, float]:
    """Return width and height of a class's aspect, the longer one `side`."""
    aspect = atlas.sprite(name).aspect
    return side * min(1.0, aspect), side * min(1.0, 1 / aspect)


def _box(obj: SceneObject, cell: int, side: float, layout_jitter: float, rng: random.Random) -> Box:
    """Return a box of the class's aspect whose center lies in the cell."""
    size = _sides(obj.name, side)
    row, column = divmod(cell, GRID)
    starts = []
    for index, length in ((column, size[0]), (row, size[1])):
        low = max(index / GRID + INNER, EDGE + length / 2)
        high = min((index + 1) / GRID - INNER, 1 - EDGE - length / 2)
        middle = min(max((index + 0.5) / GRID, low), high)
        center = middle + layout_jitter * (rng.uniform(low, high) - middle)
        starts.append(round((center - length / 2) / STEP) * STEP)
    width, height = (max(round(length / STEP), 1) * STEP for length in size)
    return starts[0], starts[1], starts[0] + width, starts[1] + height


def _merge(
    graph: SceneGraph,
    slots: Sequence[tuple[SceneObject, int]],
    boxes: Sequence[Box],
    kept: Sequence[Placement],
) -> tuple[Placement, ...]:
    """Return kept and new placements, in the order of the graph's objects and of their indices."""
    found = {(p.object_id, p.index): p for p in kept}
    for (obj, _), box in zip(slots, boxes, strict=True):
        index = next(i for i in range(obj.count) if (obj.id, i) not in found)
        found[obj.id, index] = Placement(obj.id, index, region_of(box), box)
    return tuple(found[obj.id, index] for obj in graph.objects for index in range(obj.count))


def _sound(scene: Scene) -> bool:
    """Return whether no boxes touch and every relation holds with margin."""
    boxes: dict[str, list[Box]] = {obj.id: [] for obj in scene.graph.objects}
    for placement in scene.placements:
        boxes[placement.object_id].append(placement.box)
    if any(not apart(a.box, b.box, GAP) for a, b in combinations(scene.placements, 2)):
        return False
    return all(
        holds(relation.kind, first, second, MARGIN)
        for relation in scene.graph.relations
        for first in boxes[relation.subject]
        for second in boxes[relation.target]
    )


def apart(first: Box, second: Box, gap: float = 0.0) -> bool:
    """Return whether at least `gap` lies between two boxes on one axis."""
    slack = 1e-9
    return any(
        first[axis] - second[axis + 2] > gap - slack or second[axis] - first[axis + 2] > gap - slack
        for axis in (0, 1)
    )


def _relations_text(graph: SceneGraph) -> str:
    looks = {obj.id: obj.thing for obj in graph.objects}
    return "; ".join(f"'{looks[r.subject]}' {r.kind} '{looks[r.target]}'" for r in graph.relations)


def _impossible(graph: SceneGraph, kept: Sequence[Placement]) -> str:
    stated = _relations_text(graph) or "no relations"
    with_fixed = f" with {len(kept)} things fixed" if kept else ""
    return f"no layout on the {GRID} x {GRID} grid{with_fixed} satisfies: {stated}"
