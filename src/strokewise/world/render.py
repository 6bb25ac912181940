"""A laid-out scene as a picture.

Sprites are drawn anti-aliased on a softly graded background; the same scene and size give the same bytes.
A scene with faults is just another scene. This file knows pixels. It refuses to know why things stand where
they do, and needs numpy and Pillow only.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from PIL import Image

from strokewise.errors import ConfigError, SceneError
from strokewise.world.atlas import ATLAS_SIZE
from strokewise.world.layout import Scene
from strokewise.world.recolor import appearance
from strokewise.world.vocabulary import BACKGROUNDS

DEFAULT_SIZE = 128
SIZES = (64, 1024)

# Top and bottom of each background, sRGB; the colors between are blended.
GRADES: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "white": ((247, 247, 249), (234, 235, 240)),
    "gray": ((212, 214, 220), (196, 198, 206)),
    "sky": ((172, 214, 244), (214, 236, 250)),
    "grass": ((206, 234, 178), (170, 212, 142)),
    "sand": ((250, 236, 206), (234, 214, 172)),
    "night": ((84, 88, 136), (112, 114, 158)),
}


def render(scene: Scene, size: int = DEFAULT_SIZE) -> Image.Image:
    """Return the picture of a scene, an RGB image of `size` x `size` pixels; ConfigError for a size out of
    SIZES.
    """
    return Image.fromarray(render_array(scene, size))


def render_array(scene: Scene, size: int = DEFAULT_SIZE) -> np.ndarray:
    """Return what `render` returns as an array [size, size, 3] uint8."""
    if not SIZES[0] <= size <= SIZES[1]:
        raise ConfigError(f"a canvas is {SIZES[0]} to {SIZES[1]} pixels wide, not {size}")
    canvas = background_array(scene.background, size).copy()
    looks = {obj.id: (obj.name, obj.color) for obj in scene.graph.objects}
    for placement in scene.placements:
        left, top, right, bottom = (round(edge * size) for edge in placement.box)
        name, color = looks[placement.object_id]
        _draw(canvas, *_scaled(name, color, max(right - left, 1), max(bottom - top, 1)), left, top)
    return canvas


@lru_cache(maxsize=64)
def background_array(name: str, size: int) -> np.ndarray:
    """Return an empty canvas [size, size, 3] uint8, not writeable; SceneError for an unknown background."""
    if name not in GRADES:
        raise SceneError(f"unknown background {name!r}; backgrounds: {', '.join(BACKGROUNDS)}")
    upper, lower = (np.array(end, np.float64) for end in GRADES[name])
    share = ((np.arange(size) + 0.5) / size)[:, None, None]
    rows = (upper + (lower - upper) * share).round().astype(np.uint8)
    canvas = np.ascontiguousarray(np.broadcast_to(rows, (size, size, 3)))
    canvas.setflags(write=False)
    return canvas


@lru_cache(maxsize=4096)
def _scaled(name: str, color: str | None, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a look at its size, uint16: colors times alpha [height, width, 3]; 255 - alpha [height, width,
    1].
    """
    pixels = np.asarray(resized(name, color, width, height)).astype(np.uint16)
    return pixels[..., :3] * pixels[..., 3:], 255 - pixels[..., 3:]


def resized(name: str, color: str | None, width: int, height: int) -> Image.Image:
    """Return a look at a size in pixels, RGBA with straight alpha."""
    # Starting from a halved sprite of at least twice the size looks the same and costs a fraction.
    halved = max(math.floor(math.log2(ATLAS_SIZE / max(width, height) / 2)), 0)
    look = Image.fromarray(appearance(name, color, min(halved, 2)))
    return look.resize((width, height), Image.Resampling.LANCZOS)


def _draw(canvas: np.ndarray, colors: np.ndarray, clear: np.ndarray, left: int, top: int) -> None:
    """Blend a scaled look into the canvas with its upper left corner at (left, top), cut at the edges."""
    size = canvas.shape[0]
    rows = slice(max(top, 0), min(top + colors.shape[0], size))
    columns = slice(max(left, 0), min(left + colors.shape[1], size))
    source = (
        slice(rows.start - top, rows.stop - top),
        slice(columns.start - left, columns.stop - left),
    )
    below = canvas[rows, columns]
    canvas[rows, columns] = (colors[source] + below * clear[source] + 127) // 255
