"""What a canvas of the sprite world shows, and whether that is what a prompt asks for.

This is the one definition of a right picture in the sprite world. This file knows recognized canvases. It
refuses to know how a plan is judged (``oracle``) and who painted.
"""

from PIL import Image

from strokewise.critics.oracle import prompt_fulfilled
from strokewise.errors import SceneError
from strokewise.scene_graph import SceneGraph
from strokewise.world.language import Description, describe
from strokewise.world.recognize import Recognition, recognize


def read_canvas(image: Image.Image) -> Description | None:
    """Return a description of all that a canvas shows, comparable with a plan; None if parts are not
    recognized.
    """
    return describe_canvas(recognize(image))


def describe_canvas(found: Recognition) -> Description | None:
    """Return the same of a canvas that is recognized already."""
    try:
        return None if found.unknown else describe(found.scene)
    except SceneError:
        return None


def fulfills(found: Recognition, prompt: SceneGraph) -> bool:
    """Return whether a recognized canvas shows all that the prompt asks for, and nothing that is not
    recognized.
    """
    return not found.unknown and prompt_fulfilled(prompt, found.scene)


def shows_prompt(image: Image.Image, prompt: SceneGraph) -> bool:
    """Return whether a picture is right: it shows all that the prompt asks for, and nothing unknown.

    Raises:
        InputError: if the picture is too small to be recognized.
    """
    return fulfills(recognize(image.convert("RGB")), prompt)
