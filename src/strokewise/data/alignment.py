"""The alignment subset: does each sketch show its plan?

Three sources: faults put into rendered sketches, a model's own bad sketches, and GenRef's pairs of good and
bad images. Positives carry the explanation that nothing is wrong, negatives the analysis of the error, a
correction and the corrected canvas.
"""

import lzma
import random
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from strokewise.data.canvas_painters import CanvasPainter
from strokewise.data.conflict import EXCERPT, accepted, right_plan
from strokewise.data.multi_turn import strokes
from strokewise.data.records import Record
from strokewise.data.sampled import SampledPlan
from strokewise.data.scenes import (
    SceneMix,
    moved,
    unused_class,
    with_more,
    with_object,
    without,
)
from strokewise.data.wording import Canvas, Query, ask, inspect, tell, truth_of, verdict_of
from strokewise.errors import RecordError, SceneError
from strokewise.io.outside import decode_picture
from strokewise.scene_graph import MAX_COUNT, SceneObject
from strokewise.trajectory.values import Message, Step, Trajectory, Verdict
from strokewise.world.language import describe, repair, write_correction, write_inspection
from strokewise.world.layout import Scene, place_in
from strokewise.world.vocabulary import COLORS

GENREF_FILES = ("good_image.jpg", "bad_image.jpg", "reflection.txt", "prompt.txt", "subset.txt")
AGREES = "the sketch shows the plan."


@dataclass(frozen=True)
class AlignmentMix:
    """How records are sampled; the paper has 5,000 positives and 10,000 negatives."""

    scenes: SceneMix = field(default_factory=SceneMix)
    right_share: float = 1 / 3


def alignment(rng: random.Random, mix: AlignmentMix, painter: CanvasPainter) -> Record:
    """One record of a rendered sketch."""
    while True:
        asked = ask(rng, mix.scenes)
        canvases = strokes(asked.scene, rng, classes=mix.scenes.classes, in_order=mix.scenes.plain)
        at = rng.randrange(len(canvases))
        if rng.random() < mix.right_share:
            return _positive(asked, canvases, at, painter)
        spoilt = spoil(canvases[at].plan, mix.scenes.classes, rng)
        if spoilt is not None:
            return _negative(asked, canvases, at, *spoilt, painter)


def _positive(asked: Query, canvases: list[Canvas], at: int, painter: CanvasPainter) -> Record:
    right = right_plan(asked, canvases, at, painter)
    return replace(right, subset="alignment", label="positive")


def _negative(
    asked: Query, canvases: list[Canvas], at: int, fault: str, shown: Scene, painter: CanvasPainter
) -> Record:
    """The steps up to a faulty sketch, then its inspection, correction and the corrected canvas."""
    right, prompt, wording_rng = canvases[at], asked.scene.graph, asked.wording_rng
    wrong = replace(right, shown=shown)
    steps = tell(prompt, [*canvases[:at], wrong], painter, wording_rng)[:-1]
    found = inspect(prompt, wrong, wording_rng)
    refine = write_correction(repair(describe(right.plan), describe(shown)), wording_rng)
    message = Message(write_inspection(found, wording_rng), refine)
    canvas = painter.paint(steps[-1].image, refine, steps[-1].message.des or "", right.shown, 0)
    steps.append(Step(message, canvas, verdict_of(found)))
    scenes = [*(c.shown for c in canvases[:at]), shown, right.shown]
    trajectory = Trajectory(asked.prompt, tuple(steps), stop=EXCERPT)
    return Record("alignment", "negative", trajectory, fault, truth_of(prompt, scenes))


# --- faults of sketches -------------------------------------------------------------------------------------


def spoil(scene: Scene, classes: Sequence[str], rng: random.Random) -> tuple[str, Scene] | None:
    """A faulty scene in the place of a planned one, and the name of its fault; None if none is possible."""
    obj = rng.choice(scene.graph.objects)
    for name, change in rng.sample(sorted(SPOILS.items()), len(SPOILS)):
        try:
            spoilt = change(scene, obj, classes, rng)
        except SceneError:
            continue
        if spoilt is not None:
            return name, spoilt
    return None


def _color(scene: Scene, obj: SceneObject, classes: Sequence[str], rng: random.Random) -> Scene | None:
    if obj.color is None:
        return None
    return with_object(scene, replace(obj, color=rng.choice([c for c in COLORS if c != obj.color])))


def _class(scene: Scene, obj: SceneObject, classes: Sequence[str], rng: random.Random) -> Scene | None:
    return with_object(scene, replace(obj, name=unused_class(scene.graph, classes, rng)))


def _more(scene: Scene, obj: SceneObject, classes: Sequence[str], rng: random.Random) -> Scene | None:
    return with_more(scene, replace(obj, count=obj.count + 1), rng) if obj.count < MAX_COUNT else None


def _fewer(scene: Scene, obj: SceneObject, classes: Sequence[str], rng: random.Random) -> Scene | None:
    return with_object(scene, replace(obj, count=obj.count - 1)) if obj.count > 1 else None


def _missing(scene: Scene, obj: SceneObject, classes: Sequence[str], rng: random.Random) -> Scene | None:
    return without(scene, obj.id)


def _extra(scene: Scene, obj: SceneObject, classes: Sequence[str], rng: random.Random) -> Scene | None:
    return with_more(scene, SceneObject("extra", unused_class(scene.graph, classes, rng)), rng)


def _place(scene: Scene, obj: SceneObject, classes: Sequence[str], rng: random.Random) -> Scene | None:
    return moved(scene, obj.id, rng)


SPOILS: dict[str, Callable[[Scene, SceneObject, Sequence[str], random.Random], Scene | None]] = {
    "wrong color": _color,
    "wrong class": _class,
    "too many": _more,
    "too few": _fewer,
    "missing": _missing,
    "extra": _extra,
    "wrong place": _place,
}


# --- a model's own sketches ------------------------------------------------------------------------------


def judge_sketches(
    plans: Iterator[SampledPlan], painter: CanvasPainter, rng: random.Random
) -> Iterator[Record]:
    """Records of a model's own sketches, where all of the canvas was recognised."""
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
        inspection = write_inspection(found, rng)
        try:
            regions = {o.id: plan.described.regions_of(o.id) for o in plan.described.graph.objects}
            target = place_in(plan.described.graph, regions, layout_jitter=plan.layout_jitter)
            refine = write_correction(repair(plan.described, plan.seen), rng)
        except SceneError:
            continue  # a plan that no layout obeys has no corrected canvas
        canvas = painter.paint(plan.steps[-1].image, refine, plan.steps[-1].message.des or "", target, 0)
        last = Step(Message(inspection, refine), canvas, verdict_of(found))
        trajectory = Trajectory(plan.text, (*plan.steps, last), stop=EXCERPT)
        yield Record("alignment", "negative", trajectory, faults[0].kind, truth)


# --- GenRef ------------------------------------------------------------------------------------------


def read_genref(path: Path) -> Iterator[Record]:
    """Records of one of GenRef's tar shards: for each key a bad image with its reflection, and a good one.

    Raises:
        RecordError: if the shard is damaged, or an example lacks a file.
    """
    found: dict[str, dict[str, bytes]] = {}
    try:
        with tarfile.open(path) as shard:
            for member in shard:
                key, _, name = Path(member.name).name.partition(".")
                stream = shard.extractfile(member) if member.isfile() else None
                if stream is None or name not in GENREF_FILES:
                    continue
                files = found.setdefault(key, {})
                files[name] = stream.read()
                if len(files) == len(GENREF_FILES):
                    yield from _genref_records(found.pop(key), f"{path}: {key}")
    except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise RecordError(f"{path} is not a readable tar shard: {error}") from error
    for key, files in found.items():
        lacks = ", ".join(sorted(set(GENREF_FILES) - set(files)))
        raise RecordError(f"{path}: {key} lacks {lacks}")


def _genref_records(files: dict[str, bytes], where: str) -> Iterator[Record]:
    prompt, reflection, subset = (
        files[f"{name}.txt"].decode("utf-8", "replace").strip() for name in ("prompt", "reflection", "subset")
    )
    good, bad = (
        decode_picture(files[f"{name}_image.jpg"], f"{where}.{name}_image.jpg", RecordError)
        for name in ("good", "bad")
    )
    plan = Message(ins=prompt, des=prompt)
    corrected = Step(Message(reflection, reflection), good, Verdict(None, False))
    negative = Trajectory(prompt, (Step(plan, bad), corrected), stop=EXCERPT)
    yield Record("alignment", "negative", negative, subset)
    agrees = Step(Message(AGREES), None, Verdict(None, True))
    yield Record("alignment", "positive", Trajectory(prompt, (Step(plan, good), agrees)))
