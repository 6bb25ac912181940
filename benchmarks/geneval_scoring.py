"""Score recorded detections by GenEval's rules and compare with the recorded verdicts.

    python benchmarks/geneval_scoring.py FILE.jsonl[.gz]

Prints how many verdicts agree for each tag, and every one that does not. Exit status 0 only if all agree, 1
if not, 2 if the file cannot be used. The format: docs/evaluation.md.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

from strokewise.critics.geneval_rules import evaluate
from strokewise.errors import StrokewiseError
from strokewise.evals.benchmarks.geneval.recorded_cases import read_cases


def compare(path: Path) -> tuple[Counter[str], Counter[str], list[str]]:
    """By tag, the cases and those that agree; and a line for each that does not."""
    total: Counter[str] = Counter()
    agreeing: Counter[str] = Counter()
    faults = []
    for number, case in enumerate(read_cases(path), 1):
        tag = case.metadata["tag"]
        verdict = evaluate(case.metadata, case.detections)
        total[tag] += 1
        agreeing[tag] += verdict.correct == case.correct
        if verdict.correct != case.correct:
            reason = verdict.reason.replace("\n", "; ") or "nothing wrong"
            faults.append(f"case {number} ({tag}): recorded {case.correct}, ours {verdict.correct}: {reason}")
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
