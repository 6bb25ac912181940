"""Recorded GenEval cases: detections with the verdict that somebody's scorer gave on them.

One JSON object a line, gzipped where the name ends in .gz: `metadata` as in GenEval's prompt file,
`detections` (class, score, box, and color where one was named) and `correct`. This file reads them and
refuses to judge.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from strokewise.critics.geneval_rules import Detection, check_metadata
from strokewise.errors import RecordError
from strokewise.io.outside import read_json_lines


class Case(NamedTuple):
    """GenEval's metadata of a prompt, what was detected, and the recorded verdict."""

    metadata: dict[str, Any]
    detections: list[Detection]
    correct: bool


def read_cases(path: Path) -> Iterator[Case]:
    """The cases of a file in its order.

    Raises:
        RecordError: if the file cannot be read, or a line is not a case; it names the line.
    """
    for where, record in read_json_lines(path):
        yield _case(record, where)


def _case(record: dict[str, Any], where: str) -> Case:
    try:
        check_metadata(record["metadata"])
        detections = [_detection(one) for one in record["detections"]]
        if not isinstance(record["correct"], bool):
            raise TypeError(f"correct is true or false, not {record['correct']!r}")
    except (ValueError, KeyError, TypeError, RecordError) as error:
        raise RecordError(f"{where}: not a recorded case: {error!r}") from error
    return Case(record["metadata"], detections, record["correct"])


def _detection(record: dict[str, Any]) -> Detection:
    x0, y0, x1, y1 = (float(edge) for edge in record["box"])
    return Detection(record["class"], float(record["score"]), (x0, y0, x1, y1), record.get("color"))
