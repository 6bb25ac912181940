"""Values along the flow that are not computed at every step; in between they lie on the line of the last two.

TaylorSeer (arXiv:2503.06923) does so with the features of each layer; here it is done with velocities. Knows
tensors and times; refuses to know what is extrapolated.
"""

from torch import Tensor


def is_computed(index: int, every: int) -> bool:
    """Return whether a value is computed at a step (from 0): at the first two, then at every n-th."""
    return index < 2 or index % every == 0


class Extrapolation:
    """A function of time that is evaluated step by step."""

    def __init__(self, every: int) -> None:
        """Compute it at every n-th step."""
        self.every, self.steps = every, 0
        self.past: list[tuple[float, Tensor]] = []

    @property
    def is_due(self) -> bool:
        """Whether it must be computed at the step under way."""
        return is_computed(self.steps, self.every)

    def computed(self, time: float, value: Tensor) -> Tensor:
        """Take the value of this step, and give it back."""
        self.steps += 1
        self.past = [*self.past[-1:], (time, value)]
        return value

    def at(self, time: float) -> Tensor:
        """Return the value of this step on the line through the last two that were computed."""
        self.steps += 1
        (before, older), (after, newer) = self.past
        return newer + (newer - older) * ((time - after) / (after - before))
