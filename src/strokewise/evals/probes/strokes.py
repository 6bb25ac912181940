"""How well a model paints single strokes: given the right canvas and plan, is the new canvas as planned?

Each stroke is taken from another trajectory, rendered by the sprite world; the painted canvas is read by
the recognizer and compared with the plan by the oracle. Knows contexts and messages, no loop over stages.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from strokewise.critics.canvas_reader import read_canvas
from strokewise.critics.oracle import judge_sketch
from strokewise.data.canvas_painters import SpritePainter
from strokewise.data.multi_turn import strokes
from strokewise.data.scenes import SceneMix, sample_scene
from strokewise.data.wording import write_steps
from strokewise.evals.intervals import NamedShare
from strokewise.flow import Guidance
from strokewise.inference import Painted, PaintOptions
from strokewise.inference.painter import Painter
from strokewise.sequence import Segment
from strokewise.trajectory.values import Message
from strokewise.world.language import Description, describe
from strokewise.world.vocabulary import CLASSES

BATCH = 16


@dataclass(frozen=True)
class StrokeCase:
    """One stroke to paint.

    Attributes:
        before: the canvas before it; None for the first one.
        after: the canvas as the sprite world renders it.
        text: the message that plans it.
        plan: the same as a value.
    """

    before: Image.Image | None
    after: Image.Image
    text: str
    plan: Description


@dataclass(frozen=True)
class StrokeScore:
    """How one canvas was scored.

    Attributes:
        recognized: whether everything on the canvas is recognized.
        faults: differences from the plan; 0 where not everything is recognized.
    """

    recognized: bool
    faults: int

    @property
    def right(self) -> bool:
        """Whether the canvas is as planned."""
        return self.recognized and not self.faults


def sample_strokes(
    count: int, seed: int = 0, classes: Sequence[str] = CLASSES, layout_jitter: float = 0.0
) -> list[StrokeCase]:
    """Return random strokes, the same for the same arguments.

    Args:
        count: how many.
        seed: random seed.
        classes: things to draw.
        layout_jitter: how far sizes and places vary within the cells, 0..1.
    """
    mix = SceneMix(classes=tuple(classes), layout_jitter=layout_jitter)
    return [_stroke(random.Random(f"strokes/{seed}/{number}"), mix) for number in range(count)]


def paint_strokes(
    painter: Painter, cases: Sequence[StrokeCase], options: PaintOptions, seed: int = 0
) -> list[Image.Image]:
    """Return the canvas that a model paints for each stroke.

    Args:
        painter: the model.
        cases: the strokes.
        options: of the sampler; the image guidance is used from the second canvas on.
        seed: noise seed of the first stroke; the next ones count up.
    """
    generator = painter.generator
    painted: list[Image.Image] = []
    for at in range(0, len(cases), BATCH):
        group = cases[at : at + BATCH]
        contexts = [generator.context() for _ in group]
        for context, case in zip(contexts, group, strict=True):
            if case.before is not None:
                generator.append([context], [generator.image_segments(case.before)], True)
            ids = tuple(painter.tokenizer.encode(case.text))
            generator.append([context], [[Segment.text(ids)]], True)
        sizes = [(case.after.height, case.after.width) for case in group]
        seeds = range(seed + at, seed + at + len(group))
        events = generator.paint(contexts, sizes, options, seeds=seeds)
        painted += next(event for event in events if isinstance(event, Painted)).images
    return painted


def score_stroke(image: Image.Image, case: StrokeCase) -> StrokeScore:
    """Return how a canvas differs from its plan."""
    seen = read_canvas(image)
    return StrokeScore(False, 0) if seen is None else StrokeScore(True, len(judge_sketch(case.plan, seen)))


def probe_strokes(
    painter: Painter, cases: Sequence[StrokeCase], guidance: float = 1.0, seed: int = 0
) -> tuple[list[Image.Image], list[StrokeScore]]:
    """Paint strokes with the model's default sampler settings and score them; canvases and scores in order.

    Args:
        painter: the model.
        cases: from :func:`sample_strokes`.
        guidance: guidance scale of the text; at most 1 is off.
        seed: see :func:`paint_strokes`.
    """
    scales = Guidance(text_scale=guidance, image_scale=1.0)
    options = PaintOptions(painter.defaults.steps, painter.defaults.shift, scales)
    images = paint_strokes(painter, cases, options, seed)
    return images, [score_stroke(image, case) for image, case in zip(images, cases, strict=True)]


def summarize(scores: Sequence[StrokeScore], name: str, seed: int = 0) -> list[NamedShare]:
    """Return the shares of canvases that are as planned, and of those that are fully recognized."""
    return [
        NamedShare.of(f"{name}: as planned", [[one.right] for one in scores], seed),
        NamedShare.of(f"{name}: all recognized", [[one.recognized] for one in scores], seed),
    ]


def contact_sheet(rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """Return pictures of one size in rows."""
    width, height = rows[0][0].size
    sheet = Image.new("RGB", (width * len(rows[0]), height * len(rows)))
    for r, row in enumerate(rows):
        for c, image in enumerate(row):
            sheet.paste(image, (c * width, r * height))
    return sheet


def _stroke(rng: random.Random, mix: SceneMix) -> StrokeCase:
    scene = sample_scene(rng, mix)
    canvases = strokes(scene, rng)
    steps = write_steps(scene.graph, canvases, SpritePainter(), rng)
    painted = [(step.message, step.image) for step in steps if step.image is not None]
    at = rng.randrange(len(canvases))
    message, after = painted[at]
    text = Message(ins=message.ins, des=message.des).text()
    return StrokeCase(painted[at - 1][1] if at else None, after, text, describe(canvases[at].plan))
