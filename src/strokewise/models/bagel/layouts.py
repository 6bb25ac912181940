"""The two layouts of a checkpoint folder: which sizes its files state, and where its weights lie.

BAGEL's released layout has ``llm_config.json``, ``vit_config.json``, ``ema.safetensors`` or sharded weights,
``ae.safetensors`` and, for other code, ``config.json``; our own has ``strokewise.json`` and
``model.safetensors``. Sizes that no configuration file states are read off the shapes of the stored weights.
Refuses to build models.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, NotRequired

from typing_extensions import TypedDict

from strokewise.errors import CheckpointError, ConfigError
from strokewise.io.outside import read_object
from strokewise.io.schema import Shape, checked
from strokewise.models.bagel.checkpoint import StoredTensor, read_header
from strokewise.models.bagel.config import AutoencoderConfig, LanguageConfig, ModelConfig, VisionConfig
from strokewise.models.registry import CONFIG

WEIGHTS = "model.safetensors"
BAGEL_CONFIGS = ("llm_config.json", "vit_config.json")
VLLM_CONFIG = "config.json"
BAGEL_WEIGHTS, BAGEL_AUTOENCODER = "ema.safetensors", "ae.safetensors"
INDEX = "model.safetensors.index.json"
IMAGE_SIDES = ("canvas_min", "canvas_max", "vision_min", "vision_max")


def is_bagel_layout(folder: Path) -> bool:
    """Return whether a folder holds a checkpoint in BAGEL's released layout."""
    return (folder / BAGEL_CONFIGS[0]).exists()


def read_config(folder: Path) -> ModelConfig:
    """Read the sizes of a checkpoint in either layout.

    Raises:
        CheckpointError: if a configuration file is missing or damaged.
    """
    if (folder / CONFIG).exists():
        try:
            return ModelConfig.from_dict(read_object(folder / CONFIG, CheckpointError).get("model"))
        except ConfigError as error:
            raise CheckpointError(f"{folder / CONFIG} holds no configuration of a model: {error}") from error
    llm = _stated(folder / BAGEL_CONFIGS[0], _LanguageFile)
    vit = _stated(folder / BAGEL_CONFIGS[1], _VisionFile)
    return bagel_config(llm, vit, stored_weights(folder), read_header(folder / BAGEL_AUTOENCODER))


def _stated(path: Path, shape: type[Shape]) -> Shape:
    """Return the entries of a file of others' that are taken from it."""
    return checked(shape, read_object(path, CheckpointError), path, CheckpointError, extra="ignore")


class _LanguageFile(TypedDict):
    """What is taken from ``llm_config.json``."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    rope_theta: NotRequired[float]
    rms_norm_eps: NotRequired[float]
    max_position_embeddings: NotRequired[int]


class _VisionFile(TypedDict):
    """What is taken from ``vit_config.json``; the last four are not in released files, but in our exports."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    patch_size: int
    image_size: int
    layer_norm_eps: NotRequired[float]
    canvas_min: NotRequired[int]
    canvas_max: NotRequired[int | None]
    vision_min: NotRequired[int]
    vision_max: NotRequired[int]


class _Index(TypedDict):
    """What is taken from the index of sharded weights: the file of each."""

    weight_map: dict[str, str]


def bagel_config(
    llm: _LanguageFile,
    vit: _VisionFile,
    weights: dict[str, StoredTensor],
    autoencoder: dict[str, StoredTensor],
) -> ModelConfig:
    """Return our configuration from BAGEL's files and the shapes of the stored weights."""

    def shape(name: str) -> tuple[int, ...]:
        if name not in weights or len(weights[name].shape) < 2:
            raise CheckpointError(f"the weights lack {name}; is this a BAGEL checkpoint?")
        return weights[name].shape

    language = LanguageConfig(
        vocab_size=shape("language_model.model.embed_tokens.weight")[0],
        hidden_size=llm["hidden_size"],
        intermediate_size=llm["intermediate_size"],
        num_layers=llm["num_hidden_layers"],
        num_heads=llm["num_attention_heads"],
        num_kv_heads=llm["num_key_value_heads"],
        rope_theta=llm.get("rope_theta", 1e6),
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
    coder = autoencoder_config(autoencoder)
    patch = (shape("vae2llm.weight")[1] / coder.latent_channels) ** 0.5
    if patch != int(patch):
        raise CheckpointError("vae2llm and the autoencoder's latent channels do not fit each other")
    sides: dict[str, Any] = {name: side for name, side in vit.items() if name in IMAGE_SIDES}
    config = ModelConfig(
        language,
        vision,
        coder,
        latent_patch=int(patch),
        latent_side=_side(shape("latent_pos_embed.pos_embed")),
        **sides,
    )
    return _fit_limits(config)


def bagel_files(config: ModelConfig) -> dict[str, dict[str, Any]]:
    """Return the configuration files of BAGEL's released layout by name: the inverse of :func:`bagel_config`.

    ``config.json`` holds both others and the rest, under the names of vLLM's ``BagelConfig``.
    """
    language, vision, coder = config.language, config.vision, config.autoencoder
    llm = {
        "model_type": "qwen2",
        "vocab_size": language.vocab_size,
        "hidden_size": language.hidden_size,
        "intermediate_size": language.intermediate_size,
        "num_hidden_layers": language.num_layers,
        "num_attention_heads": language.num_heads,
        "num_key_value_heads": language.num_kv_heads,
        "hidden_act": "silu",
        "rope_theta": language.rope_theta,
        "rms_norm_eps": language.norm_eps,
        "max_position_embeddings": language.max_positions,
        "tie_word_embeddings": False,
        "qk_norm": True,
    }
    vit = {
        "model_type": "siglip_vision_model",
        "hidden_size": vision.hidden_size,
        "intermediate_size": vision.intermediate_size,
        # BAGEL's file counts a last layer that its weights leave out.
        "num_hidden_layers": vision.num_layers + 1,
        "num_attention_heads": vision.num_heads,
        "patch_size": vision.patch_size,
        "image_size": vision.image_size,
        "hidden_act": "gelu_pytorch_tanh",
        "layer_norm_eps": vision.norm_eps,
        **{name: getattr(config, name) for name in IMAGE_SIDES},
    }
    whole = {
        "architectures": ["BagelForConditionalGeneration"],
        "model_type": "bagel",
        "llm_config": llm,
        "vit_config": vit,
        "vae_config": {
            "ch": coder.channels,
            "ch_mult": list(coder.multipliers),
            "num_res_blocks": coder.num_res_blocks,
            "z_channels": coder.latent_channels,
            "downsample": coder.downsample,
            "scale_factor": coder.scale,
            "shift_factor": coder.shift,
        },
        "visual_gen": True,
        "visual_und": True,
        "latent_patch_size": config.latent_patch,
        "max_latent_size": config.latent_side,
        "vit_max_num_patch_per_side": vision.side,
        "connector_act": "gelu_pytorch_tanh",
        "interpolate_pos": False,
    }
    return dict(zip((*BAGEL_CONFIGS, VLLM_CONFIG), (llm, vit, whole), strict=True))


def autoencoder_config(weights: dict[str, StoredTensor]) -> AutoencoderConfig:
    """Return the autoencoder's sizes, read off its weights."""
    try:
        channels = weights["encoder.conv_in.weight"].shape[0]
        levels = 1 + max(int(k.split(".")[2]) for k in weights if k.startswith("encoder.down."))
        widths = [weights[f"encoder.down.{i}.block.0.conv1.weight"].shape[0] for i in range(levels)]
        blocks = sum(bool(re.fullmatch(r"encoder\.down\.0\.block\.\d+\.conv1\.weight", k)) for k in weights)
        latent = weights["decoder.conv_in.weight"].shape[1]
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(
            f"these are not the weights of a FLUX autoencoder: {error} is missing"
        ) from error
    if not channels:
        raise CheckpointError("these are not the weights of a FLUX autoencoder: its first layer is empty")
    return AutoencoderConfig(channels, tuple(w // channels for w in widths), blocks, latent)


def stored_weights(folder: Path) -> dict[str, StoredTensor]:
    """Return headers of the main weights: one file, an index over shards, or shards alone."""
    for name in (BAGEL_WEIGHTS, WEIGHTS):
        if (folder / name).exists():
            return read_header(folder / name)
    if (folder / INDEX).exists():
        files = set(_stated(folder / INDEX, _Index)["weight_map"].values())
        paths = [folder / Path(name).name for name in sorted(files) if Path(name).name != BAGEL_AUTOENCODER]
    else:
        paths = sorted(p for p in folder.glob("*.safetensors") if p.name != BAGEL_AUTOENCODER)
    if not paths:
        raise CheckpointError(f"no weights in {folder}: expected {BAGEL_WEIGHTS}, {WEIGHTS} or {INDEX}")
    return {name: entry for path in paths for name, entry in read_header(path).items()}


def _vision_layers(stated: int, weights: dict[str, StoredTensor]) -> int:
    """Correct BAGEL's vit_config, which counts a last layer that its checkpoints leave out."""
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
