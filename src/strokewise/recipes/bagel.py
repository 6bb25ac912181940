"""Recipes: functions that return a complete training configuration. A run is one of these, perhaps changed.

Each takes the checkpoint to start from and the sources of its samples; figures without a source are choices
of ours, made for this project and stated in docs/training.md. Those of nano stand in ``nano_recipes``.
"""

import importlib
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from strokewise.datasets.records import ANCHORS, SUBSETS, Rendered, Shards
from strokewise.datasets.samples import SourceConfig
from strokewise.errors import ConfigError
from strokewise.recipes.nano.stages import STAGES
from strokewise.train.config import Lora, Running, TrainConfig, WeightedSource


def bagel_7b_process(
    model: str,
    multi_turn: SourceConfig,
    conflict: SourceConfig,
    alignment: SourceConfig,
    anchors: SourceConfig,
) -> TrainConfig:
    """The paper's run: 8 GPUs, 10,000 steps, packs of 33k tokens, rate 2e-5 with cosine decay, end to end.

    Adam's constants are those of BAGEL's released code; λ_CE, which the paper does not state, is 1 as there.
    """
    return TrainConfig(
        name="bagel-7b-process",
        model=model,
        sources=process_mixture(multi_turn, conflict, alignment, anchors),
        steps=10_000,
        learning_rate=2e-5,
        warmup_steps=200,
        pack_tokens=33_000,
        row_tokens=16_384,
        packs_per_step=8,
        time_shift=3.0,
        eps=1e-15,
        ema_decay=0.999,
        running=Running(workers=4, checkpointing=True, cache_mb=2048, save_every=250),
    )


def bagel_7b_lora(
    model: str,
    multi_turn: SourceConfig,
    conflict: SourceConfig,
    alignment: SourceConfig,
    anchors: SourceConfig,
) -> TrainConfig:
    """The same data for one GPU of 48 GB or more: adapters beside frozen bfloat16 weights."""
    full = bagel_7b_process(model, multi_turn, conflict, alignment, anchors)
    return replace(
        full,
        name="bagel-7b-lora",
        learning_rate=1e-4,
        pack_tokens=16_384,
        lora=Lora(),
        eps=1e-8,
    )


def process_mixture(
    multi_turn: SourceConfig, conflict: SourceConfig, alignment: SourceConfig, anchors: SourceConfig
) -> tuple[WeightedSource, ...]:
    """The three subsets in the paper's proportions beside a share of plain text-to-image samples."""
    total = sum(SUBSETS.values())
    weighted = tuple(
        WeightedSource(name, (1 - ANCHORS) * count / total, source)
        for (name, count), source in zip(SUBSETS.items(), (multi_turn, conflict, alignment), strict=True)
    )
    return (*weighted, WeightedSource("text-to-image", ANCHORS, anchors))


RECIPES: dict[str, Callable[..., TrainConfig]] = {
    "bagel-7b-process": bagel_7b_process,
    "bagel-7b-lora": bagel_7b_lora,
}


def named(recipe: str, model: str, data: Path | None) -> TrainConfig:
    """A recipe by its name, in the sprite world or on built data sets.

    Args:
        recipe: such as ``nano-base``.
        model: the checkpoint to start from.
        data: folder of the built subsets, ``multi-turn``, ``conflict`` and ``alignment``; None: the sprite
            world is rendered on the fly.

    Raises:
        ConfigError: if there is no such recipe.
    """

    def source(subset: str, view: str = "process") -> SourceConfig:
        return Rendered(subset, view) if data is None else Shards(str(data / subset), view)

    if recipe in STAGES:
        return STAGES[recipe](model, data)
    if recipe not in RECIPES:
        raise ConfigError(f"unknown recipe {recipe!r}; known are {', '.join({**STAGES, **RECIPES})}")
    subsets = (source(name) for name in ("multi-turn", "conflict", "alignment"))
    return RECIPES[recipe](model, *subsets, source("multi-turn", "caption"))


def own(name: str) -> TrainConfig:
    """The configuration that ``package.module:function`` returns; modules of the present folder are found.

    Raises:
        ConfigError: if there is no such function, or it returns something else.
    """
    module, _, function = name.partition(":")
    sys.path.insert(0, "")
    try:
        made = getattr(importlib.import_module(module), function)()
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ConfigError(
            f"no recipe {name!r}: expected PACKAGE.MODULE:FUNCTION, a function without arguments ({error})"
        ) from error
    finally:
        sys.path.remove("")
    if not isinstance(made, TrainConfig):
        raise ConfigError(f"{name} returned a {type(made).__name__}, not a TrainConfig")
    return made
