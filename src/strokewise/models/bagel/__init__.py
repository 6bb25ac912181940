"""BAGEL's architecture at any size: configuration, modules and checkpoints. Knows no prompts."""

from strokewise.models.bagel.architecture import ARCHITECTURE
from strokewise.models.bagel.config import (
    AutoencoderConfig,
    LanguageConfig,
    ModelConfig,
    VisionConfig,
    bagel_7b,
    nano,
)
from strokewise.models.bagel.initialize import fresh_model
from strokewise.models.bagel.saving import export_bagel, save_model
from strokewise.models.bagel.unified import UnifiedModel

__all__ = [
    "ARCHITECTURE",
    "AutoencoderConfig",
    "LanguageConfig",
    "ModelConfig",
    "UnifiedModel",
    "VisionConfig",
    "bagel_7b",
    "export_bagel",
    "fresh_model",
    "nano",
    "save_model",
]
