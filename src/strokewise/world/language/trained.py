"""From what people write to what models of the sprite world were trained on.

Prompts are trained on in every wording of `write_prompt`, instructions in the plain wording; GenEval's own
prompts, some with wrong plurals, are what published figures are measured with. This file knows which text is
fed for which. It refuses to know models, and how a text is read (`prompts`, `instructions`).
"""

from __future__ import annotations

from functools import cache

from strokewise.world.language.geneval import geneval_prompts
from strokewise.world.language.instructions import reword_instruction
from strokewise.world.language.prompts import reword_prompt
from strokewise.world.language.reader import Reader


def trained_prompt(text: str) -> str:
    """Return a prompt in the wording that models are trained on; LanguageError saying what was not
    understood.

    A trained wording comes back as it is, an official prompt of GenEval as well. Else words, counts, plurals,
    spelling, case and marks become the trained ones; the lead-in, and the order of the sentence, are kept
    where they are trained ones, and become "a photo of ..." and GenEval's order where they are not.
    """
    plain = Reader(text).plain
    return plain if plain in _official_prompts() else reword_prompt(text)


def trained_instruction(text: str) -> str:
    """Return an instruction of one stroke in the trained wording; LanguageError saying what was not
    understood.
    """
    return reword_instruction(text)


@cache
def _official_prompts() -> frozenset[str]:
    return frozenset(prompt.text for prompt in geneval_prompts())
