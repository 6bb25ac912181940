"""How well a model paints single strokes: right canvas and right plan given, is the new canvas as planned?

python benchmarks/strokes.py MODEL [--n 64] [--guidance 1.0 2.0] [--steps 12] [--out strokes.png]
"""

import argparse
import random
import time
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.table import Table

import machine
from strokewise import Painter
from strokewise.critics.oracle import judge_sketch
from strokewise.data.canvas_painters import SpritePainter
from strokewise.data.multi_turn import strokes
from strokewise.data.sampled_plans import read_canvas
from strokewise.data.scenes import SceneMix, sample_scene
from strokewise.data.wording import Canvas, write_steps
from strokewise.flow import Guidance
from strokewise.inference import Painted, PaintOptions
from strokewise.sequence import Segment
from strokewise.trajectory.values import Message
from strokewise.world.language import describe
from strokewise.world.vocabulary import CLASSES

BATCH = 16


class Stroke:
    """A canvas, the plan for the next one, and what it should be."""

    def __init__(self, painter: Painter, draw: random.Random, layout_jitter: float) -> None:
        known = painter.vocabulary
        scene = sample_scene(
            draw, SceneMix(classes=known.classes if known else CLASSES, layout_jitter=layout_jitter)
        )
        canvases: list[Canvas] = strokes(scene, draw)
        steps = write_steps(scene.graph, canvases, SpritePainter(), draw)
        painted = [(step.message, step.image) for step in steps if step.image is not None]
        at = draw.randrange(len(canvases))
        self.before = painted[at - 1][1] if at else None
        message, self.after = painted[at]
        self.text = Message(ins=message.ins, des=message.des).text()
        self.plan = describe(canvases[at].plan)


def paint(painter: Painter, chosen: list[Stroke], options: PaintOptions) -> list[Image.Image]:
    """The new canvas of each stroke."""
    generator = painter.generator
    painted: list[Image.Image] = []
    for at in range(0, len(chosen), BATCH):
        group = chosen[at : at + BATCH]
        contexts = [generator.context() for _ in group]
        for context, stroke in zip(contexts, group, strict=True):
            if stroke.before is not None:
                generator.append([context], [generator.image_segments(stroke.before)], True)
            ids = tuple(painter.tokenizer.encode(stroke.text))
            generator.append([context], [[Segment.text(ids)]], True)
        sizes = [(stroke.after.height, stroke.after.width) for stroke in group]
        events = generator.paint(contexts, sizes, options, seeds=range(at, at + len(group)))
        painted += next(event for event in events if isinstance(event, Painted)).images
    return painted


def judged(image: Image.Image, stroke: Stroke) -> tuple[bool, int]:
    """Whether the canvas is as planned, and how many faults were seen (-1: not all of it was recognised)."""
    seen = read_canvas(image)
    faults = -1 if seen is None else len(judge_sketch(stroke.plan, seen))
    return faults == 0, faults


def grid(rows: list[list[Image.Image]]) -> Image.Image:
    """Pictures in rows."""
    width, height = rows[0][0].size
    found = Image.new("RGB", (width * len(rows[0]), height * len(rows)))
    for r, row in enumerate(rows):
        for c, image in enumerate(row):
            found.paste(image, (c * width, r * height))
    return found


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--n", type=int, default=64)
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.0, 2.0])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--shift", type=float, default=3.0)
    parser.add_argument("--layout_jitter", type=float, default=0.0, help="of sizes and places in the cells")
    parser.add_argument("--out", type=Path, help="picture of the first ten: before, wanted, painted")
    options = parser.parse_args()
    painter = Painter.load(options.model)
    draw = random.Random("strokes")
    chosen = [Stroke(painter, draw, options.layout_jitter) for _ in range(options.n)]
    console = Console(width=100)
    console.print(machine.describe("cpu"))
    table = Table("guidance", "as planned", "not all recognised", "faults seen", "s a canvas")
    blank = Image.new("RGB", chosen[0].after.size, "gray")
    rows = [[s.before or blank for s in chosen[:10]], [s.after for s in chosen[:10]]]
    for scale in options.guidance:
        start = time.perf_counter()
        asked = PaintOptions(options.steps, options.shift, Guidance(text_scale=scale, image_scale=1.0))
        images = paint(painter, chosen, asked)
        seconds = (time.perf_counter() - start) / len(chosen)
        found = [judged(image, stroke) for image, stroke in zip(images, chosen, strict=True)]
        right, unknown = sum(ok for ok, _ in found), sum(faults < 0 for _, faults in found)
        faults = sum(max(0, n) for _, n in found)
        table.add_row(f"{scale}", f"{right} of {len(found)}", str(unknown), str(faults), f"{seconds:.2f}")
        rows.append(images[:10])
    console.print(table)
    if options.out:
        grid(rows).save(options.out)


if __name__ == "__main__":
    main()
