"""From a model to a folder, in our own layout or in BAGEL's; each file is complete or not there at all."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from strokewise.errors import CheckpointError
from strokewise.io.atomic import write_text, writing
from strokewise.models.bagel.checkpoint import Names, autoencoder_names, bagel_names, split_names
from strokewise.models.bagel.config import ModelConfig
from strokewise.models.bagel.layouts import (
    BAGEL_AUTOENCODER,
    BAGEL_WEIGHTS,
    INDEX,
    WEIGHTS,
    bagel_files,
)
from strokewise.models.bagel.unified import UnifiedModel
from strokewise.models.registry import CONFIG


def save_model(model: UnifiedModel, folder: Path) -> None:
    """Write a model in our own layout, the configuration last: a folder that has it is complete."""
    _save(model.state_dict(), folder / WEIGHTS)
    _write_json(folder / CONFIG, {"format": 1, "architecture": "bagel", "model": model.config.to_dict()})


def export_bagel(model: UnifiedModel, folder: Path) -> None:
    """Write a model in BAGEL's released layout, for code that loads BAGEL checkpoints.

    BAGEL's own code reads ``llm_config.json`` and ``vit_config.json``; vLLM and vllm-omni read
    ``config.json`` and the index, which lists the main weights alone, as they read the autoencoder by itself.
    """
    config, state = model.config, model.state_dict()
    main = _foreign(bagel_names(config), state, config)
    coder = _foreign(autoencoder_names(config.autoencoder), state, config)
    _save(main, folder / BAGEL_WEIGHTS)
    _save(coder, folder / BAGEL_AUTOENCODER)
    size = sum(tensor.numel() * tensor.element_size() for tensor in main.values())
    files = dict.fromkeys(sorted(main), BAGEL_WEIGHTS)
    _write_json(folder / INDEX, {"metadata": {"total_size": size}, "weight_map": files})
    for name, values in bagel_files(config).items():
        _write_json(folder / name, values)


def _foreign(names: Names, state: dict[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    pairs = (
        pair for ours, theirs in names.items() for pair in split_names(ours, theirs, state[ours], config)
    )
    return {name: tensor.contiguous() for name, tensor in pairs}


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with writing(path, CheckpointError) as partial:
        save_file(plain, str(partial))


def _write_json(path: Path, value: dict[str, Any]) -> None:
    write_text(path, json.dumps(value, indent=2) + "\n", CheckpointError)
