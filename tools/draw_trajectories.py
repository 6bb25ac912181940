"""Draw the trajectories in the docs.

python tools/draw_trajectories.py docs/images                       # twenty records of the subsets; one alone
python tools/draw_trajectories.py docs/images/painted.png FOLDER …   # what `strokewise paint` wrote
"""

import random
import sys
import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from strokewise.data.build import MAKERS, Recipe, records_of
from strokewise.data.records import Record
from strokewise.trajectory.files import load
from strokewise.trajectory.values import Trajectory

CANVAS, GAP, COLUMNS, MOST = 148, 16, 2, 5
TITLE, CAPTION, LINE = 17, 12, 15
HEIGHT = 2 * 22 + CANVAS + 5 * LINE + 2 * GAP
WIDTH = MOST * (CANVAS + GAP) + 2 * GAP
PAPER, CARD, EDGE, INK, SOFT = "#f4f1ec", "#ffffff", "#e2dcd2", "#26221d", "#6d655a"
GOOD, BAD = "#2f7d4f", "#b0402f"
WANTED = {"multi-turn": 12, "conflict": 4, "alignment": 4}


def chosen(seed: int = 5) -> list[Record]:
    """Return records with many canvases, in the mix of WANTED."""
    draw = random.Random(seed)
    found: list[Record] = []
    for subset, count in WANTED.items():
        records = list(records_of(Recipe(subset, 256, seed=seed, size=256), 0))
        least = 4 if subset == "multi-turn" else 3
        fits = [r for r in records if len(r.trajectory.images) >= least and len(r.trajectory.prompt) < 150]
        if subset != "multi-turn":
            fits = [r for r in fits if r.fault]
        found += draw.sample(fits, count)
    assert set(WANTED) == set(MAKERS)
    return found


def card(trajectory: Trajectory) -> Image.Image:
    """Return one trajectory: prompt, canvases, and under each what was said before it."""
    image = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((2, 2, WIDTH - 3, HEIGHT - 3), 14, CARD, EDGE)
    title, small = ImageFont.load_default(TITLE), ImageFont.load_default(CAPTION)
    for i, line in enumerate(textwrap.wrap(trajectory.prompt, 92)[:2]):
        draw.text((GAP, 10 + i * 22), line, INK, title)
    shown = [step for step in trajectory.steps if step.image is not None]
    for i, step in enumerate(shown):
        left, top = GAP + i * (CANVAS + GAP), 2 * 22 + GAP
        assert step.image is not None
        image.paste(step.image.resize((CANVAS, CANVAS), Image.Resampling.LANCZOS), (left, top))
        refined = step.message.refine is not None
        bad = i + 1 < len(shown) and shown[i + 1].message.refine is not None
        color = BAD if bad else GOOD if refined else EDGE
        draw.rectangle(
            (left - 2, top - 2, left + CANVAS + 1, top + CANVAS + 1), None, color, 3 if bad or refined else 1
        )
        text = step.message.refine or step.message.ins or ""
        for j, line in enumerate(textwrap.wrap(text, 25)[:5]):
            place = (left, top + CANVAS + 6 + j * LINE)
            draw.text(place, line, GOOD if refined else SOFT, small)
    return image


def stacked(cards: list[Image.Image], columns: int) -> Image.Image:
    """Cards on a sheet."""
    rows = -(-len(cards) // columns)
    sheet = Image.new("RGB", (columns * (WIDTH + GAP) + GAP, rows * (HEIGHT + GAP) + GAP), PAPER)
    for i, one in enumerate(cards):
        row, column = divmod(i, columns)
        sheet.paste(one, (GAP + column * (WIDTH + GAP), GAP + row * (HEIGHT + GAP)))
    return sheet


def main() -> None:
    """Run from the command line."""
    out, paintings = Path(sys.argv[1]), sys.argv[2:]
    if paintings:
        cards = [card(load(Path(folder))) for folder in paintings]
        images = {out: stacked(cards, 1)}
    else:
        cards = [card(record.trajectory) for record in chosen()]
        images = {out / "trajectories.png": stacked(cards, COLUMNS), out / "trajectory.png": cards[-5]}
    for path, image in images.items():
        image.save(path, optimize=True)
        print(path, image.size)


if __name__ == "__main__":
    main()
