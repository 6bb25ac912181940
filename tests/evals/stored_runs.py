"""Runs of a few colored pictures, for tests of what scores them."""

from PIL import Image

from strokewise.evals.costs import Cost
from strokewise.evals.run_store import Run, Writer, prepare
from strokewise.evals.strategies.strategies import Outcome
from strokewise.trajectory.values import Message, Step, Trajectory


def colored_run(folder, prompts, colors):
    """A run with a picture of each color for every prompt; nothing is painted where the color is None."""
    settings = {"model": "m", "strategy": "process", "world": "real", "seeds": [*range(len(colors))]}
    prepare(folder, settings, prompts)
    with Writer(folder, prompts, 0, 1) as writer:
        for number, prompt in enumerate(prompts):
            for sample, color in enumerate(colors):
                image = None if color is None else Image.new("RGB", (8, 8), color)
                steps = (Step(Message(), image),) if image else ()
                outcome = Outcome(Trajectory(prompt.text, steps), Cost(1, 1, 1, 1, 0, 0.0))
                writer.write(number, sample, sample, outcome)
    return Run(folder)
