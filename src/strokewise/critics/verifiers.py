"""Verifiers: critics of candidates. Which of several pictures of a prompt is best, which can become good?

The sprite world's verifier is exact: it uses the same recognizer as sprite GenEval, so selection by it is an
upper bound of selection. A vision model behind an API knows every world, but errs. This file refuses to know
how candidates are made.
"""

from functools import cache
from typing import Any, Protocol

from PIL import Image

from strokewise.critics.canvas_reader import fulfills
from strokewise.critics.vlm_client import VlmClient
from strokewise.errors import LanguageError
from strokewise.scene_graph import diff
from strokewise.world.language import parse_prompt
from strokewise.world.recognize import recognize

CLEAR_TASK = """\
You are shown an image while a model is still painting it. Say whether it is already clear enough to judge
what it will show: main things have recognizable shapes, even if details are missing."""
POTENTIAL_TASK = """\
You are shown an image while a model is still painting it, and the prompt it is painted for. Give the
probability, from 0 to 1, that the finished image can show accurately what the prompt asks for."""
SCORE_TASK = """\
You are shown an image and the prompt it was painted for. Give the probability, from 0 to 1, that the image
represents the prompt accurately: every thing, number, color and relation."""


class Verifier(Protocol):
    """A critic that compares pictures of a prompt.

    Every method raises a StrokewiseError if the verifier cannot decide.
    """

    def clear(self, image: Image.Image) -> bool:
        """Return whether an unfinished picture shows enough to be judged."""

    def potential(self, prompt: str, image: Image.Image) -> float:
        """Return how likely an unfinished picture is to become what the prompt asks for, 0..1."""

    def score(self, prompt: str, image: Image.Image) -> float:
        """Return how likely a finished picture is what the prompt asks for, 0..1."""


class SpriteVerifier:
    """The recognizer, and the number of faults it finds against the prompt."""

    def clear(self, image: Image.Image) -> bool:
        """Return whether something is recognized, and nothing remains unknown."""
        found = recognize(image)
        return bool(found.instances) and not found.unknown

    def potential(self, prompt: str, image: Image.Image) -> float:
        """Return the score as :meth:`score` does: what a sprite is does not change any more once it is
        recognized.
        """
        return self.score(prompt, image)

    def score(self, prompt: str, image: Image.Image) -> float:
        """Return 1 for a right picture, else less the more faults there are; LanguageError for other
        prompts.
        """
        graph, found = parse_prompt(prompt), recognize(image)
        if fulfills(found, graph):
            return 1.0
        faults = len(diff(graph, found.graph).faults) + len(found.unknown)
        return 1 / (2 + faults)


class VlmVerifier:
    """A vision model behind an OpenAI-compatible API; PARM reads the chance of "yes" off a local one."""

    def __init__(self, client: VlmClient) -> None:
        """Query through ``client``, which sets model, limits and cache."""
        self.client = client

    def clear(self, image: Image.Image) -> bool:
        """See :class:`Verifier`."""
        return self.client.query(CLEAR_TASK, "Is it clear enough?", _answers()["clear"], [image]).clear

    def potential(self, prompt: str, image: Image.Image) -> float:
        """See :class:`Verifier`."""
        return self._probability(POTENTIAL_TASK, prompt, image)

    def score(self, prompt: str, image: Image.Image) -> float:
        """See :class:`Verifier`."""
        return self._probability(SCORE_TASK, prompt, image)

    def _probability(self, task: str, prompt: str, image: Image.Image) -> float:
        return self.client.query(task, f"Prompt: {prompt}", _answers()["probability"], [image]).probability


def scored(verifier: Verifier, prompt: str, image: Image.Image) -> float:
    """Return the score of a picture; 0 of a prompt that the verifier does not understand."""
    try:
        return verifier.score(prompt, image)
    except LanguageError:
        return 0.0


@cache
def _answers() -> dict[str, Any]:
    """Return the schemas of answers; made when they are first needed, because pydantic takes its time."""
    from pydantic import BaseModel, ConfigDict, Field, create_model

    class Strict(BaseModel):
        model_config = ConfigDict(extra="forbid")

    clear = create_model("Clear", __base__=Strict, clear=(bool, ...))
    chance = (float, Field(ge=0, le=1))
    return {"clear": clear, "probability": create_model("Probability", __base__=Strict, probability=chance)}
