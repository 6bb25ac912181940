"""From a run to a model folder: the last checkpoint's weights, adapters folded in, with the tokenizer.

The folder also states how it was trained (``training.json``), for its card.
"""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import torch

from strokewise.errors import CheckpointError, ConfigError
from strokewise.io.atomic import write_text, writing_folder
from strokewise.io.digests import digest_of, write_digests
from strokewise.models import architecture_of, find_checkpoint, is_local, module_of
from strokewise.models.hub import TRAINING
from strokewise.train.checkpoint import Checkpoints, read_facts, read_tensors
from strokewise.train.config import Lora
from strokewise.train.distributed import World
from strokewise.train.lora import merge_adapters
from strokewise.train.model import trainable_model
from strokewise.train.optim import trainable

TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json")


def export(
    run: Path,
    out: Path,
    averaged: bool = True,
    model: str | None = None,
    layout: str | None = None,
    replace: bool = False,
) -> None:
    """Write the weights of a run's last checkpoint as a model folder in bfloat16, tokenizer included.

    The folder appears whole or not at all; until then one that is replaced stays as it is. It lists
    the digests of its files, which are compared where it is loaded.

    Args:
        run: folder of the run.
        out: where the model goes.
        averaged: the averaged weights (EMA), or the last ones.
        model: where the start of the run is now, if it was moved.
        layout: of the folder, one of the architecture's ``layouts``; None is the first of them.
        replace: whether a model may stand there already.

    Raises:
        CheckpointError: if there is no checkpoint, it does not fit the start, or the folder cannot be
            written.
        ConfigError: if the architecture has no such layout, or the folder holds something that stays.
    """
    alone = World(0, 1, torch.device("cpu"))
    path = Checkpoints(run, 1, alone).latest()
    if path is None:
        raise CheckpointError(f"there is no checkpoint in {run}")
    facts = read_facts(path)
    config = facts["config"]
    start = find_checkpoint(model or config["model"])
    architecture = architecture_of(start)
    out = _destination(out, start, replace)
    layout = layout or architecture.layouts[0]
    if layout not in architecture.layouts:
        raise ConfigError(f"unknown layout {layout!r}; known are {', '.join(architecture.layouts)}")
    # Adapters are folded into the released weights, also where they were trained beside those in 4 bits.
    lora = dataclasses.replace(Lora(**config["lora"]), quantize=None) if config["lora"] else None
    made = trainable_model(str(start), lora, False, alone.device)
    prefix = "average" if averaged else "weight"
    named = {f"{prefix}/{name}": p.detach() for name, p in trainable(module_of(made)).items()}
    read_tensors(path, named, alone, partly=True)
    made.limit(config.get("canvas_side"), config.get("view_side"))
    if lora:
        merge_adapters(made)
    module_of(made).to(torch.bfloat16)
    with writing_folder(out, CheckpointError, replace) as partial:
        architecture.save(made, partial, layout)
        for name in TOKENIZER_FILES:
            if (start / name).exists():
                shutil.copyfile(start / name, partial / name)
        stated = _training(config, facts["step"], averaged)
        write_text(partial / TRAINING, json.dumps(stated, indent=2) + "\n", CheckpointError)
        digests = {file.name: digest_of(file, CheckpointError) for file in sorted(partial.iterdir())}
        write_digests(partial, digests, CheckpointError)


def _destination(out: Path, start: Path, replace: bool) -> Path:
    """Return the folder of an export as a plain path, if a model may be put there.

    Raises:
        ConfigError: if something stands there that is not to be replaced.
    """
    out = out.resolve()
    if out.is_mount():
        raise ConfigError(f"{out} is a mount point, which cannot be replaced; name a folder in it")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        if not replace:
            raise ConfigError(f"{out} is there already; give another folder, or replace it (--replace)")
        if out == start.resolve():
            raise ConfigError(f"{out} is what the run started from, which it needs; give another folder")
        try:
            architecture_of(out)
        except CheckpointError as error:
            raise ConfigError(f"only a model is replaced, and {error}") from error
    return out


def _training(config: dict[str, Any], step: int, averaged: bool) -> dict[str, Any]:
    """Return what a card states of a run: start, data and settings, without the places of files on this
    machine.
    """
    elsewhere = ("name", "model", "sources", "running")
    kept = {name: value for name, value in config.items() if name not in elsewhere}
    data = [
        {
            "name": source["name"],
            "share": round(source["weight"], 4),
            **{k: Path(v).name if k == "folder" else v for k, v in source["source"].items()},
        }
        for source in config["sources"]
    ]
    return {
        "recipe": config["name"],
        "start": Path(config["model"]).name if is_local(config["model"]) else config["model"],
        "steps_done": step,
        "averaged": averaged,
        "data": data,
        "settings": kept,
    }
