"""Draw the sheet of all sprites in all colors for the documentation.

python tools/draw_sprites.py [--out docs/images/sprites.png]
"""

import argparse
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from strokewise.world import atlas
from strokewise.world.render import resized
from strokewise.world.vocabulary import CLASSES, COLORS

SPRITE, CELL, LABEL, TOP, GAP, BLOCKS = 38, 42, 128, 30, 26, 4
PAPER, INK = (250, 250, 252), (60, 62, 72)


def main() -> None:
    """Draw and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/images/sprites.png"))
    options = parser.parse_args()
    looks = (None, *COLORS)
    rows = -(-len(CLASSES) // BLOCKS)
    block = LABEL + len(looks) * CELL + GAP
    sheet = Image.new("RGB", (BLOCKS * block, TOP + rows * CELL + 8), PAPER)
    draw, font, small = ImageDraw.Draw(sheet), ImageFont.load_default(14), ImageFont.load_default(11)
    for index, name in enumerate(CLASSES):
        column, row = divmod(index, rows)
        left, top = column * block, TOP + row * CELL
        draw.text((left + LABEL - 8, top + CELL / 2), name, INK, font, anchor="rm")
        aspect = atlas.sprite(name).aspect
        width, height = round(SPRITE * min(1, aspect)), round(SPRITE * min(1, 1 / aspect))
        for number, color in enumerate(looks):
            x, y = left + LABEL + number * CELL, top + (CELL - height) // 2
            if row == 0:
                draw.text((x + CELL / 2, TOP - 6), color or "natural", INK, small, anchor="ms")
            look = resized(name, color, width, height)
            sheet.paste(look, (x + (CELL - width) // 2, y), look)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    sheet.quantize(255, dither=Image.Dither.NONE).save(options.out, optimize=True)


if __name__ == "__main__":
    main()
