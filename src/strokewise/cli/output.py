"""What commands print to: consoles, tables and progress bars with the same rules everywhere.

Text of users and models is printed literally (no rich markup), and a closed pipe is reported as such instead
of ending the process inside rich. Rich is imported when it is needed.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from rich.console import Console

    from strokewise.evals.text_table import TextTable

T = TypeVar("T")


class Update(Protocol):
    """Sets the number of finished units of a progress bar, and the total where it became known."""

    def __call__(self, done: int, total: int | None = None) -> None:
        """Show the new state."""


def console(stderr: bool = False, markup: bool = False) -> "Console":
    """Return a console on standard output or standard error; text is taken for rich markup only on
    request.
    """
    return _console_class()(stderr=stderr, markup=markup, emoji=False)


def print_table(table: "TextTable") -> None:
    """Print a table of plain text."""
    from rich.table import Table

    shown = Table(*table.head, title=table.title, caption=table.note or None, show_header=any(table.head))
    for column in shown.columns[1:]:
        column.justify = "right"
    for row in table.lines:
        shown.add_row(*row)
    console().print(shown)


@contextmanager
def progress(description: str, total: int | None = None) -> Iterator[Update]:
    """Yield a bar with counts and the remaining time on standard error; nothing where that is no terminal."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    shown = console(stderr=True)
    with Progress(*columns, console=shown, disable=not shown.is_terminal, speed_estimate_period=600) as bar:
        task = bar.add_task(description, total=total)

        def update(done: int, total: int | None = total) -> None:
            bar.update(task, completed=done, total=total)

        yield update


def tracked(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """Yield the items, with a progress bar on standard error."""
    with progress(description, total) as update:
        for done, item in enumerate(items, 1):
            yield item
            update(done)


@cache
def _console_class() -> "type[Console]":
    from rich.console import Console

    class CommandConsole(Console):
        """A console that leaves a closed pipe to ``main``; rich would exit with status 1."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return CommandConsole
