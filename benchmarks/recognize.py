"""How well and how fast pictures of the sprite world are recognized, clean and spoiled, on one core.

    python benchmarks/recognize.py [--scenes 300] [--every] [--sizes] [--fit]

exact: scenes of which everything is right: all classes, colors, counts and regions, the background, nothing
unknown. right: things reported with the right class and color at the right place; wrong: reported
otherwise, or where nothing is; unknown: reported as unknown; the rest was not seen. All in % of the scenes or
things there are.
--every takes each class in each look and count (3520 scenes) for clean pictures.
"""

import argparse
import random
import time
from collections import Counter

import numpy as np

from degrade import degrade
from scenes import every_scene, random_scene
from strokewise.world.layout import Box, Scene
from strokewise.world.recognize import Instance, Recognition, recognize
from strokewise.world.recognize.background import find_ground
from strokewise.world.recognize.reading import SIZE, features
from strokewise.world.recognize.selection import select
from strokewise.world.recognize.templates import LOOKS
from strokewise.world.render import render

WAYS = (
    "clean",
    "blur1",
    "blur2",
    "blur3",
    "blur4",
    "blur6",
    "noise10",
    "noise25",
    "jpeg50",
    "jpeg20",
    "bend1",
    "bend2",
    "bend3",
    "shift8",
    "shift20",
    "low2+tint4",
    "low3+tint8",
    "low4+tint8",
    "low6+tint8",
    "low2.5+tint6+bend1+shift5",
)
NEAR = 0.06  # of the canvas: centers of boxes closer than this are of the same thing


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--every", action="store_true")
    parser.add_argument("--sizes", action="store_true", help="clean pictures of other sizes too")
    parser.add_argument("--fit", action="store_true", help="fit the chance of a match to be right instead")
    options = parser.parse_args()
    rng = random.Random(int(options.fit))  # what is fitted is measured on other scenes
    scenes = [random_scene(rng) for _ in range(options.scenes)]
    recognize(render(scenes[0]))  # draws all looks once
    if options.fit:
        fit(scenes)
        return
    print(f"{'pictures':28s} scenes  exact  right  wrong  unknown  per s")
    if options.every:
        report("clean, each look and count", every_scene(rng), "clean")
    for way in WAYS:
        report(way, scenes, way)
    for size in (64, 256, 512) if options.sizes else ():
        report(f"clean, {size} px", scenes, "clean", size)


def report(title: str, scenes: list[Scene], way: str, size: int = SIZE) -> None:
    """Print one line: scenes spoiled in one way."""
    noise = np.random.default_rng(0)
    counts: Counter[str] = Counter()
    seconds = 0.0
    for scene in scenes:
        image = degrade(render(scene, size), way, noise)
        start = time.process_time()
        found = recognize(image)
        seconds += time.process_time() - start
        counts += judge(scene, found)
    things, number = counts["things"], len(scenes)
    shares = [100 * counts["exact"] / number] + [
        100 * counts[k] / things for k in ("right", "wrong", "unknown")
    ]
    exact, right, wrong, unknown = (f"{share:.1f}" for share in shares)
    print(
        f"{title:28s} {number:6d} {exact:>6s} {right:>6s} {wrong:>6s} {unknown:>8s} {number / seconds:6.0f}"
    )


def judge(scene: Scene, found: Recognition) -> Counter[str]:
    """Return counts of things, of right, wrong and unknown ones, and whether all is exact."""
    counts = Counter(things=len(scene.placements), unknown=len(found.unknown))
    for instance in found.instances:
        counts["right" if (instance.name, instance.color) in looks_at(scene, instance) else "wrong"] += 1
    wanted = Counter((*look(scene, p.object_id), p.region) for p in scene.placements)
    seen = Counter((one.name, one.color, one.region) for one in found.instances)
    known = found.background_confidence > 0 and found.background == scene.background
    counts["exact"] = int(wanted == seen and known and not found.unknown)
    return counts


def looks_at(scene: Scene, instance: Instance) -> list[tuple[str, str | None]]:
    """Return the looks that really stand where an instance was seen."""
    return [look(scene, p.object_id) for p in scene.placements if near(p.box, instance.box)]


def look(scene: Scene, object_id: str) -> tuple[str, str | None]:
    """Class and color of an object."""
    return scene.graph[object_id].name, scene.graph[object_id].color


def near(a: Box, b: Box) -> bool:
    """Return whether the centers of two boxes are close."""
    return all(abs(a[i] + a[i + 2] - b[i] - b[i + 2]) / 2 < NEAR for i in (0, 1))


def fit(scenes: list[Scene]) -> None:
    """Print the logistic function of a match's features that best separates right classes from wrong ones."""
    rows, right = [], []
    for way in WAYS:
        noise = np.random.default_rng(1)
        for scene in scenes:
            pixels = np.asarray(degrade(render(scene), way, noise), np.float32)
            for match in select(pixels, find_ground(pixels))[0]:
                x0, y0, x1, y1 = (edge / SIZE for edge in match.box)
                name = LOOKS[match.look][0]
                there = [
                    look(scene, p.object_id)[0] for p in scene.placements if near(p.box, (x0, y0, x1, y1))
                ]
                rows.append((1.0, *features(match)))
                right.append(name in there)
    table, truth = np.array(rows), np.array(right, np.float64)
    weights = np.zeros(table.shape[1])
    for _ in range(60):
        chance = 1 / (1 + np.exp(-(table @ weights)))
        bend = (table.T * (chance * (1 - chance))) @ table + 1e-3 * np.eye(len(weights))
        weights += np.linalg.solve(bend, table.T @ (truth - chance) - 1e-3 * weights)
    print(f"{len(truth)} matches, {truth.mean():.1%} right; bias, by residual, by rival, by area, by blur:")
    print(" ".join(f"{weight:.2f}" for weight in weights))


if __name__ == "__main__":
    main()
