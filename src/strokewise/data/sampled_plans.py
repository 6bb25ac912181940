"""Self-sampled trajectories of a model, taken apart into plans and sketches that can be judged.

This file knows texts and recognized canvases. It refuses to know models: anything that satisfies
:class:`Sampler` serves.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Protocol

from strokewise.critics.canvas_reader import read_canvas
from strokewise.critics.oracle import judge_plan, judge_sketch
from strokewise.critics.verdicts import word_inspection
from strokewise.data.multi_turn import adding
from strokewise.data.scenes import later_to_earlier
from strokewise.data.wording import Canvas, with_sketch
from strokewise.errors import LanguageError, SceneError
from strokewise.scene_graph import Fault, SceneGraph
from strokewise.trajectory.values import Step, Trajectory
from strokewise.world.language import (
    FITS,
    Description,
    Inspection,
    parse_description,
    parse_prompt,
)
from strokewise.world.layout import place, place_in
from strokewise.world.vocabulary import DEFAULT_BACKGROUND


class Sampler(Protocol):
    """What self-sampling needs of a model."""

    def sample(self, prompts: list[str], seeds: list[int]) -> list[Trajectory]:
        """Return a trajectory of each prompt that the model knows, as it paints it."""


@dataclass(frozen=True)
class SampledPlan:
    """One plan of a model, with its canvas.

    Attributes:
        text: the prompt in words.
        prompt: the prompt's graph.
        steps: the steps up to and with this plan's canvas, or with a correction of it.
        earlier: the plans of the steps before.
        following: the step after it, if that paints a right plan rightly.
        before: the scene this plan adds to, as its own plan describes it.
        described: the scene the plan describes.
        seen: the scene the canvas shows, as far as it was recognized; None if parts are unknown.
        layout_jitter: of what is painted in its place (``Scene``).
    """

    text: str
    prompt: SceneGraph
    steps: tuple[Step, ...]
    following: Step | None
    before: Description
    described: Description
    seen: Description | None
    earlier: tuple["SampledPlan", ...] = ()
    layout_jitter: float = 1.0

    @property
    def sketch_faults(self) -> tuple[Fault, ...] | None:
        """How the canvas differs from the plan; None where the canvas is not recognized."""
        return None if self.seen is None else judge_sketch(self.described, self.seen)

    def inspected(self, wording_rng: random.Random) -> Inspection:
        """Return the right inspection of plan and sketch."""
        judged = judge_plan(self.prompt, self.described)
        return with_sketch(self.prompt, judged, self.sketch_faults, self.described, self.seen, wording_rng)

    def restated(self, wording_rng: random.Random) -> tuple[Step, ...]:
        """Return the steps, with what their inspections decided put into the words of the right inspections.

        What a model overlooked is passed over in them, as somebody would who overlooks it; what it corrected
        without need stays in its own words.
        """
        steps = list(self.steps)
        for plan in self.earlier:
            message, found = steps[len(plan.steps)].message, plan.inspected(wording_rng)
            if message.refine is None and not message.ins:
                continue
            if message.refine is None:
                found = _overlooked(found)
            elif found.accepted:
                continue
            text, verdict = word_inspection(found, wording_rng)
            at = len(plan.steps)
            steps[at] = replace(steps[at], message=replace(message, inspect=text), verdict=verdict)
        return tuple(steps)

    @property
    def right(self) -> bool:
        """Whether the plan fits the prompt, corrects nothing, and its canvas shows it."""
        fits = not judge_plan(self.prompt, self.described).plan and self.sketch_faults == ()
        return fits and self.steps[-1].message.refine is None

    def repaired(self, rng: random.Random) -> Canvas | None:
        """Return a right plan in its place: one thing more that is asked for, if it can be one that it names.

        None if what stands there already does not fit the prompt, nothing is to come, or no layout is found.
        """
        named = {obj.name for obj in self.described.graph.objects}
        shown = {obj.name for obj in self.before.graph.objects}
        coming = [obj for obj in self.prompt.objects if obj.name not in shown]
        if not coming or judge_plan(self.prompt, self.before).plan:
            return None
        added = next((obj for obj in coming if obj.name in named), coming[0])
        ids = {obj.name: obj.id for obj in self.prompt.objects}
        kept = tuple(replace(obj, id=ids[obj.name]) for obj in self.before.graph.objects)
        regions = {obj.id: places for obj, places in zip(kept, self.before.regions, strict=True)}
        present = {obj.id for obj in (*kept, added)}
        relations = tuple(r for r in self.prompt.relations if {r.subject, r.target} <= present)
        graph = SceneGraph((*kept, added), relations, self.before.graph.background)
        try:
            stands = place_in(
                replace(graph, objects=kept, relations=()), regions, layout_jitter=self.layout_jitter
            )
            scene = place(graph, rng.randrange(2**31), stands.placements, self.layout_jitter)
        except SceneError:
            return None
        return Canvas(adding(scene, added.id), scene, scene)


def _overlooked(found: Inspection) -> Inspection:
    """Return an inspection that finds nothing wrong."""
    return replace(
        found,
        plan=None if found.plan is None else (),
        sketch=None if found.sketch is None else (),
        prompt_checks=tuple(replace(check, judgment=FITS) for check in found.prompt_checks),
        plan_checks=tuple(replace(check, judgment=FITS) for check in found.plan_checks),
    )


def plans_of(trajectories: Iterable[Trajectory], layout_jitter: float = 1.0) -> Iterator[SampledPlan]:
    """Yield the plans of trajectories, each up to the first text outside the world's language.

    Args:
        trajectories: what a model painted.
        layout_jitter: of the scenes that it is trained to paint (``Scene``).
    """
    for trajectory in trajectories:
        try:
            prompt = later_to_earlier(parse_prompt(trajectory.prompt))
        except LanguageError:
            continue
        plans = list(_plans(trajectory, prompt))
        for plan, later in zip_longest(plans, plans[1:]):
            at = len(plan.steps)
            follows = later is not None and len(later.steps) == at + 1 and later.right
            following = trajectory.steps[at] if follows else None
            yield replace(plan, following=following, layout_jitter=layout_jitter)


def _plans(trajectory: Trajectory, prompt: SceneGraph) -> Iterator[SampledPlan]:
    empty = Description(SceneGraph((), (), prompt.background or DEFAULT_BACKGROUND), ())
    before, described = empty, empty
    plans: list[SampledPlan] = []
    for i, step in enumerate(trajectory.steps):
        message = step.message
        if step.image is None or (message.des is None and not (message.refine and plans)):
            continue
        if message.des is not None:
            try:
                parsed = parse_description(message.des)
                parsed.validate()
                judge_plan(prompt, parsed)
            except (LanguageError, SceneError):
                return
            # A revised plan is for the canvas before the one it revises.
            before, described = (described if message.refine is None else before), parsed
        seen = read_canvas(step.image)
        plans.append(
            SampledPlan(
                trajectory.prompt,
                prompt,
                trajectory.steps[: i + 1],
                None,
                before,
                described,
                seen,
                tuple(plans),
            )
        )
        yield plans[-1]
