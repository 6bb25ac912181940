"""Rewards of a painted trajectory: of its picture, of its inspections, and of each of its canvases.

They are kept apart, because they credit different things that a model does. This file knows a judge of the
process and a verifier of pictures. It refuses to know what is trained by them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from strokewise.critics.judges import Critique, Judge, judge_many
from strokewise.critics.verifiers import Verifier, scored
from strokewise.errors import InputError
from strokewise.trajectory.values import Message, Step, StopReason, Trajectory


@dataclass(frozen=True)
class Rewards:
    """The rewards of a trajectory, each 0 to 1; None where nothing is to be judged, or the judge cannot.

    Attributes:
        first: how far its first canvas shows what the prompt asks for.
        picture: the same of its last canvas; 0 of a trajectory that did not end by itself.
        verdicts: for each step, how far its inspection agrees with the judge.
        canvases: for each step, whether its canvas shows its plan.
    """

    first: float
    picture: float
    verdicts: tuple[float | None, ...]
    canvases: tuple[float | None, ...]


@dataclass(frozen=True)
class RewardCritic:
    """A source of rewards: a judge of the process with a verifier of pictures."""

    judge: Judge
    verifier: Verifier

    def rewards(self, trajectories: Sequence[Trajectory]) -> list[Rewards]:
        """Return the rewards of each trajectory.

        Raises:
            ServiceError: if the critic is a service that fails or costs too much.
        """
        return [found for _, found in judge_many(self.judge, self._rewards, trajectories)]

    def _rewards(self, trajectory: Trajectory) -> Rewards:
        prompt, images = trajectory.prompt, trajectory.images
        first = scored(self.verifier, prompt, images[0]) if images else 0.0
        ended = images and trajectory.stop == StopReason.END
        picture = scored(self.verifier, prompt, images[-1]) if ended else 0.0
        steps = list(self._of_steps(trajectory))
        return Rewards(first, picture, tuple(v for v, _ in steps), tuple(c for _, c in steps))

    def _of_steps(self, trajectory: Trajectory) -> Iterator[tuple[float | None, float | None]]:
        """Yield of each step the rewards of its inspection and of its canvas."""
        planned = Message()
        plan: bool | None = None
        sketch: bool | None = None
        for number, step in enumerate(trajectory.steps):
            verdict = agreement(step, plan, sketch) if number else None
            if step.message.ins is not None:
                planned = step.message
                plan = _decided(self.judge.plan, trajectory.prompt, planned)
            sketch = None
            if step.image is not None and plan is not None:
                # A canvas that cannot be read although its plan can shows what the prompt does not contain.
                sketch = _decided(self.judge.sketch, planned, step.image) or False
            yield verdict, None if sketch is None else float(sketch)


def agreement(step: Step, plan: bool | None, sketch: bool | None) -> float | None:
    """Return how far a step's inspection agrees with the judge on the step before.

    Args:
        step: its verdict is compared in the parts that it judges; an inspection in words that nobody reads is
            taken by what it leads to, a correction or none.
        plan: whether the judge accepts it; None: undecided.
        sketch: likewise.
    """
    if plan is None or sketch is None:
        return None
    verdict = step.verdict
    said = [] if verdict is None else [(verdict.plan, plan), (verdict.sketch, sketch)]
    same = [ours == truth for ours, truth in said if ours is not None]
    if not same:
        same = [(step.message.refine is None) == (plan and sketch)]
    return sum(same) / len(same)


def _decided(query: Callable[..., Critique], *of: object) -> bool | None:
    """Return what the judge decides; None if it cannot."""
    try:
        return query(*of).consistent
    except InputError:
        return None
