"""Recipes: functions that return a complete training configuration. A run is one of these, perhaps changed.

Each takes the checkpoint to start from and the sources of its samples; figures without a source are choices
of ours, made for this project and stated in docs/training.md.
"""

import importlib
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from strokewise.errors import ConfigError
from strokewise.train.config import Dropout, Lora, Running, TrainConfig, WeightedSource
from strokewise.train.records import Rendered, Shards
from strokewise.train.samples import SourceConfig

# nano's process stages also learn from texts alone (plans; wrong plans and what is said of them), since it
# takes many to learn what relations mean, and from single strokes, so as not to paint worse than before.
BESIDE = (0.15, 0.2, 0.3)
# Samples of the paper's three subsets; the mixture keeps their shares.
MULTI_TURN, CONFLICT, ALIGNMENT = 32_012, 15_201, 15_000
# Share of plain text-to-image samples: models tuned on processes alone lose plain generation.
ANCHORS = 0.1
# Share of a model's own records among its conflicts and alignments, and the steps that learn from them.
OWN_SHARE, OWN_STEPS = 0.6, 800
# nano's scenes have one size and one place in each cell from its second stage on (docs/nano.md).
NANO_FREEDOM = 0.0
# What nano is trained to paint; more classes need more samples (docs/nano.md).
NANO_CLASSES = (
    "apple",
    "broccoli",
    "bus",
    "car",
    "carrot",
    "chair",
    "computer keyboard",
    "cow",
    "dog",
    "giraffe",
    "horse",
    "laptop",
    "orange",
    "potted plant",
    "refrigerator",
    "scissors",
    "stop sign",
    "tv",
    "vase",
    "zebra",
)


def nano_base(
    model: str,
    text_to_image: SourceConfig,
    editing: SourceConfig,
    reading: SourceConfig,
    planning: SourceConfig,
) -> TrainConfig:
    """First stage of nano: single-pass painting, instructed strokes, reading canvases, the language."""
    return TrainConfig(
        name="nano-base",
        model=model,
        sources=(
            WeightedSource("text-to-image", 0.13, text_to_image),
            WeightedSource("editing", 0.64, editing),
            WeightedSource("reading", 0.11, reading),
            WeightedSource("planning", 0.12, planning),
        ),
        steps=4_200,
        learning_rate=1e-3,
        muon=0.02,
        warmup_steps=100,
        final_lr=0.02,
        pack_tokens=4096,
        row_tokens=512,
        packs_per_step=1,
        noised_copies=3,
        dropout=Dropout(vit=0.6, latents=0.05),
        ema_decay=0.995,
        running=Running(workers=1, compile=True, cache_mb=0, log_every=20),
    )


def nano_even(
    model: str,
    text_to_image: SourceConfig,
    editing: SourceConfig,
    reading: SourceConfig,
    planning: SourceConfig,
) -> TrainConfig:
    """As the first stage, for scenes with one size and one place in each cell."""
    base = nano_base(model, text_to_image, editing, reading, planning)
    return replace(base, name="nano-even", steps=1_500)


def nano_fluent(
    model: str,
    text_to_image: SourceConfig,
    editing: SourceConfig,
    reading: SourceConfig,
    planning: SourceConfig,
    criticism: SourceConfig,
) -> TrainConfig:
    """As the stage before, with three times the texts alone, also of wrong plans and what is said of them."""
    even = nano_even(model, text_to_image, editing, reading, planning)
    sources = (
        WeightedSource("text-to-image", 0.08, text_to_image),
        WeightedSource("editing", 0.45, editing),
        WeightedSource("reading", 0.07, reading),
        WeightedSource("planning", 0.2, planning),
        WeightedSource("criticism", 0.2, criticism),
    )
    return replace(even, name="nano-fluent", sources=sources, steps=1_400)


def nano_process(
    model: str,
    multi_turn: SourceConfig,
    conflict: SourceConfig,
    alignment: SourceConfig,
    anchors: SourceConfig,
    planning: SourceConfig,
    criticism: SourceConfig,
    strokes: SourceConfig,
) -> TrainConfig:
    """Then, the paper's three subsets, and single strokes and texts, of which more fit into a step."""
    processes = process_mixture(multi_turn, conflict, alignment, anchors)
    rest = [replace(entry, weight=entry.weight * (1 - sum(BESIDE))) for entry in processes]
    beside = (
        WeightedSource("planning", BESIDE[0], planning),
        WeightedSource("criticism", BESIDE[1], criticism),
        WeightedSource("strokes", BESIDE[2], strokes),
    )
    return TrainConfig(
        name="nano-process",
        model=model,
        sources=(*rest, *beside),
        steps=400,
        learning_rate=4e-4,
        muon=0.008,
        warmup_steps=50,
        final_lr=0.02,
        pack_tokens=4096,
        row_tokens=768,
        packs_per_step=1,
        dropout=Dropout(vit=0.3, latents=0.05, cut=0.1),
        ema_decay=0.995,
        running=Running(workers=1, compile=True, cache_mb=0, log_every=20),
    )


def nano_own_process(model: str, own: Path) -> TrainConfig:
    """Fourth stage of nano: conflicts and alignments are now what the model itself painted and planned.

    Rendered faults stay in a smaller share, because few of its own records show a rare fault.
    """
    rendered = named("nano-process", model, None)
    mixed: list[WeightedSource] = []
    for entry in rendered.sources:
        source = entry.source
        assert isinstance(source, Rendered)
        if source.subset == "multi-turn":
            mixed.append(entry)
            continue
        itself = Shards(str(own / source.subset), source.view)
        mixed.append(replace(entry, weight=entry.weight * (1 - OWN_SHARE)))
        mixed.append(WeightedSource(f"own {entry.name}", entry.weight * OWN_SHARE, itself))
    return replace(rendered, name="nano-own-process", sources=tuple(mixed), steps=OWN_STEPS)


def nano_control(model: str) -> TrainConfig:
    """What the two process stages are compared with: their steps, spent on single-pass painting alone."""
    process = named("nano-process", model, None)
    captions = next(entry for entry in process.sources if entry.name == "text-to-image")
    return replace(
        process,
        name="nano-control",
        sources=(replace(captions, weight=1.0),),
        steps=process.steps + OWN_STEPS,
    )


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
    total = MULTI_TURN + CONFLICT + ALIGNMENT
    subsets = (
        ("multi-turn", MULTI_TURN, multi_turn),
        ("conflict", CONFLICT, conflict),
        ("alignment", ALIGNMENT, alignment),
    )
    weighted = tuple(WeightedSource(name, (1 - ANCHORS) * n / total, source) for name, n, source in subsets)
    return (*weighted, WeightedSource("text-to-image", ANCHORS, anchors))


BASE: dict[str, Callable[..., TrainConfig]] = {
    "nano-base": nano_base,
    "nano-even": nano_even,
    "nano-fluent": nano_fluent,
}
PROCESS: dict[str, Callable[..., TrainConfig]] = {
    "nano-process": nano_process,
    "bagel-7b-process": bagel_7b_process,
    "bagel-7b-lora": bagel_7b_lora,
}


def named(recipe: str, model: str, data: Path | None) -> TrainConfig:
    """One of the recipes above by its name, in the sprite world or on built data sets.

    Args:
        recipe: such as ``nano-base``.
        model: the checkpoint to start from.
        data: folder of the built subsets, ``multi-turn``, ``conflict`` and ``alignment``; None: the sprite
            world is rendered on the fly.

    Raises:
        ConfigError: if there is no such recipe.
    """

    def source(subset: str, view: str = "process") -> SourceConfig:
        if data is not None:
            return Shards(str(data / subset), view)
        if not recipe.startswith("nano"):
            return Rendered(subset, view)
        freedom = 1.0 if recipe == "nano-base" else NANO_FREEDOM
        return Rendered(subset, view, classes=NANO_CLASSES, freedom=freedom)

    if recipe in BASE:
        views = ("caption", "stroke", "reading", "planning")
        sources = [source("multi-turn", view) for view in views]
        if recipe == "nano-fluent":
            sources.append(source("conflict", "planning"))
        return BASE[recipe](model, *sources)
    if recipe not in PROCESS:
        raise ConfigError(f"unknown recipe {recipe!r}; known are {', '.join({**BASE, **PROCESS})}")
    multi_turn, conflict, alignment = (source(name) for name in ("multi-turn", "conflict", "alignment"))
    anchors = source("multi-turn", "caption")
    if recipe != "nano-process":
        return PROCESS[recipe](model, multi_turn, conflict, alignment, anchors)
    beside = (("multi-turn", "planning"), ("conflict", "planning"), ("multi-turn", "stroke"))
    return nano_process(model, multi_turn, conflict, alignment, anchors, *(source(*view) for view in beside))


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
