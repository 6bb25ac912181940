"""Soft-TIFA, by which GenEval 2 scores a picture: how sure a vision model is of the right answers about it.

The rules are those of GenEval 2 (arXiv 2512.16853; github.com/facebookresearch/GenEval2 at a6e82d2:
``evaluation.py``): a prompt comes with questions, each is put with the picture alone, and its result is the
probability that the first token of the model's answer is the right one. The arithmetic mean (AM) of a
prompt's results judges its single atoms, the geometric mean (GM) the prompt as a whole. This file knows
questions and answers; how queries are sent (``vlm_client``) and what becomes of scores is not its business.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from PIL import Image
from pydantic import Field
from typing_extensions import TypedDict

from strokewise.critics.vlm_client import TOP_TOKENS, VlmClient
from strokewise.errors import RecordError
from strokewise.io.schema import checked

SKILLS = ("object", "attribute", "count", "position", "verb")
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
# Our own wording; the official script requests one word as well.
BREVITY = "Reply with a single word."
_COUNTING, _YES = "How many", "Yes"


class Answered(NamedTuple):
    """The model's answer to a question.

    said: the likeliest beginning.
    chance: the probability of the right one, 0..1; 0 if it is not among the likeliest that are stated.
    """

    said: str
    chance: float


class _Metadata(TypedDict):
    prompt: Annotated[str, Field(min_length=1)]
    atom_count: Annotated[int, Field(ge=1)]
    vqa_list: Annotated[list[tuple[str, str]], Field(min_length=1)]
    skills: list[Literal[SKILLS]]  # type: ignore[valid-type]


def check_metadata(metadata: Mapping[str, Any], where: object = "GenEval 2 metadata") -> None:
    """Refuse metadata by which no picture can be scored.

    Raises:
        RecordError: unless they have the form of a line of GenEval 2's file: a prompt, its number of atoms,
            its questions with right answers, and a skill for each; it names ``where`` and what is wrong.
    """
    found = checked(_Metadata, metadata, where, extra="ignore")
    if len(found["skills"]) != len(found["vqa_list"]):
        raise RecordError(
            f"{where}: {len(found['vqa_list'])} questions (vqa_list) have {len(found['skills'])} skills"
        )
    for question, answer in found["vqa_list"]:
        expected = NUMBERS if question.startswith(_COUNTING) else (_YES,)
        if answer not in expected:
            raise RecordError(
                f"{where}: vqa_list: the answer to {question!r} is {answer!r}, not {' or '.join(expected)}"
            )


def ask(
    client: VlmClient, metadata: Mapping[str, Any], image: Image.Image, tokens: int = TOP_TOKENS
) -> list[Answered]:
    """Return the answers to all questions of a prompt about a picture.

    Args:
        client: of the vision model.
        metadata: as :func:`check_metadata` wants them.
        image: the picture.
        tokens: how many beginnings of an answer the service states.

    Raises:
        ServiceError: if the service cannot be queried, or states no log-probabilities.
    """
    questions = [f"{question} {BREVITY}" for question, _ in metadata["vqa_list"]]
    found = []
    for (question, answer), chances in zip(
        metadata["vqa_list"], client.chances(questions, [image], tokens), strict=True
    ):
        right = right_words(question, answer)
        chance = sum(p for token, p in chances.items() if token.removeprefix(" ") in right)
        found.append(Answered(next(iter(chances)), min(chance, 1.0)))
    return found


def right_words(question: str, answer: str) -> frozenset[str]:
    """Return what an answer may begin with to be right: yes, or a number in letters or digits."""
    if question.startswith(_COUNTING):
        return frozenset((answer, answer.capitalize(), str(NUMBERS.index(answer) + 1)))
    return frozenset((_YES, _YES.lower()))


def is_answer(token: str) -> bool:
    """Return whether a token is a yes, a no or a number, as the questions request."""
    word = token.strip().lower()
    return word in ("yes", "no", "zero", "none", *NUMBERS) or word.isdecimal()


def arithmetic_mean(chances: Sequence[float]) -> float:
    """Return Soft-TIFA AM of one picture, 0..1."""
    return sum(chances) / len(chances)


def geometric_mean(chances: Sequence[float]) -> float:
    """Return Soft-TIFA GM of one picture, 0..1; 0 if one of the results is."""
    return float(math.prod(chances) ** (1 / len(chances)))
