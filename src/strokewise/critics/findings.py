"""What the oracle finds in a step of the sprite world: its plan against the prompt, its canvas against both.

Code that counts faults, states them, or decides right or wrong takes them from here. This file knows texts
and recognized canvases. It refuses to know which of them a trajectory holds, and what the model says of them.
"""

from dataclasses import dataclass

from strokewise.critics.canvas_reader import describe_canvas, fulfills
from strokewise.critics.oracle import judge_plan, judge_sketch
from strokewise.errors import LanguageError, SceneError
from strokewise.scene_graph import Fault, SceneGraph
from strokewise.world.language import Description, parse_description, parse_prompt
from strokewise.world.recognize import Recognition


@dataclass(frozen=True)
class Findings:
    """Of one step.

    Attributes:
        plan: faults of the plan in force against the prompt; None: one of the two is not understood.
        sketch: faults of the canvas against that plan; None: the plan is not understood, or not all of the
            canvas is recognized.
        right: whether the canvas meets the whole prompt; None: the prompt is of no known world.
    """

    plan: tuple[Fault, ...] | None
    sketch: tuple[Fault, ...] | None
    right: bool | None


def find(prompt: SceneGraph | None, plan: Description | None, seen: Recognition) -> Findings:
    """Return what is wrong in a step.

    Args:
        prompt: of the painting; None: not understood.
        plan: the scene after the stroke, as described by the last message that does; None: likewise.
        seen: what the canvas shows.
    """
    right = None if prompt is None else fulfills(seen, prompt)
    if plan is None:
        return Findings(None, None, right)
    canvas = describe_canvas(seen)
    return Findings(
        None if prompt is None else judge_plan(prompt, plan).plan or (),
        None if canvas is None else judge_sketch(plan, canvas),
        right,
    )


def prompt_graph(text: str) -> SceneGraph | None:
    """Return what a prompt asks for; None if it is not of the sprite world."""
    try:
        return parse_prompt(text)
    except LanguageError:
        return None


def scene_described(text: str | None) -> Description | None:
    """Return the scene of a description; None if it is not understood, or contradicts itself."""
    try:
        found = parse_description(text or "")
        found.validate()
    except (LanguageError, SceneError):
        return None
    return found
