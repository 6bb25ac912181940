"""The alignment subset: does each sketch show its plan?

Two sources: faults put into rendered sketches, and a model's self-sampled bad sketches (a third is in
``genref``). Positives carry the explanation that nothing is wrong, negatives the analysis of the error, a
correction and the corrected canvas.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from strokewise.critics.verdicts import word_inspection
from strokewise.data.canvas_painters import CanvasPainter
from strokewise.data.conflict import EXCERPT, accepted, right_plan
from strokewise.data.multi_turn import strokes
from strokewise.data.records import Record
from strokewise.data.sampled_plans import SampledPlan
from strokewise.data.scenes import (
    SceneMix,
    moved,
    recolored,
    unused_class,
    with_more,
    with_object,
    with_one_more,
    without,
)
from strokewise.data.wording import Canvas, Query, inspect, sample_query, truth_of, write_steps
from strokewise.errors import SceneError
from strokewise.scene_graph import SceneObject
from strokewise.trajectory.values import Message, Step, Trajectory
from strokewise.world.language import describe, repair, write_correction
from strokewise.world.layout import Scene, place_in
from strokewise.world.vocabulary import MAX_INSTANCES


@dataclass(frozen=True)
class AlignmentMix:
    """How records are sampled; the paper has 5,000 positives and 10,000 negatives."""

    scenes: SceneMix = field(default_factory=SceneMix)
    right_share: float = 1 / 3


def alignment(rng: random.Random, mix: AlignmentMix, painter: CanvasPainter) -> Record:
    """Return one record of a rendered sketch."""
    while True:
        query = sample_query(rng, mix.scenes)
        canvases = strokes(query.scene, rng, classes=mix.scenes.classes, in_order=mix.scenes.plain)
        at = rng.randrange(len(canvases))
        if rng.random() < mix.right_share:
            return _positive(query, canvases, at, painter)
        spoilt = spoil(canvases[at].plan, mix.scenes.classes, rng)
        if spoilt is not None:
            return _negative(query, canvases, at, *spoilt, painter)


def _positive(query: Query, canvases: list[Canvas], at: int, painter: CanvasPainter) -> Record:
    right = right_plan(query, canvases, at, painter)
    return replace(right, subset="alignment", label="positive")


def _negative(
    query: Query, canvases: list[Canvas], at: int, fault: str, shown: Scene, painter: CanvasPainter
) -> Record:
    """Return the steps up to a faulty sketch, then its inspection, correction and the corrected canvas."""
    right, prompt, wording_rng = canvases[at], query.scene.graph, query.wording_rng
    wrong = replace(right, shown=shown)
    steps = write_steps(prompt, [*canvases[:at], wrong], painter, wording_rng)[:-1]
    found = inspect(prompt, wrong, wording_rng)
    refine = write_correction(repair(describe(right.plan), describe(shown)), wording_rng)
    inspection, verdict = word_inspection(found, wording_rng)
    message = Message(inspection, refine)
    canvas = painter.paint(steps[-1].image, refine, steps[-1].message.des or "", right.shown, 0)
    steps.append(Step(message, canvas, verdict))
    scenes = [*(c.shown for c in canvases[:at]), shown, right.shown]
    trajectory = Trajectory(query.prompt, tuple(steps), stop=EXCERPT)
    return Record("alignment", "negative", trajectory, fault, truth_of(prompt, scenes))


# --- faults of sketches -------------------------------------------------------------------------------------


def spoil(scene: Scene, classes: Sequence[str], rng: random.Random) -> tuple[str, Scene] | None:
    """Return a faulty scene in the place of a planned one, and the name of its fault; None if none is
    possible.
    """
    obj = rng.choice(scene.graph.objects)
    for name, change in rng.sample(sorted(SPOILS.items()), len(SPOILS)):
        try:
            spoilt = change(scene, obj, classes, rng)
        except SceneError:
            continue
        if spoilt is not None:
            return name, spoilt
    return None


def _class(scene: Scene, obj: SceneObject, classes: Sequence[str], rng: random.Random) -> Scene | None:
    return with_object(scene, replace(obj, name=unused_class(scene.graph, classes, rng)))


def _fewer(scene: Scene, obj: SceneObject, classes: Sequence[str], rng: random.Random) -> Scene | None:
    return with_object(scene, replace(obj, count=obj.count - 1)) if obj.count > 1 else None


def _missing(scene: Scene, obj: SceneObject, classes: Sequence[str], rng: random.Random) -> Scene | None:
    return without(scene, obj.id)


def _extra(scene: Scene, obj: SceneObject, classes: Sequence[str], rng: random.Random) -> Scene | None:
    return with_more(scene, SceneObject("extra", unused_class(scene.graph, classes, rng)), rng)


def _place(scene: Scene, obj: SceneObject, classes: Sequence[str], rng: random.Random) -> Scene | None:
    return moved(scene, obj.id, rng)


SPOILS: dict[str, Callable[[Scene, SceneObject, Sequence[str], random.Random], Scene | None]] = {
    "wrong color": lambda scene, obj, classes, rng: recolored(scene, obj, rng),
    "wrong class": _class,
    "too many": lambda scene, obj, classes, rng: with_one_more(scene, obj, rng, MAX_INSTANCES),
    "too few": _fewer,
    "missing": _missing,
    "extra": _extra,
    "wrong place": _place,
}


# --- self-sampled sketches ------------------------------------------------------------------------------


def judge_sketches(
    plans: Iterator[SampledPlan], painter: CanvasPainter, rng: random.Random
) -> Iterator[Record]:
    """Yield records of self-sampled sketches, where all of the canvas was recognized."""
    for plan in plans:
        found = plan.inspected(rng)
        faults = found.sketch
        if faults is None or plan.seen is None:
            continue
        if found.plan:
            continue  # a wrong plan is the business of the other subset
        truth: dict[str, object] = {"prompt": plan.prompt.to_json()}
        if not faults:
            yield Record("alignment", "positive", accepted(plan, found, rng), "", truth)
            continue
        inspection, verdict = word_inspection(found, rng)
        try:
            regions = {o.id: plan.described.regions_of(o.id) for o in plan.described.graph.objects}
            target = place_in(plan.described.graph, regions, layout_jitter=plan.layout_jitter)
            refine = write_correction(repair(plan.described, plan.seen), rng)
        except SceneError:
            continue  # a plan that no layout obeys has no corrected canvas
        canvas = painter.paint(plan.steps[-1].image, refine, plan.steps[-1].message.des or "", target, 0)
        last = Step(Message(inspection, refine), canvas, verdict)
        trajectory = Trajectory(plan.text, (*plan.restated(rng), last), stop=EXCERPT)
        yield Record("alignment", "negative", trajectory, faults[0].kind, truth)
