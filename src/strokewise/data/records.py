"""Training records: a trajectory, what it is an example of, and the truth behind its pictures.

This file knows rows of a table. It refuses to know how they are made and what is checked in them.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from strokewise.errors import RecordError
from strokewise.trajectory.files import from_row, to_row
from strokewise.trajectory.values import Trajectory

SUBSETS = ("multi-turn", "conflict", "alignment")
LABELS = {"multi-turn": ("complete",), "conflict": ("right", "wrong"), "alignment": ("positive", "negative")}


@dataclass(frozen=True)
class Record:
    """One example.

    Attributes:
        subset: one of SUBSETS.
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
    """Plain values of a parquet row."""
    truth = json.dumps(record.truth, sort_keys=True) if record.truth else ""
    return {
        "subset": record.subset,
        "label": record.label,
        "fault": record.fault,
        "truth": truth,
        **to_row(record.trajectory),
    }


def from_table_row(row: dict[str, Any], where: str) -> Record:
    """The inverse of :func:`to_table_row`.

    Raises:
        RecordError: naming the row and what is wrong with it.
    """
    subset, label, fault = (row.get(key) for key in ("subset", "label", "fault"))
    if subset not in SUBSETS or label not in LABELS[subset] or not isinstance(fault, str):
        raise RecordError(f"{where}: no subset {subset!r} with label {label!r} and fault {fault!r}")
    try:
        truth = json.loads(row["truth"]) if row.get("truth") else {}
        if not isinstance(truth, dict):
            raise ValueError(f"an object is expected, not {row['truth'][:40]!r}")
    except (TypeError, ValueError, RecursionError) as error:
        raise RecordError(f"{where}: the truth is not a JSON object: {error}") from error
    return Record(subset, label, from_row(row, where), fault, truth)
