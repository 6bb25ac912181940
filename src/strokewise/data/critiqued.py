"""Records and a judge's critiques: data filtered by them, and self-sampled trajectories corrected by them.

This file knows records and critiques. It refuses to know who judges, and how (``critics``).
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

from strokewise.critics.judges import Critique, Judge, critiques_of_steps, judge_many
from strokewise.data.canvas_painters import CanvasPainter
from strokewise.data.conflict import EXCERPT
from strokewise.data.records import Record
from strokewise.data.storage import Shard, read_manifest, read_shard, shards_of, write_shards
from strokewise.errors import ConfigError, InputError
from strokewise.trajectory.values import Message, Step, Trajectory, Verdict

CHUNK = 32  # trajectories of a shard
CRITIQUED = ("conflict", "alignment")


def filtered(judge: Judge, records: Iterable[Record]) -> Iterator[Record]:
    """Yield the records whose every plan and canvas the judge accepts (how the paper filters multi-turn
    data).

    What the judge cannot decide is not accepted. A plan that the record itself leaves unjudged, because
    a temporary object will go again, need not fit the prompt.

    Raises:
        ServiceError: if the judge is a service that fails or costs too much.
    """

    def kept(record: Record) -> bool:
        trajectory = record.trajectory
        try:
            return all(
                sketch.consistent and (plan.consistent or _left_open(trajectory, number))
                for number, plan, sketch in critiques_of_steps(judge, trajectory)
            )
        except InputError:
            return False

    yield from (record for record, keep in judge_many(judge, kept, records) if keep)


def critiques(judge: Judge, trajectories: Iterable[Trajectory], painter: CanvasPainter) -> Iterator[Record]:
    """Yield records of a model's trajectories, of whatever world.

    Each goes up to the first step the judge finds fault with, or to its last. A wrong plan makes a conflict
    record, a wrong canvas an alignment record, each with analysis, correction and the canvas that ``painter``
    makes of it; accepted ones make a right record of both subsets. What comes after a correction of what was
    accepted, or after a step on which the judge cannot decide, is left out.

    Raises:
        ServiceError: if the judge is a service that fails or costs too much.
    """

    judged = partial(critiques_until_fault, judge)
    for trajectory, found in judge_many(judge, judged, trajectories):
        if found:
            for subset in CRITIQUED:
                record = critique_record(subset, trajectory, *found[-1], painter)
                if record is not None:
                    yield record


def critiques_until_fault(judge: Judge, trajectory: Trajectory) -> list[tuple[int, Critique, Critique]]:
    """Return for each step up to the first with a fault: its number, and the critiques of its plan and
    canvas.

    What comes after a correction of what was accepted, or after a step on which the judge cannot decide, is
    left out.
    """
    found: list[tuple[int, Critique, Critique]] = []
    with suppress(InputError):
        for entry in critiques_of_steps(judge, trajectory):
            if found and trajectory.steps[entry[0]].message.refine is not None:
                break
            found.append(entry)
            if not (entry[1].consistent and entry[2].consistent):
                break
    return found


def filter_data(
    judge: Judge,
    name: str,
    source: Path,
    folder: Path,
    progress: Callable[[int, int], None] = lambda done, all: None,
) -> int:
    """Make a data set of the records of another that a judge accepts, or continue with it; their number.

    Args:
        judge: who decides.
        name: of the judge, for the recipe.
        source: a finished multi-turn data set.
        folder: of the filtered one.
        progress: called with the shards done and those in all.

    Raises:
        ConfigError: if the source is of another subset, the folder holds other data, or nothing is accepted.
        RecordError: if the source is damaged.
        ServiceError: if the judge is a service that fails or costs too much; run it again to continue.
    """
    manifest, shards = read_manifest(source), shards_of(source)
    subset = manifest.subset
    if subset != "multi-turn":
        raise ConfigError(f"{source} is of the {subset} subset, which holds faulty steps on purpose")

    def make(shard: Shard) -> dict[str, Iterator[Record]]:
        shard.check()
        return {subset: filtered(judge, (record for _, record in read_shard(shard.path)))}

    recipe = {"filtered": manifest.sha256 or list(manifest.shards), "judge": name}
    counts = write_shards(
        {subset: folder},
        recipe,
        (partial(make, shard) for shard in shards),
        lambda done: progress(done, len(shards)),
        "the judge accepts none of the {subset} records",
    )
    return counts[subset]


def critique_data(
    judge: Judge,
    name: str,
    trajectories: Iterable[Trajectory],
    painter: CanvasPainter,
    folder: Path,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, int]:
    """Make ``folder/conflict`` and ``folder/alignment`` of critiques of trajectories, or continue with them.

    Args:
        judge: who finds the faults.
        name: of judge and source, for the recipe.
        trajectories: what a model painted, in the same order each time.
        painter: who paints the corrected canvases from their descriptions.
        folder: of both data sets.
        progress: called with the number of trajectories done so far.

    Returns:
        The number of records of each subset.

    Raises:
        ConfigError: if the folders hold other data, or no records could be made.
        ServiceError: if the judge is a service that fails or costs too much; run it again to continue.
    """

    def make(part: list[Trajectory]) -> dict[str, list[Record]]:
        found = list(critiques(judge, part, painter))
        return {subset: [record for record in found if record.subset == subset] for subset in CRITIQUED}

    def chunks() -> Iterator[Callable[[], dict[str, list[Record]]]]:
        remaining = iter(trajectories)
        while part := list(islice(remaining, CHUNK)):
            yield partial(make, part)

    return write_shards(
        {subset: folder / subset for subset in CRITIQUED},
        {"critiqued": name},
        chunks(),
        lambda done: progress(done * CHUNK),
        "the judge's critiques make no {subset} records",
    )


def _left_open(trajectory: Trajectory, number: int) -> bool:
    """Return whether the next step judges the canvas of this one, but not its plan."""
    verdicts = [step.verdict for step in trajectory.steps[number + 1 : number + 2]]
    return any(verdict is not None and verdict.plan is None for verdict in verdicts)


def wrong_subset(plan: Critique, sketch: Critique) -> str | None:
    """Return the subset to which a fault belongs; None if there is none."""
    if plan.consistent and sketch.consistent:
        return None
    return "alignment" if plan.consistent else "conflict"


def critique_record(
    subset: str, trajectory: Trajectory, number: int, plan: Critique, sketch: Critique, painter: CanvasPainter
) -> Record | None:
    """Return what one judged step teaches in a subset; None if it is nothing.

    Args:
        subset: conflict or alignment.
        trajectory: what a model painted.
        number: of the step.
        plan: what the judge finds in its plan.
        sketch: what the judge finds in its canvas.
        painter: who paints the corrected canvas.
    """
    steps, of = trajectory.steps[: number + 1], wrong_subset(plan, sketch)
    if of is None:
        message, verdict = Message(f"{plan.analysis} {sketch.analysis}"), Verdict(True, True, plan.analysis)
        ended = replace(trajectory, steps=(*steps, Step(message, None, verdict)), stop=EXCERPT)
        return Record(subset, "right" if subset == "conflict" else "positive", ended)
    wrong = plan if of == "conflict" else sketch
    if subset != of or wrong.refine is None:
        return None
    if wrong is plan and (wrong.instruction is None or wrong.description is None):
        return None  # found wrong, but without a correction to train on
    message = Message(wrong.analysis, wrong.refine)
    verdict = Verdict(plan.consistent, sketch.consistent, plan.analysis if wrong is plan else "")
    if wrong is plan:
        message = replace(message, ins=wrong.instruction, des=wrong.description)
    described = [*(step.message.des for step in steps), message.des]
    wanted = next((text for text in reversed(described) if text), "")
    canvas = painter.paint(steps[-1].image, wrong.refine, wanted, None, 0)
    repaired = replace(trajectory, steps=(*steps, Step(message, canvas, verdict)), stop=EXCERPT)
    return Record(subset, "wrong" if wrong is plan else "negative", repaired)
