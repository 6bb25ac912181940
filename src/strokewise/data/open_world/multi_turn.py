"""The multi-turn subset of the open world: drafts worded, painted step by step, each canvas judged at once.

A trajectory whose canvas does not show its plan is rejected at once, so that nothing more is spent on it.
This file knows the order of painting and judging. It refuses to know how drafts are made and where records
are stored.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from strokewise.critics.canvas_checks import check_canvas
from strokewise.data.destination import Destination
from strokewise.data.executor import Executor
from strokewise.data.open_world.building import UNDECIDED, Outcome, Rejected, build_open
from strokewise.data.open_world.card import TEMPLATES, Yield
from strokewise.data.open_world.costs import Estimate, estimate
from strokewise.data.open_world.drafts import Draft, OpenMultiTurnMix, drafter
from strokewise.data.open_world.overlap import Selection, select
from strokewise.data.open_world.taxonomy import Taxonomy
from strokewise.data.open_world.workshop import Tools, Workshop
from strokewise.data.open_world.writer import TRIES, Writer
from strokewise.data.records import Record
from strokewise.data.storage import FORMAT
from strokewise.errors import InputError
from strokewise.trajectory.values import Message, Step, Trajectory, Verdict

SUBSET = "multi-turn"


@dataclass(frozen=True)
class MultiTurnWork:
    """What makes multi-turn records by their numbers; it can be sent to other processes.

    Attributes:
        workshop: who paints, judges and writes.
        seed: of the drafts.
        mix: of their scenes and steps.
        taxonomy: of their scenes.
        measured: prompts by which models are measured, which are kept out.
    """

    workshop: Workshop
    seed: int
    mix: OpenMultiTurnMix
    taxonomy: Taxonomy
    measured: tuple[str, ...] = ()

    def __call__(self) -> Callable[[Iterable[int]], Iterator[list[Outcome]]]:
        """Load painter, judge and writer; the outcomes of numbers, in order."""
        tools = self.workshop.open()
        draft = drafter(self.seed, self.mix, self.taxonomy)
        writer = None
        if tools.writer is not None:
            writer = Writer(tools.writer, tools.judge, self.taxonomy, self.measured)
        name = self.workshop.painter.model

        def outcomes(number: int) -> list[Outcome]:
            found = worded_draft(draft(number), writer)
            return [found if isinstance(found, Rejected) else paint_draft(found, tools, name)]

        return partial(tools.judge.map, outcomes)


def worded_draft(draft: Draft, writer: Writer | None) -> Draft | Rejected:
    """Return a draft in a writer's words, or as it is; or why it is rejected.

    Raises:
        ServiceError: if a service fails, or the limits are reached.
    """
    try:
        return writer.word(draft) if writer else draft
    except InputError as error:
        return Rejected(draft.number, draft.prompt, 0, UNDECIDED, str(error))


def paint_draft(draft: Draft, tools: Tools, model: str) -> Outcome:
    """Return the record of a draft, or why it is rejected.

    Args:
        draft: what to paint.
        tools: who paints and judges.
        model: name of the painter, for the record.

    Raises:
        ServiceError: if a service fails, or the limits are reached.
    """
    steps: list[Step] = []
    canvas, inspection, verdict = None, "", Verdict()
    for number, step in enumerate(draft.steps):
        reject = partial(Rejected, draft.number, draft.prompt, number)
        try:
            canvas = tools.painter.paint(canvas, step.instruction, step.description, None, step.seed)
            found = check_canvas(tools.judge, step.plan, canvas)
        except InputError as error:
            return reject(UNDECIDED, str(error))
        if found.fault is not None:
            return reject(found.fault, found.analysis)
        message = replace(step.plan, inspect=inspection)
        steps.append(Step(message, canvas, verdict if number else None, seed=step.seed))
        inspection, verdict = step.inspection, step.verdict
    steps.append(Step(Message(inspection), None, verdict))
    trajectory = Trajectory(draft.prompt, tuple(steps), model=model)
    scenes = [step.scene.to_json() for step in draft.steps]
    return Record(SUBSET, "complete", trajectory, truth={"open": scenes})


def select_drafts(work: MultiTurnWork, count: int) -> Selection:
    """Return the first drafts of a build, without those too like each other or a measured prompt."""
    return select(drafter(work.seed, work.mix, work.taxonomy), count, work.measured)


def build_multi_turn(
    work: MultiTurnWork,
    selection: Selection,
    place: Destination,
    executor: Executor,
    progress: Callable[[int], None] = lambda done: None,
) -> Yield:
    """Build a multi-turn data set of selected drafts, or continue with one (``building.build_open``)."""
    recipe = multi_turn_recipe(work, selection)
    return build_open(SUBSET, recipe, selection.numbers, work, place, executor, progress)


def multi_turn_recipe(work: MultiTurnWork, selection: Selection) -> dict[str, Any]:
    """Return all that decides what is built, as JSON values."""
    writer = work.workshop.writer
    return {
        "world": "open",
        "subset": SUBSET,
        "count": selection.count,
        "removed": selection.removed,
        "seed": work.seed,
        "mix": asdict(work.mix),
        "taxonomy": _digest(asdict(work.taxonomy)),
        "measured": _digest(work.measured),
        "writer": writer.model if writer else TEMPLATES,
        "painter": work.workshop.painter.name,
        "judge": work.workshop.judge.model,
        "format": FORMAT,
    }


def multi_turn_estimate(work: MultiTurnWork, selection: Selection) -> Estimate:
    """Return what the drafts cost at most: a query for each canvas, and each text as often as it may be
    written and read back.
    """
    drafts, canvases = len(selection.numbers), selection.canvases
    if work.workshop.writer is None:
        return estimate(work.workshop, canvases, canvases)
    return estimate(work.workshop, canvases, canvases, TRIES * drafts, TRIES * (drafts + 2 * canvases))


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
