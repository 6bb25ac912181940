"""Figures of the process itself: how often Inspect is right, what Refine repairs and breaks, how errors grow.

Everything is a count over judged trajectories (``judging``); the share of an empty set is None, never 0.
Repair and damage are reported twice: of single refinements, and of whole pictures as in UMM-Reflection (arXiv
2609.35767). This file refuses to know pictures and texts.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from strokewise.evals.benchmarks.process.judging import JudgedCanvas, JudgedTrajectory
from strokewise.evals.costs import mean_cost
from strokewise.evals.text_table import TextTable

BUDGETS = (0, 1, 2, 3)


@dataclass(frozen=True)
class Share:
    """A number of successes among a total."""

    part: int = 0
    of: int = 0

    @property
    def value(self) -> float | None:
        """The share; None of nothing."""
        return self.part / self.of if self.of else None

    def __str__(self) -> str:
        return "–" if self.value is None else f"{self.value:.1%} ({self.part} of {self.of})"


@dataclass(frozen=True)
class Confusion:
    """Faults found against faults there are. Canvases without truth or without a verdict are counted apart.

    Attributes:
        found: faulty, and reported as faulty.
        missed: faulty, and reported as right.
        alarms: right, and reported as faulty.
        passed: right, and reported as right.
        unknown: no verdict was given, or the truth is not known.
    """

    found: int = 0
    missed: int = 0
    alarms: int = 0
    passed: int = 0
    unknown: int = 0

    @property
    def precision(self) -> Share:
        """The share of reported faults that exist."""
        return Share(self.found, self.found + self.alarms)

    @property
    def recall(self) -> Share:
        """The share of existing faults that were reported."""
        return Share(self.found, self.found + self.missed)


@dataclass(frozen=True)
class StepFigures:
    """All canvases at one place of their trajectories: how many are faulty, and by how many faults."""

    canvas: int
    canvases: int
    faulty: Share
    mean_faults: float


@dataclass(frozen=True)
class ComplexityFigures:
    """All prompts of one complexity."""

    complexity: int
    pictures: int
    mean_canvases: float
    mean_refinements: float
    right: Share


@dataclass(frozen=True)
class ProcessMetrics:
    """The figures of a run.

    Attributes:
        pictures: trajectories.
        right: those whose last canvas meets the prompt.
        valid: those whose stages come in an order that complete trajectories have.
        plan, sketch, whole: Inspect on plans, on sketches, and on whether either is at fault.
        refined_right: refinements of faulty canvases after which nothing is at fault (repair).
        refined_wrong: refinements of right canvases after which something is (damage).
        repaired: pictures wrong before the first refinement that are right at the end.
        damaged: pictures right before the first refinement that are wrong at the end.
        by_budget: pictures right with at most so many refinements.
        by_step: error growth.
        by_complexity: rounds against prompts.
        mean_canvases: of a picture.
        cost: mean of each kind; empty where it was not counted.
    """

    pictures: int
    right: Share
    valid: Share
    plan: Confusion
    sketch: Confusion
    whole: Confusion
    refined_right: Share
    refined_wrong: Share
    repaired: Share
    damaged: Share
    by_budget: tuple[Share, ...]
    by_step: tuple[StepFigures, ...]
    by_complexity: tuple[ComplexityFigures, ...]
    mean_canvases: float
    cost: dict[str, float]


def measure(judged: Iterable[JudgedTrajectory]) -> ProcessMetrics:
    """Return the figures of some trajectories."""
    every = list(judged)
    canvases = [canvas for one in every for canvas in one.canvases]
    refined = [pair for one in every for pair in pairwise(one.canvases) if pair[1].refines]
    known = [(a.faulty, b.faulty) for a, b in refined if None not in (a.faulty, b.faulty)]
    costs = [one.cost for one in every if one.cost is not None]
    return ProcessMetrics(
        pictures=len(every),
        right=_share(one.right for one in every),
        valid=_share(one.valid for one in every),
        plan=_confusion((_some(c.plan_faults), _said(c, "plan")) for c in canvases),
        sketch=_confusion((_some(c.sketch_faults), _said(c, "sketch")) for c in canvases),
        whole=_confusion((c.faulty, _said(c, "whole")) for c in canvases),
        refined_right=_share(not after for before, after in known if before),
        refined_wrong=_share(bool(after) for before, after in known if not before),
        repaired=_share(one.right for one in every if one.right_within(0) is False),
        damaged=_share(None if one.right is None else not one.right for one in every if one.right_within(0)),
        by_budget=tuple(_share(one.right_within(budget) for one in every) for budget in BUDGETS),
        by_step=tuple(_by_step(every)),
        by_complexity=tuple(_by_complexity(every)),
        mean_canvases=len(canvases) / max(1, len(every)),
        cost=mean_cost(costs) if costs else {},
    )


def _some(faults: int | None) -> bool | None:
    return None if faults is None else faults > 0


def _said(canvas: JudgedCanvas, part: str) -> bool | None:
    """Return whether a part is said to be right; the whole is only if plan and sketch are both judged so."""
    if canvas.said is None:
        return None
    plan, sketch = canvas.said.plan, canvas.said.sketch
    if part != "whole":
        return plan if part == "plan" else sketch
    return False if False in (plan, sketch) else (None if None in (plan, sketch) else True)


def _share(values: Iterable[bool | None]) -> Share:
    """Return the share of True among what is known."""
    known = [value for value in values if value is not None]
    return Share(sum(known), len(known))


def _confusion(pairs: Iterable[tuple[bool | None, bool | None]]) -> Confusion:
    """Return of (is at fault, is said to be right)."""
    counts: dict[str, int] = defaultdict(int)
    for faulty, accepted in pairs:
        if faulty is None or accepted is None:
            counts["unknown"] += 1
        elif faulty:
            counts["missed" if accepted else "found"] += 1
        else:
            counts["passed" if accepted else "alarms"] += 1
    return Confusion(**counts)


def _by_step(every: Sequence[JudgedTrajectory]) -> Iterator[StepFigures]:
    for place in range(max((len(one.canvases) for one in every), default=0)):
        here = [one.canvases[place] for one in every if len(one.canvases) > place]
        known = [canvas for canvas in here if canvas.faulty is not None]
        faults = sum(map(_faults, known)) / max(1, len(known))
        yield StepFigures(place + 1, len(here), _share(canvas.faulty for canvas in here), faults)


def _faults(canvas: JudgedCanvas) -> int:
    return (canvas.plan_faults or 0) + (canvas.sketch_faults or 0)


def _by_complexity(every: Sequence[JudgedTrajectory]) -> Iterator[ComplexityFigures]:
    for complexity in sorted({one.complexity for one in every if one.complexity is not None}):
        here = [one for one in every if one.complexity == complexity]
        yield ComplexityFigures(
            complexity,
            len(here),
            sum(len(one.canvases) for one in here) / len(here),
            sum(one.refinements for one in here) / len(here),
            _share(one.right for one in here),
        )


# --- tables -----------------------------------------------------------------------------------------------


def rows(metrics: ProcessMetrics) -> list[tuple[str, str]]:
    """Return the figures as rows of a table."""
    found = [
        ("pictures", f"{metrics.pictures:,}"),
        ("right at the end", str(metrics.right)),
        ("valid protocol", str(metrics.valid)),
    ]
    for name in ("plan", "sketch", "whole"):
        one: Confusion = getattr(metrics, name)
        label = "Inspect" if name == "whole" else f"Inspect on the {name}"
        found.append((f"{label}: precision", str(one.precision)))
        found.append((f"{label}: recall", str(one.recall)))
        found.append((f"{label}: without verdict or truth", f"{one.unknown:,}"))
    found += [
        ("refinements that repair", str(metrics.refined_right)),
        ("refinements that damage", str(metrics.refined_wrong)),
        ("pictures repaired", str(metrics.repaired)),
        ("pictures damaged", str(metrics.damaged)),
    ]
    found += [
        (f"right with at most {n} refinements", str(one))
        for n, one in zip(BUDGETS, metrics.by_budget, strict=True)
    ]
    found.append(("canvases a picture", f"{metrics.mean_canvases:.2f}"))
    return found + [(f"{name.replace('_', ' ')} a picture", f"{v:,.2f}") for name, v in metrics.cost.items()]


def growth_rows(metrics: ProcessMetrics) -> list[tuple[str, ...]]:
    """Return error growth: canvas, how many, faulty, faults on average."""
    return [
        (str(one.canvas), f"{one.canvases:,}", str(one.faulty), f"{one.mean_faults:.2f}")
        for one in metrics.by_step
    ]


def complexity_rows(metrics: ProcessMetrics) -> list[tuple[str, ...]]:
    """Return rounds against prompts: complexity, pictures, canvases, refinements, right."""
    return [
        (
            str(one.complexity),
            f"{one.pictures:,}",
            f"{one.mean_canvases:.2f}",
            f"{one.mean_refinements:.2f}",
            str(one.right),
        )
        for one in metrics.by_complexity
    ]


GROWTH = ("canvas", "canvases", "faulty", "faults on average")
COMPLEXITY = ("complexity", "pictures", "canvases", "refinements", "right")


def tables(metrics: ProcessMetrics, title: str) -> list[TextTable]:
    """Return the figures as tables."""
    return [
        TextTable(title, ("", ""), rows(metrics)),
        TextTable("error growth", GROWTH, growth_rows(metrics)),
        TextTable("rounds and prompts", COMPLEXITY, complexity_rows(metrics)),
    ]
