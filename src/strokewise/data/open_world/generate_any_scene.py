"""The taxonomy of Generate Any Scene (arXiv 2412.08221), read from the files in its ``metadata`` folder.

    objects.json (or objects_list.json)   names, such as "box (area)" or "corn_snake"
    attributes.json                       values by kind
    relations.json                        names by kind; "spatial" is one
    image_scene_attributes.json (or image_attributes.json)
                                          "scene / location", and "style" with kinds of styles

These files do not say what fits what, so scenes of them are free of plausibility constraints. This file knows
their form. It refuses to know what is sampled from them.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from strokewise.data.open_world.taxonomy import SPATIAL, ObjectClass, Place, RelationKind, Taxonomy
from strokewise.errors import ConfigError
from strokewise.io.outside import read_json

GROUP = "thing"
PHOTO = "a photo of"
_NOTE = re.compile(r"\s*[(\[].*?[)\]]")


def read_generate_any_scene(folder: Path) -> Taxonomy:
    """Return the taxonomy in a folder of these files.

    Raises:
        ConfigError: naming the file that is missing or of another form.
    """
    objects = _texts(*_read(folder, "objects.json", "objects_list.json"))
    attributes = _lists(*_read(folder, "attributes.json"))
    relations = _lists(*_read(folder, "relations.json"))
    scene, path = _read(folder, "image_scene_attributes.json", "image_attributes.json")
    if not isinstance(scene, dict):
        raise ConfigError(f"{path} is no JSON object")
    by_key = {key.strip(): value for key, value in scene.items()}
    places = _texts(by_key.get("scene / location"), f"{path}: 'scene / location'")
    kinds = _lists(by_key.get("style"), f"{path}: 'style'")
    techniques = _plain(kinds.get("technique", ()))
    named: dict[str, RelationKind] = {}
    for kind, names in relations.items():
        for name in _plain(names):
            named.setdefault(name, RelationKind(name, SPATIAL if kind == SPATIAL else kind))
    found = Taxonomy(
        attribute_order=tuple(attributes),
        groups={GROUP: {kind: _plain(values) for kind, values in attributes.items()}},
        classes=tuple(ObjectClass(name, GROUP) for name in _plain(objects)),
        relations=tuple(named.values()),
        places=tuple(Place(f"in {_article(name)} {name}") for name in _plain(places)),
        styles=(PHOTO, *(f"{_article(name)} {name} of" for name in techniques)),
    )
    found.validate()
    return found


def _read(folder: Path, *names: str) -> tuple[Any, Path]:
    """Return the content of the first of these files that is there, and its path."""
    for name in names:
        if (folder / name).exists():
            return read_json(folder / name, ConfigError), folder / name
    raise ConfigError(f"{folder} holds no {' or '.join(names)}; give Generate Any Scene's metadata folder")


def _texts(value: object, where: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value) or not value:
        raise ConfigError(f"{where} must be a list of texts")
    return value


def _lists(value: object, where: object) -> dict[str, list[str]]:
    if not isinstance(value, dict) or not value:
        raise ConfigError(f"{where} must be a JSON object of lists of texts")
    return {key: _texts(part, f"{where}: {key!r}") for key, part in value.items()}


def _plain(names: Iterable[str]) -> tuple[str, ...]:
    """Return names as words, without senses in brackets, each once."""
    words = (" ".join(_NOTE.sub("", name).replace("_", " ").split()).lower() for name in names)
    return tuple(dict.fromkeys(word for word in words if word))


def _article(name: str) -> str:
    return "an" if name[0] in "aeiou" else "a"
