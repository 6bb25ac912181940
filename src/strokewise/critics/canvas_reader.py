"""What a canvas of the sprite world shows, as a description that can be compared with a plan."""

from PIL import Image

from strokewise.errors import SceneError
from strokewise.world.language import Description, describe
from strokewise.world.recognise import recognise


def read_canvas(image: Image.Image) -> Description | None:
    """What a canvas shows; None if some of it is not recognised."""
    try:
        found = recognise(image)
        return None if found.unknown else describe(found.scene)
    except SceneError:
        return None
