"""JSON as language models answer it: the schema that they are sent, and the object in what they write back.

Knows JSON schemas and texts. It refuses to know what is queried, and of whom.
"""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pydantic import BaseModel

Answer = TypeVar("Answer", bound="BaseModel")

# Services with strict schemas refuse these; answers are validated here in any case.
BOUNDS = {"minLength", "maxLength", "pattern", "format", "minimum", "maximum", "exclusiveMinimum"}
BOUNDS |= {"exclusiveMaximum", "multipleOf", "minItems", "maxItems", "uniqueItems", "default"}
_THOUGHT = "</think>"
_LONGEST = 200_000  # characters of an answer that are searched
_MOST = 200  # places where an object may begin that are tried


def unbounded_schema(answer: "type[BaseModel]") -> dict[str, Any]:
    """Return the JSON schema of an answer without bounds on values, lengths and forms of texts."""
    found: dict[str, Any] = _without_bounds(answer.model_json_schema())
    return found


def _without_bounds(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_bounds(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        # The keys of these are names of fields and types, not keywords.
        key: {name: _without_bounds(part) for name, part in value.items()}
        if key in ("properties", "$defs")
        else _without_bounds(value)
        for key, value in schema.items()
        if key not in BOUNDS
    }


def parse_answer(text: str, answer: type[Answer]) -> Answer:
    """Return the answer in a text: all of it, or the last fitting object in it.

    Models write their thoughts before it (closed by ``</think>``), introduce it, or put it into a code fence.

    Args:
        text: what the model wrote.
        answer: a pydantic model.

    Raises:
        ValueError: if nothing in the text fits; it says what is wrong with the text, or with its last object.
    """
    said = text[text.rfind(_THOUGHT) + len(_THOUGHT) :] if _THOUGHT in text else text
    said = said.strip()
    try:
        return answer.model_validate_json(said)
    except ValueError as error:
        problem = error
    for candidate in reversed(list(_objects(said[-_LONGEST:]))):
        try:
            return answer.model_validate_json(json.dumps(candidate))
        except ValueError as error:
            if not said.startswith("{"):
                problem = error
    raise problem


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield the outermost JSON objects in a text, in order."""
    decoder, at = json.JSONDecoder(), 0
    for _ in range(_MOST):
        at = text.find("{", at)
        if at < 0:
            return
        try:
            found, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at += 1
            continue
        yield found
