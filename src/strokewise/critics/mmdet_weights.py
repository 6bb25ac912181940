"""OpenMMLab's Mask2Former weights, with which GenEval scores, as a folder that `mask2former` loads.

The file is a pickle; torch's restricted unpickler reads it, which makes tensors and plain values and refuses
everything else. Names and layouts of mmdetection 2.x are known here alone; a network is built only to check
that nothing is missing.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from strokewise.errors import CheckpointError, ConfigError
from strokewise.io.atomic import writing_folder

if TYPE_CHECKING:
    from transformers import Mask2FormerConfig

SWIN, PIXELS = "model.pixel_level_module.encoder", "model.pixel_level_module.decoder"
QUERIES = "model.transformer_module"
LEVELS, POINTS = 3, 4  # of the deformable attention, in both codes

# Parts of mmdetection's model: how names of a part begin, how they begin in transformers' files, and what is
# called otherwise inside it. The part that a name begins with decides.
BLOCK = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.w_msa.proj": "attention.output.dense",
    "attn.w_msa": "attention.self",
    "ffn.layers.0.0": "intermediate.dense",
    "ffn.layers.1": "output.dense",
}
FEED_FORWARD = {"ffns.0.layers.0.0": "fc1", "ffns.0.layers.1": "fc2"}
ENCODER_LAYER = {
    "attentions.0": "self_attn",
    "norms.0": "self_attn_layer_norm",
    "norms.1": "final_layer_norm",
    **FEED_FORWARD,
}
# A layer of the decoder looks at the picture first, then its queries at each other.
DECODER_LAYER = {
    "attentions.0.attn": "cross_attn",
    "attentions.1.attn": "self_attn",
    "norms.0": "cross_attn_layer_norm",
    "norms.1": "self_attn_layer_norm",
    "norms.2": "final_layer_norm",
    **FEED_FORWARD,
}
PARTS: tuple[tuple[str, str, dict[str, str]], ...] = (
    (r"backbone\.patch_embed\.", f"{SWIN}.embeddings.", {"projection": "patch_embeddings.projection"}),
    (r"backbone\.stages\.(\d+)\.blocks\.(\d+)\.", rf"{SWIN}.encoder.layers.\1.blocks.\2.", BLOCK),
    (r"backbone\.stages\.(\d+)\.downsample\.", rf"{SWIN}.encoder.layers.\1.downsample.", {}),
    (
        r"panoptic_head\.pixel_decoder\.encoder\.layers\.(\d+)\.",
        rf"{PIXELS}.encoder.layers.\1.",
        ENCODER_LAYER,
    ),
    (
        r"panoptic_head\.pixel_decoder\.input_convs\.(\d+)\.",
        rf"{PIXELS}.input_projections.\1.",
        {"conv": "0", "gn": "1"},
    ),
    (r"panoptic_head\.pixel_decoder\.lateral_convs\.0\.", f"{PIXELS}.adapter_1.", {"conv": "0", "gn": "1"}),
    (r"panoptic_head\.pixel_decoder\.output_convs\.0\.", f"{PIXELS}.layer_1.", {"conv": "0", "gn": "1"}),
    (
        r"panoptic_head\.pixel_decoder\.",
        f"{PIXELS}.",
        {"mask_feature": "mask_projection", "level_encoding.weight": "level_embed"},
    ),
    (r"panoptic_head\.transformer_decoder\.layers\.(\d+)\.", rf"{QUERIES}.decoder.layers.\1.", DECODER_LAYER),
    (r"panoptic_head\.transformer_decoder\.", f"{QUERIES}.decoder.", {"post_norm": "layernorm"}),
    (
        r"panoptic_head\.mask_embed\.",
        f"{QUERIES}.decoder.mask_predictor.mask_embedder.",
        {"0": "0.0", "2": "1.0", "4": "2.0"},
    ),
    (r"panoptic_head\.cls_embed", "class_predictor", {}),
    (
        r"panoptic_head\.",
        f"{QUERIES}.",
        {"query_embed": "queries_embedder", "query_feat": "queries_features"},
    ),
)
# Made anew from the sizes by transformers, or for training only.
UNSTORED = ("relative_position_index", "empty_weight")
UNUSED = re.compile(r"criterion\.|.*\bencoder\.(swin\.)?layernorm\.")


def convert_detector(file: Path, out: Path) -> None:
    """Write a folder for ``mask2former`` from a Swin Mask2Former checkpoint of mmdetection 2.x.

    Args:
        file: such as ``mask2former_swin-s-p4-w7-224_lsj_8x2_50e_coco_….pth``.
        out: the folder; it must not exist yet, or be empty.

    Raises:
        CheckpointError: if the file holds anything but tensors and plain values, or other tensors than such
            a model has.
        ConfigError: if transformers is not installed.
    """
    try:
        from transformers import Mask2FormerForUniversalSegmentation
    except ImportError as error:
        raise ConfigError("this detector needs transformers: pip install 'strokewise[eval]'") from error
    stored = read_pickle(file)
    try:
        tensors = dict(pair for name, tensor in stored.items() for pair in _converted(name, tensor))
        config = _config(stored)
    except KeyError as error:
        raise CheckpointError(f"{file} is no Mask2Former of mmdetection 2.x: it lacks {error}") from error
    with writing_folder(out, CheckpointError) as partial:
        config.save_pretrained(partial)
        save_file(tensors, str(partial / "model.safetensors"), metadata={"format": "pt"})
        loaded: Any = Mask2FormerForUniversalSegmentation.from_pretrained(partial, output_loading_info=True)
        _, found = loaded
        missing = [name for name in found["missing_keys"] if not UNUSED.match(name)]
        wrong = [*missing, *found["unexpected_keys"], *map(str, found["mismatched_keys"])]
        if wrong:
            raise CheckpointError(f"{file} does not fit a Mask2Former: {', '.join(sorted(wrong)[:8])}")


def read_pickle(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint of mmdetection, by name.

    Raises:
        CheckpointError: if it cannot be read, holds anything but tensors and plain values, or no state.
    """
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{file} is refused: it holds more than tensors and plain values, which unpickling would run as"
            f" code, or is damaged ({str(error).splitlines()[0]})"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from error
    state = found.get("state_dict", found) if isinstance(found, dict) else None
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise CheckpointError(f"{file} holds no state of a model")
    return state


def _converted(name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in transformers' files that one of mmdetection's stands for."""
    if name.endswith(UNSTORED):
        return
    renamed = _renamed(name)
    if ".downsample." in name:
        yield renamed, _merging_order(tensor)
    elif ".attention.self.qkv." in renamed:
        for part, piece in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
            yield renamed.replace(".qkv.", f".{part}."), piece.clone()
    elif ".self_attn.in_proj_" in renamed:
        for part, piece in zip("qkv", tensor.chunk(3), strict=True):
            yield renamed.replace(".in_proj_", f".{part}_proj."), piece.clone()
    else:
        yield renamed, tensor.clone()


def _renamed(name: str) -> str:
    if norm := re.fullmatch(r"backbone\.norm(\d)\.(weight|bias)", name):
        return f"{SWIN}.hidden_states_norms.stage{int(norm[1]) + 1}.{norm[2]}"
    for pattern, beginning, inside in PARTS:
        if found := re.match(pattern, name):
            rest = name[found.end() :]
            for theirs, ours in inside.items():
                if rest == theirs or rest.startswith(f"{theirs}."):
                    rest = ours + rest[len(theirs) :]
                    break
            return found.expand(beginning) + rest
    raise KeyError(f"a place for {name}")


def _merging_order(tensor: Tensor) -> Tensor:
    """Return inputs of a merging of 2 x 2 patches, ordered by channel and then row by row, in the original's
    order.

    The original has the channels of each patch together, and the patches column by column.
    """
    channels = tensor.shape[-1] // 4
    by_patch = tensor.unflatten(-1, (channels, 4)).transpose(-1, -2)
    return by_patch[..., [0, 2, 1, 3], :].flatten(-2).contiguous()


def _config(stored: dict[str, Tensor]) -> Mask2FormerConfig:
    """Return the sizes of a model, read off its weights."""
    from transformers import Mask2FormerConfig, SwinConfig

    def count(pattern: str) -> int:
        found = {int(match[1]) for name in stored if (match := re.match(pattern, name))}
        return len(found)

    def rows(name: str) -> int:
        return stored[name].shape[0]

    stages = range(count(r"backbone\.stages\.(\d+)\."))
    tables = [stored[f"backbone.stages.{i}.blocks.0.attn.w_msa.relative_position_bias_table"] for i in stages]
    size = rows("backbone.patch_embed.projection.weight")
    # As dictionaries, because transformers' classes take more than their signatures say.
    backbone: dict[str, Any] = {
        "embed_dim": size,
        "depths": [count(rf"backbone\.stages\.{i}\.blocks\.(\d+)\.") for i in stages],
        "num_heads": [table.shape[1] for table in tables],
        "window_size": (round(len(tables[0]) ** 0.5) + 1) // 2,
        "mlp_ratio": rows("backbone.stages.0.blocks.0.ffn.layers.0.0.weight") / size,
        "out_features": [f"stage{i + 1}" for i in stages],
    }
    pixels, head = "panoptic_head.pixel_decoder", "panoptic_head.transformer_decoder"
    offsets = rows(f"{pixels}.encoder.layers.0.attentions.0.sampling_offsets.weight")
    sizes: dict[str, Any] = {
        "feature_size": stored[f"{pixels}.level_encoding.weight"].shape[1],
        "mask_feature_size": rows(f"{pixels}.mask_feature.weight"),
        "hidden_dim": stored["panoptic_head.query_feat.weight"].shape[1],
        "encoder_feedforward_dim": rows(f"{pixels}.encoder.layers.0.ffns.0.layers.0.0.weight"),
        "encoder_layers": count(rf"{re.escape(pixels)}\.encoder\.layers\.(\d+)\."),
        # One more than there are, in transformers' count.
        "decoder_layers": count(rf"{re.escape(head)}\.layers\.(\d+)\.") + 1,
        "dim_feedforward": rows(f"{head}.layers.0.ffns.0.layers.0.0.weight"),
        "num_attention_heads": offsets // (2 * LEVELS * POINTS),
        "num_queries": rows("panoptic_head.query_feat.weight"),
        "num_labels": rows("panoptic_head.cls_embed.weight") - 1,
    }
    return Mask2FormerConfig(backbone_config=SwinConfig(**backbone), **sizes)
