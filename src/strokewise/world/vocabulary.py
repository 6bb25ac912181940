"""The words of the sprite world: what can be shown, in which colors, where, and on what.

Classes and colors are GenEval's, in its spelling, the classes in COCO's order. This file knows the words
and the 3 x 3 grid that region names stand for. It refuses to know how anything looks (`recolor`, `render`),
how a word is used in a sentence (`language`), and how many of a thing a graph may hold (`scene_graph`).
"""

from __future__ import annotations

from strokewise.errors import SceneError

CLASSES: tuple[str, ...] = (
    "person",
    "bicycle",
    "car",
    "motorcycle",
    "airplane",
    "bus",
    "train",
    "truck",
    "boat",
    "traffic light",
    "fire hydrant",
    "stop sign",
    "parking meter",
    "bench",
    "bird",
    "cat",
    "dog",
    "horse",
    "sheep",
    "cow",
    "elephant",
    "bear",
    "zebra",
    "giraffe",
    "backpack",
    "umbrella",
    "handbag",
    "tie",
    "suitcase",
    "frisbee",
    "skis",
    "snowboard",
    "sports ball",
    "kite",
    "baseball bat",
    "baseball glove",
    "skateboard",
    "surfboard",
    "tennis racket",
    "bottle",
    "wine glass",
    "cup",
    "fork",
    "knife",
    "spoon",
    "bowl",
    "banana",
    "apple",
    "sandwich",
    "orange",
    "broccoli",
    "carrot",
    "hot dog",
    "pizza",
    "donut",
    "cake",
    "chair",
    "couch",
    "potted plant",
    "bed",
    "dining table",
    "toilet",
    "tv",
    "laptop",
    "computer mouse",
    "tv remote",
    "computer keyboard",
    "cell phone",
    "microwave",
    "oven",
    "toaster",
    "sink",
    "refrigerator",
    "book",
    "clock",
    "vase",
    "scissors",
    "teddy bear",
    "hair drier",
    "toothbrush",
)

COLORS: tuple[str, ...] = (
    "red",
    "orange",
    "yellow",
    "green",
    "blue",
    "purple",
    "pink",
    "brown",
    "black",
    "white",
)

# Row by row from the upper left, so that index // 3 is the row and index % 3 the column.
REGIONS: tuple[str, ...] = (
    "upper left",
    "top",
    "upper right",
    "left",
    "center",
    "right",
    "lower left",
    "bottom",
    "lower right",
)
GRID = 3
MAX_INSTANCES = GRID * GRID  # on a canvas: one in each region

BACKGROUNDS: tuple[str, ...] = ("white", "gray", "sky", "grass", "sand", "night")
# What a scene without a stated background is painted on.
DEFAULT_BACKGROUND = "white"


def region_cell(region: str) -> tuple[int, int]:
    """Return the (row, column) of a region on the 3 x 3 grid, both 0 to 2; SceneError for an unknown name."""
    if region not in REGIONS:
        raise SceneError(f"unknown region {region!r}; regions: {', '.join(REGIONS)}")
    return divmod(REGIONS.index(region), GRID)


def region_at(x: float, y: float) -> str:
    """Return the region that holds the point (x, y) in canvas units; points outside 0..1 count to the
    nearest.
    """
    column, row = (min(max(int(value * GRID), 0), GRID - 1) for value in (x, y))
    return REGIONS[row * GRID + column]
