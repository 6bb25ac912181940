"""What a model has learnt to paint, as its folder says it, and whether a prompt asks for more.

Two files may lie beside the weights: ``vocabulary.json`` ({"classes": [...], "colors": [...]}) and
``painting.json`` (its own defaults of painting options). Knows the sprite world's language; no model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strokewise.errors import CheckpointError, LanguageError, PromptError
from strokewise.io import outside
from strokewise.world.language import parse_instruction, parse_prompt

VOCABULARY, DEFAULTS = "vocabulary.json", "painting.json"
OVERRIDE = "to paint it all the same: check=False, or --any-prompt"


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
        """The vocabulary of a checkpoint folder; None where it states none.

        Raises:
            CheckpointError: if the file is damaged.
        """
        value = read_object(folder / VOCABULARY)
        if value is None:
            return None
        lists = [value.get(key) for key in ("classes", "colors")]
        for words in lists:
            if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
                raise CheckpointError(f'{folder / VOCABULARY} must be {{"classes": [...], "colors": [...]}}')
        classes, colors = (tuple(words or ()) for words in lists)
        return cls(classes, colors)

    def __str__(self) -> str:
        """All words, in one line."""
        return f"{', '.join(self.classes)}; in the colors {', '.join(self.colors)}"

    def check(self, prompt: str, instruct: Sequence[str] = (), editing: bool = False) -> None:
        """Refuse what the model cannot know.

        Args:
            prompt: what to paint.
            instruct: strokes told by the caller.
            editing: whether an image was given, so that the prompt may be a stroke as well.

        Raises:
            PromptError: naming what was not understood, and all that the model knows.
        """
        try:
            graph = parse_prompt(prompt)
        except LanguageError as error:
            if not editing:
                raise self._refusal(error) from error
            instruct = [prompt, *instruct]
        else:
            names = [obj.name for obj in graph.objects if obj.name not in self.classes]
            colors = [obj.color for obj in graph.objects if obj.color and obj.color not in self.colors]
            if unknown := list(dict.fromkeys([*names, *colors])):
                raise self._refusal(f"not learnt: {', '.join(unknown)}")
        for text in instruct:
            try:
                parse_instruction(text)
            except LanguageError as error:
                raise self._refusal(f"instruction {text!r}: {error}") from error

    def _refusal(self, reason: object) -> PromptError:
        # The language tells all the words there are in the world; a model may know fewer.
        told = str(reason).partition(". Known are")[0].rstrip(". ")
        return PromptError(f"{told}. This model knows: {self} ({OVERRIDE})")


def read_object(path: Path) -> dict[str, Any] | None:
    """The JSON object of a file; None if there is no such file.

    Raises:
        CheckpointError: if it is damaged.
    """
    return outside.read_object(path, CheckpointError) if path.exists() else None
