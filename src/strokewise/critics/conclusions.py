"""What follows from a model's own words: its prompt, its plan, and what it says that its canvas shows.

Knows the sprite world's language and how descriptions are compared. It refuses to look at canvases: what is
seen is what the model said of them, right or wrong.
"""

from collections import Counter
from dataclasses import dataclass
from enum import Enum

from strokewise.critics.oracle import judge_plan, judge_sketch, with_checks
from strokewise.critics.verdicts import word_inspection
from strokewise.errors import LanguageError, SceneError
from strokewise.trajectory.values import Message
from strokewise.world.language import (
    PlainWording,
    parse_description,
    parse_prompt,
    parse_seen,
    repair,
    write_correction,
)


class PlanState(Enum):
    """How the description of a planned scene stands to its prompt."""

    COMPLETE = "complete"
    UNFINISHED = "unfinished"
    WRONG = "wrong"


@dataclass(frozen=True)
class Conclusion:
    """What follows.

    Attributes:
        message: how it begins: the inspection, from what is seen to the verdict on the sketch, and the
            correction of a sketch that does not show a fitting plan.
        fits: whether the plan fits the prompt and the sketch the plan.
    """

    message: Message
    fits: bool


def conclude(prompt: str, planned: str, seen: str) -> Conclusion | None:
    """Return what follows from these words; None where one of the three is in other words than the
    language's.

    Args:
        prompt: what is requested.
        planned: the description of the scene in force.
        seen: a description of the canvas.
    """
    wording_rng = PlainWording(0)
    try:
        graph, plan, shown = parse_prompt(prompt), parse_description(planned), parse_seen(seen)
        found = with_checks(graph, judge_plan(graph, plan), judge_sketch(plan, shown), plan, shown)
        # A plan that fails needs another plan, which does not follow from words.
        strokes = repair(plan, shown) if found.sketch and not found.plan else ()
        refine = write_correction(strokes, wording_rng) if strokes else None
        message = Message(word_inspection(found, wording_rng)[0], refine)
    except (LanguageError, SceneError):
        return None
    return Conclusion(message, not found.plan and not found.sketch)


def plan_state(prompt: str, planned: str) -> PlanState:
    """Return whether a planned scene holds all that the prompt requests, or can still come to it.

    Wrong is what contradicts the prompt, puts two things in one place, or is in other words than the
    language's.

    Args:
        prompt: what is requested.
        planned: the description of the scene in force.
    """
    try:
        plan = parse_description(planned)
        plan.validate()
        found = judge_plan(parse_prompt(prompt), plan)
    except (LanguageError, SceneError):
        return PlanState.WRONG
    used = Counter(region for regions in plan.regions for region in regions)
    if found.plan or max(used.values(), default=0) > 1:
        return PlanState.WRONG
    unfinished = found.pending or found.pending_background
    return PlanState.UNFINISHED if unfinished else PlanState.COMPLETE
