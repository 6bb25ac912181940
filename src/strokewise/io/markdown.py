"""Markdown that is written for reports and cards. Knows its tables, and not what they state."""

from collections.abc import Sequence


def markdown_table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table as Markdown; its cells are escaped."""
    whole = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(map(plain, line)) + " |" for line in whole)


def plain(text: str) -> str:
    """Return a text without line breaks, HTML and the bars of tables."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())
