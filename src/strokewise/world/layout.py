"""Where the things of a scene stand."""

from __future__ import annotations

from dataclasses import dataclass

from strokewise.scene_graph import SceneGraph
from strokewise.world.vocabulary import region_at

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Placement:
    """Where one instance stands.

    object_id: id of the group in the scene's graph.
    index: which instance of the group, from 0.
    region: the name of the grid cell that holds the center of the box.
    box: (x0, y0, x1, y1) of the visible sprite in canvas units: 0..1 from the upper left.
    """

    object_id: str
    index: int
    region: str
    box: Box


@dataclass(frozen=True)
class Scene:
    """A graph together with a place for every instance; all that the renderer needs."""

    graph: SceneGraph
    placements: tuple[Placement, ...]
    seed: int = 0


def region_of(box: Box) -> str:
    """The region that holds the center of a box in canvas units."""
    return region_at((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
