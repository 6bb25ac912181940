"""Random scenes for the benchmarks of the sprite world: all classes, colors, counts and backgrounds alike."""

import random

from strokewise.errors import SceneError
from strokewise.scene_graph import RELATIONS, Relation, SceneGraph, SceneObject
from strokewise.world.layout import Scene, place
from strokewise.world.vocabulary import BACKGROUNDS, CLASSES, COLORS

LOOKS = (None, *COLORS)


def random_scene(rng: random.Random, most: int = 4) -> Scene:
    """Return a scene of one to `most` objects of one to four instances each, often with a relation."""
    while True:
        looks = {(rng.choice(CLASSES), rng.choice(LOOKS)) for _ in range(rng.randint(1, most))}
        objects = tuple(
            SceneObject(f"o{i}", name, color, rng.choice((1, 1, 1, 2, 3, 4)))
            for i, (name, color) in enumerate(sorted(looks, key=str))
        )
        relations: tuple[Relation, ...] = ()
        if len(objects) > 1 and rng.random() < 0.5:
            first, second = rng.sample(objects, 2)
            relations = (Relation(first.id, rng.choice(RELATIONS), second.id),)
        try:
            return place(SceneGraph(objects, relations, rng.choice(BACKGROUNDS)), rng.getrandbits(32))
        except SceneError:  # too many things, or no room for the relation
            continue


def every_scene(rng: random.Random) -> list[Scene]:
    """Return each class in each look and count alone, on one of the backgrounds in turn: 3520 scenes."""
    return [
        place(
            SceneGraph((SceneObject("o", name, color, count),), (), BACKGROUNDS[number % len(BACKGROUNDS)]),
            rng.getrandbits(32),
        )
        for number, (name, color, count) in enumerate(
            (name, color, count) for count in (1, 2, 3, 4) for color in LOOKS for name in CLASSES
        )
    ]
