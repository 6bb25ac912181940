"""The conflict and alignment subsets of the open world: what models painted, judged and corrected.

Conflict records are made of a model's own plans, each compared with the whole prompt; alignment records of
its own canvases, or of GenRef's pairs of a bad and a good image, each compared with its plan (arXiv
2604.04746, section 3). The judge writes analyses and corrections, the painter makes the corrected canvases,
which the judge checks. This file knows critiques. It refuses to know where samples and records are stored.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from strokewise.critics.canvas_checks import CanvasCheck, check_canvas
from strokewise.critics.judges import VlmJudge
from strokewise.data.critiqued import critique_record, critiques_until_fault, wrong_subset
from strokewise.data.destination import Destination
from strokewise.data.executor import Executor
from strokewise.data.open_world.building import UNDECIDED, Outcome, Rejected, build_open
from strokewise.data.open_world.card import Yield
from strokewise.data.open_world.costs import Estimate, estimate
from strokewise.data.open_world.samples import Place
from strokewise.data.open_world.workshop import Tools, Workshop
from strokewise.data.records import Record
from strokewise.data.storage import FORMAT
from strokewise.errors import ConfigError, InputError
from strokewise.trajectory.values import Message, Step, Trajectory, Verdict, planned_scene

SUBSETS = ("conflict", "alignment")
OTHER, NO_CORRECTION, RIGHT = "fault of the other subset", "no correction", "bad image without a fault"
CANVASES = 3  # of a trajectory, assumed in estimates


@dataclass(frozen=True)
class CritiqueWork:
    """What makes records of samples; it can be sent to other processes."""

    workshop: Workshop
    subset: str

    def __post_init__(self) -> None:
        """Refuse a subset that is not made of samples."""
        if self.subset not in SUBSETS:
            raise ConfigError(f"{self.subset} data are not made of samples")

    def __call__(self) -> Callable[[Iterable[Place]], Iterator[list[Outcome]]]:
        """Load painter and judge; the outcomes of samples, in order."""
        tools = self.workshop.open()

        def outcomes(place: Place) -> list[Outcome]:
            if place.key:
                return list(pair_outcomes(place, tools))
            return [sample_outcome(place.number, place.trajectory(), self.subset, tools)]

        return partial(tools.judge.map, outcomes)


def sample_outcome(number: int, trajectory: Trajectory, subset: str, tools: Tools) -> Outcome:
    """Return the record of a painted trajectory up to its first fault, or why there is none.

    Args:
        number: of the sample.
        trajectory: what a model painted.
        subset: conflict or alignment; a fault that belongs to the other one is rejected.
        tools: who judges and corrects.

    Raises:
        ServiceError: if a service fails, or the limits are reached.
    """
    found = critiques_until_fault(VlmJudge(tools.judge), trajectory)
    if not found:
        return Rejected(number, trajectory.prompt, 0, UNDECIDED, "the judge decides on none of the steps")
    step, plan, sketch = found[-1]
    reject = partial(Rejected, number, trajectory.prompt, step)
    analysis = sketch.analysis if plan.consistent else plan.analysis
    if wrong_subset(plan, sketch) not in (None, subset):
        return reject(OTHER, analysis)
    try:
        record = critique_record(subset, trajectory, step, plan, sketch, tools.painter)
        if record is None:
            return reject(NO_CORRECTION, analysis)
        checked = _check_correction(record.trajectory, tools)
    except InputError as error:
        return reject(UNDECIDED, str(error))
    if checked is not None and checked.fault is not None:
        return reject(f"correction: {checked.fault}", checked.analysis)
    return record


def _check_correction(trajectory: Trajectory, tools: Tools) -> CanvasCheck | None:
    """Return whether the corrected canvas shows the scene that was planned last; None if nothing was
    corrected.
    """
    last = trajectory.steps[-1]
    if last.image is None:
        return None
    plan = replace(last.message, des=planned_scene(trajectory.steps) or None)
    return check_canvas(tools.judge, plan, last.image)


def pair_outcomes(place: Place, tools: Tools) -> Iterator[Outcome]:
    """Yield a negative and a positive record of one of GenRef's pairs, its reflection rewritten by the judge.

    Raises:
        RecordError: if the pair is damaged.
        ServiceError: if the judge fails, or the limits are reached.
    """
    negative, positive = place.pair()
    plan, bad = negative.trajectory.steps[0].message, negative.trajectory.steps[0]
    good = positive.trajectory.steps[0]
    reject = partial(Rejected, place.number, negative.trajectory.prompt, 0)
    assert bad.image is not None, "GenRef's records have both images"
    assert good.image is not None, "GenRef's records have both images"
    try:
        of_good = check_canvas(tools.judge, plan, good.image)
        of_bad = check_canvas(tools.judge, plan, bad.image)
    except InputError as error:
        yield reject(UNDECIDED, str(error))
        return
    if of_good.fault is not None:  # no record is made of a picture that is a wrong target
        yield reject(f"good image: {of_good.fault}", of_good.analysis)
        return
    last = Step(Message(of_good.analysis), None, Verdict(None, True, "", ""))
    yield _with_steps(positive, good, last)
    if of_bad.fault is None:
        yield reject(RIGHT, of_bad.analysis)
        return
    corrected = Step(Message(of_bad.analysis, of_bad.refine), good.image, Verdict(None, False, "", ""))
    yield replace(_with_steps(negative, bad, corrected), fault=of_bad.fault)


def _with_steps(record: Record, *steps: Step) -> Record:
    return replace(record, trajectory=replace(record.trajectory, steps=steps))


def build_critiqued(
    work: CritiqueWork,
    sources: Sequence[Path],
    places: Sequence[Place],
    place: Destination,
    executor: Executor,
    progress: Callable[[int], None] = lambda done: None,
) -> Yield:
    """Build a data set of samples, or continue with one; see :func:`building.build_open`.

    Args:
        work: what makes the records.
        sources: where the samples come from; their names are part of the recipe.
        places: the samples.
        place: of the data set.
        executor: where shards are made.
        progress: called with the number of samples done.
    """
    recipe: dict[str, Any] = {
        "world": "open",
        "subset": work.subset,
        "samples": [source.resolve().name for source in sources],
        "count": len(places),
        "painter": work.workshop.painter.name,
        "judge": work.workshop.judge.model,
        "format": FORMAT,
    }

    return build_open(work.subset, recipe, places, work, place, executor, progress)


def critique_estimate(work: CritiqueWork, places: Sequence[Place]) -> Estimate:
    """Return what samples cost: two queries for each canvas, and a correction that is checked, or two for a
    pair.
    """
    painted = sum(not place.key for place in places)
    queries = painted * (2 * CANVASES + 1) + 2 * (len(places) - painted)
    return estimate(work.workshop, painted, queries)
