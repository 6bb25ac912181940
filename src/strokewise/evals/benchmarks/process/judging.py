"""The truth about each canvas of a trajectory, beside the verdict of the model.

In the sprite world the canvas is read by the recognizer, plan and sketch are judged by the oracle; elsewhere
a judge is queried, for whom a plan or a sketch is at fault or not. What is not known is None. This file
judges one trajectory. Shares over many of them are computed in ``metrics``.
"""

from dataclasses import dataclass, replace
from typing import Any

from strokewise.critics.detectors import SpriteDetector
from strokewise.critics.findings import find, prompt_graph, scene_described
from strokewise.critics.judges import Judge, critiques_of_steps
from strokewise.errors import ProtocolError
from strokewise.evals.benchmarks.geneval.images import score_picture
from strokewise.evals.costs import Cost
from strokewise.scene_graph import Fault, SceneGraph
from strokewise.trajectory.values import StopReason, Trajectory, Verdict
from strokewise.world.language import Description
from strokewise.world.recognize import recognize

DETECTOR = SpriteDetector()


@dataclass(frozen=True)
class JudgedCanvas:
    """One canvas.

    Attributes:
        refines: whether it is a refinement.
        plan_faults: of the plan in force against the prompt; None: not understood.
        sketch_faults: of the canvas against that plan; None: not understood, or not all of it recognized.
        said: the verdict of the next message; None: it has none.
        right: whether it meets the whole prompt; None: the prompt is of no known world.
    """

    refines: bool = False
    plan_faults: int | None = 0
    sketch_faults: int | None = 0
    said: Verdict | None = None
    right: bool | None = None

    @property
    def faulty(self) -> bool | None:
        """Whether plan or sketch is at fault; None if that is not known."""
        if self.plan_faults or self.sketch_faults:
            return True
        return None if self.plan_faults is None or self.sketch_faults is None else False


@dataclass(frozen=True)
class JudgedTrajectory:
    """One trajectory.

    Attributes:
        canvases: in order.
        valid: whether its stages come in an order that complete trajectories have.
        complexity: objects, colors and relations of the prompt; None: not of the sprite world.
        cost: where it was counted.
    """

    canvases: tuple[JudgedCanvas, ...]
    valid: bool = True
    complexity: int | None = None
    cost: Cost | None = None

    @property
    def refinements(self) -> int:
        """How many canvases are refinements."""
        return sum(canvas.refines for canvas in self.canvases)

    @property
    def right(self) -> bool | None:
        """Whether the last canvas meets the prompt; False if there is none; None if that is unknown."""
        return self.canvases[-1].right if self.canvases else False

    def right_within(self, budget: int) -> bool | None:
        """Return whether the canvas is right that would be the last one with at most ``budget``
        refinements.
        """
        kept = []
        for canvas in self.canvases:
            budget -= canvas.refines
            if budget < 0:
                break
            kept.append(canvas)
        return kept[-1].right if kept else False


def judge_trajectory(
    trajectory: Trajectory, metadata: dict[str, Any] | None = None, cost: Cost | None = None
) -> JudgedTrajectory:
    """Judge a trajectory of the sprite world by its oracle.

    Args:
        trajectory: as stored.
        metadata: GenEval's of the prompt; where there are none, a picture is right by the oracle.
        cost: as counted.

    Raises:
        InputError: if a canvas is too small to be read.
    """
    prompt = prompt_graph(trajectory.prompt)
    canvases: list[JudgedCanvas] = []
    described: Description | None = None
    for number, step in enumerate(trajectory.steps):
        if canvases and number and step.verdict is not None and canvases[-1].said is None:
            canvases[-1] = replace(canvases[-1], said=step.verdict)
        if step.message.des is not None:
            described = scene_described(step.message.des)
        if step.image is None:
            continue
        image = step.image.convert("RGB")
        found = find(prompt, described, recognize(image))
        right = found.right
        if metadata and "include" in metadata:
            right = score_picture("", image, metadata, DETECTOR).correct
        plan, sketch = _count(found.plan), _count(found.sketch)
        canvases.append(JudgedCanvas(step.message.refine is not None, plan, sketch, None, right))
    return JudgedTrajectory(tuple(canvases), _valid(trajectory), _complexity(prompt), cost)


def judge_trajectory_by(
    judge: Judge, trajectory: Trajectory, right: bool | None = None, cost: Cost | None = None
) -> JudgedTrajectory:
    """Judge a trajectory by a judge's answers.

    Args:
        judge: decides whether plans and sketches are consistent.
        trajectory: as stored.
        right: whether its last canvas meets the prompt; None: not known. Earlier canvases stay unknown.
        cost: as counted.

    Raises:
        ServiceError: if the judge is a service that fails.
    """
    answers = {number: (plan, sketch) for number, plan, sketch in critiques_of_steps(judge, trajectory)}
    canvases: list[JudgedCanvas] = []
    for number, step in enumerate(trajectory.steps):
        if canvases and step.verdict is not None and canvases[-1].said is None:
            canvases[-1] = replace(canvases[-1], said=step.verdict)
        if step.image is not None:
            found = answers.get(number)
            plan, sketch = (None, None) if found is None else (int(not one.consistent) for one in found)
            canvases.append(JudgedCanvas(step.message.refine is not None, plan, sketch))
    if canvases:
        canvases[-1] = replace(canvases[-1], right=right)
    return JudgedTrajectory(tuple(canvases), _valid(trajectory), None, cost)


def _count(faults: tuple[Fault, ...] | None) -> int | None:
    return None if faults is None else len(faults)


def _complexity(prompt: SceneGraph | None) -> int | None:
    """Return objects, attributes and relations, as Generate Any Scene counts; each further instance counts
    too.
    """
    if prompt is None:
        return None
    colors = sum(obj.color is not None for obj in prompt.objects)
    return sum(obj.count for obj in prompt.objects) + colors + len(prompt.relations)


def _valid(trajectory: Trajectory) -> bool:
    try:
        trajectory.check_protocol()
    except ProtocolError:
        return False
    return trajectory.stop != StopReason.PROTOCOL
