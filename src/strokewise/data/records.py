"""Training records: a trajectory, what it is an example of, and the truth behind its pictures.

This file knows rows of a table. It refuses to know how they are made and what is checked in them.
"""

import json
from dataclasses import dataclass, field, replace
from typing import Any, NotRequired

from typing_extensions import TypedDict

from strokewise.critics.verdicts import read_verdict
from strokewise.errors import RecordError
from strokewise.io.outside import parse_json
from strokewise.io.schema import checked_row
from strokewise.trajectory.files import from_row, to_row
from strokewise.trajectory.values import Step, Trajectory

LABELS = {"multi-turn": ("complete",), "conflict": ("right", "wrong"), "alignment": ("positive", "negative")}


@dataclass(frozen=True)
class Record:
    """One example.

    Attributes:
        subset: a key of LABELS.
        label: what it is an example of (LABELS).
        trajectory: the texts and pictures.
        fault: kind of the fault that was found or put in; empty where there is none.
        truth: the prompt's graph and the scene of every picture, as JSON values; empty where unknown.
    """

    subset: str
    label: str
    trajectory: Trajectory
    fault: str = ""
    truth: dict[str, Any] = field(default_factory=dict)


def to_table_row(record: Record) -> dict[str, Any]:
    """Return plain values of a parquet row."""
    truth = json.dumps(record.truth, sort_keys=True) if record.truth else ""
    return {
        "subset": record.subset,
        "label": record.label,
        "fault": record.fault,
        "truth": truth,
        **to_row(record.trajectory),
    }


class _Row(TypedDict):
    subset: str
    label: str
    fault: str
    truth: NotRequired[str | None]


def from_table_row(row: dict[str, Any], where: str) -> Record:
    """Return the inverse of :func:`to_table_row`.

    Raises:
        RecordError: naming the row and what is wrong with it.
    """
    data = checked_row(_Row, row, where)
    subset, label = data["subset"], data["label"]
    if label not in LABELS.get(subset, ()):
        raise RecordError(f"{where}: no subset {subset!r} with label {label!r}")
    text = data.get("truth")
    truth = parse_json(text, f"{where}: the truth") if text else {}
    if not isinstance(truth, dict):
        raise RecordError(f"{where}: the truth is no JSON object")
    return Record(subset, label, _with_texts(from_row(row, where)), data["fault"], truth)


def _with_texts(trajectory: Trajectory) -> Trajectory:
    """Return records of versions that did not store what an inspection says of plan and canvas apart, with
    it.

    Where an inspection is not in the language of the sprite world, it stays unknown.
    """

    def upgraded(step: Step) -> Step:
        if step.verdict is None or None not in (step.verdict.plan_text, step.verdict.seen_text):
            return step
        found = read_verdict(step.message)
        if found is None:
            return step
        plan_text, seen_text = found.plan_text, found.seen_text
        return replace(step, verdict=replace(step.verdict, plan_text=plan_text, seen_text=seen_text))

    return replace(trajectory, steps=tuple(map(upgraded, trajectory.steps)))
