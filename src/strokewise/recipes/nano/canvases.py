"""Single canvases of the sprite world as samples: many things to train on in few tokens.

A trajectory adds one thing a canvas; here a canvas holds several, so that a small model sees what things look
like, and how they are described, in fewer tokens. Knows scenes, their faults and their language; the order of
the steps of a trajectory is known in ``datasets.views``.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from strokewise.critics.oracle import judge_sketch, plan_checks
from strokewise.data.alignment import spoil
from strokewise.data.scenes import SceneMix, sample_scene
from strokewise.datasets.samples import Sample, SampleImage, SampleText, text_of
from strokewise.errors import ConfigError
from strokewise.sequence import Tokenizer
from strokewise.trajectory.values import Message
from strokewise.world.language import (
    Inspection,
    InspectionParts,
    PlainWording,
    describe,
    in_reading_order,
    repair,
    write_correction,
    write_description,
    write_inspection,
    write_seen,
)
from strokewise.world.layout import Scene
from strokewise.world.render import render_array

# About four things a canvas, where a stroke adds one. Places imply all relations.
CROWDED: dict[str, Any] = {
    "objects": (0.15, 0.25, 0.25, 0.15, 0.1, 0.1),
    "counts": (0.62, 0.14, 0.12, 0.12),
    "relation_share": 0.0,
}
# Weight of 0, 1, 2, … faults of a canvas that is inspected.
FAULTS = (0.35, 0.3, 0.2, 0.15)


@dataclass(frozen=True)
class Canvases:
    """Canvases rendered when they are read, an endless number of them.

    Attributes:
        view: one of ``CANVAS_VIEWS``: ``text-to-image`` (a description, then the canvas, supervised),
            ``description`` (the canvas, then its description, supervised), ``verification`` (a plan, a canvas
            that often differs from it, what it shows in words, then whether it shows the plan, supervised) or
            ``comparison`` (the same without the canvas, and with the correction).
        scenes: the distribution of scenes, but for the number of things, which is large.
        seed: of scenes, faults and wordings.
        side: in pixels.
    """

    view: str
    scenes: SceneMix = field(default_factory=SceneMix)
    seed: int = 0
    side: int = 128

    def open(self, tokenizer: Tokenizer) -> "CanvasSource":
        """Return the source.

        Raises:
            ConfigError: if there is no such view.
        """
        if self.view not in CANVAS_VIEWS:
            raise ConfigError(f"unknown view {self.view!r} of a canvas; known are {', '.join(CANVAS_VIEWS)}")
        return CanvasSource(self, tokenizer)


@dataclass(frozen=True)
class CanvasSource:
    """Canvases by number, rendered on each read."""

    config: Canvases
    tokenizer: Tokenizer
    size: None = None

    def sample(self, index: int) -> Sample:
        """Return one sample."""
        config, view = self.config, CANVAS_VIEWS[self.config.view]
        draw = random.Random(f"canvas/{view.stream}/{config.seed}/{index}")
        scene = sample_scene(draw, replace(config.scenes, **CROWDED))
        wording_rng = PlainWording(0) if config.scenes.plain else draw
        parts = view.make(scene, config.scenes.classes, draw, wording_rng)
        return Sample(tuple(self._part(part, wording_rng) for part in parts), ends=False)

    def _part(self, part: "CanvasPart", wording_rng: random.Random) -> SampleText | SampleImage:
        content = part.content
        if part.rendered:
            assert isinstance(content, Scene), "only scenes are rendered"
            return SampleImage(render_array(content, self.config.side), part.loss)
        if isinstance(content, str):
            text = content
        else:
            text = Message(des=write_description(describe(content), wording_rng)).text()
        return text_of(text, self.tokenizer, part.loss, part.given, opens=False)


@dataclass(frozen=True)
class CanvasPart:
    """One part of a sample.

    Attributes:
        content: a scene, or a text.
        loss: whether it is supervised.
        rendered: whether a scene is shown as a canvas, or described.
        given: how a text begins that is supervised only from there on.
    """

    content: Scene | str
    loss: bool = False
    rendered: bool = False
    given: str = ""


def text_to_image(
    scene: Scene, classes: Sequence[str], draw: random.Random, wording_rng: random.Random
) -> list[CanvasPart]:
    """Return a description, and its scene on one canvas."""
    return [CanvasPart(scene), CanvasPart(scene, loss=True, rendered=True)]


def description(
    scene: Scene, classes: Sequence[str], draw: random.Random, wording_rng: random.Random
) -> list[CanvasPart]:
    """Return a canvas, described from the upper left to the lower right: no other order can be seen on it."""
    seen = Message(des=write_seen(describe(scene))).text()
    return [CanvasPart(scene, rendered=True), CanvasPart(seen, loss=True)]


def verification(
    scene: Scene, classes: Sequence[str], draw: random.Random, wording_rng: random.Random
) -> list[CanvasPart]:
    """Return a plan, a canvas with some faults, and its inspection behind the given words for what it
    shows.
    """
    shown = _faulty(scene, classes, draw)
    parts = _inspected(scene, shown, wording_rng)
    inspection = CanvasPart(f"{parts.seen} {parts.of_sketch}", loss=True, given=parts.seen)
    return [CanvasPart(scene), CanvasPart(shown, rendered=True), inspection]


def comparison(
    scene: Scene, classes: Sequence[str], draw: random.Random, wording_rng: random.Random
) -> list[CanvasPart]:
    """Return the same without the canvas, and with the correction that follows."""
    shown = _faulty(scene, classes, draw)
    parts = _inspected(scene, shown, wording_rng)
    strokes = repair(describe(scene), describe(shown))
    refine = write_correction(strokes, wording_rng) if strokes else None
    message = Message(f"{parts.seen} {parts.of_sketch}", refine)
    return [CanvasPart(scene), CanvasPart(message.text(), loss=True, given=parts.seen)]


@dataclass(frozen=True)
class CanvasView:
    """One way to make a sample of a scene.

    Attributes:
        make: the parts of a scene's sample, given the classes for faults, the draws and the wording rng.
        stream: names the random stream. It is fixed: another word would give other samples for a seed.
    """

    make: Callable[[Scene, Sequence[str], random.Random, random.Random], list[CanvasPart]]
    stream: str


CANVAS_VIEWS = {
    "text-to-image": CanvasView(text_to_image, "drawing"),
    "description": CanvasView(description, "reading"),
    "verification": CanvasView(verification, "looking"),
    "comparison": CanvasView(comparison, "comparing"),
}


def _faulty(scene: Scene, classes: Sequence[str], draw: random.Random) -> Scene:
    """Return a scene with no, one or some faults."""
    for _ in range(draw.choices(range(len(FAULTS)), FAULTS)[0]):
        spoilt = spoil(scene, classes, draw) if scene.graph.objects else None
        scene = spoilt[1] if spoilt else scene
    return scene


def _inspected(scene: Scene, shown: Scene, wording_rng: random.Random) -> InspectionParts:
    plan, seen = describe(scene), describe(shown)
    faults = judge_sketch(plan, seen)
    checks = plan_checks(plan, faults)
    found = Inspection(None, faults, seen=in_reading_order(seen), plan_checks=checks)
    return write_inspection(found, wording_rng)
