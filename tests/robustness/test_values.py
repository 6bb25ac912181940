"""Structured files with one value in the place of another: errors of ours, and nothing else.

Bytes that changed mostly end in the parser (``test_files``); these are valid JSON of wrong types and sizes.
"""

import copy
import json
import random

import pytest
from tests.robustness.test_files import FORMATS, refuses

from strokewise.inference.options import PaintingOptions
from strokewise.inference.prompt_check import Vocabulary, stored_options
from strokewise.models import load_model
from strokewise.models.bagel import export_bagel
from strokewise.models.registry import read_config

QUICK = 60
GONE = object()  # the entry is left out
OTHERS = (
    *(None, True, False, 0, -1, 1.5, 1e308, 10**30, 2**63, "", "x", "\u0000", "../x", "9" * 400),
    *([], [[]], [1, 2], ["x"] * 3, {}, {"a": 1}, GONE),
)
JSON = ("trajectory", "manifest", "vocabulary", "run", "run-prompts", "run-results")
JSON += ("geneval-prompts", "geneval2-prompts", "wise-prompts", "geneval-folder")


def places(value, path=()):
    """The path of each value in a structure, the whole first."""
    yield path
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, inner in entries:
        yield from places(inner, (*path, key))


def changed(value, path, other):
    if not path:
        return None if other is GONE else other
    found = inner = copy.deepcopy(value)
    for key in path[:-1]:
        inner = inner[key]
    if other is GONE:
        del inner[path[-1]]
    else:
        inner[path[-1]] = other
    return found


def attack(path, read, count=None):
    """Read a file with single values replaced; how many of how many were refused."""
    whole, refused = json.loads(path.read_text()), 0
    read()
    changes = [(place, other) for place in places(whole) for other in OTHERS]
    if count is not None:
        changes = random.Random(0).sample(changes, min(count, len(changes)))
    for place, other in changes:
        path.write_text(json.dumps(changed(whole, place, other)) + "\n")
        refused += refuses(read, f"{'.'.join(map(str, place))} = {other!r:.40}")
    path.write_text(json.dumps(whole))
    return refused, len(changes)


@pytest.fixture
def model_files(tiny_folder, tmp_path):
    """The files of a model in both layouts, with what reads them."""
    own, released = tmp_path / "own", tmp_path / "released"
    for folder in (own, released):
        folder.mkdir()
    for file in tiny_folder.iterdir():
        (own / file.name).symlink_to(file) if file.suffix == ".safetensors" else (
            own / file.name
        ).write_bytes(file.read_bytes())
    (own / "painting.json").write_text(json.dumps({"steps": 3, "interval": [0.4, 1], "solver": "unipc"}))
    (own / "vocabulary.json").write_text(json.dumps({"classes": ["cup", "bus"], "colors": ["red"]}))
    export_bagel(load_model(tiny_folder), released)
    (released / "ema.safetensors").rename(released / "model-1.safetensors")
    return {
        own / "strokewise.json": lambda: read_config(own),
        own / "painting.json": lambda: PaintingOptions().changed(stored_options(own)),
        own / "vocabulary.json": lambda: Vocabulary.read(own).check("a cup"),
        released / "llm_config.json": lambda: read_config(released),
        released / "vit_config.json": lambda: read_config(released),
        released / "model.safetensors.index.json": lambda: read_config(released),
    }


@pytest.mark.parametrize("name", JSON)
def test_stored_values_of_other_types_are_refused(tmp_path, name):
    refused, tried = attack(*FORMATS[name](tmp_path), QUICK)
    assert refused > tried / 4


def test_a_models_files_with_other_values_are_refused(model_files):
    index = next(path for path in model_files if path.name.endswith(".index.json"))
    index.write_text(json.dumps({"metadata": {}, "weight_map": {"x": "model-1.safetensors"}}))
    for path, read in model_files.items():
        refused, tried = attack(path, read, QUICK)
        assert refused > tried / 4, path.name


@pytest.mark.slow
def test_every_value_of_every_file(tmp_path, model_files):
    index = next(path for path in model_files if path.name.endswith(".index.json"))
    index.write_text(json.dumps({"metadata": {}, "weight_map": {"x": "model-1.safetensors"}}))
    files = (
        dict(FORMATS[name]((tmp_path / name, (tmp_path / name).mkdir())[0]) for name in JSON) | model_files
    )
    for path, read in files.items():
        refused, tried = attack(path, read)
        print(f"{path.name}: {tried} other values, {refused} refused")
