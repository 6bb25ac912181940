"""Pictures that a vision model judges by a benchmark: of a run, or of any generator in GenEval's layout.

Both come in one form, so that a benchmark does not know where they are from. This file refuses to know what
is asked about them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from strokewise.errors import InputError
from strokewise.evals.image_folders import CheckMetadata, read_pictures
from strokewise.evals.prompt_sets import Prompt
from strokewise.evals.run_store import Run


class Picture(NamedTuple):
    """A picture to judge.

    prompt, sample: the numbers of its prompt, and of it among the prompt's pictures.
    metadata: the benchmark's, of its prompt.
    path: of the file; None if nothing was painted.
    """

    prompt: int
    sample: int
    metadata: dict[str, Any]
    path: Path | None


@dataclass(frozen=True)
class JudgedBenchmark:
    """How the pictures of a benchmark, and their scores, are found.

    Attributes:
        name: for people.
        scores: the file in a run where its scores are stored.
        owns: whether a prompt is one of its own.
        check: raises a RecordError unless metadata are its own.
    """

    name: str
    scores: str
    owns: Callable[[Prompt], bool]
    check: CheckMetadata

    def of_run(self, run: Run) -> list[Picture]:
        """Return the pictures of a run that are painted so far, and what could not be painted.

        Raises:
            InputError: if none is of a prompt of this benchmark.
            RecordError: if the metadata of a prompt are not the benchmark's.
        """
        entries = [entry for entry in run.entries() if self.owns(run.prompts[entry.prompt])]
        if not entries:
            raise InputError(
                f"{run.folder} holds no pictures of {self.name}'s prompts; paint them with --prompts first"
            )
        for number in {entry.prompt for entry in entries}:
            self.check(run.prompts[number].metadata, f"{run.folder}, prompt {number}")
        return [
            Picture(
                entry.prompt,
                entry.sample,
                run.prompts[entry.prompt].metadata,
                run.folder / run.picture_name(entry) if entry.painted else None,
            )
            for entry in entries
        ]

    def of_folder(self, folder: Path) -> list[Picture]:
        """Return the pictures of a folder in GenEval's layout; errors as of ``read_pictures``."""
        return [
            Picture(one.prompt, one.sample, one.metadata, one.path)
            for one in read_pictures(folder, self.check)
        ]
