"""Summary of a data set: the figures of the paper's dataset table, and a page with pictures.

Knows records; it counts and writes, and judges nothing.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from strokewise.data.diversity import Diversity
from strokewise.data.records import Record
from strokewise.io.atomic import write_text
from strokewise.io.pages import embedded, render_template
from strokewise.world.language import geneval_prompts

LONGEST = 640  # pixels of a picture's longer side in the page


def prompts_of(records: Iterable[Record]) -> list[str]:
    """Return the prompts of records, each once, without those of GenEval, by which models are measured."""
    measured = {one.text for one in geneval_prompts()}
    found = dict.fromkeys(record.trajectory.prompt for record in records)
    return [prompt for prompt in found if prompt not in measured]


@dataclass
class DataFigures:
    """Counts over a data set."""

    records: int = 0
    images: int = 0
    most_images: int = 0
    prompt_words: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)
    instructions: Diversity = field(default_factory=Diversity)

    def add(self, record: Record) -> None:
        """Count one record."""
        trajectory = record.trajectory
        instructions = [step.message.ins for step in trajectory.steps if step.message.ins is not None]
        self.count(trajectory.prompt, len(trajectory.images), record.label, record.fault, instructions)

    def count(self, prompt: str, images: int, label: str, fault: str, instructions: Iterable[str]) -> None:
        """Count a record of which so much is known."""
        self.instructions.add(instructions)
        self.records += 1
        self.images += images
        self.most_images = max(self.most_images, images)
        self.prompt_words += len(prompt.split())
        self.labels[label] += 1
        self.lengths[images] += 1
        if fault:
            self.faults[fault] += 1

    def rows(self) -> list[tuple[str, str]]:
        """Return the figures for a table."""
        lengths = ", ".join(f"{n}: {count:,}" for n, count in sorted(self.lengths.items()))
        return [
            ("records", f"{self.records:,}"),
            *((f"  {label}", f"{count:,}") for label, count in sorted(self.labels.items())),
            ("words in a prompt, average", f"{self.prompt_words / max(1, self.records):.1f}"),
            ("images, average", f"{self.images / max(1, self.records):.2f}"),
            ("images, most", str(self.most_images)),
            ("records by number of images", lengths),
            *self.instructions.rows(),
            *((f"  fault: {name}", f"{count:,}") for name, count in self.faults.most_common()),
        ]


def write_records_page(records: Iterable[Record], path: Path, title: str) -> None:
    """Write a page of records with their pictures inside (``templates/records.html``).

    Raises:
        InputError: if it cannot be written there.
    """
    write_text(path, render_template("records.html", title=title, records=map(_shown, records)))


def _shown(record: Record) -> dict[str, Any]:
    """Return a record as its template shows it."""
    trajectory = record.trajectory
    return {
        "prompt": trajectory.prompt,
        "label": ": ".join(filter(None, [record.label, record.fault])),
        "source": None if trajectory.source is None else embedded(trajectory.source, LONGEST),
        "steps": [
            {
                "message": step.message,
                "canvas": None if step.image is None else embedded(step.image, LONGEST),
                "accepted": step.verdict is None or step.verdict.accepted,
            }
            for step in trajectory.steps
        ],
    }
