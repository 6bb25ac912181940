"""Stored and streamed values checked against their types: nothing is coerced, unknown fields are faults.

A shape is a dataclass (or a typed dictionary) whose annotations say what is allowed. Knows pydantic, which it
imports at the first check; it refuses to know what a value means.
"""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from strokewise.errors import RecordError, StrokewiseError

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

Shape = TypeVar("Shape")
Extra = Literal["forbid", "ignore"]
SHOWN = 60  # characters of a wrong value in an error
FAULTS = 3  # that an error names
_adapters: "dict[Any, TypeAdapter[Any]]" = {}


def checked(
    shape: type[Shape],
    value: object,
    where: object,
    error: type[StrokewiseError] = RecordError,
    *,
    extra: Extra = "forbid",
) -> Shape:
    """Return an instance of a dataclass from plain values as JSON has them.

    Args:
        shape: the dataclass; those in its fields are read as well.
        value: objects, lists, strings, numbers, booleans and None.
        where: names the value in errors.
        error: class of the error to raise.
        extra: ``ignore`` leaves unknown fields out.

    Raises:
        StrokewiseError: of class ``error``, naming ``where`` and each wrong, missing or unknown field.
    """
    try:
        # By way of JSON: only from there does strict pydantic read objects as dataclasses, lists as tuples.
        text = json.dumps(value)
    except (TypeError, ValueError, RecursionError) as cause:
        raise error(f"{where}: no plain value: {cause}") from cause
    found: Shape = _validated(_adapter(shape).validate_json, text, extra, where, error)
    return found


def checked_row(
    shape: type[Shape], row: object, where: object, error: type[StrokewiseError] = RecordError
) -> Shape:
    """Return a typed dictionary from a row of a table or values of Python, which may be bytes; others are
    left out.

    Raises:
        StrokewiseError: of class ``error``, naming ``where`` and each wrong or missing column.
    """
    found: Shape = _validated(_adapter(shape).validate_python, row, "ignore", where, error)
    return found


def json_schema(shape: type[Shape]) -> dict[str, Any]:
    """Return the JSON schema of a shape's plain values, as they are written."""
    return _adapter(shape).json_schema(mode="serialization")


def _validated(
    validate: Callable[..., Any], value: object, extra: Extra, where: object, error: type[StrokewiseError]
) -> Any:
    from pydantic import ValidationError

    try:
        return validate(value, strict=True, extra=extra)
    except ValidationError as cause:
        raise error(f"{where}: {_faults(cause)}") from cause


def _adapter(shape: Any) -> "TypeAdapter[Any]":
    """Return the validator of a shape; building one takes milliseconds, so it is kept."""
    from pydantic import TypeAdapter

    if shape not in _adapters:
        _adapters[shape] = TypeAdapter(shape)
    return _adapters[shape]


def _faults(error: "ValidationError") -> str:
    """Return the first faults in a line: the field's path, what is wrong, and what was found."""
    found = []
    for fault in error.errors(include_url=False, include_context=False)[:FAULTS]:
        path = ".".join(map(str, fault["loc"]))
        message = fault["msg"][:1].lower() + fault["msg"][1:]
        if fault["type"] == "missing":
            message = "is missing"
        elif fault["type"].startswith(("unexpected", "extra_forbidden")):
            message = "is unknown"
        elif fault["type"] == "value_error":
            message = message.removeprefix("value error, ")
        else:
            message += f", not {fault['input']!r:.{SHOWN}}"
        found.append(f"{path or 'value'}: {message}")
    left = error.error_count() - len(found)
    return "; ".join(found) + (f"; and {left} more" if left else "")
