"""Commands that are imported when they are run, so that the list of them, and each other, need not wait.

Knows names and places of commands; refuses to know what they do.
"""

from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup


class LazyCommand(TyperCommand):
    """What stands for a command, or a group of them, in the list until it is run."""

    def __init__(self, name: str, source: str, help: str) -> None:
        """Stand for ``source``: FILE:FUNCTION or FILE:TYPER_APP of this folder; ``help`` is its line."""
        super().__init__(name, help=help, rich_markup_mode=None)
        self.source = source

    def load(self) -> Any:
        """Import the command."""
        module, _, attribute = self.source.partition(":")
        found = getattr(import_module(f"{__package__}.{module}"), attribute)
        # Plain help: what draws boxes around it takes longer to import than all else that help needs.
        if isinstance(found, typer.Typer):
            found.rich_markup_mode = None
            return typer.main.get_group(found)
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(self.name)(found)
        return typer.main.get_command(app)


class LazyGroup(TyperGroup):
    """A group that knows its commands by name until one of them is run."""

    lazy: ClassVar[tuple[tuple[str, str, str], ...]] = ()  # name, source and line of help of each

    def __init__(self, **settings: Any) -> None:
        """List the lazy commands, then those that typer found; its settings are kept."""
        super().__init__(**settings)
        self.commands = {one[0]: LazyCommand(*one) for one in self.lazy} | dict(self.commands)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the command of the first word, and import it."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, LazyCommand) else command, rest

    def load_all(self) -> "LazyGroup":
        """Import every command of the list, for those who look at all of them."""
        for name, command in self.commands.items():
            if isinstance(command, LazyCommand):
                self.commands[name] = command.load()
        return self
