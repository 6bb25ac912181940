"""What ``strokewise info`` prints: sizes, parameters, memory and costs of a model, as tables."""

from collections.abc import Iterable
from typing import Any

import torch
from rich.console import Group
from rich.table import Table

from strokewise.models.bagel import costs
from strokewise.models.bagel.config import ModelConfig, bagel_7b, nano
from strokewise.models.bagel.layouts import read_config
from strokewise.models.registry import find_checkpoint, is_local
from strokewise.models.units import human

BUILT_IN = {"bagel-7b": bagel_7b, "nano": nano}
CONTEXTS = (0, 1024, 8192, 32768)


def config_of(model: str) -> ModelConfig:
    """Return sizes of a built-in name (no weights needed), a folder or a hub id."""
    return (
        BUILT_IN[model]()
        if model in BUILT_IN and not is_local(model)
        else read_config(find_checkpoint(model))
    )


def facts(
    config: ModelConfig, sizes: Iterable[tuple[int, int]], contexts: Iterable[int], dtype: torch.dtype
) -> dict[str, Any]:
    """Return all figures as plain values.

    Args:
        config: the model.
        sizes: (height, width) of images in pixels.
        contexts: context lengths in tokens.
        dtype: precision of weights and cache.
    """
    parts, itemsize = costs.parameters(config), dtype.itemsize
    total = sum(parts.values())
    return {
        "config": config.to_dict(),
        "parameters": parts,
        "total_parameters": total,
        "weight_bytes": total * itemsize,
        "images": {f"{width}x{height}": costs.image_tokens(config, height, width) for height, width in sizes},
        "cache_bytes": {n: costs.cache_bytes(config.language, n, itemsize) for n in contexts},
        "text_token": {n: vars(costs.text_token(config, n, itemsize)) for n in contexts},
        "velocity": {
            f"{width}x{height}": {
                n: vars(costs.velocity(config, height, width, n, itemsize)) for n in contexts
            }
            for height, width in sizes
        },
    }


def tables(name: str, values: dict[str, Any], dtype: torch.dtype) -> Group:
    """Return the figures of :func:`facts` for a terminal."""
    precision = str(dtype).removeprefix("torch.")
    return Group(
        _config_table(name, values["config"]),
        _parameter_table(values, precision),
        _image_table(values),
        _cost_table(values, precision),
    )


def _config_table(name: str, config: dict[str, Any]) -> Table:
    table = Table("part", "configuration", title=f"{name}: configuration")
    general = {key: value for key, value in config.items() if not isinstance(value, dict)}
    for part, entries in {
        **{k: v for k, v in config.items() if isinstance(v, dict)},
        "general": general,
    }.items():
        table.add_row(part, ", ".join(f"{key} {value}" for key, value in entries.items()))
    return table


def _parameter_table(values: dict[str, Any], precision: str) -> Table:
    table = Table("part", "parameters", title="parameters")
    for part, count in values["parameters"].items():
        table.add_row(part, f"{count:,}")
    coder = values["parameters"]["autoencoder"]
    table.add_row("[bold]total", f"[bold]{values['total_parameters']:,}")
    table.add_row("without the autoencoder", f"{values['total_parameters'] - coder:,}")
    table.add_row(f"memory in {precision}", human(values["weight_bytes"], "B"))
    return table


def _image_table(values: dict[str, Any]) -> Table:
    table = Table(
        "image", "painted", "shown: latents", "shown: ViT", title="tokens per image, with delimiters"
    )
    for size, counts in values["images"].items():
        table.add_row(size, *(str(counts[kind]) for kind in ("painted", "latents", "vit")))
    return table


def _cost_table(values: dict[str, Any], precision: str) -> Table:
    table = Table("context tokens", "KV cache", "one text token", title=f"costs in {precision}, batch 1")
    for size in values["velocity"]:
        table.add_column(f"one velocity, {size}")
    for n, cache in values["cache_bytes"].items():
        steps = [values["text_token"][n], *(v[n] for v in values["velocity"].values())]
        shown = [f"{human(step['flops'], 'FLOP')}, {human(step['bytes'], 'B')}" for step in steps]
        table.add_row(f"{n:,}", human(cache, "B"), *shown)
    return table
