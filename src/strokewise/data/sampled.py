"""A model's own trajectories, taken apart into plans and sketches that can be judged.

Anything that satisfies :class:`Sampler` will do. Knows texts and recognised canvases, not models.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from strokewise.data.multi_turn import adding
from strokewise.data.oracle import judge_plan, judge_sketch
from strokewise.data.telling import Canvas
from strokewise.errors import LanguageError, SceneError
from strokewise.scene_graph import Fault, SceneGraph
from strokewise.trajectory import Step, Trajectory
from strokewise.world.language import Description, describe, parse_description, parse_prompt
from strokewise.world.layout import place
from strokewise.world.recognise import recognise


class Sampler(Protocol):
    """What self-sampling needs of a model."""

    def sample(self, prompts: list[str], seeds: list[int]) -> list[Trajectory]:
        """A trajectory of each prompt, as the model paints it."""


@dataclass(frozen=True)
class SampledPlan:
    """One plan of a model, with its canvas.

    Attributes:
        text: the prompt in words.
        prompt: the prompt's graph.
        steps: the steps up to and with this plan's canvas.
        following: the step after it, if it paints.
        described: the scene the plan describes.
        seen: the scene the canvas shows, as far as it was recognised; None if parts are unknown.
    """

    text: str
    prompt: SceneGraph
    steps: tuple[Step, ...]
    following: Step | None
    described: Description
    seen: Description | None

    @property
    def sketch_faults(self) -> tuple[Fault, ...] | None:
        """How the canvas differs from the plan; None where it cannot be told."""
        return None if self.seen is None else judge_sketch(self.described, self.seen)

    def mended(self, rng: random.Random) -> Canvas | None:
        """A right plan near this one: what is asked for of what it names, the rest left out."""
        named = {obj.name for obj in self.described.graph.objects}
        wanted = [obj.id for obj in self.prompt.objects if obj.name in named] or [self.prompt.objects[0].id]
        graph = replace(self.prompt.subgraph(wanted), background=self.prompt.background)
        try:
            scene = place(graph, rng.randrange(2**31))
        except SceneError:
            return None
        return Canvas(adding(scene, wanted[-1]), scene, scene)


def plans_of(trajectories: Iterable[Trajectory]) -> Iterator[SampledPlan]:
    """The plans of trajectories; texts outside the world's language are left out."""
    for trajectory in trajectories:
        try:
            prompt = parse_prompt(trajectory.prompt)
        except LanguageError:
            continue
        steps = trajectory.steps
        for i, step in enumerate(steps):
            if step.message.des is None or step.image is None:
                continue
            try:
                described = parse_description(step.message.des)
                described.validate()
                judge_plan(prompt, described)
            except (LanguageError, SceneError):
                continue
            after = steps[i + 1] if i + 1 < len(steps) and steps[i + 1].image is not None else None
            yield SampledPlan(trajectory.prompt, prompt, steps[: i + 1], after, described, _seen(step))


def _seen(step: Step) -> Description | None:
    """What the canvas of a step shows; None if some of it is not recognised."""
    assert step.image is not None
    try:
        found = recognise(step.image)
        return None if found.unknown else describe(found.scene)
    except SceneError:
        return None
