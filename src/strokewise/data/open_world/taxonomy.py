"""What there can be in an open-world scene: classes, attributes, relations, places, styles; what fits what.

A taxonomy is a JSON file; ``taxonomy.json`` beside this file is ours, with the classes of COCO and GenEval.
This file knows which values go together. It refuses to know how a scene is sampled and worded.
"""

from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path

from strokewise.errors import ConfigError, StrokewiseError
from strokewise.io.outside import parse_json, read_text
from strokewise.io.schema import checked

SPATIAL = "spatial"


@dataclass(frozen=True)
class ObjectClass:
    """A kind of thing.

    Attributes:
        name: identifies it, in the singular.
        group: its group, which sets the attributes that it can have.
        settings: where it can be; empty: anywhere.
        noun: the name as a countable noun; empty: the name.
        plural: of the noun; empty: with an s.
        most: the largest count in a scene.
        attributes: values by kind of attribute, in place of the group's; an empty list: none of that kind.
    """

    name: str
    group: str
    settings: tuple[str, ...] = ()
    noun: str = ""
    plural: str = ""
    most: int = 4
    attributes: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class RelationKind:
    """A relation between two objects.

    Attributes:
        name: in words, such as "left of" or "riding".
        kind: ``spatial``, or another; only spatial ones hold between groups of several things.
        subject: names of classes, groups and sets that can be its subject; empty: any.
        target: the same of its target.
        inverse: the relation in the other direction; empty if there is none.
    """

    name: str
    kind: str
    subject: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    inverse: str = ""


@dataclass(frozen=True)
class Place:
    """Where a scene is, in words such as "in a kitchen", and its setting; empty: any."""

    words: str
    setting: str = ""


@dataclass(frozen=True)
class Taxonomy:
    """All that scenes are made of.

    Attributes:
        attribute_order: kinds of attributes in the order of English adjectives.
        groups: for each group of classes the values of its attributes by kind.
        classes, relations, places: what there is.
        styles: beginnings of prompts, such as "a photo of".
        sets: named lists of classes, groups and other sets, for the ends of relations.
    """

    attribute_order: tuple[str, ...]
    groups: dict[str, dict[str, tuple[str, ...]]]
    classes: tuple[ObjectClass, ...]
    relations: tuple[RelationKind, ...]
    places: tuple[Place, ...]
    styles: tuple[str, ...]
    sets: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> ObjectClass:
        """Return the class with a name; KeyError if there is none."""
        return self._by_name[name]

    def __contains__(self, name: str) -> bool:
        """Return whether there is a class with this name."""
        return name in self._by_name

    @cached_property
    def _by_name(self) -> dict[str, ObjectClass]:
        return {one.name: one for one in self.classes}

    @cached_property
    def _members(self) -> dict[str, frozenset[str]]:
        """The names of the classes in every group and set, and every class alone."""
        members = {one.name: frozenset([one.name]) for one in self.classes}
        for group in self.groups:
            inside = frozenset(one.name for one in self.classes if one.group == group)
            members[group] = members.get(group, frozenset()) | inside
        for name, parts in self.sets.items():
            members[name] = frozenset().union(*(members[part] for part in parts))
        return members

    def attributes(self, name: str) -> dict[str, tuple[str, ...]]:
        """Return the values that the attributes of a class can have, by kind."""
        return self._attributes[name]

    @cached_property
    def _attributes(self) -> dict[str, dict[str, tuple[str, ...]]]:
        found = {}
        for one in self.classes:
            values = {**self.groups[one.group], **one.attributes}
            found[one.name] = {kind: values[kind] for kind in self.attribute_order if values.get(kind)}
        return found

    def together(self, one: str, other: str) -> bool:
        """Return whether two classes occur in one setting."""
        first, second = self[one].settings, self[other].settings
        return not first or not second or bool(set(first) & set(second))

    def places_of(self, names: tuple[str, ...]) -> tuple[Place, ...]:
        """Return the places in which all of these classes can be."""
        return tuple(p for p in self.places if all(self.can_be(name, p) for name in names))

    def can_be(self, name: str, place: Place) -> bool:
        """Return whether a class can be in a place."""
        settings = self[name].settings
        return not settings or not place.setting or place.setting in settings

    def fits(self, relation: RelationKind, subject: str, target: str) -> bool:
        """Return whether a relation can hold between two classes."""
        return self._among(subject, relation.subject) and self._among(target, relation.target)

    def among(self, parts: tuple[str, ...]) -> list[str]:
        """Return the names of the classes in groups and sets; all of them where none is named."""
        return [one.name for one in self.classes if self._among(one.name, parts)]

    def _among(self, name: str, parts: tuple[str, ...]) -> bool:
        return not parts or any(name in self._members[part] for part in parts)

    def validate(self) -> None:
        """Refuse a taxonomy that contradicts itself.

        Raises:
            ConfigError: naming the entry at fault.
        """
        for what, names in (
            ("class", [one.name for one in self.classes]),
            ("relation", [one.name for one in self.relations]),
        ):
            if not names:
                raise ConfigError(f"the taxonomy has no {what}")
            if repeated := [name for name in set(names) if names.count(name) > 1]:
                raise ConfigError(f"the taxonomy has two of the {what} {min(repeated)!r}")
        if not self.places or not self.styles:
            raise ConfigError("the taxonomy needs a place and a style at least")
        known = {*self.groups, *self._by_name}
        for name, parts in self.sets.items():
            _known(parts, known, f"set {name!r}")
            known.add(name)
        for one in self.classes:
            _known((one.group,), set(self.groups), f"class {one.name!r}")
            if one.most < 1:
                raise ConfigError(f"class {one.name!r} has most {one.most}; it must be at least 1")
        for relation in self.relations:
            _known((*relation.subject, *relation.target), known, f"relation {relation.name!r}")
        for values in (*self.groups.values(), *(one.attributes for one in self.classes)):
            _known(tuple(values), set(self.attribute_order), "attribute_order")


def _known(names: tuple[str, ...], known: set[str], where: str) -> None:
    if missing := [name for name in names if name not in known]:
        raise ConfigError(
            f"the taxonomy's {where} does not go with {missing[0]!r}, which is not there before it"
        )


def load_taxonomy(path: Path | None = None) -> Taxonomy:
    """Return a taxonomy.

    Args:
        path: a JSON file of our format, or a folder with Generate Any Scene's files; None: ours.

    Raises:
        ConfigError: naming the file and what is wrong with it.
    """
    if path is None:
        text = resources.files(__package__).joinpath("taxonomy.json").read_text(encoding="utf-8")
    elif path.is_dir():
        from strokewise.data.open_world.generate_any_scene import read_generate_any_scene

        return read_generate_any_scene(path)
    else:
        text = read_text(path, ConfigError)
    where = path or "taxonomy.json"
    found = checked(Taxonomy, parse_json(text, where, ConfigError), where, ConfigError)
    try:
        found.validate()
    except StrokewiseError as error:
        raise ConfigError(f"{where}: {error}") from error
    return found


def plural_of(noun: str) -> str:
    """Return the plural of a regular noun."""
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"
