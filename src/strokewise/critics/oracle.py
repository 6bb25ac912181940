"""The oracle, an exact critic of the sprite world: does a plan fit its prompt, does a sketch show its plan?

This file knows graphs, descriptions and GenEval's position rule. It refuses to know pictures: what a canvas
shows is given to it, from the truth of a rendered scene or from the recognizer (``canvas_reader``).
"""

from dataclasses import replace
from itertools import product

from strokewise.scene_graph import INVERSE, RELATIONS, Fault, SceneGraph, Thing, diff
from strokewise.world.language import Description, Inspection, compare
from strokewise.world.layout import CROWDED, Box, Scene, holds
from strokewise.world.vocabulary import DEFAULT_BACKGROUND, GRID, region_cell


def judge_plan(prompt: SceneGraph, plan: Description) -> Inspection:
    """Where the plan contradicts the prompt, and what of the prompt is still to come.

    Faults: things that the prompt lacks, more of them than it has, another color, a relation that does not
    hold, another background. What is merely not there yet, is too few, or has no color yet, is
    pending and no fault.
    """
    faults: list[Fault] = []
    pending: list[Thing] = []
    for fault in diff(replace(prompt, relations=()), replace(plan.graph, relations=())).faults:
        subject = fault.subject
        if fault.kind == "wrong background":
            continue
        assert subject is not None
        if fault.kind == "missing" or (fault.kind == "wrong color" and fault.seen is None):
            pending.append(subject)
        elif fault.kind == "wrong count" and _number(fault.seen) < _number(fault.wanted):
            pending.append(replace(subject, count=_number(fault.wanted) - _number(fault.seen)))
        else:
            faults.append(fault)
    faults += _relation_faults(prompt, plan)
    coming = None
    if prompt.background is not None and plan.graph.background != prompt.background:
        if plan.graph.background in (None, DEFAULT_BACKGROUND):
            coming = prompt.background
        else:
            faults.append(Fault("wrong background", wanted=prompt.background, seen=plan.graph.background))
    return Inspection(tuple(faults), None, tuple(pending), coming)


def judge_sketch(plan: Description, seen: Description) -> tuple[Fault, ...]:
    """How a canvas differs from the plan; () if it shows it."""
    return compare(replace(plan, graph=replace(plan.graph, relations=())), seen).faults


def prompt_fulfilled(prompt: SceneGraph, scene: Scene) -> bool:
    """Whether a finished scene shows all that the prompt asks for, relations by GenEval's rule."""
    if diff(replace(prompt, relations=()), replace(scene.graph, relations=())):
        if prompt.background is None or scene.background != prompt.background:
            return False
        without = replace(scene.graph, relations=(), background=prompt.background)
        if diff(replace(prompt, relations=()), without):
            return False
    boxes = {o.id: [p.box for p in scene.placements if p.object_id == o.id] for o in scene.graph.objects}
    for relation in prompt.relations:
        firsts, seconds = (
            _matching(prompt, i, scene.graph, boxes) for i in (relation.subject, relation.target)
        )
        if not all(holds(relation.kind, a, b) for a, b in product(firsts, seconds)):
            return False
    return True


def _relation_faults(prompt: SceneGraph, plan: Description) -> list[Fault]:
    """Relations of the prompt between things that the plan places otherwise."""
    places = {
        obj.id: [_nominal_box(region) for region in regions]
        for obj, regions in zip(plan.graph.objects, plan.regions, strict=True)
    }
    faults = []
    for relation in prompt.relations:
        firsts, seconds = (
            _matching(prompt, i, plan.graph, places) for i in (relation.subject, relation.target)
        )
        pairs = list(product(firsts, seconds))
        if pairs and not all(holds(relation.kind, a, b) for a, b in pairs):
            seen = [kind for kind in RELATIONS if all(holds(kind, a, b) for a, b in pairs)]
            turned = INVERSE[relation.kind]
            shown = turned if turned in seen else (seen[0] if seen else None)
            subject, target = prompt[relation.subject].thing, prompt[relation.target].thing
            faults.append(Fault("wrong relation", subject, target, relation.kind, shown))
    return faults


def _matching(
    prompt: SceneGraph, object_id: str, graph: SceneGraph, boxes: dict[str, list[Box]]
) -> list[Box]:
    """Boxes of another graph's object that stands for one of the prompt (classes do not repeat)."""
    wanted = prompt[object_id]
    return [box for obj in graph.objects if obj.name == wanted.name for box in boxes[obj.id]]


def _nominal_box(region: str) -> Box:
    """A sprite in the middle of a region."""
    row, column = region_cell(region)
    x, y = (column + 0.5) / GRID, (row + 0.5) / GRID
    return x - CROWDED / 2, y - CROWDED / 2, x + CROWDED / 2, y + CROWDED / 2


def _number(value: str | int | None) -> int:
    assert isinstance(value, int), "counts are numbers"
    return value
