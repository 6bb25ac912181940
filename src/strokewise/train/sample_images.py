"""Painted samples during a run: training samples read up to their last image, which is painted anew."""

from collections.abc import Sequence

from PIL import Image

from strokewise.datasets.mixture import Mixture
from strokewise.datasets.samples import SampleImage, SamplePart, SampleText
from strokewise.inference import Generator, Painted, PaintOptions
from strokewise.sequence import Segment, resize

# Far behind every position that is trained on; finite sources give the same samples there as anywhere.
FAR = 10**12
SEARCH = 1000


def beginnings(mixture: Mixture, count: int) -> list[tuple[SamplePart, ...]]:
    """Return the beginnings of some samples, each up to its last supervised image."""
    found: list[tuple[SamplePart, ...]] = []
    for position in range(FAR, FAR + SEARCH):
        if len(found) == count:
            break
        parts = mixture.sample(position).parts
        painted = [i for i, part in enumerate(parts) if isinstance(part, SampleImage) and part.loss]
        if painted:
            found.append(parts[: painted[-1] + 1])
    return found


def paint_after(
    generator: Generator, starts: Sequence[tuple[SamplePart, ...]], options: PaintOptions
) -> Image.Image:
    """Paint after each beginning; one image with the results above, the expected ones below."""
    contexts, expected = [], []
    for parts in starts:
        context = generator.context()
        for part in parts[:-1]:
            guided = not isinstance(part, SampleText) or part.guided
            generator.append([context], [_segments(generator, part)], guided)
        target = parts[-1]
        assert isinstance(target, SampleImage)
        image = Image.fromarray(target.pixels)
        contexts.append(context)
        expected.append(resize(image, generator.canvas))
    sizes = [(image.height, image.width) for image in expected]
    events = generator.paint(contexts, sizes, options, seeds=range(len(contexts)))
    painted = next(event for event in events if isinstance(event, Painted))
    return _grid([painted.images, expected])


def _segments(generator: Generator, part: SamplePart) -> list[Segment]:
    if isinstance(part, SampleText):
        return [Segment.text(part.ids)]
    return generator.image_segments(Image.fromarray(part.pixels))


def _grid(rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    width = max(image.width for row in rows for image in row)
    height = max(image.height for row in rows for image in row)
    grid = Image.new("RGB", (width * max(map(len, rows)), height * len(rows)), "white")
    for r, row in enumerate(rows):
        for c, image in enumerate(row):
            grid.paste(image, (c * width, r * height))
    return grid
