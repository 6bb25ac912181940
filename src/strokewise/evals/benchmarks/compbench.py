"""T2I-CompBench++: pictures graded by a vision model, with a mean for each category.

This file knows scores. It refuses to know how a picture is graded (``critics.compbench_grades``).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from strokewise.critics.compbench_grades import CATEGORIES, Grades, check_metadata, grade, score_of
from strokewise.critics.vlm_client import VlmClient
from strokewise.evals.benchmarks.pictures import JudgedBenchmark, Picture
from strokewise.evals.intervals import NamedMean, means_table
from strokewise.evals.run_store import Run, read_objects
from strokewise.evals.text_table import TextTable
from strokewise.io.outside import read_picture

BENCHMARK = JudgedBenchmark(
    "T2I-CompBench++", "compbench.jsonl", lambda prompt: prompt.compbench, check_metadata
)
NOTE = "Graded by a vision model; not comparable with scores by BLIP-VQA and UniDet."


@dataclass(frozen=True)
class PictureGrades:
    """How one picture was graded.

    Attributes:
        prompt: number of the prompt; pictures of one prompt are resampled together.
        sample: number of the picture among those of its prompt.
        category: of the prompt.
        score: 0..1; 0 if nothing was painted.
        grades: behind it; None if nothing was painted.
    """

    prompt: int
    sample: int
    category: str
    score: Annotated[float, Field(ge=0, le=1)]
    grades: Grades | None


def score_pictures(pictures: Iterable[Picture], client: VlmClient) -> Iterator[PictureGrades]:
    """Yield the grades of each picture; what was never painted is 0 without a query.

    Raises:
        InputError: if a picture cannot be read.
        ServiceError: as ``compbench_grades.grade``; answers so far are kept where the client has a cache.
    """

    def scored(picture: Picture) -> PictureGrades:
        category = picture.metadata["t2i_compbench"]
        if picture.path is None:
            return PictureGrades(picture.prompt, picture.sample, category, 0.0, None)
        found = grade(client, picture.metadata, read_picture(picture.path))
        score = score_of(category, found.grades)
        return PictureGrades(picture.prompt, picture.sample, category, score, found)

    return client.map(scored, pictures)


def summarize(scores: Sequence[PictureGrades], seed: int = 0) -> list[NamedMean]:
    """Return the mean score of each category that has pictures.

    Args:
        scores: of pictures.
        seed: of the bootstrap.
    """
    return [
        NamedMean.of(name, chosen, seed)
        for name in CATEGORIES
        if (chosen := [(one.prompt, one.score) for one in scores if one.category == name])
    ]


def table(scores: Sequence[PictureGrades], title: str, seed: int = 0) -> TextTable:
    """Return the means as a table."""
    return means_table(title, "category", summarize(scores, seed), NOTE)


def stored_scores(run: Run) -> list[PictureGrades]:
    """Return the stored scores of a run; none if it was not scored.

    Raises:
        RecordError: if the file is damaged.
    """
    return read_objects(run.folder / BENCHMARK.scores, PictureGrades) or []
