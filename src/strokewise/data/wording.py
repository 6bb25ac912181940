"""From strokes and scenes to texts: the messages of each step of a trajectory of the sprite world.

This file knows the language and the oracle. It refuses to know which strokes are made, and why: that is
decided in the subsets.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from strokewise.critics.oracle import judge_plan, judge_sketch, with_checks
from strokewise.critics.verdicts import word_inspection
from strokewise.data.canvas_painters import CanvasPainter
from strokewise.data.scenes import SceneMix, in_prompt_order, sample_scene, scene_to_json
from strokewise.scene_graph import Fault, SceneGraph
from strokewise.trajectory.values import Message, Step, Verdict
from strokewise.world.language import (
    Description,
    Inspection,
    PlainWording,
    Stroke,
    describe,
    parse_prompt,
    write_correction,
    write_description,
    write_instruction,
    write_prompt,
)
from strokewise.world.layout import Scene


@dataclass(frozen=True)
class Query:
    """What a trajectory is about.

    Attributes:
        prompt: in words.
        scene: what it asks for, laid out.
        wording_rng: random numbers that choose the wording of the messages.
    """

    prompt: str
    scene: Scene
    wording_rng: random.Random


def sample_query(rng: random.Random, mix: SceneMix) -> Query:
    """Return a random scene and a prompt for it."""
    scene = sample_scene(rng, mix)
    prompt = write_prompt(scene.graph, rng)
    if not mix.plain:
        return Query(prompt, scene, rng)
    return Query(prompt, in_prompt_order(parse_prompt(prompt), scene), PlainWording(rng.randrange(2**31)))


@dataclass(frozen=True)
class Canvas:
    """A stroke, the scene it should lead to, and the one that is painted (another only in faulty sketches).

    Attributes:
        stroke: what is painted now.
        plan: the scene as the plan describes it.
        shown: the scene on the canvas.
        judged: whether the plan can be judged: not while a temporary object will go again.
    """

    stroke: Stroke
    plan: Scene
    shown: Scene
    judged: bool = True


def inspect(prompt: SceneGraph, canvas: Canvas, wording_rng: random.Random) -> Inspection:
    """Return the right inspection of a canvas."""
    plan, shown = describe(canvas.plan), describe(canvas.shown)
    judged = judge_plan(prompt, plan) if canvas.judged else Inspection(None)
    return with_sketch(prompt, judged, judge_sketch(plan, shown), plan, shown, wording_rng)


def with_sketch(
    prompt: SceneGraph,
    judged: Inspection,
    faults: tuple[Fault, ...] | None,
    plan: Description,
    seen: Description | None,
    wording_rng: random.Random,
) -> Inspection:
    """Return an inspection of a plan with that of its sketch.

    With a plain wording the inspection first says what is seen, and judges item by item: a small model judges
    better what it has put into words.
    """
    if not isinstance(wording_rng, PlainWording):
        return replace(judged, sketch=faults)
    return with_checks(prompt, judged, faults, plan, seen)


def plan_message(
    canvas: Canvas, rng: random.Random, inspection: Inspection | None = None, refine: Sequence[Stroke] = ()
) -> tuple[Message, Verdict | None]:
    """Return inspection of the canvas before, perhaps a correction, and the plan of this one; the verdict."""
    inspect, verdict = word_inspection(inspection, rng) if inspection else ("", None)
    message = Message(
        inspect,
        refine=write_correction(refine, rng) if refine else None,
        ins=write_instruction(canvas.stroke, rng),
        des=write_description(describe(canvas.plan), rng),
    )
    return message, verdict


def write_steps(
    prompt: SceneGraph, canvases: Sequence[Canvas], painter: CanvasPainter, rng: random.Random
) -> list[Step]:
    """Return steps of a faultless trajectory: plan, sketch, inspect in turn, and a last inspection."""
    steps: list[Step] = []
    image, found = None, None
    for canvas in canvases:
        message, verdict = plan_message(canvas, rng, found)
        image = painter.paint(image, message.ins or "", message.des or "", canvas.shown, rng.randrange(2**31))
        steps.append(Step(message, image, verdict))
        found = inspect(prompt, canvas, rng)
    assert found is not None, "a scene has at least one thing"
    text, verdict = word_inspection(found, rng)
    steps.append(Step(Message(text), None, verdict))
    return steps


def truth_of(prompt: SceneGraph, scenes: Sequence[Scene]) -> dict[str, object]:
    """Return what the pictures of a record show, in the order of its images, and what the prompt asks for."""
    return {"prompt": prompt.to_json(), "scenes": [scene_to_json(scene) for scene in scenes]}
