"""Recipes: functions that return a complete training configuration. A run is one of these, perhaps changed.

Each takes the checkpoint to start from and the sources of its samples; figures without a source are choices
of ours, made for this project and stated in docs/training.md.
"""

import importlib
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from strokewise.data.scenes import SceneMix
from strokewise.errors import ConfigError
from strokewise.train.canvases import Canvases
from strokewise.train.config import Dropout, Lora, Running, TrainConfig, WeightedSource
from strokewise.train.records import Rendered, Shards
from strokewise.train.samples import SourceConfig
from strokewise.world.vocabulary import CLASSES

# nano's process stages also learn from texts alone (plans; wrong plans and what is said of them), since it
# takes many to learn what relations mean, and from single strokes, so as not to paint worse than before.
BESIDE = (0.08, 0.1, 0.32)
# Samples of the paper's three subsets; the mixture keeps their shares.
MULTI_TURN, CONFLICT, ALIGNMENT = 32_012, 15_201, 15_000
# Share of plain text-to-image samples: models tuned on processes alone lose plain generation.
ANCHORS = 0.1
# Share of a model's own records among its conflicts and alignments.
OWN_SHARE = 0.6
# Optimizer steps of nano's stages.
BASE_STEPS, FIRST_STEPS, OWN_STEPS = 2_600, 250, 560
# What nano is trained to paint: all classes, at one size and in one place of each cell; fewer things and more
# instances than other scenes have (docs/nano.md).
NANO_SCENES = SceneMix(
    objects=(0.25, 0.35, 0.2, 0.12, 0.08),
    counts=(0.67, 0.12, 0.11, 0.1),
    classes=CLASSES,
    freedom=0.0,
    plain=True,
)
# Training times lie near noise: nearer to the canvas nano would see what is to be painted without reading it.
NANO_TIME_SHIFT = 3.0


def nano_base(
    model: str,
    drawing: SourceConfig,
    strokes: SourceConfig,
    reading: SourceConfig,
    planning: SourceConfig,
    criticism: SourceConfig,
    captions: SourceConfig,
) -> TrainConfig:
    """First stage of nano: drawing and reading canvases, strokes, the language, single-pass painting."""
    return TrainConfig(
        name="nano-base",
        model=model,
        sources=(
            WeightedSource("drawing", 0.40, drawing),
            WeightedSource("strokes", 0.25, strokes),
            WeightedSource("reading", 0.14, reading),
            WeightedSource("planning", 0.08, planning),
            WeightedSource("criticism", 0.06, criticism),
            WeightedSource("text-to-image", 0.07, captions),
        ),
        steps=BASE_STEPS,
        learning_rate=1e-3,
        muon=0.02,
        warmup_steps=100,
        final_lr=0.02,
        pack_tokens=4096,
        row_tokens=512,
        packs_per_step=1,
        time_shift=NANO_TIME_SHIFT,
        noised_copies=4,
        dropout=Dropout(vit=0.6, latents=0.05),
        ema_decay=0.995,
        running=Running(workers=1, compile=True, cache_mb=0, log_every=20, save_every=250),
    )


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
        steps=FIRST_STEPS,
        learning_rate=5e-4,
        muon=0.01,
        warmup_steps=50,
        final_lr=0.02,
        pack_tokens=4096,
        row_tokens=768,
        packs_per_step=1,
        time_shift=NANO_TIME_SHIFT,
        noised_copies=2,
        dropout=Dropout(vit=0.3, latents=0.05, cut=0.1),
        ema_decay=0.995,
        running=Running(workers=1, compile=True, cache_mb=0, log_every=20, save_every=250),
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


BASE: dict[str, Callable[..., TrainConfig]] = {"nano-base": nano_base}
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
        return Rendered(subset, view, NANO_SCENES if recipe.startswith("nano") else SceneMix())

    texts = (source("multi-turn", "planning"), source("conflict", "planning"))
    strokes, captions = source("multi-turn", "stroke"), source("multi-turn", "caption")
    if recipe in BASE:
        drawing, reading = Canvases("drawing", NANO_SCENES), Canvases("reading", NANO_SCENES)
        return nano_base(model, drawing, strokes, reading, *texts, captions)
    if recipe not in PROCESS:
        raise ConfigError(f"unknown recipe {recipe!r}; known are {', '.join({**BASE, **PROCESS})}")
    multi_turn, conflict, alignment = (source(name) for name in ("multi-turn", "conflict", "alignment"))
    if recipe != "nano-process":
        return PROCESS[recipe](model, multi_turn, conflict, alignment, captions)
    return nano_process(model, multi_turn, conflict, alignment, captions, *texts, strokes)


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
