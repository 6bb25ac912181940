"""Single canvases of the sprite world as samples: many things to learn from in few tokens.

A trajectory adds one thing a canvas; here a canvas holds several, so that a small model learns what things
look like, and what is to be said of them, from fewer tokens. Knows scenes, their faults and their words;
``trajectories`` knows what comes one after another.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from strokewise.critics.oracle import judge_sketch
from strokewise.data.alignment import spoil
from strokewise.data.scenes import SceneMix, sample_scene
from strokewise.datasets.samples import Picture, Sample, Text
from strokewise.errors import ConfigError
from strokewise.sequence import Tokenizer
from strokewise.trajectory.values import Message
from strokewise.world.language import (
    Inspection,
    PlainWording,
    describe,
    in_order_of,
    repair,
    write_correction,
    write_description,
    write_inspection,
)
from strokewise.world.layout import Scene
from strokewise.world.render import render_array
from strokewise.world.vocabulary import REGIONS

# About four things a canvas, where a stroke adds one. Places say all of relations.
CROWDED: dict[str, Any] = {
    "objects": (0.15, 0.25, 0.25, 0.15, 0.1, 0.1),
    "counts": (0.8, 0.1, 0.06, 0.04),
    "relation_share": 0.0,
}
# Weight of 0, 1, 2, … faults of a canvas that is looked at.
FAULTS = (0.35, 0.3, 0.2, 0.15)


@dataclass(frozen=True)
class Canvases:
    """Canvases made when they are asked for, an endless number of them.

    Attributes:
        view: ``drawing`` (a description, then the canvas, learnt), ``reading`` (the canvas, then its
            description, learnt), ``looking`` (a plan, a canvas that often differs from it, then what the
            canvas shows and whether it shows the plan, learnt) or ``comparing`` (without the canvas: a plan
            and what a canvas shows, in words, then the verdict and the correction, learnt).
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
        wording_rng = PlainWording(0) if config.scenes.plain else draw
        parts = VIEWS[config.view](scene, config.scenes.classes, draw, wording_rng)
        return Sample(tuple(self._part(part, wording_rng) for part in parts), ends=False)

    def _part(self, part: "Drawn", wording_rng: random.Random) -> Text | Picture:
        if isinstance(part.what, str):
            text = part.what
        elif part.painted:
            return Picture(render_array(part.what, self.config.side), part.loss)
        else:
            text = Message(des=write_description(describe(part.what), wording_rng)).text()
        return Text(tuple(self.tokenizer.encode(text)), part.loss, opens=False)


@dataclass(frozen=True)
class Drawn:
    """One part of a sample.

    Attributes:
        what: a scene, or a text.
        loss: whether it is learnt.
        painted: whether a scene is shown as a canvas, or described.
    """

    what: Scene | str
    loss: bool = False
    painted: bool = False


def drawing(
    scene: Scene, classes: Sequence[str], draw: random.Random, wording_rng: random.Random
) -> list[Drawn]:
    """What a description tells, painted on an empty canvas."""
    return [Drawn(scene), Drawn(scene, loss=True, painted=True)]


def reading(
    scene: Scene, classes: Sequence[str], draw: random.Random, wording_rng: random.Random
) -> list[Drawn]:
    """What is to be seen on a canvas, from the upper left to the lower right: no other order can be seen."""
    return [Drawn(scene, painted=True), Drawn(_in_reading_order(scene), loss=True)]


def looking(
    scene: Scene, classes: Sequence[str], draw: random.Random, wording_rng: random.Random
) -> list[Drawn]:
    """A plan, a canvas with some faults, and an inspection of it that first tells what is to be seen."""
    shown = _faulty(scene, classes, draw)
    return [Drawn(scene), Drawn(shown, painted=True), Drawn(_inspected(scene, shown, wording_rng), loss=True)]


def comparing(
    scene: Scene, classes: Sequence[str], draw: random.Random, wording_rng: random.Random
) -> list[Drawn]:
    """The same without the canvas: what is seen is given, and only what follows from it is learnt."""
    shown = _faulty(scene, classes, draw)
    seen, _, verdict = _inspected(scene, shown, wording_rng).partition(". ")
    strokes = repair(describe(scene), describe(shown))
    said = Message(verdict, write_correction(strokes, wording_rng) if strokes else None)
    return [Drawn(scene), Drawn(f"{seen}."), Drawn(said.text(), loss=True)]


View = Callable[[Scene, Sequence[str], random.Random, random.Random], list[Drawn]]
VIEWS: dict[str, View] = {
    "drawing": drawing,
    "reading": reading,
    "looking": looking,
    "comparing": comparing,
}


def _faulty(scene: Scene, classes: Sequence[str], draw: random.Random) -> Scene:
    """A scene with no, one or some faults."""
    for _ in range(draw.choices(range(len(FAULTS)), FAULTS)[0]):
        spoilt = spoil(scene, classes, draw) if scene.graph.objects else None
        scene = spoilt[1] if spoilt else scene
    return scene


def _inspected(scene: Scene, shown: Scene, wording_rng: random.Random) -> str:
    plan, seen = describe(scene), describe(shown)
    found = Inspection(None, judge_sketch(plan, seen), seen=in_order_of(plan, seen))
    return write_inspection(found, wording_rng)


def _in_reading_order(scene: Scene) -> Scene:
    """The scene with its objects, and the instances of each, in the order of the regions."""
    places = sorted(scene.placements, key=lambda placed: REGIONS.index(placed.region))
    first = {placed.object_id: i for i, placed in reversed(list(enumerate(places)))}
    objects = tuple(sorted(scene.graph.objects, key=lambda obj: first[obj.id]))
    numbers = {obj.id: count() for obj in objects}
    numbered = tuple(replace(placed, index=next(numbers[placed.object_id])) for placed in places)
    return replace(scene, graph=replace(scene.graph, objects=objects), placements=numbered)
