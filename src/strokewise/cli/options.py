"""Command-line options generated from a documented dataclass, so that help, Python and files agree.

The dataclass is the only source: a field is a flag, its annotation the type of the value, its entry under
"Attributes:" the help. The class is read with ``ast`` and never imported, because option dataclasses live
beside code that needs torch and ``--help`` must not wait for it. This file knows nothing of what an option
means; the dataclass validates the values.
"""

import ast
import functools
import inspect
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

import strokewise
from strokewise.cli.arguments import parse_interval, parse_size
from strokewise.errors import ConfigError

PAINTING_OPTIONS = "strokewise.inference.options:PaintingOptions"
# Every number on the command line has a smallest and a largest value (a larger one is a typing error), which
# also keeps out what is no number.
MAX_VALUE = 1_000_000
MAX_SEED = 2**63 - 1
MAX_SIDE = 4_096
MAX_MONEY = 2**40  # requests, tokens
MAX_RECORDS = 100_000_000
MAX_PAINTINGS = 100_000
MAX_BATCH = 4_096

_ENTRY = re.compile(r"^(\w+): +(.*)$")
_ROLE = re.compile(r":\w+:`~?([^`]+)`")


@dataclass(frozen=True)
class DocumentedField:
    """A field of an option dataclass.

    Attributes:
        name: as in Python.
        annotation: its type as written in the source.
        help: its entry under "Attributes:", on one line.
    """

    name: str
    annotation: str
    help: str

    @property
    def flag(self) -> str:
        """The option's name on the command line."""
        return f"--{self.name.replace('_', '-')}"


@functools.cache
def documented_fields(source: str) -> tuple[DocumentedField, ...]:
    """Return the fields of a dataclass of this package, in the order of its source.

    Args:
        source: ``package.module:Class``; every field must be documented under "Attributes:".
    """
    module, _, name = source.partition(":")
    parts = module.split(".")[1:]
    path = Path(strokewise.__path__[0]).joinpath(*parts).with_suffix(".py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    texts = dict(_attributes(ast.get_docstring(found) or ""))
    return tuple(
        DocumentedField(node.target.id, ast.unparse(node.annotation), texts[node.target.id])
        for node in found.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    )


def options_of(
    source: str, parameter: str = "options", without: Collection[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a typer command: one parameter becomes an option for each field of a dataclass.

    The decorated function receives in ``parameter`` a dict of the options that were given, by field name.
    Options that were not given are absent, so that a model's own defaults can hold.

    Args:
        source: ``package.module:Class`` of the option dataclass.
        parameter: the function's parameter that is replaced.
        without: fields that the command does not offer.
    """
    offered = [field for field in documented_fields(source) if field.name not in without]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def wrapper(**given: Any) -> None:
            values = {field.name: given.pop(field.name) for field in offered}
            changes = {name: value for name, value in values.items() if value is not None}
            command(**given, **{parameter: changes})

        parameters: list[inspect.Parameter] = []
        for one in inspect.signature(command).parameters.values():
            if one.name == parameter:
                parameters += map(_parameter, offered)
            else:
                parameters.append(one.replace(kind=inspect.Parameter.KEYWORD_ONLY))
        wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {one.name: one.annotation for one in parameters}
        return wrapper

    return decorate


def _attributes(docstring: str) -> Iterator[tuple[str, str]]:
    """Yield names and texts of the entries under "Attributes:"; continued lines are joined."""
    _, _, section = docstring.partition("Attributes:\n")
    name, text = "", ""
    for line in section.split("\n\n")[0].splitlines():
        entry = _ENTRY.match(line.removeprefix("    "))
        if entry is None:
            text += " " + line.strip()
            continue
        if name:
            yield name, _plain(text)
        name, text = entry.groups()
    if name:
        yield name, _plain(text)


def _plain(text: str) -> str:
    """Return a docstring's text without markup, as a sentence."""
    plain = _ROLE.sub(r"\1", text).replace("``", "").strip()
    return plain[:1].upper() + plain[1:]


def _parameter(field: DocumentedField) -> inspect.Parameter:
    """Return the typer parameter of a field; None stands for "not given"."""
    annotation = field.annotation.removesuffix(" | None")
    if annotation == "bool":
        kind: Any = bool
        option = typer.Option(f"{field.flag}/--no-{field.flag.removeprefix('--')}", help=field.help)
    elif annotation == "int":
        kind, option = int, typer.Option(field.flag, help=field.help, min=0, max=MAX_VALUE)
    elif annotation == "float":
        kind = float
        option = typer.Option(field.flag, help=field.help, min=-MAX_VALUE, max=MAX_VALUE)
    elif annotation == "tuple[int, int]":
        kind = str
        option = typer.Option(field.flag, help=field.help, parser=parse_size, metavar="WIDTHxHEIGHT")
    elif annotation == "tuple[float, float]":
        kind = str
        option = typer.Option(field.flag, help=field.help, parser=parse_interval, metavar="LOW,HIGH")
    elif annotation.startswith("Literal["):
        kind, known = str, ast.literal_eval(annotation.removeprefix("Literal"))
        option = typer.Option(
            field.flag, help=field.help, parser=_one_of(field, known), metavar="|".join(known)
        )
    else:
        assert annotation == "str", f"{field.name} of type {annotation} has no form on the command line"
        kind, option = str, typer.Option(field.flag, help=field.help)
    return inspect.Parameter(
        field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def _one_of(field: DocumentedField, known: Collection[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in known:
            raise ConfigError(f"{field.flag} is {text!r}; it is one of {', '.join(known)}")
        return text

    return parse
