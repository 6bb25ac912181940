"""Single canvases of the sprite world as samples: many things to learn from in few tokens.

A trajectory adds one thing a canvas; here a canvas holds several, so that a small model learns what things
look like from fewer tokens. Knows scenes and their words; ``trajectories`` knows strokes
and inspections.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from strokewise.data.scenes import SceneMix, sample_scene
from strokewise.errors import ConfigError
from strokewise.sequence import Tokenizer
from strokewise.train.samples import Picture, Sample, Text
from strokewise.trajectory import Message
from strokewise.world.language import PlainVoice, describe, write_description
from strokewise.world.layout import Scene
from strokewise.world.render import render_array
from strokewise.world.vocabulary import REGIONS

# About four things a canvas, where a stroke adds one. Places say all of relations.
CROWDED: dict[str, Any] = {
    "objects": (0.15, 0.25, 0.25, 0.15, 0.1, 0.1),
    "counts": (0.8, 0.1, 0.06, 0.04),
    "relation_share": 0.0,
}


@dataclass(frozen=True)
class Canvases:
    """Canvases made when they are asked for, an endless number of them.

    Attributes:
        view: ``drawing`` (a description, then the canvas, learnt) or ``reading`` (the canvas, then its
            description, learnt).
        scenes: which ones, but for how much stands in them, which is much.
        seed: of everything random.
        side: in pixels.
    """

    view: str
    scenes: SceneMix = field(default_factory=SceneMix)
    seed: int = 0
    side: int = 128

    def open(self, tokenizer: Tokenizer) -> "CanvasSource":
        """The source.

        Raises:
            ConfigError: if there is no such view.
        """
        if self.view not in VIEWS:
            raise ConfigError(f"unknown view {self.view!r} of a canvas; known are {', '.join(VIEWS)}")
        return CanvasSource(self, tokenizer)


@dataclass(frozen=True)
class CanvasSource:
    """Canvases by number, made afresh."""

    config: Canvases
    tokenizer: Tokenizer
    size: None = None

    def sample(self, index: int) -> Sample:
        """One sample."""
        config = self.config
        draw = random.Random(f"canvas/{config.view}/{config.seed}/{index}")
        scene = sample_scene(draw, replace(config.scenes, **CROWDED))
        voice = PlainVoice(0) if config.scenes.plain else draw
        return VIEWS[config.view](scene, config.side, voice, self.tokenizer)


def drawing(scene: Scene, side: int, voice: random.Random, tokenizer: Tokenizer) -> Sample:
    """What a description tells, painted on an empty canvas."""
    told = _description(scene, voice, tokenizer, False)
    return Sample((told, Picture(render_array(scene, side), True)), ends=False)


def reading(scene: Scene, side: int, voice: random.Random, tokenizer: Tokenizer) -> Sample:
    """What is to be seen on a canvas, from the upper left to the lower right: no other order can be seen."""
    shown = Picture(render_array(scene, side))
    return Sample((shown, _description(_in_reading_order(scene), voice, tokenizer, True)), ends=False)


VIEWS: dict[str, Callable[[Scene, int, random.Random, Tokenizer], Sample]] = {
    "drawing": drawing,
    "reading": reading,
}


def _in_reading_order(scene: Scene) -> Scene:
    """The scene with its objects, and the instances of each, in the order of the regions."""
    places = sorted(scene.placements, key=lambda placed: REGIONS.index(placed.region))
    first = {placed.object_id: i for i, placed in reversed(list(enumerate(places)))}
    objects = tuple(sorted(scene.graph.objects, key=lambda obj: first[obj.id]))
    numbers = {obj.id: count() for obj in objects}
    numbered = tuple(replace(placed, index=next(numbers[placed.object_id])) for placed in places)
    return replace(scene, graph=replace(scene.graph, objects=objects), placements=numbered)


def _description(scene: Scene, voice: random.Random, tokenizer: Tokenizer, loss: bool) -> Text:
    text = Message(des=write_description(describe(scene), voice)).text()
    return Text(tuple(tokenizer.encode(text)), loss)
