"""Checking a data set: every claim of every record against the truth of the sprite world.

Reads the texts back with the language's parsers, renders the stored scenes again and compares pixels, and
queries the oracle anew; so a record whose text, picture or verdict was changed is found. Records without
truth (self-sampled, or others' data) are only validated. This file knows records one at a time. It refuses to
know how they are stored and made.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from typing_extensions import TypedDict

from strokewise.critics.oracle import judge_plan, judge_sketch, prompt_fulfilled
from strokewise.critics.verdicts import read_verdict
from strokewise.data.records import Record
from strokewise.data.scenes import scene_from_json
from strokewise.errors import ConfigError, LanguageError, ProtocolError, SceneError
from strokewise.io.schema import checked
from strokewise.scene_graph import Relation, SceneGraph, SceneObject
from strokewise.trajectory.values import Message, Step, StopReason, from_parts, to_parts
from strokewise.world.language import (
    Description,
    Inspection,
    Stroke,
    apply_stroke,
    compare,
    describe,
    parse_correction,
    parse_description,
    parse_inspection,
    parse_instruction,
    parse_prompt,
)
from strokewise.world.layout import Scene
from strokewise.world.recognize import recognize
from strokewise.world.render import render_array
from strokewise.world.vocabulary import DEFAULT_BACKGROUND


def faults_of(record: Record, look: bool = False) -> Iterator[str]:
    """Yield what is wrong with a record, in words; nothing if it is sound.

    Args:
        record: the record.
        look: also recognize the pictures, which is slow and not exact.
    """
    try:
        record.trajectory.check_protocol()
        again = from_parts(to_parts(record.trajectory))
        if [s.message for s in again.steps] != [s.message for s in record.trajectory.steps]:
            yield "the texts do not come back from the token grammar"
    except ProtocolError as error:
        yield str(error)
        return
    if "scenes" not in record.truth:
        return
    try:
        prompt, scenes = _truth(record.truth)
        yield from _check(record, prompt, scenes, look)
    except (SceneError, LanguageError, ConfigError) as error:
        yield f"{type(error).__name__}: {error}"


class _Truth(TypedDict):
    prompt: dict[str, Any]
    scenes: list[dict[str, Any]]


def _truth(truth: dict[str, Any]) -> tuple[SceneGraph, list[Scene]]:
    """Return what the prompt asks for, and the scene of every picture."""
    data = checked(_Truth, truth, "the truth", SceneError, extra="ignore")
    return SceneGraph.from_json(data["prompt"]), [scene_from_json(value) for value in data["scenes"]]


def _check(record: Record, prompt: SceneGraph, scenes: Sequence[Scene], look: bool) -> Iterator[str]:
    trajectory = record.trajectory
    if not parse_prompt(trajectory.prompt).isomorphic(prompt):
        yield f"the prompt {trajectory.prompt!r} does not state its graph"
    if len(scenes) != len(trajectory.images):
        yield f"{len(trajectory.images)} pictures but the truth of {len(scenes)}"
        return
    for i, (image, scene) in enumerate(zip(trajectory.images, scenes, strict=True)):
        if not np.array_equal(np.asarray(image), render_array(scene, image.width)):
            yield f"picture {i} does not show its scene"
        if look and (seen := _recognized_otherwise(scene, image)):
            yield f"picture {i} is recognized otherwise: {seen}"
    yield from _check_steps(trajectory.steps, prompt, scenes)
    if trajectory.stop == StopReason.END and not prompt_fulfilled(prompt, scenes[-1]):
        yield "the last picture does not fulfil the prompt"


def _recognized_otherwise(scene: Scene, image: object) -> str:
    """Return how the recognizer differs from the truth; it may leave places and natural colors open."""
    found = recognize(image)  # type: ignore[arg-type]
    wanted = describe(scene)
    seen = describe(found.scene) if found.instances else Description(SceneGraph(), ())
    return "; ".join(f.message for f in compare(wanted, seen).faults)


def _check_steps(steps: Sequence[Step], prompt: SceneGraph, scenes: Sequence[Scene]) -> Iterator[str]:
    """Yield plans, inspections and corrections of all steps."""
    empty = Description(SceneGraph((), (), scenes[0].graph.background or DEFAULT_BACKGROUND), ())
    plan, seen, earlier = empty, empty, empty
    for i, step in enumerate(steps):
        message = step.message
        if i > 0:
            found = parse_inspection(message.inspect)
            yield from (f"step {i}: {fault}" for fault in _check_inspection(found, prompt, plan, seen))
            stored, read = step.verdict, read_verdict(message)
            if stored is None or read is None or vars(stored) != vars(read):
                yield f"step {i}: the verdict is not what the inspection says"
            if (message.refine is None) != found.accepted:
                yield f"step {i}: a correction stands if and only if a fault was found"
        if message.des is not None:
            plan = parse_description(message.des)
        # A revised plan is for the canvas before the one it revises.
        start = seen if message.refine is None else earlier
        yield from (f"step {i}: {fault}" for fault in _check_plan(message, start, seen, plan))
        if step.image is not None:
            earlier, seen = start, describe(scenes[i])


def _check_inspection(
    found: Inspection, prompt: SceneGraph, plan: Description, seen: Description
) -> Iterator[str]:
    right = replace(judge_plan(prompt, plan), sketch=judge_sketch(plan, seen))
    if found.plan is not None:
        if set(found.plan) != set(right.plan or ()):
            yield f"the inspection says {found.plan} of the plan, but it is {right.plan}"
        if sorted(map(str, found.pending)) != sorted(map(str, right.pending)):
            yield f"the inspection says {found.pending} is still to come, but it is {right.pending}"
        if found.pending_background != right.pending_background:
            coming = f"{found.pending_background} is still to come, but it is {right.pending_background}"
            yield f"the inspection says the background {coming}"
    if found.seen is not None and _differ(found.seen, seen):
        yield f"the inspection says that {found.seen} is seen, but it is {seen}"
    if found.sketch is not None and set(found.sketch) != set(right.sketch or ()):
        yield f"the inspection says {found.sketch} of the sketch, but it is {right.sketch}"


def _check_plan(message: Message, start: Description, seen: Description, plan: Description) -> Iterator[str]:
    """Yield the stroke leads to the described scene, the correction from what is seen to it."""
    if message.refine is not None:
        corrected = seen
        for stroke in parse_correction(message.refine):
            corrected = apply_stroke(stroke, corrected)
            yield from _check_relation(stroke, plan)
        if _differ(plan, corrected):
            yield f"the correction {message.refine!r} does not repair the canvas"
    if message.ins is not None:
        stroke = parse_instruction(message.ins)
        after = apply_stroke(stroke, start)
        yield from _check_relation(stroke, plan)
        if _differ(plan, after):
            yield f"the stroke {message.ins!r} does not lead to {message.des!r}"


def _check_relation(stroke: Stroke, plan: Description) -> Iterator[str]:
    """Yield what a stroke stands beside is there, on the side that is stated."""
    if stroke.relation is None or stroke.thing is None:
        return
    beside, target = stroke.relation, stroke.relation.target
    ends = tuple(SceneObject(i, t.name, t.color, t.count) for i, t in (("0", stroke.thing), ("1", target)))
    stated = SceneGraph(ends, (Relation("0", beside.kind, "1"),))
    there = any(obj.thing == target for obj in plan.graph.objects)
    if not there or any(fault.kind == "wrong relation" for fault in judge_plan(stated, plan).plan or ()):
        yield f"{stroke.thing} is not {beside.kind} {target}"


def _differ(one: Description, other: Description) -> bool:
    """Return whether either scene lacks something of the other."""
    plain = [replace(d, graph=replace(d.graph, relations=())) for d in (one, other)]
    return bool(compare(plain[0], plain[1])) or bool(compare(plain[1], plain[0]))
