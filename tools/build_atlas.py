"""Draw the sprite atlas from icon sets: one sprite a class, with the tones that recoloring needs.

    python tools/build_atlas.py SETS_FOLDER [--out src/strokewise/world/sprites]

SETS_FOLDER holds one unpacked npm package of Iconify per icon set, such as `SETS_FOLDER/mdi/icons.json`;
`docs/world.md` has the commands that fetch them. `tools/glyphs.json` says which glyph draws which class.

This file knows vector glyphs and how their paints become tones. It refuses to know target colors (`recolor`
has those) and anything of scenes. It needs resvg and scipy, which the package itself does not.
"""

from __future__ import annotations

import argparse
import io
import json
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import resvg_py
from PIL import Image
from scipy import ndimage

from strokewise.world.oklab import srgb_to_oklab
from strokewise.world.vocabulary import CLASSES

GLYPHS = Path(__file__).with_name("glyphs.json")
SIZE = 256  # longer side of a sprite in the atlas, outline included
COLUMNS = 10
DRAWN = 1024  # pixels that a glyph is first drawn at, so that tones and outline come out smooth
OUTLINE = 22  # of those pixels
OUTLINE_PAINT = (45, 48, 66)
ANCHOR = 128  # tone of the dominant paint
TONE_RANGE = 0.5  # difference in OKLab lightness that takes a tone to its end
MIN_STEP = 0.11  # least difference in lightness between neighboring paints, so that structure survives
SAME_PAINT = 0.035  # paints closer than this in OKLab are one


def main() -> None:
    """Build the atlas and the table of its glyphs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("sets", type=Path)
    parser.add_argument("--out", type=Path, default=Path("src/strokewise/world/sprites"))
    options = parser.parse_args()
    spec = json.loads(GLYPHS.read_text())
    rows = -(-len(CLASSES) // COLUMNS)
    natural = np.zeros((rows * SIZE, COLUMNS * SIZE, 4), np.uint8)
    tones = np.zeros(natural.shape[:2], np.uint8)
    table = {}
    for index, name in enumerate(CLASSES):
        glyph = spec["glyphs"][name]
        colors, tone = sprite(options.sets, glyph)
        top, left = (SIZE * part for part in divmod(index, COLUMNS))
        height, width = tone.shape
        natural[top : top + height, left : left + width] = colors
        tones[top : top + height, left : left + width] = tone
        kept = {key: spec["sets"][glyph["set"]][key] for key in ("version", "license", "author")}
        box = [left, top, left + width, top + height]
        table[name] = {"box": box, "set": glyph["set"], "glyph": glyph["glyph"], **kept}
    options.out.mkdir(parents=True, exist_ok=True)
    Image.fromarray(natural).save(options.out / "natural.png", optimize=True)
    Image.fromarray(tones).save(options.out / "tones.png", optimize=True)
    lines = (f" {json.dumps(name)}: {json.dumps(row, ensure_ascii=False)}" for name, row in table.items())
    (options.out / "sprites.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    (options.out / "NOTICE.txt").write_text(notice(spec))


def notice(spec: dict[str, Any]) -> str:
    """Whose work the sprites are, under which license, and what was changed."""
    parts = [
        "The sprites in natural.png and tones.png are drawn from the icon sets below. They were rasterized,",
        "cut to their visible part and outlined; one-color glyphs were given colors, some lost small parts.",
        "The full license of each set is in the folder licenses, in the file named after it.",
    ]
    for name, entry in spec["sets"].items():
        glyphs = [f"{g['glyph']} ({c})" for c, g in spec["glyphs"].items() if g["set"] == name]
        if glyphs:
            head = f"\n{name} {entry['version']} by {entry['author']}, {entry['url']}, {entry['license']}"
            parts += [
                head,
                *wrapped(", ".join(glyphs)),
            ]
    return "\n".join(parts) + "\n"


def wrapped(text: str) -> list[str]:
    """Indented lines; names with hyphens stay whole."""
    return textwrap.wrap(
        text, 100, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False, break_long_words=False
    )


def sprite(sets: Path, glyph: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return the natural sprite [height, width, 4] and its tones [height, width], both uint8, longer side
    SIZE.
    """
    drawn = draw(sets, glyph)
    if glyph.get("largest"):
        drawn = keep_largest(drawn)
    if "hole" in glyph:
        drawn = fill_holes(drawn, glyph["hole"])
    drawn = crop(np.pad(drawn, ((OUTLINE,) * 2, (OUTLINE,) * 2, (0, 0))), OUTLINE)
    solid = drawn[..., 3] >= 128
    tone = np.where(solid, paint_tones(drawn[..., :3], solid, glyph.get("anchor")), 0.0)
    colors = np.where(solid[..., None], drawn[..., :3], OUTLINE_PAINT)
    # A pixel takes the paint of the nearest solid one; outside of those there is only the outline.
    far = ndimage.distance_transform_edt(~solid)
    alpha = np.clip(OUTLINE + 0.5 - far, 0, 1)
    return shrink(colors, tone, alpha)


def draw(sets: Path, glyph: dict[str, Any]) -> np.ndarray:
    """Return the glyph in its own paints, [DRAWN, DRAWN, 4] uint8."""
    icons = json.loads((sets / glyph["set"] / "icons.json").read_text())
    name = glyph["glyph"]
    icon = icons["icons"].get(name) or icons["icons"][icons["aliases"][name]["parent"]]
    width, height = (icon.get(key, icons.get(key, 16)) for key in ("width", "height"))
    left, top = (icon.get(key, icons.get(key, 0)) for key in ("left", "top"))
    body = icon["body"].replace("currentColor", glyph.get("stroke", "#000000"))
    for index in sorted(glyph.get("drop", ()), reverse=True):
        body = drop_path(body, index)
    side = max(width, height)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left} {top} {side} {side}" '
        f'width="{DRAWN}" height="{DRAWN}">{body}</svg>'
    )
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=DRAWN, height=DRAWN))
    return np.array(Image.open(io.BytesIO(png)).convert("RGBA"))


def drop_path(body: str, index: int) -> str:
    """Return the SVG body without its path of this number."""
    start = -1
    for _ in range(index + 1):
        start = body.index("<path", start + 1)
    return body[:start] + body[body.index("/>", start) + 2 :]


def keep_largest(drawn: np.ndarray) -> np.ndarray:
    """Return only the largest connected part."""
    labels, count = ndimage.label(drawn[..., 3] >= 128)
    sizes = ndimage.sum_labels(np.ones_like(labels), labels, range(1, count + 1))
    near = ndimage.binary_dilation(labels == 1 + int(np.argmax(sizes)), iterations=2)
    return np.where(near[..., None], drawn, 0)


def fill_holes(drawn: np.ndarray, paint: str) -> np.ndarray:
    """Put a paint behind what the glyph's lines enclose."""
    alpha = drawn[..., 3:] / 255.0
    inside = ndimage.binary_fill_holes(drawn[..., 3] >= 128)[..., None]
    mixed = drawn[..., :3] * alpha + np.array(hex_paint(paint)) * (1 - alpha)
    filled = np.concatenate([mixed, np.full_like(alpha, 255.0)], axis=2)
    return np.where(inside, filled.round(), drawn).astype(np.uint8)


def hex_paint(text: str) -> tuple[int, int, int]:
    """ "#rrggbb" as three numbers."""
    red, green, blue = bytes.fromhex(text.lstrip("#"))
    return red, green, blue


def crop(drawn: np.ndarray, margin: int) -> np.ndarray:
    """Cut to the visible part with a margin around it."""
    ys, xs = np.nonzero(drawn[..., 3] >= 128)
    rows = slice(max(ys.min() - margin, 0), ys.max() + margin + 1)
    columns = slice(max(xs.min() - margin, 0), xs.max() + margin + 1)
    return drawn[rows, columns]


def paint_tones(colors: np.ndarray, solid: np.ndarray, anchor: str | None) -> np.ndarray:
    """Return the tone of every pixel, 0..255: ANCHOR for the dominant paint, less where darker, more where
    lighter.

    anchor: the paint to take as dominant; the one of largest area when None.
    """
    paints, areas = main_paints(colors[solid])
    lab = srgb_to_oklab(paints)
    first = int(np.argmax(areas))
    if anchor:
        wanted = srgb_to_oklab(np.array([hex_paint(anchor)], np.float64))
        first = int(np.argmin(((lab - wanted) ** 2).sum(1)))
    paint_tone = ANCHOR + np.clip(spread(lab[:, 0] - lab[first, 0]) / TONE_RANGE, -1, 1) * (ANCHOR - 1)
    distance = ((colors[..., None, :].astype(np.float32) - paints.astype(np.float32)) ** 2).sum(-1)
    return paint_tone[distance.argmin(-1)]


def main_paints(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the paints [paints, 3] that cover at least 0.4 % each, near ones joined, and their areas in
    pixels.
    """
    values, counts = np.unique(pixels, axis=0, return_counts=True)
    order = np.argsort(-counts)
    kept: list[np.ndarray] = []
    areas: list[int] = []
    for value, count in zip(values[order], counts[order], strict=True):
        if count < 0.004 * len(pixels):
            break
        lab = srgb_to_oklab(value[None].astype(np.float64))[0]
        near = [np.linalg.norm(lab - srgb_to_oklab(k[None].astype(np.float64))[0]) for k in kept]
        if near and min(near) < SAME_PAINT:
            areas[int(np.argmin(near))] += int(count)
        else:
            kept.append(value)
            areas.append(int(count))
    return np.array(kept, np.float64), np.array(areas)


def spread(deltas: np.ndarray) -> np.ndarray:
    """Differences in lightness from the dominant paint, moved apart to at least MIN_STEP, order kept."""
    moved = np.zeros_like(deltas)
    for sign in (-1, 1):
        side = [i for i in np.argsort(np.abs(deltas)) if deltas[i] * sign > 0]
        last = 0.0
        for i in side:
            last = max(last + MIN_STEP, abs(deltas[i]))
            moved[i] = sign * last
        if last > TONE_RANGE:
            for i in side:
                moved[i] *= TONE_RANGE / last
    return moved


def shrink(colors: np.ndarray, tone: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Natural sprite and tones at the atlas's size, averaged with weight by alpha."""
    height, width = alpha.shape
    scale = SIZE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))

    def resized(plane: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(plane.astype(np.float32)).resize(size, Image.Resampling.BOX))

    small = resized(alpha)
    weight = np.maximum(small, 1e-6)
    planes = [resized(colors[..., channel] * alpha) / weight for channel in range(3)]
    shown = small > 1 / 255
    natural = np.stack([*planes, small * 255], axis=-1) * shown[..., None]
    small_tone = resized(tone * alpha) / weight * shown
    return natural.round().clip(0, 255).astype(np.uint8), small_tone.round().clip(0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
