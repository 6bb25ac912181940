"""Checkpointing, compilation and sharding of BAGEL's layers, applied from outside: no module knows of it."""

import torch
from torch.distributed.fsdp import fully_shard

from strokewise.models.backbone import Parallelism
from strokewise.models.bagel.transformer import Expert
from strokewise.models.bagel.unified import UnifiedModel

# Compiled variants of a function at most: packs differ in rows, columns and whether a block is a view.
SHAPES = 64


def parallelize(model: UnifiedModel, parallelism: Parallelism) -> None:
    """Apply activation checkpointing, compilation and FSDP2, in that order, in place.

    Checkpointing must come first, so that what is recomputed is compiled; sharding last, so that hooks gather
    weights around both.
    """
    model.language.checkpointing = model.vision.checkpointing = parallelism.checkpointing
    if parallelism.compile:
        torch._dynamo.config.recompile_limit = SHAPES
        for module in model.language.modules():
            if isinstance(module, Expert):
                module.compile_parts()
    if parallelism.mesh is None:
        return
    assert parallelism.policy is not None, "a mesh comes with a precision policy"
    for layer in [*model.language.layers, *model.vision.layers]:
        fully_shard(layer, mesh=parallelism.mesh, mp_policy=parallelism.policy)
