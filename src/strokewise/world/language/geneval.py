"""GenEval's 553 official prompts, and its scorer's metadata for a prompt.

The prompts are GenEval's own (github.com/djghosh13/geneval, MIT, see geneval_license.txt), in its order. This
file knows what GenEval's scorer requires of each; it refuses to know how a picture is scored.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from strokewise.errors import LanguageError
from strokewise.scene_graph import SceneGraph, SceneObject
from strokewise.world.language.prompts import parse_prompt

GENEVAL_TAGS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")


class GenEvalPrompt(NamedTuple):
    """One official prompt and the task it belongs to, one of GENEVAL_TAGS."""

    tag: str
    text: str


@cache
def geneval_prompts() -> tuple[GenEvalPrompt, ...]:
    """Return the 553 official prompts in the official order."""
    text = resources.files(__package__).joinpath("geneval_prompts.txt").read_text(encoding="utf-8")
    return tuple(GenEvalPrompt(*line.split("\t")) for line in text.splitlines())


def geneval_metadata(prompt: GenEvalPrompt) -> dict[str, Any]:
    """Return the official metadata of a prompt, key for key; LanguageError when it is none of the six
    templates.

    For "position" the object that stands beside the other comes second and points at index 0. For "counting"
    one more than requested is excluded.
    """
    if prompt.tag not in GENEVAL_TAGS:
        raise LanguageError(f"unknown GenEval task {prompt.tag!r}; tasks: {', '.join(GENEVAL_TAGS)}")
    graph = parse_prompt(prompt.text)
    data: dict[str, Any] = {"tag": prompt.tag, "include": _include(graph)}
    if prompt.tag == "counting":
        data["exclude"] = [{"class": obj.name, "count": obj.count + 1} for obj in graph.objects]
    return data | {"prompt": prompt.text}


def _include(graph: SceneGraph) -> list[dict[str, Any]]:
    if not graph.relations:
        return [_item(obj) for obj in graph.objects]
    if len(graph.objects) != 2 or len(graph.relations) != 1:
        raise LanguageError("GenEval's position prompts have two objects and one relation")
    relation = graph.relations[0]
    subject, target = graph[relation.subject], graph[relation.target]
    return [_item(target), _item(subject) | {"position": [relation.kind, 0]}]


def _item(obj: SceneObject) -> dict[str, Any]:
    item: dict[str, Any] = {"class": obj.name, "count": obj.count}
    return item | {"color": obj.color} if obj.color else item
