"""A stand-in for a model that samples its own trajectories."""

import random
from dataclasses import replace

from strokewise.data.canvas_painters import SpritePainter
from strokewise.data.multi_turn import strokes
from strokewise.data.scenes import unused_class, with_object
from strokewise.data.wording import write_steps
from strokewise.trajectory.values import Trajectory
from strokewise.world.language import parse_prompt
from strokewise.world.layout import place
from strokewise.world.vocabulary import CLASSES


class Careless:
    """Paints what is asked; every other time one canvas shows something else than its plan."""

    def __init__(self):
        self.calls, self.prompts = 0, []

    def sample(self, prompts, seeds):
        self.calls += 1
        self.prompts += prompts
        return [self.paint(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]

    def paint(self, prompt, seed):
        rng = random.Random(seed)
        graph = parse_prompt(prompt)
        canvases = strokes(place(graph, seed), rng)
        if seed % 2:
            plan = canvases[0].plan
            obj = plan.graph.objects[0]
            other = replace(obj, name=unused_class(plan.graph, CLASSES, rng))
            canvases = [replace(canvases[0], shown=with_object(plan, other))]
        return Trajectory(prompt, tuple(write_steps(graph, canvases, SpritePainter(), rng)))
