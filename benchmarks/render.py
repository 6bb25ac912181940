"""How many scenes a second are laid out and rendered, on one core.

    python benchmarks/render.py [--size 128] [--scenes 2000]

The first pass draws every sprite size for the first time, the second finds most of them drawn.
"""

import argparse
import random
import time

from scenes import random_scene
from strokewise.world.layout import place
from strokewise.world.render import render_array


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--scenes", type=int, default=2000)
    options = parser.parse_args()
    rng = random.Random(0)
    scenes = [random_scene(rng) for _ in range(options.scenes)]

    def rate(what: str) -> None:
        start = time.process_time()
        for scene in scenes:
            if what == "layout":
                place(scene.graph, scene.seed)
            else:
                render_array(scene, options.size)
        print(f"{what:12s} {len(scenes) / (time.process_time() - start):8.0f} scenes/s")

    things = sum(len(scene.placements) for scene in scenes) / len(scenes)
    print(f"{len(scenes)} scenes of {things:.1f} things on average, {options.size} px, one core")
    rate("layout")
    rate("first pass")
    rate("second pass")


if __name__ == "__main__":
    main()
