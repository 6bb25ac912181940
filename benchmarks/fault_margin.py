"""What margins of evidence make of a run's inspections: precision and recall of faulty sketches.

For each canvas of a stored run of the sprite world (painted with --look and --fault-margin 0) that was found
not to show its plan, the model sees the canvas alone and tells how much likelier its own words are than the
plan's. Prints what would count at each margin, the oracle being right. A margin is chosen on the tuning
prompts (benchmarks/settings.py paints them) and reported on others.

python benchmarks/fault_margin.py RUN [--model nano] [--margins 0,1,2,3,4,6]
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from strokewise.errors import LanguageError, SceneError
from strokewise.evals.benchmarks.process.judging import judge_trajectory
from strokewise.evals.run_store import Run
from strokewise.inference.formats import STROKEWISE
from strokewise.inference.painter import Painter
from strokewise.trajectory.values import Message, Trajectory, planned_scene
from strokewise.world.language import listed_seen


@dataclass(frozen=True)
class Looked:
    """One canvas that was inspected.

    Attributes:
        faulty: whether it does not show its plan.
        margin: by how much what is seen is likelier than the plan's words; None: no fault was found.
    """

    faulty: bool
    margin: float | None


def looked(painter: Painter, trajectory: Trajectory) -> Iterator[Looked]:
    """Yield the inspected canvases of a trajectory whose truth is known."""
    painted = [i for i, step in enumerate(trajectory.steps) if step.image is not None]
    for i, canvas in zip(painted, judge_trajectory(trajectory).canvases, strict=True):
        if canvas.said is None or canvas.said.sketch is None or canvas.sketch_faults is None:
            continue
        margin = (
            None if canvas.said.sketch else margin_of(painter, trajectory, i, canvas.said.seen_text or "")
        )
        yield Looked(bool(canvas.sketch_faults), margin)


def margin_of(painter: Painter, trajectory: Trajectory, step: int, seen: str) -> float:
    """Return by how much what is seen is likelier than the plan's words; endless in other words."""
    planned, image = planned_scene(trajectory.steps[: step + 1]), trajectory.steps[step].image
    try:
        words = listed_seen(seen)
    except (LanguageError, SceneError):
        return float("inf")
    generator = painter.generator
    context = generator.context()
    generator.see([context], [image] if image is not None else [])
    texts = [Message(des=words).text(), STROKEWISE.as_seen(planned)]
    ids = [painter.tokenizer.encode(text) for text in texts]
    of_seen, of_plan = generator.log_likelihoods([context, context], ids)
    return of_seen - of_plan


def table(found: list[Looked], margins: list[float]) -> Table:
    """Return precision and recall at each margin."""
    rows = Table("margin", "found", "of them faulty", "of all faulty")
    faulty = sum(one.faulty for one in found)
    for margin in margins:
        kept = [one for one in found if one.margin is not None and (not margin or one.margin > margin)]
        right = sum(one.faulty for one in kept)
        precision, recall = right / max(1, len(kept)), right / max(1, faulty)
        rows.add_row(
            f"{margin:g}", str(len(kept)), f"{right} ({precision:.1%})", f"{right} of {faulty} ({recall:.1%})"
        )
    return rows


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--margins", default="0,1,2,3,4,6")
    arguments = parser.parse_args()
    painter, run = Painter.load(arguments.model, "cpu"), Run(arguments.run)
    found = [one for entry in run.entries() for one in looked(painter, run.trajectory(entry))]
    Console().print(table(found, [float(margin) for margin in arguments.margins.split(",")]))


if __name__ == "__main__":
    main()
