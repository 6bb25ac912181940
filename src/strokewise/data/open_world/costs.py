"""What an open-world build can cost at most, before it begins.

Canvases are counted, tokens are assumed: a text of a query, a picture by its area, a short answer. This file
knows arithmetic. It refuses to know how much of it is rejected early and never paid.
"""

from dataclasses import dataclass

from strokewise.data.open_world.workshop import SERVED, Workshop
from strokewise.io.services import MILLION, Prices

# Tokens of a request to the writer, and of its texts; of reading one of them back, and what is read.
WRITING, TEXTS = 1_000, 400
READING, READ = 500, 150
# Tokens of a query's texts, and of an answer. Vision models of 2025 take a token for 28 by 28 pixels.
TEXT, ANSWER, PIXELS = 400, 120, 28**2


@dataclass(frozen=True)
class Estimate:
    """What is spent if nothing is rejected, fails or is kept already.

    Attributes:
        canvases: that are painted.
        queries: to the judge, about canvases and plans.
        tokens: of all queries and answers, assumed.
        cost: by the prices that are stated; 0 where none are.
        requests: to services in all.
        writings: requests to the writer, if each is needed as often as may be.
        readings: queries to the judge that read texts back.
    """

    canvases: int
    queries: int
    tokens: int
    cost: float
    requests: int
    writings: int = 0
    readings: int = 0

    def lines(self) -> list[str]:
        """Return the estimate in words."""
        money = f"; {self.cost:,.2f} by the prices given" if self.cost else ""
        lines = [f"at most {self.canvases:,} canvases and {self.queries:,} queries to the judge"]
        if self.writings:
            lines.append(
                f"at most {self.writings:,} requests to the writer and {self.readings:,} queries to the judge"
                " that read its texts"
            )
        by = "judge and writer" if self.writings else "the judge"
        return [*lines, f"about {self.tokens:,} tokens of {by}{money}"]


def estimate(
    workshop: Workshop, canvases: int, queries: int, writings: int = 0, readings: int = 0
) -> Estimate:
    """Return the estimate of so many canvases, queries with a picture each, and texts written and read."""
    looking = TEXT + workshop.painter.size**2 // PIXELS
    asked, answered = queries * looking + readings * READING, queries * ANSWER + readings * READ
    cost = _cost(workshop.judge.prices, asked, answered) + canvases * workshop.painter.prices.picture
    if workshop.writer is not None:
        cost += _cost(workshop.writer.prices, writings * WRITING, writings * TEXTS)
    served = canvases if workshop.painter.kind == SERVED else 0
    tokens = asked + answered + writings * (WRITING + TEXTS)
    requests = queries + served + writings + readings
    return Estimate(canvases, queries, tokens, cost, requests, writings, readings)


def _cost(prices: Prices, asked: int, answered: int) -> float:
    return (asked * prices.input + answered * prices.output) / MILLION
