"""The training stages of nano: data and length of each. The reasons and results are in docs/nano.md.

A mixture names its sources by a subset and a view of its trajectories (``multi-turn stroke``), or by a view
of single canvases (``canvas description``). Knows the sources; the order of the stages is decided in
``pipeline``.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from strokewise.data.scenes import SceneMix
from strokewise.datasets.records import ANCHORS, SUBSET_SIZES, Rendered, Shards
from strokewise.datasets.samples import SourceConfig
from strokewise.recipes.nano.canvases import Canvases
from strokewise.train.config import Dropout, Running, TrainConfig, WeightedSource
from strokewise.world.vocabulary import CLASSES

# What nano is trained to paint: all classes, at one size and in one place of each cell; fewer things and more
# instances than other scenes have; described in one wording.
NANO_SCENES = SceneMix(
    objects=(0.25, 0.35, 0.2, 0.12, 0.08),
    counts=(0.67, 0.12, 0.11, 0.1),
    classes=CLASSES,
    layout_jitter=0.0,
    plain=True,
)
# Training times lie near noise: nearer to the canvas nano would see what to paint without reading the text.
NANO_TIME_SHIFT = 3.0
# Optimizer steps of the stages.
BASE_STEPS, STROKES_STEPS, LANGUAGE_STEPS, VERIFICATION_STEPS = 2_600, 1_700, 1_200, 1_000
FIRST_STEPS, COMPARISON_STEPS, SELF_SAMPLED_STEPS = 420, 1_050, 800
# Share of self-sampled records among conflicts and alignments.
SELF_SAMPLED_SHARE = 0.6
# Views of self-sampled records in the place of those of rendered ones: what a model said and painted before
# it was judged is not to be imitated.
SELF_SAMPLED_VIEWS = {"process": "last", "inspection": "look"}

BASE = {
    "canvas text-to-image": 0.40,
    "multi-turn stroke": 0.25,
    "canvas description": 0.14,
    "multi-turn planning": 0.08,
    "conflict planning": 0.06,
    "multi-turn caption": 0.07,
}
STROKES = {
    "multi-turn stroke": 0.38,
    "alignment stroke": 0.12,
    "canvas text-to-image": 0.28,
    "canvas description": 0.22,
}
LANGUAGE = {
    "multi-turn planning": 0.32,
    "conflict planning": 0.08,
    "alignment inspection": 0.16,
    "conflict inspection": 0.05,
    "canvas description": 0.10,
    "multi-turn stroke": 0.18,
    "alignment stroke": 0.04,
    "canvas text-to-image": 0.07,
}
VERIFICATION = {
    "canvas verification": 0.26,
    "alignment inspection": 0.14,
    "conflict inspection": 0.06,
    "multi-turn planning": 0.10,
    "conflict planning": 0.04,
    "canvas description": 0.05,
    "multi-turn stroke": 0.20,
    "alignment stroke": 0.06,
    "canvas text-to-image": 0.09,
}
# Comparing words with words takes many samples to learn. They have no canvas, so that a step holds ten times
# as many; the others keep what is seen and painted from being forgotten.
COMPARISON = {
    "canvas comparison": 0.45,
    "multi-turn planning": 0.14,
    "conflict planning": 0.14,
    "canvas description": 0.14,
    "alignment inspection": 0.04,
    "multi-turn stroke": 0.05,
    "alignment stroke": 0.04,
}
# Beside whole processes: shorter samples, of which more fit into a step, so that nothing is forgotten. In a
# process what a sketch shows is given, so that describing a canvas is learned from canvases alone.
BESIDE = {
    "canvas description": 0.12,
    "canvas comparison": 0.14,
    "canvas verification": 0.08,
    "alignment inspection": 0.10,
    "multi-turn planning": 0.04,
    "conflict planning": 0.03,
    "multi-turn stroke": 0.16,
    "alignment stroke": 0.04,
}
# The last stage has more of what is short: of plans, for things stand on the wrong side of others in most
# wrong pictures, and of comparisons.
MORE = {
    "canvas description": 0.2,
    "canvas comparison": 0.45,
    "multi-turn planning": 0.4,
    "conflict planning": 0.2,
    "alignment stroke": 0.07,
}
# Of scenes with more relations, for plans, and with three and four of a thing.
RELATED_SCENES = replace(NANO_SCENES, objects=(0.08, 0.37, 0.25, 0.18, 0.12), relation_share=0.8)
COUNTED_SCENES = replace(NANO_SCENES, counts=(0.5, 0.15, 0.17, 0.18))
# The paper's proportions of its subsets, beside plain text-to-image.
PROCESSES = {
    **{f"{name} process": (1 - ANCHORS) * n / sum(SUBSET_SIZES.values()) for name, n in SUBSET_SIZES.items()},
    "multi-turn caption": ANCHORS,
}

# Where the records of a subset come from: rendered (None), or built data sets in a folder.
Data = Path | None


def nano_base(model: str, data: Data = None) -> TrainConfig:
    """Return first stage: canvases painted and described, strokes, some texts, single-pass painting."""
    return TrainConfig(
        name="nano-base",
        model=model,
        sources=_sources(BASE, data, seed=0),
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
        # bfloat16 is faster on some CPUs and seventy times slower on others.
        precision="float32",
        running=Running(workers=1, compile=True, cache_mb=0, log_every=20, save_every=250),
    )


def nano_strokes(model: str, data: Data = None) -> TrainConfig:
    """Return second stage: strokes and corrections of canvases above all."""
    return _further("nano-strokes", model, STROKES, data, 11, steps=STROKES_STEPS, warmup_steps=60)


def nano_language(model: str, data: Data = None) -> TrainConfig:
    """Return third stage: plans, and inspections of them."""
    return _further("nano-language", model, LANGUAGE, data, 21, steps=LANGUAGE_STEPS, final_lr=0.1)


def nano_verification(model: str, data: Data = None) -> TrainConfig:
    """Return fourth stage: verification of sketches."""
    changes = {"steps": VERIFICATION_STEPS, "final_lr": 0.1, "noised_copies": 3}
    return _further("nano-verification", model, VERIFICATION, data, 31, **changes)


def nano_process(model: str, data: Data = None) -> TrainConfig:
    """Return fifth stage: the paper's three subsets."""
    rest = 1 - sum(BESIDE.values())
    mixture = {**{name: weight * rest for name, weight in PROCESSES.items()}, **BESIDE}
    slower = {"learning_rate": 5e-4, "muon": 0.01, "steps": FIRST_STEPS}
    longer = {"row_tokens": 768, "noised_copies": 2, "dropout": Dropout(vit=0.3, latents=0.05, cut=0.1)}
    return _further("nano-process", model, mixture, data, 41, **slower, **longer)


def nano_comparison(model: str, data: Data = None) -> TrainConfig:
    """Return sixth stage: what is seen compared with what was planned, and plans with prompts, in words."""
    sources = tuple(_of_harder_scenes(entry) for entry in _sources(COMPARISON, data, seed=71))
    settings: dict[str, Any] = {"learning_rate": 7e-4, "muon": 0.014, "final_lr": 0.1, "seed": 71}
    return replace(
        nano_process(model), name="nano-comparison", sources=sources, steps=COMPARISON_STEPS, **settings
    )


def nano_self_sampled(model: str, sampled: Path) -> TrainConfig:
    """Return last stage: most conflicts and alignments are now what the model itself planned and painted.

    Rendered faults stay in a smaller share, because few self-sampled records show a rare fault.

    Args:
        model: the checkpoint to start from.
        sampled: folder of the self-sampled subsets, ``conflict`` and ``alignment``.
    """
    rendered = nano_process(model)
    mixed: list[WeightedSource] = []
    for each in rendered.sources:
        entry = _of_harder_scenes(replace(each, weight=MORE.get(each.name, each.weight)))
        source = entry.source
        # A self-sampled plan has no canvases of its own; texts alone are learned from rendered records.
        if not isinstance(source, Rendered) or source.subset == "multi-turn" or source.view == "planning":
            mixed.append(entry)
            continue
        view = SELF_SAMPLED_VIEWS.get(source.view, source.view)
        itself = Shards(str(sampled / source.subset), view)
        mixed.append(replace(entry, weight=entry.weight * (1 - SELF_SAMPLED_SHARE)))
        mixed.append(WeightedSource(f"self-sampled {entry.name}", entry.weight * SELF_SAMPLED_SHARE, itself))
    return replace(
        rendered, name="nano-self-sampled", sources=tuple(mixed), steps=SELF_SAMPLED_STEPS, seed=51
    )


def _of_harder_scenes(entry: WeightedSource) -> WeightedSource:
    """Return the source with scenes in which models fail more often; canvases alone are crowded anyway."""
    source = entry.source
    if not isinstance(source, Rendered):
        return entry
    scenes = RELATED_SCENES if source.view == "planning" else COUNTED_SCENES
    return replace(entry, source=replace(source, scenes=scenes))


def nano_control(model: str) -> TrainConfig:
    """Return the control of the process stages: their steps, spent on single-pass painting alone."""
    process = nano_process(model)
    sources = _sources({"multi-turn caption": 1.0}, None, seed=41)
    steps = FIRST_STEPS + COMPARISON_STEPS + SELF_SAMPLED_STEPS
    return replace(process, name="nano-control", sources=sources, steps=steps)


STAGES: dict[str, Callable[[str, Data], TrainConfig]] = {
    "nano-base": nano_base,
    "nano-strokes": nano_strokes,
    "nano-language": nano_language,
    "nano-verification": nano_verification,
    "nano-process": nano_process,
    "nano-comparison": nano_comparison,
}


def _further(
    name: str, model: str, mixture: Mapping[str, float], data: Data, seed: int, **changes: Any
) -> TrainConfig:
    """Return a stage with the settings of the first, at a lower rate, but for ``changes``."""
    settings: dict[str, Any] = {"learning_rate": 7e-4, "muon": 0.014, "warmup_steps": 50, **changes}
    sources = _sources(mixture, data, seed)
    return replace(nano_base(model), name=name, sources=sources, seed=seed, **settings)


def _sources(mixture: Mapping[str, float], data: Data, seed: int) -> tuple[WeightedSource, ...]:
    return tuple(WeightedSource(name, weight, _source(name, data, seed)) for name, weight in mixture.items())


def _source(name: str, data: Data, seed: int) -> SourceConfig:
    subset, view = name.split()
    if subset == "canvas":
        return Canvases(view, NANO_SCENES, seed)
    if data is not None:
        return Shards(str(data / subset), view)
    # Edits that end in the same scene teach strokes; a plan could not know that they are to come.
    adds_only = subset == "multi-turn" and view != "stroke"
    return Rendered(subset, view, NANO_SCENES, seed, edit_share=0.0 if adds_only else None)
