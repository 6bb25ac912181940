"""The unified network: configuration, modules, cache and checkpoints. Knows no prompts."""

from strokewise.models.bagel.config import (
    AutoencoderConfig,
    LanguageConfig,
    ModelConfig,
    VisionConfig,
    bagel_7b,
    nano,
)
from strokewise.models.bagel.kv_cache import KVBlock, KVCache
from strokewise.models.bagel.loading import export_bagel, load_model, save_model
from strokewise.models.bagel.unified import Hidden, UnifiedModel, canvas_limits, visibility, vision_limits

__all__ = [
    "AutoencoderConfig",
    "Hidden",
    "KVBlock",
    "KVCache",
    "LanguageConfig",
    "ModelConfig",
    "UnifiedModel",
    "VisionConfig",
    "bagel_7b",
    "canvas_limits",
    "export_bagel",
    "load_model",
    "nano",
    "save_model",
    "visibility",
    "vision_limits",
]
