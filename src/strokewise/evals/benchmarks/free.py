"""The free set: prompts of one to five kinds of things, scored by the sprite world's recognizer.

A picture is right if it shows all that its prompt requires and nothing that is not recognized. This file
knows the prompts' number of kinds, stored runs and shares; who paints is not its business.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from PIL import Image

from strokewise.critics.canvas_reader import shows_prompt
from strokewise.errors import ConfigError, InputError, SceneError
from strokewise.evals.intervals import NamedShare
from strokewise.evals.run_store import Run, read_objects, write_objects
from strokewise.io.outside import read_picture
from strokewise.trajectory.values import StopReason
from strokewise.world.language import parse_prompt

SCORES = "free.jsonl"


@dataclass(frozen=True)
class FreeScore:
    """How one picture of the free set was scored.

    Attributes:
        kinds: kinds of things in its prompt.
        prompt: number of the prompt; pictures of one prompt are resampled together.
        sample: number of the picture among those of its prompt.
        right: whether it shows what the prompt requires.
        ended: whether the model ended the trajectory by itself.
    """

    kinds: int
    prompt: int
    sample: int
    right: bool
    ended: bool


def is_right(prompt: str, image: Image.Image) -> bool:
    """Return whether a picture shows all that a prompt of the sprite world requires, and nothing unknown."""
    try:
        return shows_prompt(image, parse_prompt(prompt))
    except SceneError:
        return False


def score_run(run: Run) -> Iterator[FreeScore]:
    """Yield the score of each picture of the free set; what was not painted is wrong.

    Raises:
        ConfigError: if the run is not of the sprite world.
        InputError: if there are no such pictures, or one cannot be read.
    """
    if not run.sprite:
        raise ConfigError(
            f"{run.folder} is not a run of the sprite world; only its recognizer scores free prompts"
        )
    entries = [entry for entry in run.entries() if run.prompts[entry.prompt].kinds is not None]
    if not entries:
        raise InputError(f"{run.folder} holds no pictures of the free set; paint --prompts free first")
    for entry in entries:
        prompt = run.prompts[entry.prompt]
        assert prompt.kinds is not None
        right = entry.painted and is_right(prompt.text, read_picture(run.folder / run.picture_name(entry)))
        yield FreeScore(prompt.kinds, entry.prompt, entry.sample, right, entry.stop == StopReason.END)


def summarize(scores: Iterable[FreeScore], seed: int = 0) -> list[NamedShare]:
    """Return the share of right pictures for each number of kinds, of all, and of those that ended by
    themselves.

    Args:
        scores: at least one.
        seed: of the bootstrap.
    """
    every = list(scores)
    found = []
    for kinds in sorted({one.kinds for one in every}):
        chosen = [one for one in every if one.kinds == kinds]
        name = f"{kinds} kind{'s' if kinds > 1 else ''} of things"
        found.append(NamedShare.of(name, _by_prompt(chosen, "right"), seed))
    found.append(NamedShare.of("all", _by_prompt(every, "right"), seed))
    return [*found, NamedShare.of("ended by itself", _by_prompt(every, "ended"), seed)]


def store(run: Run, scores: Iterable[FreeScore]) -> None:
    """Write the scores into the run, a picture a line."""
    write_objects(run.folder / SCORES, map(asdict, scores))


def stored_scores(run: Run) -> list[FreeScore] | None:
    """Return the stored scores; None if the run was not scored.

    Raises:
        RecordError: if the file is damaged.
    """
    return read_objects(run.folder / SCORES, FreeScore)


def _by_prompt(scores: Iterable[FreeScore], what: str) -> list[list[bool]]:
    groups: dict[tuple[int, int], list[bool]] = {}
    for one in scores:
        groups.setdefault((one.kinds, one.prompt), []).append(getattr(one, what))
    return list(groups.values())
