"""What a picture cost: flow steps, network passes, text tokens, images, questions, seconds, each on its own.

They are counted by the sessions that were run, not measured inside the model. This file refuses to weigh
one kind of cost against another.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from strokewise.inference import Usage


@dataclass(frozen=True)
class Cost:
    """The cost of one result.

    Attributes:
        flow_steps: velocity evaluations of all its images; guidance does not multiply them.
        passes: the same with every guidance branch counted.
        text_tokens: tokens the model wrote.
        images: canvases painted, candidates that were not chosen included.
        questions: put to a judge, verifier or other helper.
        seconds: its share of the time of the batch it was painted in.
    """

    flow_steps: int
    passes: int
    text_tokens: int
    images: int
    questions: int
    seconds: float

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self) | {"seconds": round(self.seconds, 4)}


NO_COST = Cost(0, 0, 0, 0, 0, 0.0)


def mean_cost(costs: Sequence[Cost]) -> dict[str, float]:
    """Return the mean of each kind of cost; zeros where there are none."""
    total = sum(costs, NO_COST)
    return {name: value / max(1, len(costs)) for name, value in asdict(total).items()}


def cost_of(usage: Usage, seconds: float) -> Cost:
    """Return the cost of a session that took ``seconds``."""
    return Cost(usage.flow_steps, usage.passes, usage.text_tokens, usage.images, usage.queries, seconds)
