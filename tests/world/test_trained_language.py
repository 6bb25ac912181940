"""The language that the shipped weights were trained on does not change by a byte.

The digests were computed with the released version of 2026-11-24. When one differs, the texts are no longer
those that the shipped model reads and writes, and it has to be trained again. Inspections alone have changed
since: they say first what is seen, and judge item by item; the shipped model writes them in its earlier form,
which is still read.
"""

import hashlib
import random
from collections.abc import Callable

import pytest

from strokewise.scene_graph import (
    FAULT_KINDS,
    INVERSE,
    RELATIONS,
    Fault,
    Relation,
    SceneGraph,
    SceneObject,
    Thing,
)
from strokewise.world import language as lang
from strokewise.world.vocabulary import BACKGROUNDS, CLASSES, COLORS, REGIONS

TEXTS = 1500
DIGESTS = {  # in any wording, and in the plain one
    "prompts": ("5c307f549587b7a3", "5c307f549587b7a3"),
    "instructions": ("73609d3a5591921d", "93e1cfcad430d20e"),
    "corrections": ("7181d492d1299ac9", "3daae22d4352f282"),
    "descriptions": ("839a5fc5e88163f3", "d1efaec3905b74d6"),
    "inspections": ("30a8282727ef66da", "cf006ee3f25ce026"),
}
WORDS = "7a8f7774a7183669"


def thing(rng: random.Random) -> Thing:
    color = rng.choice(COLORS) if rng.random() < 0.6 else None
    return Thing(CLASSES[int(rng.random() * len(CLASSES))], color, 1 + int(rng.random() ** 2 * 4))


def graph(rng: random.Random, most: int = 5) -> SceneGraph:
    """A valid graph: relations follow one order along each axis."""
    looks = {(t.name, t.color): t for t in (thing(rng) for _ in range(1 + int(rng.random() * most)))}
    objects = tuple(SceneObject(f"o{i}", t.name, t.color, t.count) for i, t in enumerate(looks.values(), 1))
    relations: dict[tuple[str, str, str], Relation] = {}
    for _ in range(int(rng.random() * 4) if len(objects) > 1 else 0):
        first, second = sorted(rng.sample(range(len(objects)), 2))
        kind, one, other = rng.choice(("left of", "above")), objects[first].id, objects[second].id
        is_inverse = rng.random() < 0.3
        relation = Relation(other, INVERSE[kind], one) if is_inverse else Relation(one, kind, other)
        relations[one, kind, other] = relation
    background = rng.choice(BACKGROUNDS) if rng.random() < 0.4 else None
    return SceneGraph(objects, tuple(relations.values()), background)


def description(rng: random.Random) -> lang.Description:
    shown = graph(rng)
    return lang.Description(shown, tuple(tuple(rng.choices(REGIONS, k=o.count)) for o in shown.objects))


def stroke(rng: random.Random) -> lang.Stroke:
    kind, one = rng.choice(lang.STROKE_KINDS), thing(rng)
    if kind == "background":
        return lang.Stroke(kind, background=rng.choice(BACKGROUNDS))
    becomes = {
        "recolor": Thing(one.name, next(c for c in COLORS if c != one.color), one.count),
        "recount": Thing(one.name, one.color, one.count % 4 + 1),
        "swap": Thing(next(c for c in CLASSES if c != one.name), one.color, one.count),
    }.get(kind)
    count = becomes.count if becomes and kind == "recount" else one.count
    regions = tuple(rng.choices(REGIONS, k=count)) if rng.random() < 0.7 else ()
    relation = lang.Beside(rng.choice(RELATIONS), thing(rng)) if rng.random() < 0.4 else None
    return lang.Stroke(kind, one, becomes, regions, relation)


def fault(rng: random.Random) -> Fault:
    kind, one = rng.choice(FAULT_KINDS), thing(rng)

    def pair(values: tuple[str, ...]) -> tuple[str, str | None]:
        wanted, seen = rng.sample(values, 2)
        return wanted, seen if rng.random() < 0.7 else None

    if kind in ("missing", "extra"):
        return Fault(kind, one)
    if kind == "wrong count":
        return Fault(kind, one, wanted=one.count, seen=one.count % 5 + 1)
    if kind == "wrong background":
        return Fault(kind, None, None, *pair(BACKGROUNDS))
    if kind == "wrong color":
        wanted, seen = pair(COLORS)
        return Fault(kind, Thing(one.name, wanted, one.count), None, wanted, seen)
    if kind == "wrong place":
        return Fault(kind, one, None, *pair(REGIONS))
    return Fault(kind, one, thing(rng), *pair(RELATIONS))


def inspection(rng: random.Random) -> lang.Inspection:
    plan, sketch = (tuple(fault(rng) for _ in range(int(rng.random() * 3))) for _ in range(2))
    judged = int(rng.random() * 3)
    pending = tuple(thing(rng) for _ in range(int(rng.random() * 3)))
    background = rng.choice(BACKGROUNDS) if rng.random() < 0.2 else None
    seen = description(rng) if rng.random() < 0.5 else None
    plan, sketch = (None if judged == 1 else plan), (None if judged == 2 else sketch)
    return lang.Inspection(plan, sketch, pending, background, seen)


def correction(rng: random.Random, wording: random.Random) -> str:
    """A random correction, and the one that repairs a random scene."""
    texts = [lang.write_correction([stroke(rng) for _ in range(1 + int(rng.random() * 3))], wording)]
    strokes = lang.repair(description(rng), description(rng))
    return "\n".join([*texts, lang.write_correction(strokes, wording)] if strokes else texts)


KINDS: dict[str, Callable[[random.Random, random.Random], str]] = {
    # Prompts are trained on in every wording; there is no plain one.
    "prompts": lambda rng, _: lang.write_prompt(graph(rng), rng),
    "instructions": lambda rng, wording: lang.write_instruction(stroke(rng), wording),
    "corrections": correction,
    "descriptions": lambda rng, wording: lang.write_description(description(rng), wording),
    "inspections": lambda rng, wording: lang.write_inspection(inspection(rng), wording).text,
}


def digest(kind: str, wording: type[random.Random]) -> str:
    """Of all texts of a kind, one a line."""
    texts = (KINDS[kind](random.Random(f"{kind}/{seed}"), wording(seed)) for seed in range(TEXTS))
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


@pytest.mark.parametrize("kind", KINDS)
def test_texts_are_those_of_the_released_version(kind):
    assert (digest(kind, random.Random), digest(kind, lang.PlainWording)) == DIGESTS[kind]


def test_the_words_are_those_of_the_released_version():
    assert hashlib.sha256("\n".join(lang.words()).encode()).hexdigest()[:16] == WORDS
