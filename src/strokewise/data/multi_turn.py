"""The multi-turn subset: a prompt painted stroke by stroke, each step extending the scene before it.

A graph's objects are added one by one; in a stated share of the trajectories some step is instead a change
(recolor, recount, swap, removal) that ends in the same scene (paper, section on diverse instructions).
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from strokewise.data.canvas_painters import CanvasPainter
from strokewise.data.records import Record
from strokewise.data.scenes import SceneMix, unused_class, with_more, with_object
from strokewise.data.wording import Canvas, sample_query, truth_of, write_steps
from strokewise.errors import SceneError
from strokewise.scene_graph import SceneObject
from strokewise.trajectory.values import Trajectory
from strokewise.world.language import Beside, Stroke
from strokewise.world.layout import Scene
from strokewise.world.vocabulary import CLASSES

MAX_IMAGES = 5


@dataclass(frozen=True)
class MultiTurnMix:
    """How trajectories are sampled.

    Attributes:
        scenes: which scenes.
        edit_share: share of trajectories, of those with room for one more image, with a step that changes
            something instead of adding it.
    """

    scenes: SceneMix = field(default_factory=SceneMix)
    edit_share: float = 0.5


def multi_turn(rng: random.Random, mix: MultiTurnMix, painter: CanvasPainter) -> Record:
    """Return one trajectory from a random scene."""
    query = sample_query(rng, mix.scenes)
    graph = query.scene.graph
    canvases = strokes(query.scene, rng, mix.edit_share, mix.scenes.classes, mix.scenes.plain)
    trajectory = Trajectory(query.prompt, tuple(write_steps(graph, canvases, painter, query.wording_rng)))
    return Record("multi-turn", "complete", trajectory, truth=truth_of(graph, [c.shown for c in canvases]))


def strokes(
    scene: Scene,
    rng: random.Random,
    edit_share: float = 0.0,
    classes: Sequence[str] = CLASSES,
    in_order: bool = False,
) -> list[Canvas]:
    """Return the canvases on the way to a scene.

    Args:
        scene: with all that is to be painted.
        rng: of the order and of changes.
        edit_share: see :class:`MultiTurnMix`.
        classes: temporary objects are of one of these.
        in_order: paint objects in the graph's order, as far as relations allow.
    """
    order = scene.graph.painting_order(None if in_order else rng)
    canvases = [_added(scene, order[: i + 1]) for i in range(len(order))]
    if len(order) < MAX_IMAGES and rng.random() < edit_share:
        for edit in rng.sample(EDITS, len(EDITS)):
            try:
                changed = edit(scene, canvases, order, classes, rng)
            except SceneError:
                continue  # no room for what this change would need
            if changed:
                return changed
    return canvases


def _added(scene: Scene, painted: tuple[str, ...]) -> Canvas:
    """Return the canvas on which the last of the painted objects was added."""
    after = scene.subset(scene.graph.subgraph(painted))
    return Canvas(adding(after, painted[-1]), after, after)


def adding(after: Scene, object_id: str) -> Stroke:
    """Return the stroke that added an object of a scene, with its places and a relation if it has one."""
    graph = after.graph
    regions = regions_of(after, object_id)
    beside = [Beside(r.kind, graph[r.target].thing) for r in graph.relations if r.subject == object_id]
    return Stroke("add", graph[object_id].thing, None, regions, beside[0] if beside else None)


def regions_of(scene: Scene, object_id: str) -> tuple[str, ...]:
    """Return where the instances of an object stand."""
    return tuple(p.region for p in scene.placements if p.object_id == object_id)


# --- changes that end in the same scene ---------------------------------------------------------------------


def _stand_in(canvases: list[Canvas], at: int, obj: SceneObject, last: Stroke, judged: bool) -> list[Canvas]:
    """Return the canvases with another look or count of an object until a last stroke makes it right."""
    changed = []
    for i, canvas in enumerate(canvases):
        if i < at:
            changed.append(canvas)
            continue
        scene = with_object(canvas.plan, obj)
        stroke = adding(scene, obj.id) if i == at else _renamed(canvas.stroke, canvas.plan, scene, obj.id)
        changed.append(Canvas(stroke, scene, scene, judged))
    return [*changed, Canvas(last, canvases[-1].plan, canvases[-1].plan)]


def _renamed(stroke: Stroke, before: Scene, after: Scene, object_id: str) -> Stroke:
    """Return a stroke whose relation names the object as it looks meanwhile."""
    if stroke.relation is None or stroke.relation.target != before.graph[object_id].thing:
        return stroke
    return replace(stroke, relation=Beside(stroke.relation.kind, after.graph[object_id].thing))


def _pick(
    scene: Scene, order: tuple[str, ...], rng: random.Random, fits: Callable[[SceneObject], bool]
) -> int:
    """Return where in the order a fitting object stands; -1 if there is none."""
    found = [i for i, object_id in enumerate(order) if fits(scene.graph[object_id])]
    return rng.choice(found) if found else -1


def _recolor(
    scene: Scene, canvases: list[Canvas], order: tuple[str, ...], classes: Sequence[str], rng: random.Random
) -> list[Canvas]:
    """Add it as it naturally looks, give it its color at the end."""
    at = _pick(scene, order, rng, lambda obj: obj.color is not None)
    if at < 0:
        return []
    obj = scene.graph[order[at]]
    plain = replace(obj, color=None)
    last = Stroke("recolor", plain.thing, obj.thing, regions_of(scene, obj.id))
    return _stand_in(canvases, at, plain, last, judged=True)


def _recount(
    scene: Scene, canvases: list[Canvas], order: tuple[str, ...], classes: Sequence[str], rng: random.Random
) -> list[Canvas]:
    """Add some of them first, the others at the end."""
    at = _pick(scene, order, rng, lambda obj: obj.count > 1)
    if at < 0:
        return []
    obj = scene.graph[order[at]]
    fewer = replace(obj, count=rng.randrange(1, obj.count))
    last = Stroke("recount", fewer.thing, obj.thing, regions_of(scene, obj.id))
    return _stand_in(canvases, at, fewer, last, judged=True)


def _swap(
    scene: Scene, canvases: list[Canvas], order: tuple[str, ...], classes: Sequence[str], rng: random.Random
) -> list[Canvas]:
    """Add something else in its place, and put it there at the end."""
    at = rng.randrange(len(order))
    obj = scene.graph[order[at]]
    other = replace(obj, name=unused_class(scene.graph, classes, rng))
    last = Stroke("swap", other.thing, obj.thing, regions_of(scene, obj.id))
    return _stand_in(canvases, at, other, last, judged=False)


def _remove(
    scene: Scene, canvases: list[Canvas], order: tuple[str, ...], classes: Sequence[str], rng: random.Random
) -> list[Canvas]:
    """Add something that the prompt does not ask for, and take it away at the end."""
    if len(order) > MAX_IMAGES - 2:
        return []
    extra = SceneObject("extra", unused_class(scene.graph, classes, rng))
    full = with_more(scene, extra, rng)
    at = rng.randrange(len(order))
    changed = canvases[: at + 1]
    for i in range(at, len(order)):
        ids = (*order[: i + 1], extra.id)
        after = full.subset(full.graph.subgraph(ids))
        stroke = adding(after, extra.id) if i == at else canvases[i].stroke
        changed.append(Canvas(stroke, after, after, judged=False))
    last = Stroke("remove", extra.thing, None, regions_of(full, extra.id))
    return [*changed, Canvas(last, canvases[-1].plan, canvases[-1].plan)]


EDITS = (_recolor, _recount, _swap, _remove)
