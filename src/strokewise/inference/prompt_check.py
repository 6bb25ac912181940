"""What a model was trained to paint, as its folder states it, and a prompt in the words it was trained on.

Two files may lie beside the weights: ``vocabulary.json`` ({"classes": [...], "colors": [...]}) and
``painting.json`` (its own defaults of painting options). Knows the sprite world's language; no model.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from strokewise.errors import CheckpointError, LanguageError, PromptError
from strokewise.inference.options import OptionChanges
from strokewise.io.outside import read_object
from strokewise.io.schema import Shape, checked
from strokewise.scene_graph import Thing
from strokewise.world.language import parse_instruction, parse_prompt, trained_instruction, trained_prompt

VOCABULARY, DEFAULTS = "vocabulary.json", "painting.json"
OVERRIDE = "to paint it all the same: check=False, or --any-prompt"


class Prepared(NamedTuple):
    """The texts of a request as they are fed to the model.

    Attributes:
        prompt: in the wording that the model was trained on.
        instruct: strokes, likewise.
    """

    prompt: str
    instruct: tuple[str, ...]


@dataclass(frozen=True)
class Vocabulary:
    """The words a model was trained on.

    Attributes:
        classes: names of things.
        colors: names of colors.
    """

    classes: tuple[str, ...]
    colors: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> "Vocabulary | None":
        """Return the vocabulary of a checkpoint folder; None where it states none.

        Raises:
            CheckpointError: if the file is damaged.
        """
        return _read(cls, folder / VOCABULARY)

    def __str__(self) -> str:
        """Return all words, in one line."""
        return f"{', '.join(self.classes)}; in the colors {', '.join(self.colors)}"

    def prepare(self, prompt: str, instruct: Sequence[str] = (), editing: bool = False) -> "Prepared":
        """Return the texts to feed for a request: the same scene and strokes in the trained wording.

        Args:
            prompt: what to paint.
            instruct: strokes given by the caller.
            editing: whether an image was given, so that the prompt may be a stroke as well.

        Raises:
            PromptError: naming what was not understood, and all that the model knows.
        """
        try:
            self._know(obj.thing for obj in parse_prompt(prompt).objects)
            fed = trained_prompt(prompt)
        except LanguageError as error:
            if not editing:
                raise self._refusal(error.problem) from error
            fed = self._instruction(prompt)
        return Prepared(fed, tuple(self._instruction(text) for text in instruct))

    def check(self, prompt: str, instruct: Sequence[str] = (), editing: bool = False) -> None:
        """Refuse what :meth:`prepare` refuses."""
        self.prepare(prompt, instruct, editing)

    def _instruction(self, text: str) -> str:
        try:
            stroke = parse_instruction(text)
            beside = stroke.relation.target if stroke.relation else None
            self._know(thing for thing in (stroke.thing, stroke.becomes, beside) if thing)
            return trained_instruction(text)
        except LanguageError as error:
            raise self._refusal(f"instruction {text!r}: {error.problem}") from error

    def _know(self, things: Iterable[Thing]) -> None:
        """Refuse things of another class or color than the model was trained on."""
        found = list(things)
        names = [thing.name for thing in found if thing.name not in self.classes]
        colors = [thing.color for thing in found if thing.color and thing.color not in self.colors]
        if unknown := list(dict.fromkeys([*names, *colors])):
            raise self._refusal(f"not trained: {', '.join(unknown)}")

    def _refusal(self, reason: str) -> PromptError:
        # A language's error lists all words of the world; a model may know fewer.
        return PromptError(f"{reason.rstrip('. ')}. This model knows: {self} ({OVERRIDE})")


def stored_options(folder: Path) -> OptionChanges:
    """Return a model's own defaults of painting options, of its checkpoint folder; none where it states none.

    Raises:
        CheckpointError: if the file is damaged.
    """
    return _read(OptionChanges, folder / DEFAULTS) or OptionChanges()


def _read(shape: type[Shape], path: Path) -> Shape | None:
    """Return a checked value of a file; None if there is no such file."""
    if not path.exists():
        return None
    return checked(shape, read_object(path, CheckpointError), path, CheckpointError)
