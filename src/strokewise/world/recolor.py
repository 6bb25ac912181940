"""How a sprite looks in a requested color.

A sprite's dominant paint becomes exactly the color; its darker and lighter paints become shades and tints of
it, so that its structure stays. This file knows the ten colors. It refuses to know what a class looks like
(`atlas`) and sizes and places (`render`).
"""

from __future__ import annotations

from functools import cache

import numpy as np

from strokewise.errors import SceneError
from strokewise.world import atlas
from strokewise.world.oklab import oklab_to_srgb, srgb_to_oklab
from strokewise.world.vocabulary import COLORS

# sRGB of the dominant paint. Apart from each other in lightness too, so that blur and noise leave them apart.
PAINTS: dict[str, tuple[int, int, int]] = {
    "red": (222, 38, 42),
    "orange": (250, 128, 18),
    "yellow": (252, 214, 44),
    "green": (32, 158, 62),
    "blue": (36, 98, 236),
    "purple": (128, 56, 188),
    "pink": (250, 140, 192),
    "brown": (124, 74, 38),
    "black": (38, 38, 42),
    "white": (250, 250, 252),
}
# What the darkest and the lightest tone become where shading by rule would leave black and white.
_ENDS: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "black": ((4, 4, 6), (128, 130, 138)),
    "white": ((84, 88, 102), (204, 208, 218)),
}
_SHADE_LIGHTNESS, _SHADE_CHROMA = 0.42, 0.62
_TINT_LIGHTNESS, _TINT_CHROMA = 0.72, 0.42
_ANCHOR = 128


def appearance(name: str, color: str | None, halved: int = 0) -> np.ndarray:
    """Return the look of a class, [height, width, 4] uint8 with straight alpha, longer side
    `atlas.ATLAS_SIZE`.

    color: one of COLORS, or None for the natural look. SceneError for unknown names.
    halved: how many times to halve the sides.
    """
    drawn = atlas.sprite(name, halved)
    if color is None:
        return drawn.natural
    return np.concatenate([tone_colors(color)[drawn.tones], drawn.natural[..., 3:]], axis=2)


@cache
def tone_colors(color: str) -> np.ndarray:
    """Return the sRGB [256, 3] uint8 that each tone takes in a color."""
    if color not in COLORS:
        raise SceneError(f"unknown color {color!r}; colors: {', '.join(COLORS)}")
    paint = srgb_to_oklab(np.array(PAINTS[color]))
    if color in _ENDS:
        shade, tint = (srgb_to_oklab(np.array(end)) for end in _ENDS[color])
    else:
        shade = paint * (_SHADE_LIGHTNESS, _SHADE_CHROMA, _SHADE_CHROMA)
        lighter = paint[0] + (1 - paint[0]) * _TINT_LIGHTNESS
        tint = np.array([lighter, *(paint[1:] * _TINT_CHROMA)])
    tones = np.arange(256)
    stops = np.stack([shade, paint, tint])
    lab = np.stack([np.interp(tones, (0, _ANCHOR, 255), stops[:, axis]) for axis in range(3)], axis=1)
    table = oklab_to_srgb(lab).round().astype(np.uint8)
    table.setflags(write=False)
    return table
