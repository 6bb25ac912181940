"""The conflict subset: is each intermediate plan consistent with the whole prompt?

Two sources: faults put into plans from the scene graph (the symbolic variant the paper compares with), and
self-sampled plans of a model, judged by the oracle. Right plans are kept with what is still to come, wrong
ones with an analysis, a correction, a revised plan and its canvas.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from strokewise.critics.verdicts import word_inspection
from strokewise.data.canvas_painters import CanvasPainter
from strokewise.data.multi_turn import adding, strokes
from strokewise.data.records import Record
from strokewise.data.sampled_plans import SampledPlan
from strokewise.data.scenes import (
    SceneMix,
    against_relation,
    recolored,
    unused_class,
    with_object,
    with_one_more,
)
from strokewise.data.wording import (
    Canvas,
    Query,
    inspect,
    plan_message,
    sample_query,
    truth_of,
    write_steps,
)
from strokewise.errors import SceneError
from strokewise.scene_graph import SceneGraph, SceneObject
from strokewise.trajectory.values import Message, Step, StopReason, Trajectory
from strokewise.world.language import (
    Inspection,
    describe,
    repair,
)
from strokewise.world.layout import Scene

RELATION_FIRST = 0.6
EXCERPT = StopReason.EXCERPT  # of a record that leaves out what came after


@dataclass(frozen=True)
class ConflictMix:
    """How records are sampled; the paper has 6,905 right and 8,296 wrong ones."""

    scenes: SceneMix = field(default_factory=SceneMix)
    right_share: float = 6905 / 15201


def conflict(rng: random.Random, mix: ConflictMix, painter: CanvasPainter) -> Record:
    """Return one symbolic record."""
    while True:
        query = sample_query(rng, mix.scenes)
        canvases = strokes(query.scene, rng, classes=mix.scenes.classes, in_order=mix.scenes.plain)
        at = rng.randrange(len(canvases))
        if rng.random() < mix.right_share:
            return right_plan(query, canvases, at, painter)
        broken = _break(query.scene.graph, canvases[at], mix.scenes.classes, rng)
        if broken is not None:
            return wrong_plan(query, canvases, at, *broken, painter)


def right_plan(query: Query, canvases: list[Canvas], at: int, painter: CanvasPainter) -> Record:
    """Return the steps up to a right plan, its inspection, and the next step if there is one."""
    kept, prompt = canvases[: at + 2], query.scene.graph
    steps, done = write_steps(prompt, kept, painter, query.wording_rng), at == len(canvases) - 1
    trajectory = Trajectory(
        query.prompt, tuple(steps if done else steps[:-1]), stop=StopReason.END if done else EXCERPT
    )
    return Record("conflict", "right", trajectory, truth=truth_of(prompt, [c.shown for c in kept]))


def wrong_plan(
    query: Query, canvases: list[Canvas], at: int, fault: str, wrong: Canvas, painter: CanvasPainter
) -> Record:
    """Return the steps up to a wrong plan, then its inspection, correction, revised plan and canvas."""
    right, prompt, wording_rng = canvases[at], query.scene.graph, query.wording_rng
    steps = write_steps(prompt, [*canvases[:at], wrong], painter, wording_rng)[:-1]
    found = inspect(prompt, wrong, wording_rng)
    changes = repair(describe(right.plan), describe(wrong.shown))
    message, verdict = plan_message(right, wording_rng, found, changes)
    canvas = painter.paint(steps[-1].image, message.refine or "", message.des or "", right.shown, 0)
    steps.append(Step(message, canvas, verdict))
    scenes = [*(c.shown for c in canvases[:at]), wrong.shown, right.shown]
    trajectory = Trajectory(query.prompt, tuple(steps), stop=EXCERPT)
    return Record("conflict", "wrong", trajectory, fault, truth_of(prompt, scenes))


# --- faults of plans --------------------------------------------------------------------------------------


def _break(
    prompt: SceneGraph, canvas: Canvas, classes: Sequence[str], rng: random.Random
) -> tuple[str, Canvas] | None:
    """Return a wrong plan in the place of a right one, and the name of its fault; None if none is possible
    here.
    """
    obj = next(o for o in canvas.plan.graph.objects if o.thing == canvas.stroke.thing)
    names = rng.sample(sorted(BREAKS), len(BREAKS))
    if rng.random() < RELATION_FIRST:  # few scenes have a relation to break; it must not be the rarest fault
        names.insert(0, "wrong relation")
    for name in names:
        try:
            scene = BREAKS[name](prompt, canvas.plan, obj, classes, rng)
        except SceneError:
            continue
        if scene is not None:
            stroke = adding(scene, obj.id)  # a plan with a wrong relation states it
            kept = tuple(r for r in scene.graph.relations if r.subject != obj.id)
            scene = replace(scene, graph=replace(scene.graph, relations=kept))
            if name != "wrong relation":
                stroke = adding(scene, obj.id)
            return name, Canvas(stroke, scene, scene)
    return None


def _class(
    prompt: SceneGraph, scene: Scene, obj: SceneObject, classes: Sequence[str], rng: random.Random
) -> Scene | None:
    return with_object(scene, replace(obj, name=unused_class(prompt, classes, rng)))


def _relation(
    prompt: SceneGraph, scene: Scene, obj: SceneObject, classes: Sequence[str], rng: random.Random
) -> Scene | None:
    stated = [r for r in scene.graph.relations if r.subject == obj.id]
    return against_relation(scene, rng.choice(stated), rng) if stated else None


BREAKS: dict[str, Callable[[SceneGraph, Scene, SceneObject, Sequence[str], random.Random], Scene | None]] = {
    "wrong color": lambda prompt, scene, obj, classes, rng: recolored(scene, obj, rng),
    "wrong count": lambda prompt, scene, obj, classes, rng: with_one_more(scene, obj, rng),
    "wrong class": _class,
    "wrong relation": _relation,
}


# --- self-sampled plans -----------------------------------------------------------------------------


def accepted(plan: SampledPlan, found: Inspection, rng: random.Random) -> Trajectory:
    """Return the steps up to a plan without faults, its inspection, and the next step if that is right."""
    (inspection, verdict), following = word_inspection(found, rng), plan.following
    message = replace(following.message, inspect=inspection) if following else Message(inspection)
    last = Step(message, following.image if following else None, verdict)
    done = not (following or found.pending or found.pending_background)
    return Trajectory(plan.text, (*plan.restated(rng), last), stop=StopReason.END if done else EXCERPT)


def judge_sampled(
    plans: Iterator[SampledPlan], painter: CanvasPainter, rng: random.Random
) -> Iterator[Record]:
    """Yield records of self-sampled plans: the steps up to each, and the right inspection of it."""
    for plan in plans:
        found = plan.inspected(rng)
        steps = plan.restated(rng)
        truth: dict[str, object] = {"prompt": plan.prompt.to_json()}
        if not found.plan:
            if not found.sketch:  # a faulty sketch is the business of the other subset
                yield Record("conflict", "right", accepted(plan, found, rng), truth=truth)
            continue
        right = plan.repaired(rng)
        if right is None:
            continue  # no layout repairs it; other samples do
        changes = repair(describe(right.plan), plan.seen or plan.described)
        if not changes:
            continue  # the canvas does not show the wrong plan but, by chance, the right one
        message, verdict = plan_message(right, rng, found, changes)
        canvas = painter.paint(steps[-1].image, message.refine or "", message.des or "", right.plan, 0)
        trajectory = Trajectory(plan.text, (*steps, Step(message, canvas, verdict)), stop=EXCERPT)
        yield Record("conflict", "wrong", trajectory, found.plan[0].kind, truth)
