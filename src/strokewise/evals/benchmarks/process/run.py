"""The process figures of a run: judge its stored trajectories, store the judgments, sum them up.

Connects runs with ``judging`` and ``metrics``. What was judged is stored picture by picture, so
that figures can be computed again without reading a canvas.
"""

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from strokewise.critics.judges import Judge
from strokewise.errors import ConfigError, InputError
from strokewise.evals.benchmarks.geneval.score import stored_verdicts
from strokewise.evals.benchmarks.process.judging import (
    JudgedTrajectory,
    judge_trajectory,
    judge_trajectory_by,
)
from strokewise.evals.benchmarks.process.metrics import ProcessMetrics, measure
from strokewise.evals.run_store import Run, read_objects, write_objects

JUDGED = "process.jsonl"


def judge_run(run: Run, judge: Judge | None = None) -> Iterator[JudgedTrajectory]:
    """Judge each trajectory of a run.

    Args:
        run: whose trajectories.
        judge: decides; None: the sprite world's oracle.

    Raises:
        ConfigError: if there is no judge and the run is not of the sprite world.
        ServiceError: if a judge that is a service fails.
        InputError: if it has no pictures.
        RecordError: if a trajectory is damaged.
    """
    if judge is None and not run.sprite:
        raise ConfigError(
            f"{run.folder} is not a run of the sprite world, whose oracle could judge it; name a vision model"
            " with --judge"
        )
    entries = run.entries()
    if not entries:
        raise InputError(f"{run.folder} holds no pictures yet")
    scored = stored_verdicts(run) if judge else {}
    for entry in entries:
        trajectory = run.trajectory(entry)
        if judge is None:
            yield judge_trajectory(trajectory, run.prompts[entry.prompt].metadata, entry.cost)
        else:
            verdict = scored.get(run.picture_name(entry))
            yield judge_trajectory_by(judge, trajectory, verdict and verdict.correct, entry.cost)


def store(run: Run, judged: list[JudgedTrajectory]) -> None:
    """Write the judgments, a picture a line, in the order of the run's entries."""
    write_objects(run.folder / JUDGED, map(_value, judged))


def stored_metrics(run: Run) -> ProcessMetrics | None:
    """Return the figures of what was kept; None if the run was not judged.

    Raises:
        RecordError: if the file is damaged.
    """
    judged = read_objects(run.folder / JUDGED, JudgedTrajectory)
    if judged is None:
        return None
    costs = [entry.cost for entry in run.entries()]
    return measure(replace(one, cost=cost) for one, cost in zip(judged, costs, strict=False))


def _value(judged: JudgedTrajectory) -> dict[str, Any]:
    return asdict(replace(judged, cost=None))
