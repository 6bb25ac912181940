"""Random weights to train from scratch, at any size of the architecture."""

import torch
from torch import nn

from strokewise.models.bagel.config import ModelConfig
from strokewise.models.bagel.layers import sincos_table
from strokewise.models.bagel.unified import UnifiedModel

EMBEDDING_STD = 0.02
# Base of the sin-cos position tables. With BAGEL's 10000 most waves hardly change over the few places of a
# small canvas, so that neighbors look alike and copying from the canvas before is learned slowly
# (docs/nano.md).
PLACES_BASE = 4.0


def fresh_model(config: ModelConfig, seed: int) -> UnifiedModel:
    """Make a model of random float32 weights, ready to be trained; the autoencoder keeps torch's own.

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
