"""The oracle, an exact critic of the sprite world: does a plan fit its prompt, does a sketch show its plan?

This file knows graphs, descriptions and GenEval's position rule. It refuses to know pictures: what a canvas
shows is given to it, from the truth of a rendered scene or from the recognizer (``canvas_reader``).
"""

from dataclasses import replace
from itertools import product

from strokewise.scene_graph import INVERSE, RELATIONS, Fault, SceneGraph, Thing, diff
from strokewise.world.language import (
    EXTRA,
    FAILS,
    FITS,
    Check,
    CheckItem,
    Description,
    Inspection,
    compare,
    in_reading_order,
)
from strokewise.world.layout import CROWDED, Box, Scene, holds
from strokewise.world.vocabulary import DEFAULT_BACKGROUND, GRID, region_cell


def judge_plan(prompt: SceneGraph, plan: Description) -> Inspection:
    """Return where the plan contradicts the prompt, and what of the prompt is still to come.

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
    """Return how a canvas differs from the plan; () if it shows it."""
    return compare(replace(plan, graph=replace(plan.graph, relations=())), seen).faults


def prompt_checks(prompt: SceneGraph, plan: Description, faults: tuple[Fault, ...]) -> tuple[Check, ...]:
    """Return the plan's last thing and its relations beside what the prompt asks for, and all else that is
    wrong.

    What stands earlier in the plan was checked when it was planned.

    Args:
        prompt: what is asked for.
        plan: what is planned; what of the prompt is not in it yet is not checked.
        faults: of the plan (:func:`judge_plan`).
    """
    asked = {obj.name: obj.thing for obj in prompt.objects}
    planned = dict(zip((obj.name for obj in plan.graph.objects), plan.regions, strict=True))
    wrong = {fault.subject.name for fault in faults if fault.subject and fault.kind != "wrong relation"}
    last = next(reversed(planned), "")
    checks = []
    for obj in plan.graph.objects:
        if obj.name not in asked:
            checks.append(Check(CheckItem(obj.thing), EXTRA))
        elif obj.name == last or obj.name in wrong:
            checks.append(_check(CheckItem(asked[obj.name]), obj.name in wrong))
    for relation in prompt.relations:
        subject, target = prompt[relation.subject].thing, prompt[relation.target].thing
        if subject.name not in planned or target.name not in planned:
            continue
        fails = any((f.subject, f.target, f.wanted) == (subject, target, relation.kind) for f in faults)
        if fails or last in (subject.name, target.name):
            first, second = _as_planned(subject, planned), _as_planned(target, planned)
            checks.append(_check(CheckItem(*first, relation.kind, *second), fails))
    return (*checks, *_backgrounds(faults))


def plan_checks(plan: Description, faults: tuple[Fault, ...]) -> tuple[Check, ...]:
    """Return the plan's things, the last with its places, each as the sketch shows it, and what else is
    wrong.

    Args:
        plan: what is planned.
        faults: of the sketch (:func:`judge_sketch`).
    """
    planned = {obj.name for obj in plan.graph.objects}
    wrong = {fault.subject.name for fault in faults if fault.subject}
    items = [CheckItem(obj.thing) for obj in plan.graph.objects]
    if items:
        items[-1] = replace(items[-1], regions=plan.regions[-1])
    checks = [_check(item, item.thing is not None and item.thing.name in wrong) for item in items]
    extras = dict.fromkeys(f.subject for f in faults if f.subject and f.subject.name not in planned)
    return (*checks, *(Check(CheckItem(thing), EXTRA) for thing in extras), *_backgrounds(faults))


def with_checks(
    prompt: SceneGraph,
    judged: Inspection,
    sketch: tuple[Fault, ...] | None,
    plan: Description,
    seen: Description | None,
) -> Inspection:
    """Return an inspection of a plan with that of its sketch, which says what is seen and judges item by
    item.
    """
    found = replace(judged, sketch=sketch)
    if judged.plan is not None:
        found = replace(found, prompt_checks=prompt_checks(prompt, plan, judged.plan))
    if sketch is not None and seen is not None:
        found = replace(found, seen=in_reading_order(seen), plan_checks=plan_checks(plan, sketch))
    return found


def _as_planned(thing: Thing, planned: dict[str, tuple[str, ...]]) -> tuple[Thing, tuple[str, ...]]:
    """Return a thing of the prompt with its places in the plan, in the plan's number."""
    return replace(thing, count=len(planned[thing.name])), planned[thing.name]


def _backgrounds(faults: tuple[Fault, ...]) -> list[Check]:
    """Return a check of the background, where it is wrong."""
    wrong = [fault for fault in faults if fault.kind == "wrong background"]
    return [Check(CheckItem(None, kind=str(fault.wanted)), FAILS) for fault in wrong]


def _check(item: CheckItem, fails: bool) -> Check:
    return Check(item, FAILS if fails else FITS)


def prompt_fulfilled(prompt: SceneGraph, scene: Scene) -> bool:
    """Return whether a finished scene shows all that the prompt asks for, relations by GenEval's rule."""
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
    """Return relations of the prompt between things that the plan places otherwise."""
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
    """Return boxes of another graph's object that stands for one of the prompt (classes do not repeat)."""
    wanted = prompt[object_id]
    return [box for obj in graph.objects if obj.name == wanted.name for box in boxes[obj.id]]


def _nominal_box(region: str) -> Box:
    """Return a sprite in the middle of a region."""
    row, column = region_cell(region)
    x, y = (column + 0.5) / GRID, (row + 0.5) / GRID
    return x - CROWDED / 2, y - CROWDED / 2, x + CROWDED / 2, y + CROWDED / 2


def _number(value: str | int | None) -> int:
    assert isinstance(value, int), "counts are numbers"
    return value
