"""The critic of the sprite world beside the model's own inspections, and its helpers: words, icons, pictures.

Knows the oracle, the recognizer and the renderer. It refuses to know sessions.
"""

from functools import lru_cache
from typing import Any

from PIL import Image

from strokewise.critics.findings import find, prompt_graph, scene_described
from strokewise.errors import InputError
from strokewise.inference.prompt_check import Vocabulary
from strokewise.scene_graph import MAX_COUNT, RELATIONS, SceneGraph, SceneObject
from strokewise.serve.values import CanvasThing, Critic
from strokewise.trajectory.files import encode_png
from strokewise.world.atlas import sprite
from strokewise.world.layout import Placement, Scene, region_of
from strokewise.world.recognize import Recognition, recognize
from strokewise.world.recolor import PAINTS
from strokewise.world.render import render, resized
from strokewise.world.vocabulary import BACKGROUNDS, CLASSES, COLORS, MAX_INSTANCES, REGIONS

EXAMPLES = (
    "a red apple left of a blue bus",
    "three yellow bananas",
    "a green dog above a purple chair",
    "two cats and a pink umbrella",
    "a black car below a white bird",
    "a brown bear right of an orange kite",
)


def judge(prompt: str, plan: str | None, canvas: Image.Image) -> Critic | None:
    """Return what the oracle says of a canvas and of the plan it shows; None where the prompt is of no sprite
    world.

    Args:
        prompt: of the painting.
        plan: the description of the scene after the stroke; None: there is none, or it is not read.
        canvas: what was painted.
    """
    wanted = prompt_graph(prompt)
    if wanted is None:
        return None
    seen = recognize(canvas)
    found = find(wanted, scene_described(plan), seen)
    faults = [f"plan: {fault.message}" for fault in found.plan or ()]
    faults += [f"sketch: {fault.message}" for fault in found.sketch or ()]
    if seen.unknown:
        faults.append(f"{len(seen.unknown)} shapes on the canvas are not recognized")
    return Critic(
        by="oracle",
        prompt=found.right,
        plan=None if found.plan is None else not found.plan,
        sketch=None if found.sketch is None else not found.sketch,
        says="; ".join(faults) or ("the canvas shows the prompt" if found.right else "no fault so far"),
        faults=faults,
        things=things_of(seen),
        unknown=len(seen.unknown),
    )


def things_of(found: Recognition) -> list[CanvasThing]:
    """Return what was recognized, as clients see it."""
    return [
        CanvasThing(
            name=one.name or "", color=one.color, box=list(one.box), confidence=round(one.confidence, 3)
        )
        for one in found.instances
    ]


def draw(things: list[CanvasThing], background: str, size: int) -> Image.Image:
    """Return a canvas of things, the last one on top; InputError for words or boxes that cannot be drawn."""
    objects, placements = [], []
    for number, thing in enumerate(things):
        if thing.name not in CLASSES or thing.color not in (None, *COLORS):
            raise InputError(f"things.{number}: there is no {thing.color or ''} {thing.name} in this world")
        x0, y0, x1, y1 = thing.box
        if not (0 < x1 - x0 <= 1 and 0 < y1 - y0 <= 1):
            raise InputError(
                f"things.{number}: a box is [x0, y0, x1, y1] with x0 < x1, y0 < y1, at most 1 wide"
            )
        box = (x0, y0, x1, y1)
        objects.append(SceneObject(str(number), thing.name, thing.color))
        placements.append(Placement(str(number), 0, region_of(box), box))
    return render(Scene(SceneGraph(tuple(objects), (), background), tuple(placements)), size)


@lru_cache(maxsize=1)
def words(vocabulary: Vocabulary) -> dict[str, Any]:
    """Return all that a model of this world was trained to paint."""
    return {
        "classes": [
            {
                "name": name,
                "icon": f"/v1/world/icons/{name.replace(' ', '%20')}.png",
                "aspect": round(sprite(name).aspect, 4),
            }
            for name in vocabulary.classes
        ],
        "colors": [
            {"name": name, "hex": "#{:02x}{:02x}{:02x}".format(*PAINTS[name])} for name in vocabulary.colors
        ],
        "backgrounds": list(BACKGROUNDS),
        "regions": list(REGIONS),
        "relations": list(RELATIONS),
        "max_count": MAX_COUNT,
        "max_things": MAX_INSTANCES,
        "examples": [text for text in EXAMPLES if _known(vocabulary, text)],
    }


def _known(vocabulary: Vocabulary, prompt: str) -> bool:
    try:
        vocabulary.check(prompt)
    except InputError:
        return False
    return True


@lru_cache(maxsize=1024)
def icon(name: str, color: str | None, size: int) -> bytes:
    """Return a class as PNG with alpha, its longer side ``size`` pixels; InputError for an unknown word."""
    if name not in CLASSES or color not in (None, *COLORS):
        raise InputError(f"there is no {color or ''} {name} in this world")
    aspect = sprite(name).aspect
    width, height = max(1, round(size * min(1, aspect))), max(1, round(size * min(1, 1 / aspect)))
    return encode_png(resized(name, color, width, height))
