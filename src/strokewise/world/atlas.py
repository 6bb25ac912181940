"""The sprites as they were drawn: one a class, in natural colors, with a map of tones.

This file knows where the pictures are and which glyph of which icon set each came from. It refuses to know
target colors (`recolor`), sizes on a canvas and scenes. The pictures are made by `tools/build_atlas.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from PIL import Image

from strokewise.errors import SceneError

ATLAS_SIZE = 256  # longer side of every sprite, in pixels
FOLDER = files("strokewise.world") / "sprites"


@dataclass(frozen=True)
class Sprite:
    """One class as drawn.

    natural: [height, width, 4] uint8, straight alpha, a dark outline included; the longer side is ATLAS_SIZE.
    tones: [height, width] uint8; 128 is the dominant paint, less is darker, more is lighter.
    """

    natural: np.ndarray
    tones: np.ndarray

    @property
    def aspect(self) -> float:
        """Width by height."""
        return self.natural.shape[1] / self.natural.shape[0]


@cache
def sprite(name: str, halved: int = 0) -> Sprite:
    """Return the sprite of a class, its sides halved that many times; SceneError for an unknown one."""
    table = glyph_table()
    if name not in table:
        raise SceneError(f"there is no sprite for the class {name!r}")
    left, top, right, bottom = table[name]["box"]
    natural, tones = (sheet[top:bottom, left:right] for sheet in _sheets())
    if not halved:
        return Sprite(natural, tones)
    factor = 2**halved
    # Pillow weighs colors by alpha; tones ride along as the colors of a second picture.
    carried = np.stack([tones, tones, tones, natural[..., 3]], axis=-1)
    small, small_tones = (np.asarray(Image.fromarray(plane).reduce(factor)) for plane in (natural, carried))
    return Sprite(small, np.ascontiguousarray(small_tones[..., 0]))


@cache
def glyph_table() -> dict[str, dict[str, Any]]:
    """Return by class: "box" in the sheets (x0, y0, x1, y1), and the "set", "glyph", "version", "license"."""
    return dict(json.loads((FOLDER / "sprites.json").read_text()))


@cache
def _sheets() -> tuple[np.ndarray, np.ndarray]:
    sheets = []
    for file in ("natural.png", "tones.png"):
        with (FOLDER / file).open("rb") as stream:
            sheet = np.array(Image.open(stream))
        sheet.setflags(write=False)
        sheets.append(sheet)
    return sheets[0], sheets[1]
