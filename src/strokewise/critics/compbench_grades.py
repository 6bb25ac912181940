"""T2I-CompBench++'s grades of a picture: does it show its prompt's attributes, arrangements and numbers?

The rules are those by which T2I-CompBench++ has vision-language models judge (arXiv 2307.06350;
github.com/Karine-Huang/T2I-CompBench at 1b70949: ``MLLM_eval``): of color, shape and texture each noun phrase
gets a grade of 1 to 4, of arrangements and numbers the whole prompt one of 1 to 5. Grades become scores as in
its ``Share_eval.py``. Instructions are worded anew. This file knows prompts and grades; queries are sent by
``vlm_client``.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from PIL import Image
from pydantic import Field
from typing_extensions import TypedDict

from strokewise.critics.vlm_client import VlmClient
from strokewise.io.schema import checked

if TYPE_CHECKING:
    from pydantic import BaseModel

ATTRIBUTES = ("color", "shape", "texture")
CATEGORIES = (*ATTRIBUTES, "spatial", "3d_spatial", "numeracy")
# The scores of grades from 1 on, of a noun phrase and of a whole prompt.
PHRASE_SCORES = (0.1, 0.2, 0.75, 1.0)
PROMPT_SCORES = (0.2, 0.4, 0.6, 0.8, 1.0)
MAX_PHRASES = 16

PHRASES_TASK = """\
List the noun phrases of an image prompt in their order: each thing it asks for, with the words that describe
this thing, such as "a green bench". Take the words as they stand; add and leave out nothing."""
PHRASE_TASK = """\
You judge the {attribute} of things in a picture that a model painted from a prompt. You are given numbered
phrases of the prompt. Say in a few words what the picture shows of each (explanation), then grade each, in
their order:
4 if the thing is there and its {attribute} is what the phrase says,
3 if the thing is there and its {attribute} is mostly what the phrase says,
2 if the thing is there, but with another {attribute},
1 if the thing is not there."""
ARRANGEMENT_TASK = """\
You judge the arrangement of things in a picture that a model painted from a prompt: what is beside, above,
below, in front of or behind what. Say in a few words what the picture shows (explanation), then grade it:
5 if every thing of the prompt is there and stands where the prompt says,
4 if the arrangement is largely what the prompt says,
3 if the things are there, but arranged otherwise,
2 if the picture as a whole is not what the prompt says,
1 if it has next to nothing to do with the prompt."""
NUMBER_TASK = """\
You judge the numbers of things in a picture that a model painted from a prompt. Count each kind of thing and
say in a few words what you count (explanation), then grade the picture:
5 if every kind of thing is there in the number that the prompt says,
4 if the numbers are largely what the prompt says,
3 if the things are there, but in other numbers,
2 if the picture as a whole is not what the prompt says,
1 if it has next to nothing to do with the prompt."""


class _Metadata(TypedDict):
    prompt: Annotated[str, Field(min_length=1)]
    t2i_compbench: Literal[CATEGORIES]  # type: ignore[valid-type]


@dataclass(frozen=True)
class Grades:
    """What a judge finds in a picture.

    Attributes:
        phrases: that were graded; the whole prompt, or its noun phrases.
        grades: of each, from 1.
        explanation: what the judge sees.
    """

    phrases: tuple[str, ...]
    grades: tuple[int, ...]
    explanation: str


def check_metadata(metadata: Mapping[str, Any], where: object = "T2I-CompBench++ metadata") -> None:
    """Refuse metadata by which no picture can be graded.

    Raises:
        RecordError: unless they have a ``prompt``, and as ``t2i_compbench`` one of the categories.
    """
    checked(_Metadata, metadata, where, extra="ignore")


def grade(client: VlmClient, metadata: Mapping[str, Any], image: Image.Image) -> Grades:
    """Return a vision model's grades of a picture.

    The noun phrases of a prompt are found by a query of their own, the same for all of its pictures.

    Raises:
        ServiceError: if the model cannot be queried or gives no valid answer.
    """
    prompt, category = metadata["prompt"], metadata["t2i_compbench"]
    if category in ATTRIBUTES:
        phrases = client.query(PHRASES_TASK, f"Prompt: {prompt}", _phrases()).phrases  # type: ignore[attr-defined]
        task, highest = PHRASE_TASK.format(attribute=category), len(PHRASE_SCORES)
        text = "\n".join(f"{number}. {phrase}" for number, phrase in enumerate(phrases, 1))
    else:
        task = NUMBER_TASK if category == "numeracy" else ARRANGEMENT_TASK
        phrases, highest, text = [prompt], len(PROMPT_SCORES), f"Prompt: {prompt}"
    found: Any = client.query(task, text, _grades(len(phrases), highest), [image])
    return Grades(tuple(phrases), tuple(found.grades), found.explanation)


def score_of(category: str, grades: Sequence[int]) -> float:
    """Return the score of a picture, 0..1: of several noun phrases the product of their scores."""
    scores = PHRASE_SCORES if category in ATTRIBUTES else PROMPT_SCORES
    return math.prod(scores[one - 1] for one in grades)


@cache
def _phrases() -> "type[BaseModel]":
    from pydantic import BaseModel, ConfigDict

    class Phrases(BaseModel):
        model_config = ConfigDict(extra="forbid")
        phrases: list[Annotated[str, Field(min_length=1)]] = Field(min_length=1, max_length=MAX_PHRASES)

    return Phrases


@cache
def _grades(count: int, highest: int) -> "type[BaseModel]":
    """Return the schema of an answer with so many grades."""
    from pydantic import BaseModel, ConfigDict

    class PictureGrades(BaseModel):
        model_config = ConfigDict(extra="forbid")
        explanation: str
        grades: list[Annotated[int, Field(ge=1, le=highest)]] = Field(min_length=count, max_length=count)

    return PictureGrades
