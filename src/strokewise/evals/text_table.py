"""A table of plain text, as every benchmark reports its figures and every output (terminal, Markdown, HTML)
shows them. Knows no numbers; callers format the cells."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class TextTable:
    """A table under a heading.

    Attributes:
        title: heading.
        head: column names; all empty: the table has no head.
        lines: rows of cells, each as long as the head.
        note: a sentence below the table.
    """

    title: str
    head: Sequence[str]
    lines: Sequence[Sequence[str]]
    note: str = ""
