"""Score recorded detections by GenEval's rules and compare with the recorded verdicts.

    python benchmarks/geneval_scoring.py FILE.jsonl[.gz]

Prints how many verdicts agree for each tag, and every one that does not. Exit status 0 only if all agree, 1
if not, 2 if the file cannot be used. The format: docs/evaluation.md.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, NotRequired

from typing_extensions import TypedDict

from strokewise.critics.geneval_rules import Box, Detection, check_metadata, find_faults
from strokewise.errors import StrokewiseError
from strokewise.io.outside import read_json_lines
from strokewise.io.schema import checked

_StoredDetection = TypedDict(
    "_StoredDetection", {"class": str, "score": float, "box": Box, "color": NotRequired[str | None]}
)


class Case(NamedTuple):
    """GenEval's metadata of a prompt, what was detected, and the recorded verdict."""

    metadata: dict[str, Any]
    detections: list[Detection]
    correct: bool


class _StoredCase(TypedDict):
    metadata: dict[str, Any]
    detections: list[_StoredDetection]
    correct: bool


def read_cases(path: Path) -> Iterator[Case]:
    """Yield the cases of a file in its order.

    Raises:
        InputError: if the file cannot be read.
        RecordError: if a line is no case; it names the line and the field.
    """
    for where, line in read_json_lines(path):
        case = checked(_StoredCase, line, where, extra="ignore")
        check_metadata(case["metadata"])
        found = [
            Detection(one["class"], one["score"], one["box"], one.get("color")) for one in case["detections"]
        ]
        yield Case(case["metadata"], found, case["correct"])


def compare(path: Path) -> tuple[Counter[str], Counter[str], list[str]]:
    """By tag, the cases and those that agree; and a line for each that does not."""
    total: Counter[str] = Counter()
    agreeing: Counter[str] = Counter()
    faults = []
    for number, case in enumerate(read_cases(path), 1):
        tag = case.metadata["tag"]
        found = find_faults(case.metadata, case.detections)
        total[tag] += 1
        agreeing[tag] += case.correct is not bool(found)
        if case.correct is bool(found):
            reason = "; ".join(fault.text for fault in found) or "nothing wrong"
            faults.append(f"case {number} ({tag}): recorded {case.correct}, ours {not found}: {reason}")
    return total, agreeing, faults


def main() -> int:
    """Compare and print; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file", type=Path)
    try:
        total, agreeing, faults = compare(parser.parse_args().file)
    except StrokewiseError as error:
        print(f"geneval_scoring: {error}", file=sys.stderr)
        return 2
    for tag, count in total.items():
        print(f"{tag:14} {agreeing[tag]:6} of {count:6}")
    for fault in faults:
        print(fault)
    cases, same = total.total(), agreeing.total()
    print(f"agreement {same} of {cases}: {100 * same / cases if cases else 0:.2f} %")
    return 0 if cases and same == cases else 1


if __name__ == "__main__":
    sys.exit(main())
