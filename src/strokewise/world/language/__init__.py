"""The sprite world's English: prompts, instructions, descriptions and inspections, written and read back.

Every `write_...` has a `parse_...` that gives back an equal value (graphs: an isomorphic one). Parsing is
total: a value, or a LanguageError that says what was not understood. `words` lists all that is ever written.
"""

from strokewise.world.language.checks import EXTRA, FAILS, FITS, Check, CheckItem
from strokewise.world.language.descriptions import (
    Description,
    compare,
    describe,
    in_reading_order,
    parse_description,
    parse_seen,
    write_description,
    write_seen,
)
from strokewise.world.language.english import PlainWording, split, words
from strokewise.world.language.geneval import GenEvalPrompt, geneval_metadata, geneval_prompts
from strokewise.world.language.inspections import (
    Inspection,
    InspectionParts,
    listed_seen,
    listed_text,
    parse_inspection,
    seen_text,
    split_inspection,
    write_inspection,
)
from strokewise.world.language.instructions import (
    parse_correction,
    parse_instruction,
    write_correction,
    write_instruction,
)
from strokewise.world.language.prompts import parse_prompt, write_prompt
from strokewise.world.language.repairs import repair
from strokewise.world.language.strokes import STROKE_KINDS, Beside, Stroke, apply_stroke
from strokewise.world.language.trained import trained_instruction, trained_prompt

__all__ = [
    "EXTRA",
    "FAILS",
    "FITS",
    "STROKE_KINDS",
    "Beside",
    "Check",
    "CheckItem",
    "Description",
    "GenEvalPrompt",
    "Inspection",
    "InspectionParts",
    "PlainWording",
    "Stroke",
    "apply_stroke",
    "compare",
    "describe",
    "geneval_metadata",
    "geneval_prompts",
    "in_reading_order",
    "listed_seen",
    "listed_text",
    "parse_correction",
    "parse_description",
    "parse_inspection",
    "parse_instruction",
    "parse_prompt",
    "parse_seen",
    "repair",
    "seen_text",
    "split",
    "split_inspection",
    "trained_instruction",
    "trained_prompt",
    "words",
    "write_correction",
    "write_description",
    "write_inspection",
    "write_instruction",
    "write_prompt",
    "write_seen",
]
