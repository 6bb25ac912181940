"""Open-world scenes as values: objects with counts and attributes, relations, a place and a style.

This file knows when such a value contradicts itself and which part of it stands before another. It refuses
to know which words exist (``taxonomy``), what is plausible (``sampling``) and how a scene is worded
(``english``).
"""

from dataclasses import asdict, dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from strokewise.errors import SceneError
from strokewise.io.schema import checked


@dataclass(frozen=True)
class OpenObject:
    """A group of equal things; its class name identifies it within a scene.

    Attributes:
        name: of its class.
        count: how many.
        attributes: values by kind, such as {"color": "red"}.
    """

    name: str
    count: int = 1
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def facts(self) -> int:
        """The object itself, its attributes, and its count if that is not one."""
        return 1 + len(self.attributes) + (self.count > 1)


@dataclass(frozen=True)
class OpenRelation:
    """``subject`` is ``name`` (such as "left of") ``target``; both are names of objects."""

    subject: str
    name: str
    target: str


@dataclass(frozen=True)
class OpenScene:
    """What a picture is meant to show.

    Attributes:
        objects: in the order in which a prompt names them.
        relations: between them, at most one for each pair.
        place: in words such as "in a kitchen"; empty: not stated.
        style: the beginning of a prompt, such as "a photo of".
    """

    objects: tuple[OpenObject, ...]
    relations: tuple[OpenRelation, ...] = ()
    place: str = ""
    style: str = "a photo of"

    def __getitem__(self, name: str) -> OpenObject:
        """Return the object with a name; KeyError if there is none."""
        return {one.name: one for one in self.objects}[name]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the objects."""
        return tuple(one.name for one in self.objects)

    @property
    def complexity(self) -> int:
        """Objects, attributes, counts above one and relations in all."""
        return sum(one.facts for one in self.objects) + len(self.relations)

    def painting_order(self) -> tuple[str, ...]:
        """Return the names such that the target of every relation stands before its subject.

        Raises:
            SceneError: if relations go round in a circle.
        """
        sorter = TopologicalSorter(dict.fromkeys(self.names, ()))
        for relation in self.relations:
            sorter.add(relation.subject, relation.target)
        try:
            sorter.prepare()
        except CycleError as error:
            raise SceneError(f"relations go round in a circle: {' -> '.join(error.args[1])}") from error
        order: list[str] = []
        while sorter.is_active():
            ready = sorted(sorter.get_ready(), key=self.names.index)
            order += ready
            sorter.done(*ready)
        return tuple(order)

    def validate(self) -> None:
        """Refuse a scene that contradicts itself.

        Raises:
            SceneError: naming what is wrong.
        """
        if not self.objects or len(set(self.names)) < len(self.objects):
            raise SceneError("a scene has at least one object, and each class once")
        if wrong := [one.name for one in self.objects if one.count < 1]:
            raise SceneError(f"the count of {wrong[0]!r} is less than one")
        pairs = [frozenset((r.subject, r.target)) for r in self.relations]
        if len(set(pairs)) < len(pairs) or any(len(pair) < 2 for pair in pairs):
            raise SceneError("a relation holds between two objects, and each pair has one at most")
        for relation in self.relations:
            for end in (relation.subject, relation.target):
                if end not in self.names:
                    raise SceneError(f"a relation names {end!r}, which is not in the scene")
        self.painting_order()

    def to_json(self) -> dict[str, Any]:
        """Return the scene as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: object, where: object = "scene") -> "OpenScene":
        """Return the inverse of :meth:`to_json`; a SceneError names what is wrong."""
        scene = checked(cls, value, where, SceneError)
        scene.validate()
        return scene
