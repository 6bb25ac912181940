"""A second judge of open-world data: how often it disagrees with what the records say.

Records of photographs have no exact truth to check against. What can be measured is on how many of their
claims another model disagrees: whether a plan fits its prompt, whether a canvas shows its plan. This file
knows records. It refuses to know which of the two judges is right.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from strokewise.critics.canvas_checks import check_canvas
from strokewise.critics.judges import VlmJudge
from strokewise.critics.vlm_client import VlmClient
from strokewise.data.open_world.samples import Place, places_of
from strokewise.errors import InputError
from strokewise.trajectory.values import Trajectory

PLAN, CANVAS = "plans", "canvases"


@dataclass(frozen=True)
class Opinion:
    """What the second judge says of one claim.

    Attributes:
        kind: ``PLAN`` or ``CANVAS``.
        step: of the record, from 0.
        agrees: whether it says the same as the record.
        analysis: its reasons, in words.
    """

    kind: str
    step: int
    agrees: bool
    analysis: str


def sampled(folder: Path, count: int, seed: int) -> list[Place]:
    """Return so many records of a data set at random, or all if it has fewer.

    Raises:
        RecordError: if the data set is not finished or damaged.
    """
    places = places_of([folder])
    return sorted(random.Random(seed).sample(places, min(count, len(places))), key=lambda one: one.number)


def opinions(judge: VlmClient, places: Sequence[Place]) -> Iterator[tuple[Place, list[Opinion]]]:
    """Return what a judge says of the claims of records; what it cannot decide is left out.

    Raises:
        ServiceError: if the judge fails, or its limits are reached.
    """
    return judge.map(lambda place: (place, list(opinions_of(judge, place.trajectory()))), places)


def opinions_of(judge: VlmClient, trajectory: Trajectory) -> Iterator[Opinion]:
    """Yield what a judge says of each plan that the record judges, and of each canvas it judges or ends
    with.
    """
    planned, steps = trajectory.steps[0].message, trajectory.steps
    for number, step in enumerate(steps):
        if step.image is None:
            continue
        message = step.message
        planned = message if message.ins is not None else replace(message, des=planned.des)
        found = steps[number + 1].verdict if number + 1 < len(steps) else None
        # A last canvas that nothing judges is a correction, which is meant to be right.
        of_canvas = found.sketch if found else number + 1 == len(steps)
        try:
            if found and found.plan is not None:
                critique = VlmJudge(judge).plan(trajectory.prompt, planned)
                yield Opinion(PLAN, number, critique.consistent == found.plan, critique.analysis)
            if of_canvas is not None:
                check = check_canvas(judge, planned, step.image)
                yield Opinion(CANVAS, number, check.shows == of_canvas, check.analysis)
        except InputError:
            continue
