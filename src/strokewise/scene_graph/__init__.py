"""Scene graphs: what a picture is meant to show, how two of them differ, and plain JSON for them."""

from strokewise.scene_graph.diff import FAULT_KINDS, Fault, SceneDiff, diff
from strokewise.scene_graph.graph import (
    INVERSE,
    MAX_COUNT,
    RELATIONS,
    Relation,
    SceneGraph,
    SceneObject,
    Thing,
)

__all__ = [
    "FAULT_KINDS",
    "INVERSE",
    "MAX_COUNT",
    "RELATIONS",
    "Fault",
    "Relation",
    "SceneDiff",
    "SceneGraph",
    "SceneObject",
    "Thing",
    "diff",
]
