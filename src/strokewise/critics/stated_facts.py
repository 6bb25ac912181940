"""What a text about a picture states: things, numbers, attributes, relations, a place, a style.

A model reads one text without seeing what it was meant to say, so that the two can be compared. This file
knows texts. It refuses to know which statements are right (``data.open_world.facts``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from strokewise.critics.vlm_client import VlmClient

if TYPE_CHECKING:
    from pydantic import BaseModel

_STATED = """\
Add nothing that the text does not say, also if it seems to be missing, and leave nothing out. Use the text's
own words, without articles. A thing has a name in the singular without attributes; a count, 1 for one thing,
null for several without a number; and its attributes. Things are stated once, however often the text names
them. Relations hold between two things, named as above, by a preposition or a verb with -ing. Place is where
all of it is, and style what kind of picture it is (photo, oil painting); both null unless stated."""
SCENE_TASK = f"""\
You are given a text that says what a picture shows. Write down what it states. {_STATED}"""
STROKE_TASK = f"""\
You are given an instruction to an image editor. Write down what it states: its action, which adds a thing,
modifies one (another number or other attributes), swaps one for a thing of another kind, or removes one; the
thing that is changed or removed as it was before, null where one is added; and the thing that is there after
it, null where one is removed. {_STATED}"""


@dataclass(frozen=True)
class StatedThing:
    """A thing; ``count`` is None where the text gives no number."""

    name: str
    count: int | None
    attributes: tuple[str, ...]


@dataclass(frozen=True)
class StatedRelation:
    """``subject`` is ``name`` (such as "left of") ``target``; both are names of things."""

    subject: str
    name: str
    target: str


@dataclass(frozen=True)
class Statement:
    """What a text states, in its own words.

    Attributes:
        things: after the change, where the text is an instruction.
        relations: between them.
        place, style: None where they are not stated.
        action: of an instruction; empty elsewhere.
        before: what an instruction changes or removes, as it was; None elsewhere.
    """

    things: tuple[StatedThing, ...]
    relations: tuple[StatedRelation, ...]
    place: str | None
    style: str | None
    action: str = ""
    before: StatedThing | None = None


def read_scene(judge: VlmClient, text: str, relations: Sequence[str] = ()) -> Statement:
    """Return what a description of a picture states.

    Args:
        judge: the model that reads it.
        text: of one picture.
        relations: names to use where they mean the same as the text; none: the text's own words.

    Raises:
        InputError: if the judge refuses to read it.
        ServiceError: if the judge fails, or its limits are reached.
    """
    found: Any = judge.query(SCENE_TASK, _stated(text, relations), _scene_answer())
    return Statement(_things(found.things), _relations(found.relations), found.place, found.style)


def read_stroke(
    judge: VlmClient, text: str, actions: tuple[str, ...], relations: Sequence[str] = ()
) -> Statement:
    """Return what an instruction to an image editor states; ``actions`` are those that there are, and all
    else is as in :func:`read_scene`.
    """
    found: Any = judge.query(STROKE_TASK, _stated(text, relations), _stroke_answer(actions))
    after, before = (_things([one] if one else []) for one in (found.after, found.before))
    first = before[0] if before else None
    return Statement(after, _relations(found.relations), found.place, found.style, found.action, first)


def _stated(text: str, relations: Sequence[str]) -> str:
    known = f"Names of relations, where one means the same: {', '.join(relations)}.\n" if relations else ""
    return f"{known}Text: {text}"


def _things(found: Sequence[Any]) -> tuple[StatedThing, ...]:
    return tuple(StatedThing(one.name, one.count, tuple(one.attributes)) for one in found)


def _relations(found: Sequence[Any]) -> tuple[StatedRelation, ...]:
    return tuple(StatedRelation(one.subject, one.name, one.target) for one in found)


@cache
def _parts() -> "tuple[type[BaseModel], dict[str, Any]]":
    """Return the schema of a thing, and the fields that all answers have; pydantic is imported late."""
    from pydantic import BaseModel, ConfigDict, Field, create_model

    class Strict(BaseModel):
        model_config = ConfigDict(extra="forbid")

    word: Any = (str, Field(min_length=1))
    count: Any = (int | None, Field(ge=1))
    thing = create_model("Thing", __base__=Strict, name=word, count=count, attributes=(list[str], ...))
    relation = create_model("Relation", __base__=Strict, subject=word, name=word, target=word)
    more: dict[str, Any] = {"relations": (list[relation], ...)}  # type: ignore[valid-type]
    return thing, {**more, "place": (str | None, ...), "style": (str | None, ...)}


@cache
def _scene_answer() -> "type[BaseModel]":
    from pydantic import ConfigDict, Field, create_model

    thing, more = _parts()
    things: Any = (list[thing], Field(min_length=1))  # type: ignore[valid-type]
    return create_model("StatedScene", __config__=ConfigDict(extra="forbid"), things=things, **more)


@cache
def _stroke_answer(actions: tuple[str, ...]) -> "type[BaseModel]":
    from pydantic import ConfigDict, create_model

    thing, more = _parts()
    action: Any = (Literal[actions], ...)
    end: Any = (thing | None, ...)
    return create_model(
        "StatedStroke", __config__=ConfigDict(extra="forbid"), action=action, before=end, after=end, **more
    )
