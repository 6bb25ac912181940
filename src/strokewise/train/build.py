"""The model of a run: loaded from its start, made trainable; drawn afresh; exported when it is done."""

import shutil
from pathlib import Path

import torch
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor

from strokewise.errors import CheckpointError
from strokewise.models.bagel import ModelConfig, UnifiedModel, load_model, save_model
from strokewise.models.bagel.layers import sincos_table
from strokewise.models.bagel.loading import find_checkpoint, read_config, read_weights
from strokewise.train.checkpoint import Checkpoints, read_facts, read_tensors
from strokewise.train.config import Lora, TrainConfig
from strokewise.train.distributed import World, parallelize
from strokewise.train.lora import add_adapters, merge_adapters
from strokewise.train.objectives.sft import Losses
from strokewise.train.optim import trainable

EMBEDDING_STD = 0.02
# Of the waves that tell places. With BAGEL's 10000 most of them hardly change over the few places of a small
# canvas, so that neighbours look alike and copying from the canvas before is learnt slowly (docs/nano.md).
PLACES_BASE = 4.0


def fresh_model(config: ModelConfig, seed: int) -> UnifiedModel:
    """A model of random float32 weights, ready to be trained.

    Linear layers are normal with variance 1/inputs; those that write into the residual stream are smaller by
    the square root of their number; the velocity starts at zero, as in BAGEL.
    """
    draw = torch.Generator().manual_seed(seed)
    model = UnifiedModel(config)
    depth = (2 * config.language.num_layers) ** -0.5
    for name, module in model.named_modules():
        if name.startswith("autoencoder"):
            continue
        if isinstance(module, nn.Linear):
            std = module.in_features**-0.5
            std *= depth if name.endswith((".out", ".down")) else 1.0
            nn.init.normal_(module.weight, std=std, generator=draw)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=EMBEDDING_STD, generator=draw)
    nn.init.zeros_(model.latent_out.weight)
    for places, side in (
        (model.latent_places, config.latent_side),
        (model.vision_places, config.vision.side),
    ):
        places.table.copy_(sincos_table(side, config.language.hidden_size, PLACES_BASE))
    return model


def trainable_model(model: str, lora: Lora | None, low: bool, device: torch.device) -> UnifiedModel:
    """The model a run starts from, in training mode, with gradients where it is to learn.

    Args:
        model: folder, built-in name or hub id.
        lora: adapters, or None to train all weights but the autoencoder's.
        low: whether the frozen weights beside adapters are bfloat16; trained weights are float32.
        device: where it goes.

    Raises:
        CheckpointError: if the start cannot be loaded.
    """
    made = load_model(model, device, torch.bfloat16 if lora and low else torch.float32).train()
    made.requires_grad_(True)
    if lora:
        add_adapters(made, lora)
        made.to(device)
    made.autoencoder.requires_grad_(False)
    return made


def build_losses(config: TrainConfig, world: World) -> Losses:
    """The model a run starts from with its losses, spread over the ranks.

    Where it is sharded, weights are streamed from the file into the shards, so that no rank ever holds more
    than its share and one whole tensor. (Adapters are few and are made on a whole model.)

    Raises:
        CheckpointError: if the start cannot be loaded.
    """
    if world.size == 1 or config.lora:
        low = config.precision == "bfloat16"
        # peft draws from the global generator; every rank draws the same.
        torch.manual_seed(config.seed)
        losses = Losses(trainable_model(config.model, config.lora, low, world.device))
        parallelize(losses, world, config)
        return losses
    with torch.device("meta"):
        losses = Losses(UnifiedModel(read_config(find_checkpoint(config.model))))
    losses.model.autoencoder.requires_grad_(False)
    parallelize(losses, world, config)
    losses.to_empty(device=world.device)
    places = losses.model.state_dict()
    for name, weight in read_weights(config.model, places, torch.float32):
        place = places[name]
        if isinstance(place, DTensor):
            mesh, placements = place.device_mesh, place.placements
            place.copy_(distribute_tensor(weight.to(world.device), mesh, placements, src_data_rank=None))
        else:
            place.copy_(weight)
    return losses


def export(run: Path, out: Path, averaged: bool = True, model: str | None = None) -> None:
    """Write the weights of a run's last checkpoint as a model folder in bfloat16, tokenizer included.

    Args:
        run: folder of the run.
        out: where the model goes.
        averaged: the averaged weights (EMA), or the last ones.
        model: where the start of the run is now, if it was moved.

    Raises:
        CheckpointError: if there is no checkpoint, or it does not fit the start.
    """
    alone = World(0, 1, torch.device("cpu"))
    path = Checkpoints(run, 1, alone).latest()
    if path is None:
        raise CheckpointError(f"there is no checkpoint in {run}")
    config = read_facts(path)["config"]
    start = find_checkpoint(model or config["model"])
    lora = Lora(**config["lora"]) if config["lora"] else None
    made = trainable_model(str(start), lora, False, alone.device)
    prefix = "average" if averaged else "weight"
    named = {f"{prefix}/{name}": p.detach() for name, p in trainable(made).items()}
    read_tensors(path, named, alone, partly=True)
    if lora:
        merge_adapters(made)
    save_model(made.to(torch.bfloat16), out)
    for name in ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json"):
        if (start / name).exists():
            shutil.copyfile(start / name, out / name)


def check_same_run(config: TrainConfig, path: Path) -> None:
    """Refuse a checkpoint that another configuration made.

    Raises:
        CheckpointError: naming what differs.
    """
    if different := config.differences(read_facts(path)["config"]):
        raise CheckpointError(
            f"{path} was made by another run:\n  "
            + "\n  ".join(different)
            + "\n  train into another folder, or with the configuration it was made with"
        )
