"""The protocols of a model: what inference, training and data sets use of a network, and no more.

An architecture implements them in a folder of its own (``models/bagel`` is the one that ships) and offers an
`Architecture` object, which ``models/registry.py`` finds. Refuses to know layers, experts and stored names.

Shape legend: R rows of a batch, U understanding and G generation columns, K cached and new columns together,
S hidden size, N latent tokens of an image, C channels of a latent token, I images, H x W pixels.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from strokewise.models.attention import Visible
from strokewise.models.kv_cache import KVBlock, KVCache
from strokewise.sequence import ImageLimits, Packed, PackSpec, SpecialTokens

if TYPE_CHECKING:  # takes longer to import than the rest of painting
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.fsdp import MixedPrecisionPolicy


@dataclass(frozen=True)
class Hidden:
    """Final hidden states of a packed batch.

    Attributes:
        understanding: (R, U, S), of text, delimiters and ViT tokens.
        generation: (R, G, S), of latent tokens.
    """

    understanding: Tensor
    generation: Tensor


class BackboneConfig(Protocol):
    """The sizes of a model that packing, painting and data preparation depend on."""

    @property
    def max_positions(self) -> int:
        """Number of rotary positions the model was trained for."""

    @property
    def token_channels(self) -> int:
        """C, the numbers in one latent token."""

    @property
    def canvas_limits(self) -> ImageLimits:
        """Sizes in pixels an image may have to be painted or encoded; the stride is one latent token."""

    @property
    def vision_limits(self) -> ImageLimits:
        """Sizes in pixels of the copy of an image that is read; the stride is one patch."""

    def limited(self, canvas: int | None, view: int | None) -> "BackboneConfig":
        """Return the same sizes with images of at most these sides in pixels, painted and read; None: as now.

        Raises:
            ConfigError: if a side is no multiple of its stride or larger than now.
        """

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as stored beside the weights."""


class Backbone(Protocol):
    """A unified network: reads text and images, predicts next tokens and velocities.

    It is a ``torch.nn.Module`` as well (see `module_of`); the protocol lists what callers use beyond that.
    """

    @property
    def config(self) -> BackboneConfig:
        """Its sizes."""

    def limit(self, canvas: int | None, view: int | None) -> None:
        """Paint and read images of at most these sides from now on; see `BackboneConfig.limited`."""

    @property
    def device(self) -> torch.device:
        """The device of the weights."""

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the weights."""

    @property
    def autoencoder(self) -> nn.Module:
        """The part between pixels and latents. It is never trained together with the rest."""

    def __call__(self, packed: Packed, mask: Visible = None, cache: KVCache | None = None) -> Hidden:
        """Compute the hidden states of a batch.

        Args:
            packed: the batch.
            mask: what tokens see of cached and new columns: what `visibility` gives, or a boolean mask
                (R, 1 or U + G, K); None means that every token sees every other. ``attention.attend`` takes
                all of its forms.
            cache: what the rows have read before; new keys are written behind it and not kept.
        """

    def read_ids(self, ids: Tensor, positions: Tensor, mask: Tensor | None, cache: KVCache) -> Tensor:
        """Compute hidden states (R, n, S) of text ids (R, n) at rotary positions (R, n).

        It does what ``__call__`` does, without packing, for the decoding of one token after another.
        """

    def text_logits(self, hidden: Tensor) -> Tensor:
        """Compute logits (..., vocabulary) of understanding states (..., S)."""

    def velocity(self, hidden: Tensor) -> Tensor:
        """Compute velocities (..., C), float32, of generation states (..., S)."""

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Encode one image (3, H, W) in [-1, 1] to clean latent tokens (N, C), float32."""

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Encode images (I, 3, H, W) in [-1, 1] to clean latent tokens (I, N, C), float32."""

    def decode_image(self, tokens: Tensor, rows: int, columns: int) -> Tensor:
        """Decode latent tokens (rows · columns, C) to pixels (3, H, W), roughly in [-1, 1]."""

    def pack_spec(self, special: SpecialTokens) -> PackSpec:
        """State what packing must know of this model."""

    def empty_block(self) -> KVBlock:
        """Return keys and values of no tokens, with this model's layers, heads, dtype and device."""

    def train(self, mode: bool = True) -> Any:
        """Switch to training mode (``nn.Module.train``)."""

    def eval(self) -> Any:
        """Switch to inference mode (``nn.Module.eval``)."""


def module_of(model: Backbone) -> nn.Module:
    """Return the backbone as the ``nn.Module`` it is; a Protocol cannot inherit from one."""
    assert isinstance(model, nn.Module), f"{type(model).__name__} must be a torch module"
    return model


@dataclass(frozen=True)
class Parallelism:
    """How a model is spread and what is recomputed; each architecture applies it to its own layers.

    Attributes:
        checkpointing: recompute the activations of each layer in the backward pass.
        compile: compile the layers with ``torch.compile``.
        mesh: the ranks that share the weights (FSDP2); None leaves the model on one device.
        policy: precision of gathered weights and reduced gradients; used with ``mesh`` only.
    """

    checkpointing: bool = False
    compile: bool = False
    mesh: "DeviceMesh | None" = None
    policy: "MixedPrecisionPolicy | None" = None


@dataclass(frozen=True)
class ModelSizes:
    """Numbers from which the memory of a training run is estimated.

    Attributes:
        trained: parameters that training changes, position tables and autoencoder not included.
        autoencoder: parameters of the autoencoder.
        tables: stored numbers that are no parameters.
        quantized: of the trained parameters those that ``load`` can quantize.
        layer: weights of one layer, which are gathered and freed together.
        root: weights outside the layers, which stay gathered for a whole pass.
        kept: activations per token that the backward pass needs.
        kept_checkpointing: the same where each layer's activations are recomputed.
        kept_patch, kept_patch_checkpointing: both for a patch of the images that are read.
        vocabulary: number of token ids.
    """

    trained: int
    autoencoder: int
    tables: int
    quantized: int
    layer: int
    root: int
    kept: int
    kept_checkpointing: int
    kept_patch: int
    kept_patch_checkpointing: int
    vocabulary: int


class TrainingCosts(Protocol):
    """Operations (a multiplication with an addition is two) and parameters, counted without weights."""

    @property
    def sizes(self) -> ModelSizes:
        """Numbers for the estimate of memory."""

    def linear_flops(self, tokens: int, predicted: int, patches: int) -> float:
        """Count the products with weights of one forward pass.

        Args:
            tokens: in the sequence.
            predicted: tokens that go through the language head.
            patches: that go through the ViT.
        """

    def attention_flops(self, pairs: int, patch_pairs: int) -> float:
        """Count the products of queries, keys and values: pairs in the decoder and in the ViT."""

    def encoding_flops(self, height: int, width: int) -> float:
        """Count the operations of encoding one image of that size in pixels to latents."""

    def adapter_parameters(self, rank: int) -> int:
        """Count the parameters of low-rank adapters on `Architecture.adapter_targets`."""


class Architecture(Protocol):
    """One kind of network: how its checkpoints are recognized, built, filled, written and spread.

    Attributes:
        name: stored in ``strokewise.json`` as ``architecture``.
        hub_ids: built-in model names and the hub ids they stand for.
        adapter_targets: regular expression over the names of modules that get low-rank adapters.
        layouts: folder layouts that `save` writes, the default first.
        layer_weights: regular expression over the names of parameters inside layers; Muon, if it is used,
            trains the matrices among them.
    """

    name: str
    hub_ids: Mapping[str, str]
    adapter_targets: str
    layer_weights: str
    layouts: tuple[str, ...]

    def recognizes(self, folder: Path) -> bool:
        """Say whether a folder without ``strokewise.json`` holds a checkpoint of this kind."""

    def read_config(self, folder: Path) -> BackboneConfig:
        """Read the sizes of a checkpoint; raises CheckpointError where they are damaged."""

    def build(self, config: BackboneConfig) -> Backbone:
        """Make a model of these sizes on torch's present default device; weights are arbitrary."""

    def load(self, folder: Path, device: torch.device, dtype: torch.dtype, quantize: str | None) -> Backbone:
        """Load a checkpoint for inference; raises CheckpointError where weights do not fit."""

    def read_weights(
        self, folder: Path, wanted: Mapping[str, Tensor], dtype: torch.dtype
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield weights one after another on the CPU, for a model that is spread over devices.

        Args:
            folder: of the checkpoint.
            wanted: this architecture's names, with tensors of their shapes.
            dtype: precision the weights are converted to.
        """

    def save(self, model: Backbone, folder: Path, layout: str) -> None:
        """Write configuration and weights, in one of ``layouts``, so that `load` reads them again."""

    def parallelize(self, model: Backbone, parallelism: Parallelism) -> None:
        """Apply checkpointing, compilation and sharding to the layers, in that order, in place.

        What is outside the layers is left for the caller to shard, the autoencoder excepted.
        """

    def costs(self, config: BackboneConfig) -> TrainingCosts:
        """Count what training a model of these sizes costs."""
