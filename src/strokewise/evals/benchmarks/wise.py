"""WISE: pictures of prompts that need knowledge, rated by a vision model, in both of its forms.

The rules are those of WISE (arXiv 2503.07265; github.com/PKU-YuanGroup/WISE at eb51174: ``WISE_legacy`` and
``calculate_verified.py``): *legacy* rates consistency, realism and aesthetics 0 to 2 each, and WiScore weighs
them .7, .2 and .1; *verified* is right or wrong. The judge's instructions are worded anew here, because that
repository states no license. This file knows prompts and ratings; queries are sent by ``vlm_client``.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from PIL import Image

from strokewise.critics.vlm_client import VlmClient
from strokewise.errors import ConfigError, InputError
from strokewise.evals.run_store import Run, read_objects
from strokewise.evals.text_table import TextTable
from strokewise.io.outside import read_picture

LEGACY_TASK = """\
You audit pictures that a model painted from a prompt, and are extremely strict. The explanation says what the
prompt really asks for. Rate three things from 0 to 2; whenever in doubt, give the lower number.
consistency: 0 if key elements are missing or contradicted, 1 if the prompt is captured in part, 2 only if
every element and nuance of it is shown without fault.
realism: 0 if it is physically implausible or plainly artificial, 1 if flaws detract from it, 2 only if it
could be taken for a photograph.
aesthetics: 0 if it is unappealing, 1 if composition and colors are acceptable, 2 only for a masterpiece."""
VERIFIED_TASK = """\
You judge pictures that a model painted from a prompt which hints at something instead of naming it. The
explanation says what the picture must show; it is the truth to judge by. The score is 1 only if the picture
shows what prompt and explanation ask for, with objects, attributes, states and relations right, and is good
enough to be judged; lack of beauty is no fault. It is 0 if the intended answer is missed, if only the surface
of the prompt is followed, if something contradicts it, if the evidence is ambiguous, or if the picture is
deformed. In serious doubt it is 0."""
TASKS = {"legacy": LEGACY_TASK, "verified": VERIFIED_TASK}

CATEGORIES = ("culture", "time", "space", "biology", "physics", "chemistry")
# The last id of each category, and its weight in WISE's own Overall.
LAST_IDS = {
    "legacy": (400, 567, 700, 800, 900, 1000),
    "verified": (400, 520, 640, 760, 880, 1000),
}
WEIGHTS = {
    "legacy": (0.4, 0.167, 0.133, 0.1, 0.1, 0.1),
    "verified": (0.4, 0.12, 0.12, 0.12, 0.12, 0.12),
}


@dataclass(frozen=True)
class Rating:
    """The score of one picture, 0..1, and the ratings behind it; none if nothing was painted."""

    prompt_id: int
    sample: int
    score: float
    ratings: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return vars(self)


@dataclass(frozen=True)
class WiseScore:
    """The score of a run.

    Attributes:
        categories: mean score of each category that has pictures, and their number.
        weighted: WISE's own Overall; None unless all six categories are there.
        plain: the plain mean of the categories, as BAGEL and the process-driven paper publish it.
    """

    categories: dict[str, tuple[float, int]]
    weighted: float | None
    plain: float


def scores_file(mode: str) -> str:
    """Return the name of a run's stored ratings; ConfigError if there is no such mode."""
    if mode not in TASKS:
        raise ConfigError(f"unknown WISE mode {mode!r}; known are {', '.join(TASKS)}")
    return f"wise-{mode}.jsonl"


def wiscore(consistency: int, realism: int, aesthetics: int) -> float:
    """Return WiScore, 0..1."""
    return (0.7 * consistency + 0.2 * realism + 0.1 * aesthetics) / 2


def category_of(prompt_id: int, mode: str) -> str:
    """Return the category of a prompt.

    Raises:
        InputError: if there is no such prompt.
    """
    if prompt_id >= 1:
        for name, last in zip(CATEGORIES, LAST_IDS[mode], strict=True):
            if prompt_id <= last:
                return name
    raise InputError(f"WISE has no prompt {prompt_id}; they are numbered 1 to {LAST_IDS[mode][-1]}")


def rate(client: VlmClient, mode: str, prompt: str, explanation: str, image: Image.Image) -> dict[str, int]:
    """Return the judge's ratings of a picture.

    Raises:
        ServiceError: if the judge cannot be queried or gives no valid answer.
    """
    text = f"Prompt: {prompt}\nExplanation: {explanation}"
    found: dict[str, int] = client.query(TASKS[mode], text, _answers()[mode], [image]).model_dump()
    return found


def rate_run(run: Run, client: VlmClient, mode: str) -> Iterator[Rating]:
    """Return the rating of each picture of WISE's prompts; what was never painted is rated 0 without a query.

    Raises:
        ConfigError: if there is no such mode.
        InputError: if there are no such pictures, or one cannot be read.
        ServiceError: as :func:`rate`; answers so far are kept where the client has a cache.
    """
    scores_file(mode)
    entries = [entry for entry in run.entries() if "prompt_id" in run.prompts[entry.prompt].metadata]
    if not entries:
        raise InputError(f"{run.folder} holds no pictures of WISE's prompts; paint --prompts FILE.json first")

    def rated(entry: Any) -> Rating:
        prompt = run.prompts[entry.prompt]
        number = prompt.metadata["prompt_id"]
        category_of(number, mode)
        if not entry.painted:
            return Rating(number, entry.sample, 0.0, {})
        image = read_picture(run.folder / run.picture_name(entry))
        found = rate(client, mode, prompt.text, prompt.metadata["Explanation"], image)
        score = wiscore(**found) if mode == "legacy" else float(found["score"])
        return Rating(number, entry.sample, score, found)

    return client.map(rated, entries)


def score(ratings: Iterable[Rating], mode: str) -> WiseScore:
    """Return the score of some ratings.

    Raises:
        InputError: if there are none, or a prompt is not WISE's.
    """
    scores: dict[str, list[float]] = {}
    for rating in ratings:
        scores.setdefault(category_of(rating.prompt_id, mode), []).append(rating.score)
    if not scores:
        raise InputError("there are no ratings to sum up")
    means = {name: sum(scores[name]) / len(scores[name]) for name in CATEGORIES if name in scores}
    weighted = None
    if len(means) == len(CATEGORIES):
        weighted = sum(w * means[name] for name, w in zip(CATEGORIES, WEIGHTS[mode], strict=True))
    counted = {name: (mean, len(scores[name])) for name, mean in means.items()}
    return WiseScore(counted, weighted, sum(means.values()) / len(means))


def stored_score(run: Run, mode: str) -> WiseScore | None:
    """Return the score of a run's stored ratings; None if it was not rated.

    Raises:
        RecordError: if the file is damaged.
    """
    ratings = read_objects(run.folder / scores_file(mode), Rating)
    return None if ratings is None else score(ratings, mode)


def rows(found: WiseScore) -> list[tuple[str, str, str]]:
    """Return the score as cells of a table, with both conventions of Overall."""
    number = len(found.categories)
    lines = [(name, f"{count:,}", f"{mean:.3f}") for name, (mean, count) in found.categories.items()]
    total = f"{sum(count for _, count in found.categories.values()):,}"
    weighted = "–" if found.weighted is None else f"{found.weighted:.3f}"
    named = "overall, plain mean" if number == len(CATEGORIES) else f"plain mean of {number} of 6 categories"
    return [*lines, ("overall, WISE's weights", total, weighted), (named, total, f"{found.plain:.3f}")]


HEAD: Sequence[str] = ("category", "pictures", "score")


def table(found: WiseScore, title: str) -> TextTable:
    """Return the score as a table."""
    return TextTable(title, HEAD, rows(found))


@cache
def _answers() -> dict[str, Any]:
    """Return the schemas of ratings; made when they are first needed, because pydantic takes its time."""
    from pydantic import BaseModel, ConfigDict, Field, create_model

    class Strict(BaseModel):
        model_config = ConfigDict(extra="forbid")

    points: Any = (int, Field(ge=0, le=2))
    right: Any = (int, Field(ge=0, le=1))
    legacy = create_model("Ratings", __base__=Strict, consistency=points, realism=points, aesthetics=points)
    return {"legacy": legacy, "verified": create_model("Right", __base__=Strict, score=right)}
