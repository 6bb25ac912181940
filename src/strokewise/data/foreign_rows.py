"""Cells of rows that others wrote: read as they are meant, or refused; never given another meaning.

An error names the file and row, the column with the place in it, and what was expected. This file knows
types. It refuses to know what a column means.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from strokewise.errors import RecordError
from strokewise.io.outside import decode_picture

SHOWN = 40  # characters of a wrong value, in errors


@dataclass(frozen=True)
class Cell:
    """A value of a row, or within one.

    Attributes:
        value: as it was read.
        where: file, row, column and place in it, for errors.
    """

    value: Any
    where: str

    @classmethod
    def of(cls, row: Mapping[str, Any], column: str, where: str) -> "Cell":
        """Return a column of a row; its value is None where the row has no such column."""
        return cls(row.get(column), f"{where}, {column}")

    def expected(self, what: str) -> RecordError:
        """Return the error to raise where the value is something else."""
        shown = repr(self.value)
        shown = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}…"
        return RecordError(f"{self.where}: expected {what}, not {shown}")

    def items(self, optional: bool = False) -> list["Cell"]:
        """Return the cells of a list; with ``optional`` none where there is no value."""
        if optional and self.value is None:
            return []
        if not isinstance(self.value, list | tuple):
            raise self.expected("a list")
        return [Cell(value, f"{self.where}[{i}]") for i, value in enumerate(self.value)]

    def field(self, name: str) -> "Cell":
        """Return a field of an object, which may be absent."""
        if not isinstance(self.value, Mapping):
            raise self.expected(f"an object with {name!r}")
        return Cell(self.value.get(name), f"{self.where}.{name}")

    def text(self, optional: bool = False) -> str:
        """Return a text, or UTF-8 bytes of one; with ``optional`` the empty text where there is no value."""
        if optional and self.value is None:
            return ""
        if isinstance(self.value, str):
            return self.value
        if not isinstance(self.value, bytes):
            raise self.expected("a text")
        try:
            return self.value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.expected("a text in UTF-8") from error

    def boolean(self, optional: bool = False) -> bool | None:
        """Return true or false; with ``optional`` None where there is no value."""
        if not isinstance(self.value, bool | None if optional else bool):
            raise self.expected("true or false")
        return self.value

    def picture(self) -> Image.Image:
        """Return an encoded picture as a viewer shows it: bytes, or {bytes, path} as Hugging Face stores
        images.
        """
        data = self.value.get("bytes") if isinstance(self.value, Mapping) else self.value
        if not isinstance(data, bytes):
            raise self.expected("the bytes of an encoded picture, or an object {bytes, path} with them")
        return decode_picture(data, f"{self.where}: the image", RecordError)
