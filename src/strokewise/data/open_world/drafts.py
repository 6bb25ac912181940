"""Drafts: all that is known of a multi-turn trajectory of the open world before anything is painted.

A draft is a function of (seed, number) alone and costs nothing, so a build knows all of its prompts and steps
beforehand. This file knows scenes and their words. It refuses to know painters and judges.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from strokewise.data.open_world.english import FITS, SHOWS, English
from strokewise.data.open_world.sampling import OpenMix, sample_open_scene
from strokewise.data.open_world.scene import OpenScene
from strokewise.data.open_world.steps import OpenStep, open_steps
from strokewise.data.open_world.taxonomy import Taxonomy
from strokewise.errors import ConfigError, SceneError
from strokewise.trajectory.values import Message, Verdict

TRIES = 500


@dataclass(frozen=True)
class OpenMultiTurnMix:
    """How trajectories are sampled.

    Attributes:
        scenes: which scenes.
        edit_share: share of scenes with room for a change (modify, swap, remove) beyond those that make up
            three steps.
    """

    scenes: OpenMix = field(default_factory=OpenMix)
    edit_share: float = 0.5


@dataclass(frozen=True)
class DraftStep:
    """One canvas to paint.

    Attributes:
        step: what changes.
        instruction: the same in words.
        description: the scene after it in words.
        inspection: what an accepted canvas is inspected with.
        verdict: the same as values.
        seed: of the canvas.
    """

    step: OpenStep
    instruction: str
    description: str
    inspection: str
    verdict: Verdict
    seed: int

    @property
    def scene(self) -> OpenScene:
        """What is then there."""
        return self.step.scene

    @property
    def plan(self) -> Message:
        """The plan alone."""
        return Message(ins=self.instruction, des=self.description)


@dataclass(frozen=True)
class Draft:
    """A prompt, the scene that it states, and the steps to it."""

    number: int
    prompt: str
    scene: OpenScene
    steps: tuple[DraftStep, ...]


def drafter(seed: int, mix: OpenMultiTurnMix, taxonomy: Taxonomy) -> Callable[[int], Draft]:
    """Return the drafts of a build by number."""
    english = English(taxonomy)

    def draft(number: int) -> Draft:
        rng = random.Random(f"open/{seed}/{number}")
        for _ in range(TRIES):
            scene = sample_open_scene(rng, taxonomy, mix.scenes)
            try:
                steps = open_steps(scene, taxonomy, rng, mix.edit_share)
            except SceneError:
                continue  # it has too little to change for three steps
            worded = tuple(_worded(step, scene, english, rng) for step in steps)
            return Draft(number, english.describe(scene), scene, worded)
        raise ConfigError("the taxonomy makes no scene that is painted in three to five steps; give another")

    return draft


def _worded(step: OpenStep, whole: OpenScene, english: English, rng: random.Random) -> DraftStep:
    """Return a step in words. While something stands in for something else, the plan is not judged."""
    of_plan = "" if step.stands_in else " ".join(filter(None, [FITS, english.pending(whole, step.scene)]))
    return DraftStep(
        step,
        english.instruct(step, rng),
        english.describe(step.scene),
        " ".join(filter(None, [of_plan, SHOWS])),
        Verdict(None if step.stands_in else True, True, of_plan, ""),
        rng.randrange(2**31),
    )
