"""Stored tensors and their names: a streaming reader of safetensors, and BAGEL's key names beside ours.

Files are streamed, never mapped or unpickled: each tensor is read in pieces straight into its place in the
requested precision, so loading needs little more memory than the weights themselves. No other file knows
BAGEL's key names.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from strokewise.errors import CheckpointError
from strokewise.io.outside import check_downloaded, parse_json
from strokewise.models.bagel.config import AutoencoderConfig, ModelConfig

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
PIECE = 4 * 2**20
MAX_HEADER = 100 * 2**20  # bytes; the format's own limit
EXPERTS = (("understanding", ""), ("generation", "_moe_gen"))
PARTS = ("weight", "bias")
AUTOENCODER = "autoencoder."

# Our names to the stored ones; several mean that ours is their concatenation along the first dimension.
Names = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class StoredTensor:
    """Where a stored tensor lies in its file."""

    path: Path
    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    stop: int


def read_header(path: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a safetensors file, none of which overlap.

    Raises:
        CheckpointError: if the file is missing, truncated, or not safetensors, or holds tensors that are no
            weights.
    """
    check_downloaded(path, CheckpointError)
    try:
        entries = _entries(path)
        # The format's own reader also refuses gaps, overlaps and offsets outside of the file.
        with safe_open(str(path), "pt"):
            return entries
    except (OSError, SafetensorError, struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from error


def _entries(path: Path) -> dict[str, StoredTensor]:
    size = path.stat().st_size
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > size - 8:
            raise CheckpointError(f"{path} is truncated: its header is longer than the file; copy it again")
        if length > MAX_HEADER:
            raise ValueError(f"its header has {length:,} bytes")
        header = parse_json(
            file.read(length), f"{path} is not a safetensors file: its header", CheckpointError
        )
    header.pop("__metadata__", None)
    entries = {name: _entry(path, value, 8 + length) for name, value in header.items()}
    end = max((entry.stop for entry in entries.values()), default=0)
    if end > size:
        raise CheckpointError(
            f"{path} is truncated: {size} of {end} bytes are there; copy or download it again"
        )
    return entries


def _entry(path: Path, value: dict[str, Any], offset: int) -> StoredTensor:
    start, stop = value["data_offsets"]
    if value["dtype"] not in DTYPES:
        raise CheckpointError(
            f"{path} holds weights of type {value['dtype']}; known are {', '.join(DTYPES)}: convert it"
        )
    entry = StoredTensor(path, DTYPES[value["dtype"]], tuple(value["shape"]), offset + start, offset + stop)
    if stop - start != torch.Size(entry.shape).numel() * entry.dtype.itemsize:
        raise ValueError("a tensor's size does not fit its shape")
    return entry


def _pieces(entry: StoredTensor) -> Iterator[tuple[int, Tensor]]:
    """Yield the flat tensor in pieces, each with the index of its first element."""
    step = PIECE // entry.dtype.itemsize
    count = torch.Size(entry.shape).numel()
    buffer = torch.empty(min(step, count), dtype=entry.dtype)
    raw = memoryview(buffer.view(torch.uint8).numpy())  # type: ignore[arg-type]
    with entry.path.open("rb") as file:
        file.seek(entry.start)
        for at in range(0, count, step):
            n = min(step, count - at)
            file.readinto(raw[: n * entry.dtype.itemsize])
            yield at, buffer[:n]


def read_into(entry: StoredTensor, target: Tensor, name: str) -> None:
    """Fill ``target`` (contiguous, same number of elements) from the file, converting the precision.

    Raises:
        CheckpointError: if a value is NaN or infinite, in the file or in the precision of ``target``.
    """
    flat = target.view(-1)
    for at, piece in _pieces(entry):
        # The extremes show NaN and infinity in one pass and without a copy.
        extremes = torch.stack(piece.aminmax())
        if not bool(extremes.isfinite().all()):
            raise CheckpointError(
                f"{name} in {entry.path} holds NaN or infinite values; the weights are damaged"
            )
        if not bool(extremes.to(target.dtype).isfinite().all()):
            raise CheckpointError(
                f"{name} in {entry.path} holds values beyond {target.dtype}; load it as bfloat16 or float32"
            )
        flat[at : at + len(piece)].copy_(piece)


def read_tensor(entry: StoredTensor, name: str) -> Tensor:
    """Return a stored tensor as it is."""
    target = torch.empty(entry.shape, dtype=entry.dtype)
    read_into(entry, target, name)
    return target


# --- names -------------------------------------------------------------------------------------------------


def bagel_names(config: ModelConfig) -> Names:
    """Map our names to BAGEL's, the autoencoder's not included."""
    names = dict(_language_names(config.language.num_layers))
    names |= dict(_vision_names(config.vision.num_layers))
    for part in PARTS:
        for ours, theirs in (
            ("connector.fc1", "connector.fc1"),
            ("connector.fc2", "connector.fc2"),
            ("time.fc1", "time_embedder.mlp.0"),
            ("time.fc2", "time_embedder.mlp.2"),
            ("latent_in", "vae2llm"),
            ("latent_out", "llm2vae"),
        ):
            names[f"{ours}.{part}"] = (f"{theirs}.{part}",)
    names["vision_places.table"] = ("vit_pos_embed.pos_embed",)
    names["latent_places.table"] = ("latent_pos_embed.pos_embed",)
    return names


def _language_names(num_layers: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "language.embed.weight", ("language_model.model.embed_tokens.weight",)
    yield "language.head.weight", ("language_model.lm_head.weight",)
    for expert, suffix in EXPERTS:
        yield f"language.{expert}_norm.weight", (f"language_model.model.norm{suffix}.weight",)
    for i in range(num_layers):
        theirs = f"language_model.model.layers.{i}"
        for expert, s in EXPERTS:
            ours, attention, mlp = f"language.layers.{i}.{expert}", f"{theirs}.self_attn", f"{theirs}.mlp{s}"
            yield f"{ours}.attention_norm.weight", (f"{theirs}.input_layernorm{s}.weight",)
            for part in PARTS:
                yield f"{ours}.qkv.{part}", tuple(f"{attention}.{x}_proj{s}.{part}" for x in "qkv")
            yield f"{ours}.q_norm.weight", (f"{attention}.q_norm{s}.weight",)
            yield f"{ours}.k_norm.weight", (f"{attention}.k_norm{s}.weight",)
            yield f"{ours}.out.weight", (f"{attention}.o_proj{s}.weight",)
            yield f"{ours}.mlp_norm.weight", (f"{theirs}.post_attention_layernorm{s}.weight",)
            yield f"{ours}.gate_up.weight", (f"{mlp}.gate_proj.weight", f"{mlp}.up_proj.weight")
            yield f"{ours}.down.weight", (f"{mlp}.down_proj.weight",)


def _vision_names(num_layers: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    root = "vit_model.vision_model"
    yield "vision.place_embed.weight", (f"{root}.embeddings.position_embedding.weight",)
    for part in PARTS:
        yield f"vision.patch_embed.{part}", (f"{root}.embeddings.patch_embedding.{part}",)
        yield f"vision.norm.{part}", (f"{root}.post_layernorm.{part}",)
        for i in range(num_layers):
            ours, theirs = f"vision.layers.{i}", f"{root}.encoder.layers.{i}"
            yield f"{ours}.attention_norm.{part}", (f"{theirs}.layer_norm1.{part}",)
            yield f"{ours}.qkv.{part}", tuple(f"{theirs}.self_attn.{x}_proj.{part}" for x in "qkv")
            yield f"{ours}.out.{part}", (f"{theirs}.self_attn.out_proj.{part}",)
            yield f"{ours}.mlp_norm.{part}", (f"{theirs}.layer_norm2.{part}",)
            yield f"{ours}.fc1.{part}", (f"{theirs}.mlp.fc1.{part}",)
            yield f"{ours}.fc2.{part}", (f"{theirs}.mlp.fc2.{part}",)


def autoencoder_names(config: AutoencoderConfig) -> Names:
    """Return our names of the autoencoder, below ``autoencoder.``, to those of ``ae.safetensors``."""
    levels, blocks = len(config.multipliers), config.num_res_blocks
    pairs: list[tuple[str, str]] = []
    widths = [1, *config.multipliers]
    for i in range(levels):
        for j in range(blocks):
            changes = j == 0 and widths[i] != widths[i + 1]
            pairs += _residual(f"encoder.levels.{i}.{j}", f"encoder.down.{i}.block.{j}", changes)
        if i < levels - 1:
            pairs.append((f"encoder.levels.{i}.{blocks}.conv", f"encoder.down.{i}.downsample.conv"))
    for i in range(levels):
        above = min(i + 1, levels - 1)
        for j in range(blocks + 1):
            changes = j == 0 and config.multipliers[above] != config.multipliers[i]
            pairs += _residual(f"decoder.levels.{levels - 1 - i}.{j}", f"decoder.up.{i}.block.{j}", changes)
        if i > 0:
            ours = f"decoder.levels.{levels - 1 - i}.{blocks + 1}.conv"
            pairs.append((ours, f"decoder.up.{i}.upsample.conv"))
    for side in ("encoder", "decoder"):
        pairs += [(f"{side}.{name}",) * 2 for name in ("conv_in", "norm_out", "conv_out")]
        pairs += _residual(f"{side}.middle.0", f"{side}.mid.block_1", False)
        pairs += _residual(f"{side}.middle.2", f"{side}.mid.block_2", False)
        for ours, theirs in (("norm", "norm"), ("q", "q"), ("k", "k"), ("v", "v"), ("out", "proj_out")):
            pairs.append((f"{side}.middle.1.{ours}", f"{side}.mid.attn_1.{theirs}"))
    return {f"{AUTOENCODER}{ours}.{part}": (f"{theirs}.{part}",) for ours, theirs in pairs for part in PARTS}


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


def _residual(ours: str, theirs: str, changes_width: bool) -> list[tuple[str, str]]:
    names = ["norm1", "conv1", "norm2", "conv2"]
    pairs = [(f"{ours}.{name}", f"{theirs}.{name}") for name in names]
    return pairs + ([(f"{ours}.shortcut", f"{theirs}.nin_shortcut")] if changes_width else [])
