"""How much a parquet file states to hold, read from its footer without decoding anything.

pyarrow ends the whole process on some damaged footers where it is asked for this: nobody catches the C++
exception. This file knows as much of Thrift's compact protocol as footers use, and their numbered fields. It
refuses to know what the values are.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

MARK = b"PAR1"
# Fields of FileMetaData, RowGroup, ColumnChunk and ColumnMetaData in parquet's definition.
GROUPS, COLUMNS, CHUNK, VALUES, BYTES = 4, 1, 3, 5, 6
TRUE, FALSE, BYTE, DOUBLE, BINARY, LIST, SET, MAP, STRUCT, UUID = 1, 2, 3, 7, 8, 9, 10, 11, 12, 13
FIXED = {BYTE: 1, DOUBLE: 8, UUID: 16}  # bytes of types of one size


class Stated(NamedTuple):
    """What a file states to hold: values of all columns, and their bytes before compression."""

    values: int
    bytes: int


def stated(path: Path) -> Stated:
    """Return what a parquet file states to hold.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it has no footer, or a damaged one.
    """
    with path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(max(0, end - 8))
        length, mark = struct.unpack("<I4s", file.read(8).rjust(8, b"\0"))
        if mark != MARK or length > end - 8:
            raise ValueError("it has no footer")
        file.seek(end - 8 - length)
        footer = file.read(length)
    try:
        chunks = list(_chunks(_Reader(footer).struct()))
        return Stated(sum(one[VALUES] for one in chunks), sum(one[BYTES] for one in chunks))
    except (LookupError, TypeError, struct.error, RecursionError) as error:
        raise ValueError("its footer is damaged") from error


def _chunks(footer: dict[int, Any]) -> Iterator[dict[int, Any]]:
    for group in footer[GROUPS]:
        for column in group[COLUMNS]:
            yield column[CHUNK]


class _Reader:
    """Values one after another: structures as dictionaries by the numbers of their fields."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def struct(self) -> dict[int, Any]:
        found: dict[int, Any] = {}
        number = 0
        while kind := self._byte():
            number = number + (kind >> 4) if kind >> 4 else self._whole()
            kind &= 15
            found[number] = kind == TRUE if kind in (TRUE, FALSE) else self._value(kind)
        return found

    def _value(self, kind: int) -> Any:
        if kind == STRUCT:
            return self.struct()
        if kind in (LIST, SET):
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._number()
            return [self._value(BYTE if head & 15 in (TRUE, FALSE) else head & 15) for _ in range(count)]
        if kind == MAP:
            count = self._number()
            kinds = self._byte() if count else 0
            return [(self._value(kinds >> 4), self._value(kinds & 15)) for _ in range(count)]
        if kind == BINARY or kind in FIXED:
            return self._skip(FIXED.get(kind) or self._number())
        return self._whole()

    def _byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def _number(self) -> int:
        """Read a number without a sign, seven bits a byte."""
        found = shift = 0
        while (byte := self._byte()) & 128:
            found |= (byte & 127) << shift
            shift += 7
        return found | byte << shift

    def _whole(self) -> int:
        number = self._number()
        return number >> 1 ^ -(number & 1)

    def _skip(self, count: int) -> None:
        self.at += count
        if self.at > len(self.data):
            raise IndexError
