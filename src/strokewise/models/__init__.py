"""Models behind the backbone protocol; one folder for each architecture, loaded by name."""

from strokewise.models.attention import Visible
from strokewise.models.backbone import (
    Architecture,
    Backbone,
    BackboneConfig,
    Hidden,
    ModelSizes,
    Parallelism,
    TrainingCosts,
    module_of,
)
from strokewise.models.kv_cache import KVBlock, KVCache
from strokewise.models.registry import (
    architecture_of,
    find_checkpoint,
    is_local,
    load_model,
    read_config,
    read_weights,
    register,
)
from strokewise.models.visibility import image_visibility, visibility

__all__ = [
    "Architecture",
    "Backbone",
    "BackboneConfig",
    "Hidden",
    "KVBlock",
    "KVCache",
    "ModelSizes",
    "Parallelism",
    "TrainingCosts",
    "Visible",
    "architecture_of",
    "find_checkpoint",
    "image_visibility",
    "is_local",
    "load_model",
    "module_of",
    "read_config",
    "read_weights",
    "register",
    "visibility",
]
