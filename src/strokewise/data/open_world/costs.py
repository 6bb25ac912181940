"""What an open-world build can cost at most, before it begins.

Canvases are counted, tokens are assumed: a text of a query, a picture by its area, a short answer. This file
knows arithmetic. It refuses to know how much of it is rejected early and never paid.
"""

from dataclasses import dataclass

from strokewise.data.open_world.workshop import SERVED, Workshop
from strokewise.io.services import MILLION

# Tokens of a query's texts, and of an answer. Vision models of 2025 take a token for 28 by 28 pixels.
TEXT, ANSWER, PIXELS = 400, 120, 28**2


@dataclass(frozen=True)
class Estimate:
    """What is spent if nothing is rejected, fails or is kept already.

    Attributes:
        canvases: that are painted.
        queries: to the judge.
        tokens: of these queries and answers, assumed.
        cost: by the prices that are stated; 0 where none are.
        requests: to services in all.
    """

    canvases: int
    queries: int
    tokens: int
    cost: float
    requests: int

    def lines(self) -> list[str]:
        """Return the estimate in words."""
        money = f"; {self.cost:,.2f} by the prices given" if self.cost else ""
        return [
            f"at most {self.canvases:,} canvases and {self.queries:,} queries to the judge",
            f"about {self.tokens:,} tokens of the judge{money}",
        ]


def estimate(workshop: Workshop, canvases: int, queries: int) -> Estimate:
    """Return the estimate of so many canvases and queries with a picture each."""
    asked = TEXT + workshop.painter.size**2 // PIXELS
    judge, painter = workshop.judge.prices, workshop.painter.prices
    cost = queries * (asked * judge.input + ANSWER * judge.output) / MILLION + canvases * painter.picture
    served = canvases if workshop.painter.kind == SERVED else 0
    return Estimate(canvases, queries, queries * (asked + ANSWER), cost, queries + served)
