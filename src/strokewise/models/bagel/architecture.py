"""BAGEL's architecture as the registry sees it: one object that joins this folder's functions."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from strokewise.models.backbone import Backbone, BackboneConfig, ModelSizes, Parallelism
from strokewise.models.bagel import costs
from strokewise.models.bagel.config import ModelConfig
from strokewise.models.bagel.layouts import is_bagel_layout, read_config
from strokewise.models.bagel.loading import load_folder, read_weights
from strokewise.models.bagel.saving import export_bagel, save_model
from strokewise.models.bagel.unified import UnifiedModel


class BagelArchitecture:
    """BAGEL-7B-MoT, its derivatives, and nano."""

    name = "bagel"
    hub_ids: Mapping[str, str] = {"bagel-7b": "ByteDance-Seed/BAGEL-7B-MoT"}
    layouts = ("strokewise", "bagel")
    # The linear layers of both experts of every decoder layer.
    adapter_targets = r"language\.layers\.\d+\.(understanding|generation)\.(qkv|out|gate_up|down)"
    # Decoder and ViT layers; neither embeddings nor what enters or leaves.
    layer_weights = r"(language|vision)\.layers\."

    def recognizes(self, folder: Path) -> bool:
        """Say whether a folder is of BAGEL's released layout."""
        return is_bagel_layout(folder)

    def read_config(self, folder: Path) -> ModelConfig:
        """Read the sizes of a checkpoint in either layout."""
        return read_config(folder)

    def build(self, config: BackboneConfig) -> UnifiedModel:
        """Make a model of these sizes with arbitrary weights."""
        return UnifiedModel(_checked(config))

    def load(
        self, folder: Path, device: torch.device, dtype: torch.dtype, quantize: str | None
    ) -> UnifiedModel:
        """Load a checkpoint for inference."""
        return load_folder(folder, device, dtype, quantize)

    def read_weights(
        self, folder: Path, wanted: Mapping[str, Tensor], dtype: torch.dtype
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield weights one after another on the CPU."""
        return read_weights(folder, wanted, dtype)

    def save(self, model: Backbone, folder: Path, layout: str) -> None:
        """Write a model in our own layout, or in BAGEL's released one."""
        write = export_bagel if layout == "bagel" else save_model
        write(_unified(model), folder)

    def parallelize(self, model: Backbone, parallelism: Parallelism) -> None:
        """Apply checkpointing, compilation and sharding to decoder and ViT layers."""
        from strokewise.models.bagel.parallelize import parallelize  # only training needs torch.distributed

        parallelize(_unified(model), parallelism)

    def costs(self, config: BackboneConfig) -> "BagelCosts":
        """Count what training a model of these sizes costs."""
        return BagelCosts(_checked(config))


class BagelCosts:
    """Operations and parameters of one configuration; see ``costs`` for what is counted."""

    def __init__(self, config: ModelConfig) -> None:
        """Count for a model of these sizes."""
        self.config = config

    @cached_property
    def sizes(self) -> ModelSizes:
        """Numbers for the estimate of memory."""
        language, counts = self.config.language, costs.parameters(self.config)
        size, wide = language.hidden_size, language.intermediate_size
        tables, autoencoder = counts["position tables"], counts["autoencoder"]
        # A rough count of what one layer keeps for its backward pass: inputs, norms, projections, the MLP.
        layer = 14 * size + 4 * wide
        vision = self.config.vision
        read = 10 * vision.hidden_size + 2 * vision.intermediate_size
        return ModelSizes(
            trained=sum(counts.values()) - tables - autoencoder,
            autoencoder=autoencoder,
            tables=tables,
            quantized=2 * costs.expert_weights(language),
            layer=2 * costs.expert_weights(language) // language.num_layers,
            root=2 * language.vocab_size * size,
            kept=language.num_layers * layer,
            kept_checkpointing=language.num_layers * size + layer,
            kept_patch=vision.num_layers * read + 2 * vision.hidden_size,
            kept_patch_checkpointing=vision.num_layers * vision.hidden_size + read,
            vocabulary=language.vocab_size,
        )

    def linear_flops(self, tokens: int, predicted: int, patches: int) -> float:
        """Count the products with weights of one forward pass."""
        language, vision = self.config.language, self.config.vision
        size, seen = language.hidden_size, vision.hidden_size
        head = language.vocab_size * size * predicted
        layer = 4 * seen**2 + 2 * seen * vision.intermediate_size
        reading = vision.num_layers * layer + seen * vision.patch_channels + seen * size + size**2
        return 2.0 * (costs.expert_weights(language) * tokens + head + reading * patches)

    def attention_flops(self, pairs: int, patch_pairs: int) -> float:
        """Count the products of queries, keys and values in decoder and ViT."""
        vision = self.config.vision
        read = 4.0 * vision.num_layers * vision.hidden_size * patch_pairs
        return costs.attention_flops(self.config.language, 1, pairs) + read

    def encoding_flops(self, height: int, width: int) -> float:
        """Count the operations of encoding one image."""
        return costs.encoding_flops(self.config.autoencoder, height, width)

    def adapter_parameters(self, rank: int) -> int:
        """Count the parameters of the adapters of both experts of all layers."""
        language = self.config.language
        size, wide = language.hidden_size, language.intermediate_size
        qkv = (language.num_heads + 2 * language.num_kv_heads) * language.head_dim
        heads = language.num_heads * language.head_dim
        sides = (size + qkv) + (heads + size) + (size + 2 * wide) + (wide + size)
        return 2 * language.num_layers * rank * sides


def _checked(config: BackboneConfig) -> ModelConfig:
    assert isinstance(config, ModelConfig), f"{type(config).__name__} is no configuration of BAGEL"
    return config


def _unified(model: Backbone) -> UnifiedModel:
    assert isinstance(model, UnifiedModel), f"{type(model).__name__} is no BAGEL"
    return model


ARCHITECTURE = BagelArchitecture()
