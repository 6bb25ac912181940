"""From a folder or hub id to a model ready to run, and back to a folder.

Two layouts are read: BAGEL's released one (``llm_config.json``, ``vit_config.json``, ``ema.safetensors`` or
sharded weights, ``ae.safetensors``) and our own (``strokewise.json``, ``model.safetensors``). Sizes that no
configuration file states are read off the shapes in the weights.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from strokewise.errors import CheckpointError, ConfigError
from strokewise.io.atomic import write_text, writing
from strokewise.io.outside import read_object
from strokewise.models.bagel.checkpoint import (
    Entry,
    autoencoder_names,
    bagel_names,
    read_header,
    read_into,
    read_tensor,
)
from strokewise.models.bagel.config import AutoencoderConfig, LanguageConfig, ModelConfig, VisionConfig
from strokewise.models.bagel.quantize import QUANTIZED, quantized_linear
from strokewise.models.bagel.unified import UnifiedModel

CONFIG, WEIGHTS = "strokewise.json", "model.safetensors"
BAGEL_WEIGHTS, BAGEL_AUTOENCODER = "ema.safetensors", "ae.safetensors"
INDEX = "model.safetensors.index.json"
PATCH_EMBED = "vision.patch_embed.weight"
BUILT_IN = {"bagel-7b": "ByteDance-Seed/BAGEL-7B-MoT"}
SHIPPED = Path(__file__).parents[2] / "weights"
LISTED = 8

Names = dict[str, tuple[str, ...]]


def find_checkpoint(model: str | Path) -> Path:
    """The local folder of a checkpoint: a path, a built-in name, or a hub id (downloaded once, then cached).

    Raises:
        CheckpointError: if there is no such folder and the hub cannot give it.
    """
    if Path(model).is_dir():
        return Path(model)
    name = str(model)
    if (SHIPPED / name / CONFIG).exists():
        return SHIPPED / name
    hub_id = BUILT_IN.get(name, name)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", hub_id) or Path(name).is_absolute():
        known = ", ".join(sorted({*BUILT_IN, *(p.name for p in SHIPPED.glob("*/"))}))
        raise CheckpointError(
            f"no model {name!r}: not a folder, not a hub id (owner/name), not one of {known}"
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, allow_patterns=["*.json", "*.safetensors", "merges.txt"]))
    except Exception as error:  # the hub raises many kinds; all mean the same to a user
        raise CheckpointError(
            f"cannot get {hub_id} from the hub ({type(error).__name__}: {error});"
            " check the name and the network, or give the path of a downloaded folder"
        ) from error


def read_config(folder: Path) -> ModelConfig:
    """The sizes of a checkpoint in either layout.

    Raises:
        CheckpointError: if the folder is of neither layout or a configuration file is damaged.
    """
    if (folder / CONFIG).exists():
        try:
            return ModelConfig.from_dict(read_object(folder / CONFIG, CheckpointError)["model"])
        except (ConfigError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{folder / CONFIG} holds no configuration of a model: {error}") from error
    if not (folder / "llm_config.json").exists():
        raise CheckpointError(
            f"{folder} holds no model: expected {CONFIG}, or BAGEL's llm_config.json and vit_config.json"
        )
    llm, vit = (read_object(folder / f"{name}_config.json", CheckpointError) for name in ("llm", "vit"))
    return bagel_config(llm, vit, stored_weights(folder), read_header(folder / BAGEL_AUTOENCODER))


def bagel_config(
    llm: dict[str, Any], vit: dict[str, Any], weights: dict[str, Entry], autoencoder: dict[str, Entry]
) -> ModelConfig:
    """Our configuration from BAGEL's files and the shapes of the stored weights."""

    def shape(name: str) -> tuple[int, ...]:
        if name not in weights:
            raise CheckpointError(f"the weights lack {name}; is this a BAGEL checkpoint?")
        return weights[name].shape

    try:
        language = LanguageConfig(
            vocab_size=shape("language_model.model.embed_tokens.weight")[0],
            hidden_size=llm["hidden_size"],
            intermediate_size=llm["intermediate_size"],
            num_layers=llm["num_hidden_layers"],
            num_heads=llm["num_attention_heads"],
            num_kv_heads=llm["num_key_value_heads"],
            rope_theta=float(llm.get("rope_theta", 1e6)),
            norm_eps=llm.get("rms_norm_eps", 1e-6),
            max_positions=llm.get("max_position_embeddings", 32768),
        )
        vision = VisionConfig(
            hidden_size=vit["hidden_size"],
            intermediate_size=vit["intermediate_size"],
            num_layers=_vision_layers(vit["num_hidden_layers"], weights),
            num_heads=vit["num_attention_heads"],
            patch_size=vit["patch_size"],
            image_size=vit["image_size"],
            norm_eps=vit.get("layer_norm_eps", 1e-6),
            side=_side(shape("vit_pos_embed.pos_embed")),
        )
    except KeyError as error:
        raise CheckpointError(f"BAGEL's configuration files lack the entry {error}") from error
    coder = autoencoder_config(autoencoder)
    patch = (shape("vae2llm.weight")[1] / coder.latent_channels) ** 0.5
    if patch != int(patch):
        raise CheckpointError("vae2llm and the autoencoder's latent channels do not fit each other")
    config = ModelConfig(
        language,
        vision,
        coder,
        latent_patch=int(patch),
        latent_side=_side(shape("latent_pos_embed.pos_embed")),
    )
    return _fit_limits(config)


def autoencoder_config(weights: dict[str, Entry]) -> AutoencoderConfig:
    """The autoencoder's sizes, read off its weights."""
    try:
        channels = weights["encoder.conv_in.weight"].shape[0]
        levels = 1 + max(int(k.split(".")[2]) for k in weights if k.startswith("encoder.down."))
        widths = [weights[f"encoder.down.{i}.block.0.conv1.weight"].shape[0] for i in range(levels)]
        blocks = sum(bool(re.fullmatch(r"encoder\.down\.0\.block\.\d+\.conv1\.weight", k)) for k in weights)
        latent = weights["decoder.conv_in.weight"].shape[1]
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"these are not the weights of a FLUX autoencoder: {error} is missing"
        ) from error
    return AutoencoderConfig(channels, tuple(w // channels for w in widths), blocks, latent)


def stored_weights(folder: Path) -> dict[str, Entry]:
    """Headers of the main weights: one file, an index over shards, or shards alone."""
    for name in (BAGEL_WEIGHTS, WEIGHTS):
        if (folder / name).exists():
            return read_header(folder / name)
    if (folder / INDEX).exists():
        files = set(read_object(folder / INDEX, CheckpointError).get("weight_map", {}).values())
        paths = [folder / Path(name).name for name in sorted(files) if Path(name).name != BAGEL_AUTOENCODER]
    else:
        paths = sorted(p for p in folder.glob("*.safetensors") if p.name != BAGEL_AUTOENCODER)
    if not paths:
        raise CheckpointError(f"no weights in {folder}: expected {BAGEL_WEIGHTS}, {WEIGHTS} or {INDEX}")
    return {name: entry for path in paths for name, entry in read_header(path).items()}


def load_model(
    model: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.bfloat16,
    quantize: str | None = None,
) -> UnifiedModel:
    """Load a checkpoint, ready for inference.

    Args:
        model: folder, built-in name (``bagel-7b``) or hub id.
        device: where the weights go; they are streamed there tensor by tensor.
        dtype: precision they are converted to on the way.
        quantize: None, ``int8`` or ``nf4``: store the decoder's linear layers in 8 or 4 bits (CUDA only).

    Raises:
        CheckpointError: if weights are missing, unexpected, of another shape, truncated or not finite.
    """
    config, names, stored = _open(find_checkpoint(model))
    return fill_model(config, names, stored, torch.device(device), dtype, quantize)


def read_weights(
    model: str | Path, wanted: Mapping[str, Tensor], dtype: torch.dtype
) -> Iterator[tuple[str, Tensor]]:
    """Weights of a checkpoint one after another on the CPU, for a model that is spread over devices.

    Args:
        model: as for :func:`load_model`.
        wanted: our names, with tensors of their shapes.
        dtype: precision they are converted to.

    Raises:
        CheckpointError: as for :func:`load_model`.
    """
    config, names, stored = _open(find_checkpoint(model))
    _check_names(names, stored)
    for name, like in wanted.items():
        yield name, _filled(name, like, names, stored, config, "cpu", dtype)


def fill_model(
    config: ModelConfig,
    names: Names,
    stored: dict[str, Entry],
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
    return model.eval()


def save_model(model: UnifiedModel, folder: Path) -> None:
    """Write a model in our own layout; the folder is complete or not there at all."""
    _save(model.state_dict(), folder / WEIGHTS)
    _write_json(folder / CONFIG, {"format": 1, "model": model.config.to_dict()})


def export_bagel(model: UnifiedModel, folder: Path) -> None:
    """Write the weights under BAGEL's names, as ``ema.safetensors`` and ``ae.safetensors``."""
    config, state = model.config, model.state_dict()
    main = _foreign(bagel_names(config), state, config)
    coder = _foreign(autoencoder_names(config.autoencoder), state, config)
    _save(main, folder / BAGEL_WEIGHTS)
    _save(coder, folder / BAGEL_AUTOENCODER)
    language, vision = config.language, config.vision
    _write_json(
        folder / "llm_config.json",
        {
            "vocab_size": language.vocab_size,
            "hidden_size": language.hidden_size,
            "intermediate_size": language.intermediate_size,
            "num_hidden_layers": language.num_layers,
            "num_attention_heads": language.num_heads,
            "num_key_value_heads": language.num_kv_heads,
            "rope_theta": language.rope_theta,
            "rms_norm_eps": language.norm_eps,
            "max_position_embeddings": language.max_positions,
        },
    )
    _write_json(
        folder / "vit_config.json",
        {
            "hidden_size": vision.hidden_size,
            "intermediate_size": vision.intermediate_size,
            "num_hidden_layers": vision.num_layers + 1,
            "num_attention_heads": vision.num_heads,
            "patch_size": vision.patch_size,
            "image_size": vision.image_size,
            "layer_norm_eps": vision.norm_eps,
        },
    )


def split_names(
    name: str, parts: tuple[str, ...], tensor: Tensor, config: ModelConfig
) -> Iterable[tuple[str, Tensor]]:
    """Cut one of our tensors into BAGEL's, along the first dimension."""
    if len(parts) == 1:
        return [(parts[0], tensor)]
    if name.startswith("language") and ".qkv." in name:
        c = config.language
        sizes = [c.num_heads * c.head_dim, c.num_kv_heads * c.head_dim, c.num_kv_heads * c.head_dim]
    else:
        sizes = [len(tensor) // len(parts)] * len(parts)
    return zip(parts, tensor.split(sizes), strict=True)


# --- helpers -----------------------------------------------------------------------------------------------


def _open(folder: Path) -> tuple[ModelConfig, Names, dict[str, Entry]]:
    """Sizes of a checkpoint, our names to the stored ones, and where these lie."""
    config, stored = read_config(folder), stored_weights(folder)
    ours = {*bagel_names(config), *autoencoder_names(config.autoencoder)}
    if (folder / CONFIG).exists():
        return config, {name: (name,) for name in ours}, stored
    names = bagel_names(config) | autoencoder_names(config.autoencoder)
    return config, names, stored | read_header(folder / BAGEL_AUTOENCODER)


def _foreign(names: Names, state: dict[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    pairs = (
        pair for ours, theirs in names.items() for pair in split_names(ours, theirs, state[ours], config)
    )
    return {name: tensor.contiguous() for name, tensor in pairs}


def _own_tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]


def _packs(path: str, module: nn.Module, quantize: str | None) -> bool:
    return quantize is not None and path.startswith("language.layers.") and isinstance(module, nn.Linear)


def _check_names(names: Names, stored: dict[str, Entry]) -> None:
    wanted = {name for parts in names.values() for name in parts}
    missing, unexpected = sorted(wanted - set(stored)), sorted(set(stored) - wanted)
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
    stored: dict[str, Entry],
    config: ModelConfig,
    device: str | torch.device,
    dtype: torch.dtype,
) -> Tensor:
    """One of our tensors, read from its one or several stored parts."""
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


def _vision_layers(stated: int, weights: dict[str, Entry]) -> int:
    """BAGEL's vit_config counts a last layer that its checkpoints leave out."""
    found = {
        int(m[1]) for k in weights if (m := re.match(r"vit_model\.vision_model\.encoder\.layers\.(\d+)\.", k))
    }
    return stated if len(found) >= stated else stated - 1


def _side(table: tuple[int, ...]) -> int:
    return round(table[0] ** 0.5)


def _fit_limits(config: ModelConfig) -> ModelConfig:
    """Keep BAGEL's image limits within what the tables of a smaller model can hold."""
    largest = config.latent_side * config.latent_stride
    vision = min(config.vision.side, config.vision.learned_side) * config.vision.patch_size
    return replace(
        config,
        canvas_min=min(config.canvas_min, largest),
        vision_min=min(config.vision_min, vision),
        vision_max=min(config.vision_max, vision),
    )


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with writing(path, CheckpointError) as partial:
        save_file(plain, str(partial))


def _write_json(path: Path, value: dict[str, Any]) -> None:
    write_text(path, json.dumps(value, indent=2) + "\n", CheckpointError)
