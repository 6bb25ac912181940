"""What a picture shows, with how sure that is; what is not sure enough is reported as unknown.

This file turns matches into instances, a scene graph and detections. It refuses to know how they were found,
and what the picture was meant to show.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from PIL import Image

from strokewise.errors import InputError
from strokewise.scene_graph import Relation, SceneGraph, SceneObject
from strokewise.world.layout import Box, Placement, Scene, holds, region_of
from strokewise.world.recognize.background import find_ground
from strokewise.world.recognize.matching import Match
from strokewise.world.recognize.selection import select
from strokewise.world.recognize.templates import LOOKS
from strokewise.world.vocabulary import REGIONS

SIZE = 128  # pixels that every picture is brought to
_SMALLEST = 32
KNOWN = 0.85  # confidence from which an instance is named
COLOR_KNOWN = 0.5  # and from which its color is

# Chance of a match to be of the right class, as a logistic function of its residual, of how much worse the
# next class fits, of its area and its blur: fitted by `benchmarks/recognize.py --fit` to matches in pictures
# that were blurred, bent, compressed and made noisy.
_BIAS, _BY_RESIDUAL, _BY_RIVAL, _BY_AREA, _BY_BLUR = 4.4, -0.46, 4.5, 0.93, -2.0
_SOFT = 0.01  # residuals below this are all the same
# Chance of the color, by how much worse the next color fits.
_COLOR_BIAS, _COLOR_BY_RIVAL = -1.2, 15.0


@dataclass(frozen=True)
class Instance:
    """One thing seen.

    name: its class, None when that is not sure.
    color: its color; None when it looks natural, and when that is not sure.
    natural: whether it has the natural look of its class.
    box: (x0, y0, x1, y1) in canvas units.
    confidence, color_confidence: the chances of class and look to be right, 0..1.
    """

    name: str | None
    color: str | None
    natural: bool
    box: Box
    confidence: float
    color_confidence: float

    @property
    def region(self) -> str:
        """The region of the box's center."""
        return region_of(self.box)


@dataclass(frozen=True)
class SpriteDetection:
    """One thing as an object detector reports it: box (x0, y0, x1, y1) in pixels of the picture given."""

    name: str
    score: float
    box: Box
    color: str | None


@dataclass(frozen=True)
class Recognition:
    """What a picture shows.

    instances: the things whose class is sure, row by row of the grid of regions.
    unknown: what else is there, without names.
    background: the nearest known background. background_confidence: 0 when the picture's is none of them.
    """

    instances: tuple[Instance, ...]
    unknown: tuple[Instance, ...]
    background: str
    background_confidence: float

    @property
    def graph(self) -> SceneGraph:
        """Objects by look, with all relations that hold between them by GenEval's rule; no unknown ones.

        It may hold more of a thing than a prompt can request, so `SceneGraph.validate` may refuse it.
        """
        groups = self._groups()
        objects = tuple(
            SceneObject(f"seen{number}", name, color, len(members))
            for number, ((name, color), members) in enumerate(groups.items())
        )
        relations = [
            Relation(a.id, kind, b.id)
            for (a, first), (b, second) in permutations(zip(objects, groups.values(), strict=True), 2)
            for kind in ("left of", "above")
            if all(holds(kind, one.box, other.box) for one in first for other in second)
        ]
        background = self.background if self.background_confidence > 0 else None
        return SceneGraph(objects, tuple(relations), background)

    @property
    def placements(self) -> tuple[Placement, ...]:
        """Where the instances of `graph` stand."""
        return tuple(
            Placement(f"seen{number}", index, one.region, one.box)
            for number, members in enumerate(self._groups().values())
            for index, one in enumerate(members)
        )

    @property
    def scene(self) -> Scene:
        """What was seen as a scene, which can be described and rendered."""
        return Scene(self.graph, self.placements)

    def _groups(self) -> dict[tuple[str, str | None], list[Instance]]:
        groups: dict[tuple[str, str | None], list[Instance]] = {}
        for instance in self.instances:
            assert instance.name is not None
            groups.setdefault((instance.name, instance.color), []).append(instance)
        return groups


def recognize(image: Image.Image | np.ndarray) -> Recognition:
    """Return what a picture of the sprite world shows.

    image: a picture, or an array [height, width, 3] uint8; at least 32 x 32 pixels. It is made square.
    """
    pixels = _pixels(image)
    ground = find_ground(pixels)
    matches, left = select(pixels, ground)
    seen = [_instance(match) for match in matches]
    seen += [Instance(None, None, False, _units(box), 0.0, 0.0) for box in left]
    seen.sort(key=lambda one: (REGIONS.index(one.region), one.box))
    return Recognition(
        tuple(one for one in seen if one.name is not None),
        tuple(one for one in seen if one.name is None),
        ground.name,
        ground.confidence,
    )


def detect(image: Image.Image | np.ndarray, threshold: float = 0.3) -> list[SpriteDetection]:
    """Return the things in a picture as a detector for GenEval reports them, the surest first.

    threshold: least score; GenEval takes 0.3, and 0.9 where it counts.
    """
    pixels = _pixels(image)
    width, height = image.size if isinstance(image, Image.Image) else image.shape[1::-1]
    found = []
    for match in select(pixels, find_ground(pixels))[0]:
        score = confidence(match)
        if score >= threshold:
            x0, y0, x1, y1 = _units(match.box)
            name, color = LOOKS[match.look]
            box = (x0 * width, y0 * height, x1 * width, y1 * height)
            found.append(SpriteDetection(name, score, box, color))
    return sorted(found, key=lambda detection: -detection.score)


def features(match: Match) -> tuple[float, float, float, float]:
    """Return features of a right match: residual, how much worse the next class is, area, blur."""
    worse = math.log((min(match.rival, 2.0) + _SOFT) / (match.residual + _SOFT))
    area = (match.box[2] - match.box[0]) * (match.box[3] - match.box[1])
    return math.log(match.residual + _SOFT), worse, math.log(area / 1000), float(match.blur)


def confidence(match: Match) -> float:
    """Return the chance of a match to be of the right class, 0..1."""
    residual, rival, area, blur = features(match)
    return _logistic(_BIAS + _BY_RESIDUAL * residual + _BY_RIVAL * rival + _BY_AREA * area + _BY_BLUR * blur)


def color_confidence(match: Match) -> float:
    """Return the chance of a match to have the right color, given the right class, 0..1."""
    worse = math.log((min(match.color_rival, 2.0) + _SOFT) / (match.residual + _SOFT))
    return _logistic(_COLOR_BIAS + _COLOR_BY_RIVAL * worse)


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-max(value, -60.0)))


def _instance(match: Match) -> Instance:
    name, color = LOOKS[match.look]
    sure, sure_color = confidence(match), color_confidence(match)
    box = _units(match.box)
    if sure < KNOWN:
        return Instance(None, None, False, box, sure, sure_color)
    if sure_color < COLOR_KNOWN:
        return Instance(name, None, False, box, sure, sure_color)
    return Instance(name, color, color is None, box, sure, sure_color)


def _units(box: tuple[float, float, float, float]) -> Box:
    x0, y0, x1, y1 = (min(max(float(edge) / SIZE, 0.0), 1.0) for edge in box)
    return x0, y0, x1, y1


def _pixels(image: Image.Image | np.ndarray) -> np.ndarray:
    """Return the picture as [SIZE, SIZE, 3] float32 in 0..255; InputError when it is too small or no
    picture.
    """
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise InputError(f"a picture is [height, width, 3] uint8, not {image.shape} {image.dtype}")
        image = Image.fromarray(image)
    if min(image.size) < _SMALLEST:
        raise InputError(f"a picture must be {_SMALLEST} pixels or more on each side, not {image.size}")
    image = image.convert("RGB")
    if image.size != (SIZE, SIZE):
        image = image.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32)
