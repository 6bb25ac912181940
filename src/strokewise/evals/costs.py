"""What a picture cost: flow steps, network passes, text tokens, images, questions, seconds, each on its own.

They are counted from what was asked of the sampler and from what was written, not measured inside the model.
This file knows options and events. It refuses to weigh one kind of cost against another.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from time import perf_counter
from typing import Any

from strokewise.flow import timesteps
from strokewise.inference import PaintingOptions, Process
from strokewise.inference.painter import Painter
from strokewise.trajectory.events import Event, ImageFinished, ImagePreview, TextFinished
from strokewise.trajectory.values import Trajectory


@dataclass(frozen=True)
class Cost:
    """The cost of one result.

    Attributes:
        flow_steps: velocity evaluations of all its images; guidance does not multiply them.
        passes: the same with every guidance branch counted.
        text_tokens: tokens the model wrote.
        images: canvases painted, candidates that were not chosen included.
        questions: put to a judge or verifier.
        seconds: its share of the time of the batch it was painted in.
    """

    flow_steps: int = 0
    passes: int = 0
    text_tokens: int = 0
    images: int = 0
    questions: int = 0
    seconds: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"seconds": round(self.seconds, 4)}


def mean_cost(costs: Sequence[Cost]) -> dict[str, float]:
    """The mean of each kind of cost; zeros where there are none."""
    total = sum(costs, Cost())
    return {name: value / max(1, len(costs)) for name, value in asdict(total).items()}


def image_cost(options: PaintingOptions, after_image: bool) -> Cost:
    """The cost of one canvas.

    A pass of the full context a step; where guidance acts, one more without text, and one without images
    where an image stands in the context (``process.painting`` leaves that branch out elsewhere).
    """
    painting = options.painting(after_image)
    guidance = painting.guidance
    branches = 1 + (after_image and guidance.uses_image_branch)
    times = timesteps(painting.num_steps, painting.shift)[:-1]
    guided = sum(guidance.acts_at(time) for time in times)
    return Cost(painting.num_steps, painting.num_steps + branches * guided, images=1)


@dataclass(frozen=True)
class Watched:
    """A painting that was run to its end: what was painted, its cost, and the pictures on the way."""

    trajectory: Trajectory
    cost: Cost
    previews: tuple[bytes, ...] = ()


def watch(painter: Painter, process: Process, one_image: bool = False) -> list[Watched]:
    """Run some paintings to their end and count.

    Args:
        painter: whose tokenizer counts the tokens.
        process: not run yet.
        one_image: stop as soon as each has a canvas, whatever the model would do next.
    """
    count, start = len(process.courses), perf_counter()
    costs, previews = [Cost()] * count, [list[bytes]() for _ in range(count)]
    seen = [course.request.source is not None for course in process.courses]
    for i, event in process.run():
        costs[i] += _cost_of(event, painter, process.options, seen[i])
        if isinstance(event, ImagePreview):
            previews[i].append(event.png)
        seen[i] = seen[i] or isinstance(event, ImageFinished)
        if one_image and all(cost.images or course.doing == "done" for cost, course in _both(costs, process)):
            break
    share = Cost(seconds=(perf_counter() - start) / max(1, count))
    return [
        Watched(trajectory, cost + share, tuple(pngs))
        for trajectory, cost, pngs in zip(process.trajectories(), costs, previews, strict=True)
    ]


def _both(costs: Sequence[Cost], process: Process) -> Any:
    return zip(costs, process.courses, strict=True)


def _cost_of(event: Event, painter: Painter, options: PaintingOptions, after_image: bool) -> Cost:
    if isinstance(event, TextFinished):
        return Cost(text_tokens=len(painter.tokenizer.encode(event.text)))
    return image_cost(options, after_image) if isinstance(event, ImageFinished) else Cost()
