"""Detectors: critics that list the things in a picture. Their interface, the sprite world's, and all by name.

A detector that needs weights lives in a file of its own (`mask2former`), so that the sprite world can be
scored without torch. This file refuses to know what a picture was meant to show.
"""

from collections.abc import Sequence
from typing import Protocol

from PIL import Image

from strokewise.critics.geneval_rules import SCORE, Detection
from strokewise.errors import ConfigError
from strokewise.world.recognize import detect

DETECTORS = ("sprite", "mask2former")
RELEASED = "facebook/mask2former-swin-small-coco-instance"


class Detector(Protocol):
    """A critic that finds things in a picture, as GenEval's rules need them."""

    def detect(self, image: Image.Image) -> list[Detection]:
        """Return the things in an RGB picture with scores that pass GenEval's least; colors may be left
        out.
        """
        ...

    def name_colors(self, image: Image.Image, detections: Sequence[Detection]) -> list[str | None]:
        """Return the color of each of some detections in the picture; None for a thing in none of the ten
        colors.
        """
        ...


class SpriteDetector:
    """The recognizer of the sprite world. What looks natural there has no color."""

    def detect(self, image: Image.Image) -> list[Detection]:
        """Return the things in a picture of the sprite world; InputError if it is too small."""
        return [Detection(one.name, one.score, one.box, one.color) for one in detect(image, SCORE)]

    def name_colors(self, image: Image.Image, detections: Sequence[Detection]) -> list[str | None]:
        """Return the colors that `detect` has named already."""
        return [one.color for one in detections]


def load_detector(name: str, device: str = "cpu") -> Detector:
    """Return a detector by its name in DETECTORS.

    Args:
        name: sprite, mask2former (loads released weights), or mask2former:FOLDER (loads those of a folder).
        device: where a detector with weights computes.

    Raises:
        ConfigError: if there is no such detector, or what it needs is not installed.
        CheckpointError: if its weights cannot be loaded.
    """
    if name == "sprite":
        return SpriteDetector()
    kind, _, folder = name.partition(":")
    if kind == "mask2former":
        from strokewise.critics.mask2former import Mask2FormerDetector

        return Mask2FormerDetector.load(folder or RELEASED, device=device)
    raise ConfigError(f"unknown detector {name!r}; known are {', '.join(DETECTORS)}")
