"""GenEval 2: pictures scored by Soft-TIFA, with means over prompts, by skill and by number of atoms.

Means and their parts are those of GenEval 2 (``soft_tifa_analysis.py``, see ``critics.soft_tifa``): AM of all
answers of a skill, GM of all pictures of an atomicity. This file knows results. It refuses to know questions,
and how they are asked.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from strokewise.critics.soft_tifa import (
    SKILLS,
    arithmetic_mean,
    ask,
    check_metadata,
    geometric_mean,
    is_answer,
)
from strokewise.critics.vlm_client import TOP_TOKENS, VlmClient
from strokewise.evals.benchmarks.pictures import JudgedBenchmark, Picture
from strokewise.evals.intervals import NamedMean, means_table
from strokewise.evals.run_store import Run, read_objects
from strokewise.evals.text_table import TextTable
from strokewise.io.outside import read_picture

BENCHMARK = JudgedBenchmark("GenEval 2", "geneval2.jsonl", lambda prompt: prompt.geneval2, check_metadata)


@dataclass(frozen=True)
class PictureAnswers:
    """How one picture was scored.

    Attributes:
        prompt: number of the prompt; pictures of one prompt are resampled together.
        sample: number of the picture among those of its prompt.
        atoms: of the prompt.
        skills: that each question is about.
        chances: the probability of the right answer to each question, 0..1.
        said: the likeliest beginning of each answer; empty if nothing was painted, and so nothing asked.
    """

    prompt: int
    sample: int
    atoms: int
    skills: tuple[str, ...]
    chances: tuple[float, ...]
    said: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse stored results that cannot be averaged."""
        if len(self.chances) != len(self.skills) or not all(0 <= chance <= 1 for chance in self.chances):
            raise ValueError("a probability of 0 to 1 is expected for each of the skills")


def score_pictures(
    pictures: Iterable[Picture], client: VlmClient, tokens: int = TOP_TOKENS
) -> Iterator[PictureAnswers]:
    """Yield the answers about each picture; what was never painted gets 0 everywhere, without a query.

    Args:
        pictures: of the benchmark.
        client: of the judge; several pictures are judged at once.
        tokens: how many beginnings of an answer the service states.

    Raises:
        InputError: if a picture cannot be read.
        ServiceError: as ``soft_tifa.ask``; answers so far are kept where the client has a cache.
    """

    def scored(picture: Picture) -> PictureAnswers:
        metadata = picture.metadata
        known = (picture.prompt, picture.sample, metadata["atom_count"], tuple(metadata["skills"]))
        if picture.path is None:
            return PictureAnswers(*known, (0.0,) * len(metadata["skills"]), ())
        answers = ask(client, metadata, read_picture(picture.path), tokens)
        return PictureAnswers(
            *known, tuple(one.chance for one in answers), tuple(one.said for one in answers)
        )

    return client.map(scored, pictures)


def summarize(scores: Sequence[PictureAnswers], seed: int = 0) -> list[NamedMean]:
    """Return Soft-TIFA AM and GM of all pictures, AM of each skill, and GM of each number of atoms.

    Args:
        scores: at least one.
        seed: of the bootstrap.
    """
    means = [
        NamedMean.of(f"Soft-TIFA {name}", ((one.prompt, mean(one.chances)) for one in scores), seed)
        for name, mean in (("AM", arithmetic_mean), ("GM", geometric_mean))
    ]
    for skill in SKILLS:
        answers = [
            (one.prompt, chance)
            for one in scores
            for of, chance in zip(one.skills, one.chances, strict=True)
            if of == skill
        ]
        if answers:
            means.append(NamedMean.of(f"AM, {skill} (answers)", answers, seed))
    for atoms in sorted({one.atoms for one in scores}):
        chosen = ((one.prompt, geometric_mean(one.chances)) for one in scores if one.atoms == atoms)
        means.append(NamedMean.of(f"GM, {atoms} atoms", chosen, seed))
    return means


def table(scores: Sequence[PictureAnswers], title: str, seed: int = 0) -> TextTable:
    """Return the means as a table, and how far the judge's answers can be trusted below it."""
    asked = [(chance, said) for one in scores for chance, said in zip(one.chances, one.said, strict=False)]
    words, unseen = sum(is_answer(said) for _, said in asked), sum(chance == 0 for chance, _ in asked)
    note = (
        f"The judge's likeliest first word is a yes, a no or a number in {words:,} of {len(asked):,} answers;"
        f" the right one is not among those it states, and counts as 0, in {unseen:,}."
    )
    return means_table(title, "", summarize(scores, seed), note)


def stored_scores(run: Run) -> list[PictureAnswers]:
    """Return the stored scores of a run; none if it was not scored.

    Raises:
        RecordError: if the file is damaged.
    """
    return read_objects(run.folder / BENCHMARK.scores, PictureAnswers) or []
