"""The model of a run: loaded from its start, made trainable, spread over the ranks."""

import torch
from torch.distributed.tensor import DTensor, distribute_tensor

from strokewise.models import (
    Backbone,
    architecture_of,
    find_checkpoint,
    load_model,
    module_of,
    read_config,
    read_weights,
)
from strokewise.train.config import Lora, TrainConfig
from strokewise.train.distributed import World, parallelize
from strokewise.train.lora import add_adapters
from strokewise.train.objectives import TrainedModel


def trainable_model(model: str, lora: Lora | None, low: bool, device: torch.device) -> Backbone:
    """Load the model a run starts from, in training mode, with gradients where it is trained.

    Args:
        model: folder, built-in name or hub id.
        lora: adapters, or None to train all weights but the autoencoder's.
        low: whether the frozen weights beside adapters are bfloat16; trained weights are float32. Those of
            ``lora.quantize`` are in 4 bits, computed with in that precision.
        device: where it goes.

    Raises:
        CheckpointError: if the start cannot be loaded.
        ConfigError: if a library that adapters or a quantized base need is not installed.
    """
    dtype = torch.bfloat16 if lora and low else torch.float32
    made = load_model(model, device, dtype, lora.quantize if lora else None)
    module = module_of(made).train()
    if not lora:
        module.requires_grad_(True)
    else:
        add_adapters(module, lora, architecture_of(find_checkpoint(model)).adapter_targets)
        module.to(device)
    made.autoencoder.requires_grad_(False)
    return made


def build_model(config: TrainConfig, world: World) -> TrainedModel:
    """Load the model a run starts from under its objective, spread over the ranks.

    Where it is sharded, weights are streamed from the file into the shards, so that no rank ever holds more
    than its share and one whole tensor. (Adapters are few and are made on a whole model.)

    Raises:
        CheckpointError: if the start cannot be loaded.
        ConfigError: if its base is quantized and there are several ranks.
    """
    if config.lora:
        config.lora.check_devices(world.size)
    architecture = architecture_of(find_checkpoint(config.model))
    if world.size == 1 or config.lora:
        low = config.precision == "bfloat16"
        # peft draws from the global generator; every rank draws the same.
        torch.manual_seed(config.seed)
        trained = TrainedModel(
            trainable_model(config.model, config.lora, low, world.device), config.objective
        )
        trained.model.limit(config.canvas_side, config.view_side)
        parallelize(trained, architecture, world, config)
        return trained
    with torch.device("meta"):
        trained = TrainedModel(architecture.build(read_config(config.model)), config.objective)
    trained.model.limit(config.canvas_side, config.view_side)
    trained.model.autoencoder.requires_grad_(False)
    parallelize(trained, architecture, world, config)
    trained.to_empty(device=world.device)
    places = module_of(trained.model).state_dict()
    for name, weight in read_weights(config.model, places, torch.float32):
        place = places[name]
        if isinstance(place, DTensor):
            mesh, placements = place.device_mesh, place.placements
            place.copy_(distribute_tensor(weight.to(world.device), mesh, placements, src_data_rank=None))
        else:
            place.copy_(weight)
    return trained
