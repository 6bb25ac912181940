"""Recognition: what a picture of the sprite world shows, by comparing it with the sprites.

Classical vision without a trained model: `background` finds what things stand on, `segments` proposes boxes,
`templates` and `matching` compare them with every look of every class, `selection` chooses, `reading` states
what was seen and how sure that is.
"""

from strokewise.world.recognize.reading import Instance, Recognition, SpriteDetection, detect, recognize

__all__ = ["Instance", "Recognition", "SpriteDetection", "detect", "recognize"]
