"""From a checkpoint folder to a model ready to run, each weight read straight into its storage.

Knows our module names and, through ``checkpoint``, BAGEL's; which sizes and files a folder has is decided in
``layouts``.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from strokewise.errors import CheckpointError
from strokewise.io.digests import SUMS, check_digest, read_digests
from strokewise.models.bagel.checkpoint import (
    Names,
    StoredTensor,
    autoencoder_names,
    bagel_names,
    read_header,
    read_into,
    read_tensor,
    split_names,
)
from strokewise.models.bagel.config import ModelConfig
from strokewise.models.bagel.layouts import BAGEL_AUTOENCODER, read_config, stored_weights
from strokewise.models.bagel.quantize import QUANTIZED, quantized_linear
from strokewise.models.bagel.unified import UnifiedModel
from strokewise.models.products import choose_products
from strokewise.models.registry import CONFIG

PATCH_EMBED = "vision.patch_embed.weight"
LISTED = 8


def load_folder(
    folder: Path, device: torch.device, dtype: torch.dtype, quantize: str | None = None
) -> UnifiedModel:
    """Load a checkpoint in either layout; arguments and errors are those of ``models.load_model``."""
    config, names, stored = _open(folder)
    return fill_model(config, names, stored, device, dtype, quantize)


def read_weights(
    folder: Path, wanted: Mapping[str, Tensor], dtype: torch.dtype
) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights of a checkpoint one after another on the CPU, for a model spread over devices.

    Args:
        folder: of the checkpoint.
        wanted: our names, with tensors of their shapes.
        dtype: precision they are converted to.

    Raises:
        CheckpointError: if weights are missing, unexpected, of another shape, truncated or not finite.
    """
    config, names, stored = _open(folder)
    _check_names(names, stored)
    for name, like in wanted.items():
        yield name, _filled(name, like, names, stored, config, "cpu", dtype)


def fill_model(
    config: ModelConfig,
    names: Names,
    stored: dict[str, StoredTensor],
    device: torch.device,
    dtype: torch.dtype,
    quantize: str | None = None,
) -> UnifiedModel:
    """Build a model on no device and give each weight its storage once, filled from the file."""
    if quantize is not None and quantize not in QUANTIZED:
        raise CheckpointError(f"unknown quantization {quantize!r}; known are {', '.join(QUANTIZED)}")
    _check_names(names, stored)
    with torch.device("meta"):
        model = UnifiedModel(config)
    for path, module in list(model.named_modules()):
        tensors = {
            name: _filled(
                f"{path}.{name}",
                like,
                names,
                stored,
                config,
                "cpu" if _packs(path, module, quantize) else device,
                dtype,
            )
            for name, like in _own_tensors(module)
        }
        if quantize and _packs(path, module, quantize):
            parent, _, leaf = path.rpartition(".")
            setattr(model.get_submodule(parent), leaf, quantized_linear(tensors, quantize, device))
            continue
        for name, tensor in tensors.items():
            if name in module._parameters:
                setattr(module, name, nn.Parameter(tensor, requires_grad=tensor.is_floating_point()))
            else:
                setattr(module, name, tensor)
    return choose_products(model.eval())


def _open(folder: Path) -> tuple[ModelConfig, Names, dict[str, StoredTensor]]:
    """Sizes of a checkpoint, our names to the stored ones, and where these lie, in files that are whole."""
    config, stored = read_config(folder), stored_weights(folder)
    names = bagel_names(config) | autoencoder_names(config.autoencoder)
    if (folder / CONFIG).exists():
        names = {name: (name,) for name in names}
    else:
        stored |= read_header(folder / BAGEL_AUTOENCODER)
    if (folder / SUMS).exists():  # released checkpoints have none
        for file, digest in read_digests(folder, CheckpointError).items():
            check_digest(folder / file, digest, CheckpointError)
    return config, names, stored


def _own_tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]


def _packs(path: str, module: nn.Module, quantize: str | None) -> bool:
    return quantize is not None and path.startswith("language.layers.") and isinstance(module, nn.Linear)


def _check_names(names: Names, stored: dict[str, StoredTensor]) -> None:
    expected = {name for parts in names.values() for name in parts}
    missing, unexpected = sorted(expected - set(stored)), sorted(set(stored) - expected)
    if missing or unexpected:
        raise CheckpointError(
            "the checkpoint does not fit this model"
            f"\n  missing ({len(missing)}): {_listed(missing)}"
            f"\n  unexpected ({len(unexpected)}): {_listed(unexpected)}"
        )


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:LISTED]) or "none"
    return shown + (f", and {len(names) - LISTED} more" if len(names) > LISTED else "")


def _filled(
    name: str,
    like: Tensor,
    names: Names,
    stored: dict[str, StoredTensor],
    config: ModelConfig,
    device: str | torch.device,
    dtype: torch.dtype,
) -> Tensor:
    """Return one of our tensors, read from its one or several stored parts."""
    target = torch.empty(like.shape, dtype=dtype, device=device)
    patch = config.vision.patch_size
    for foreign, place in split_names(name, names[name], target, config):
        entry = stored[foreign]
        if entry.shape == place.shape:
            read_into(entry, place, foreign)
        elif name == PATCH_EMBED and entry.shape == (len(place), 3, patch, patch):
            kernel = read_tensor(entry, foreign)  # a convolution over patches is a linear layer
            place.copy_(kernel.permute(0, 2, 3, 1).reshape(place.shape))
        else:
            raise CheckpointError(
                f"{foreign} is {list(entry.shape)} in the file but {list(place.shape)} in the model"
            )
    return target
