"""How many things a prompt can have: free prompts with counts, colors, relations and backgrounds, painted.

python benchmarks/things.py MODEL [--n 48]
"""

import argparse
import random
from dataclasses import replace

from PIL import Image
from rich.console import Console
from rich.table import Table

import machine
from strokewise import Painter
from strokewise.critics.verifiers import SpriteVerifier
from strokewise.data.scenes import sample_scene
from strokewise.errors import SceneError
from strokewise.recipes.nano.stages import NANO_SCENES
from strokewise.world.language import write_prompt

MOST = 4


def right(prompt: str, image: Image.Image) -> bool:
    """Whether all that the prompt asks for is there, and nothing unknown."""
    try:
        return SpriteVerifier().score(prompt, image) == 1.0
    except SceneError:
        return False


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--n", type=int, default=48, help="prompts of each number of things")
    options = parser.parse_args()
    painter, console = Painter.load(options.model), Console(width=100)
    console.print(machine.describe("cpu"))
    table = Table("things", "right", "ended by itself")
    for number in range(1, MOST + 1):
        draw = random.Random(f"things/{number}")
        mix = replace(NANO_SCENES, objects=(0.0,) * (number - 1) + (1.0,))
        prompts = [write_prompt(sample_scene(draw, mix).graph, draw) for _ in range(options.n)]
        painted = painter.paint_many(prompts, seeds=list(range(options.n)), batch=48)
        fine = sum(right(prompt, t.images[-1]) for prompt, t in zip(prompts, painted, strict=True))
        ended = sum(t.stop == "end" for t in painted)
        table.add_row(str(number), f"{fine} of {options.n}", str(ended))
    console.print(table)


if __name__ == "__main__":
    main()
