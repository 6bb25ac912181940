"""Building a scene graph from things as they are mentioned in a text.

This file knows how a later "the red bus" finds the object it means. It refuses to know any sentence.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from strokewise.errors import LanguageError, SceneError
from strokewise.scene_graph import MAX_COUNT, Relation, SceneGraph, SceneObject
from strokewise.world.language.reader import Noun


@dataclass
class GraphBuilder:
    """A graph under construction; ids are "o1", "o2", ... in the order of mention."""

    objects: list[SceneObject] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    background: str | None = None

    def add(self, noun: Noun) -> str:
        """Bring up a new object and return its id; LanguageError when it has no count."""
        if noun.count is None:
            raise LanguageError(f"not understood: how many of {noun.name!r} are meant; say 'the two ...'")
        if any((obj.name, obj.color) == (noun.name, noun.color) for obj in self.objects):
            raise LanguageError(f"'{noun}' is brought up twice; give one count, or say 'the' the second time")
        obj = SceneObject(f"o{len(self.objects) + 1}", noun.name, noun.color, noun.count)
        self.objects.append(obj)
        return obj.id

    def find(self, noun: Noun) -> str | None:
        """Return the id of the object meant by a phrase; None when none is like it, LanguageError when
        several are.

        A phrase without color means the object without color, or else the only one of its class.
        """
        found = [obj for obj in self.objects if obj.name == noun.name]
        # There is one word for all counts above those that can be requested.
        found = [obj for obj in found if noun.count in (None, min(obj.count, MAX_COUNT + 1))]
        exact = [obj for obj in found if obj.color == noun.color]
        if not exact and noun.color is None:
            exact = found
        if len(exact) > 1:
            looks = " or ".join(f"'{obj.thing}'" for obj in exact)
            raise LanguageError(f"not understood: which one 'the {noun}' means, {looks}")
        return exact[0].id if exact else None

    def refer(self, noun: Noun) -> str:
        """Return `find`, or LanguageError when nothing is meant."""
        found = self.find(noun)
        if found is None:
            known = ", ".join(f"'{obj.thing}'" for obj in self.objects) or "nothing"
            raise LanguageError(f"not understood: what 'the {noun}' means; the scene has {known}")
        return found

    def relate(self, subject: str, kind: str, target: str) -> None:
        """State a relation between two ids."""
        self.relations.append(Relation(subject, kind, target))

    def set_background(self, background: str) -> None:
        """State the background; LanguageError when there is another one already."""
        if self.background not in (None, background):
            raise LanguageError(f"two backgrounds are stated: {self.background!r} and {background!r}")
        self.background = background

    def graph(self, max_count: int = MAX_COUNT) -> SceneGraph:
        """Return the finished graph; LanguageError when it contradicts itself, or has more of a thing."""
        graph = SceneGraph(tuple(self.objects), tuple(dict.fromkeys(self.relations)), self.background)
        try:
            graph.validate(max_count)
        except SceneError as error:
            raise LanguageError(f"the text contradicts itself: {error}") from error
        return graph
