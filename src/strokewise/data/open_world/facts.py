"""What scenes and steps say, as facts in one form, so that a text that was read back can be compared.

A fact is a short text, such as "cup is red". Words of a taxonomy and of a text become the same facts: nouns
and plurals their class, a relation and its inverse one. This file knows facts. It refuses to know who words
and who reads (``writer``).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from strokewise.critics.stated_facts import StatedThing, Statement
from strokewise.data.open_world.sampling import GENEVAL_STYLE
from strokewise.data.open_world.scene import OpenObject, OpenScene
from strokewise.data.open_world.steps import OpenStep
from strokewise.data.open_world.taxonomy import Taxonomy, plural_of

# Words by which the same thing is said differently: "left of", "to the left of"; "a kitchen", "in a kitchen".
_LIGHT = frozenset(("a", "an", "the", "is", "are", "of", "to"))
_WHERE = _LIGHT | {"in", "on", "at", "by"}
_WORD = re.compile(r"[^\W_]+")
BEFORE = "before: "  # of facts that hold no longer


@dataclass(frozen=True)
class Wanted:
    """What a text is to say.

    Attributes:
        required: facts that it must state.
        allowed: facts that it may state besides.
    """

    required: frozenset[str]
    allowed: frozenset[str] = frozenset()

    def difference(self, found: frozenset[str]) -> str:
        """Return what a text with these facts lacks and adds, in words; empty if nothing."""
        lacks = [f'it lacks "{fact}"' for fact in sorted(self.required - found)]
        adds = [f'it adds "{fact}"' for fact in sorted(found - self.required - self.allowed)]
        return "; ".join([*lacks, *adds])


class Facts:
    """Facts in the words of a taxonomy."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        """Know the nouns and the inverse relations of ``taxonomy``."""
        self._classes: dict[str, str] = {}
        for one in taxonomy.classes:
            noun = one.noun or one.name
            for word in (one.name, noun, one.plural or plural_of(noun)):
                self._classes.setdefault(_plain(word), one.name)
        stated = [(_plain(one.name), _plain(one.inverse)) for one in taxonomy.relations if one.inverse]
        self._inverse = {**{inverse: name for name, inverse in stated}, **dict(stated)}

    def of_scene(self, scene: OpenScene) -> Wanted:
        """Return what a text of a scene says; that it is a photo goes without saying."""
        required = {*self._of_objects(scene.objects), *self._of_relations(scene), *_of_place(scene.place)}
        style = frozenset(_of_style(scene.style))
        if style == frozenset(_of_style(GENEVAL_STYLE)):
            return Wanted(frozenset(required), style)
        return Wanted(frozenset(required) | style)

    def of_step(self, step: OpenStep) -> Wanted:
        """Return what an instruction says; it may also say what there is around what it changes."""
        before = frozenset(self._of_objects([step.before] if step.before else []))
        after = frozenset(self._of_objects([step.after] if step.after else []))
        required = {f"action: {step.action}"}
        if step.before is not None:
            required.add(f"{BEFORE}thing: {self._name(step.before.name)}")
        required |= after - before if step.action == "modify" else after
        if step.action == "add" and step.after is not None:
            required |= {*self._of_relations(step.scene, step.after.name)}
        around = {*self._of_relations(step.scene), *_of_place(step.scene.place)}
        around |= {*_of_style(step.scene.style), *after, *(BEFORE + fact for fact in before)}
        return Wanted(frozenset(required), frozenset(around))

    def of_statement(self, stated: Statement) -> frozenset[str]:
        """Return what a text that was read states."""
        names = [self._name(one.name) for one in stated.things]
        # Two entries of one kind could be equal, and would then be one fact.
        twice = {f"{name} is stated as several things" for name in names if names.count(name) > 1}
        found = {*self._of_objects(stated.things), *twice, *_of_place(stated.place or "")}
        found |= {self._relation(r.subject, r.name, r.target) for r in stated.relations}
        found |= {*_of_style(stated.style or "")}
        if stated.action:
            found.add(f"action: {stated.action}")
        if stated.before is not None:
            found |= {BEFORE + fact for fact in self._of_objects([stated.before])}
        return frozenset(found)

    def _of_objects(self, objects: Iterable[OpenObject | StatedThing]) -> Iterator[str]:
        for one in objects:
            name = self._name(one.name)
            yield f"thing: {name}"
            if one.count is not None:
                yield f"number of {name}: {one.count}"
            values = one.attributes.values() if isinstance(one, OpenObject) else one.attributes
            yield from (f"{name} is {_plain(value)}" for value in values)

    def _of_relations(self, scene: OpenScene, subject: str | None = None) -> Iterator[str]:
        """Yield the relations of a scene, or those of which one object is the subject."""
        for one in scene.relations:
            if subject in (None, one.subject):
                yield self._relation(one.subject, one.name, one.target)

    def _relation(self, subject: str, name: str, target: str) -> str:
        """Return a relation, the same text for its inverse."""
        first, words, second = self._name(subject), _plain(name), self._name(target)
        ways = [f"{first} {words} {second}"]
        if words in self._inverse:
            ways.append(f"{second} {self._inverse[words]} {first}")
        return min(ways)

    def _name(self, name: str) -> str:
        plain = _plain(name)
        return self._classes.get(plain, plain)


def _of_place(words: str) -> Iterator[str]:
    if words.strip():
        yield f"place: {_plain(words, _WHERE)}"


def _of_style(words: str) -> Iterator[str]:
    if words.strip():
        yield f"style: {_plain(words)}"


def _plain(text: str, light: frozenset[str] = _LIGHT) -> str:
    """Return the words of a text that tell it from others, in lower case; all where none does."""
    words = _WORD.findall(text.casefold())
    return " ".join([word for word in words if word not in light] or words)
