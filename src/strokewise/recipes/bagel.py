"""BAGEL-7B: the paper's two runs on eight GPUs, and adapters for one GPU.

Each recipe takes the checkpoint to start from and the sources of its samples; figures without a source are
choices of this project, stated in docs/training.md.
"""

from dataclasses import replace

from strokewise.datasets.records import ANCHORS, SUBSET_SIZES
from strokewise.datasets.samples import SourceConfig
from strokewise.train.config import Lora, Running, TrainConfig, WeightedSource


def bagel_7b_process(
    model: str,
    multi_turn: SourceConfig,
    conflict: SourceConfig,
    alignment: SourceConfig,
    anchors: SourceConfig,
) -> TrainConfig:
    """Return the paper's run: 8 GPUs, 10,000 steps, packs of 33k tokens, rate 2e-5 with cosine decay, end to
    end.

    Adam's constants are those of BAGEL's released code; λ_CE, which the paper does not state, is 1 as there.
    Views are at most 518 pixels, as in BAGEL's own editing data. Canvases are 512: a canvas then costs 3,423
    tokens where 1,024 pixels cost 9,567, so that every trajectory of the three subsets fits a pack.
    """
    return TrainConfig(
        name="bagel-7b-process",
        model=model,
        sources=process_mixture(multi_turn, conflict, alignment, anchors),
        steps=10_000,
        learning_rate=2e-5,
        warmup_steps=200,
        pack_tokens=33_000,
        row_tokens=33_000,
        packs_per_step=8,
        canvas_side=512,
        view_side=518,
        time_shift=3.0,
        eps=1e-15,
        ema_decay=0.999,
        running=Running(workers=4, checkpointing=True, cache_mb=2048, async_save=True, save_every=1000),
    )


def bagel_7b_multi_turn(model: str, multi_turn: SourceConfig, anchors: SourceConfig) -> TrainConfig:
    """Return the model whose own plans and sketches become the other two subsets: a short run on the first.

    The paper says that it was tuned, not for how long; 2,000 steps see each of its 32,012 trajectories twice.
    """
    sources = (
        WeightedSource("multi-turn", 1 - ANCHORS, multi_turn),
        WeightedSource("text-to-image", ANCHORS, anchors),
    )
    full = bagel_7b_process(model, multi_turn, multi_turn, multi_turn, anchors)
    return replace(full, name="bagel-7b-multi-turn", sources=sources, steps=2_000)


def bagel_7b_lora(
    model: str,
    multi_turn: SourceConfig,
    conflict: SourceConfig,
    alignment: SourceConfig,
    anchors: SourceConfig,
) -> TrainConfig:
    """Return the same data for one GPU of 80 GB: adapters beside frozen bfloat16 weights.

    The estimate is 48 GB, which leaves a card of 48 GB no room; with ``lora.quantize`` ``nf4`` it is 29 GB.
    """
    full = bagel_7b_process(model, multi_turn, conflict, alignment, anchors)
    return replace(
        full,
        name="bagel-7b-lora",
        learning_rate=1e-4,
        pack_tokens=18_000,
        row_tokens=18_000,
        lora=Lora(),
        eps=1e-8,
        running=replace(full.running, async_save=False),  # adapters are few
    )


def process_mixture(
    multi_turn: SourceConfig, conflict: SourceConfig, alignment: SourceConfig, anchors: SourceConfig
) -> tuple[WeightedSource, ...]:
    """Return the three subsets in the paper's proportions beside a share of plain text-to-image samples."""
    total = sum(SUBSET_SIZES.values())
    weighted = tuple(
        WeightedSource(name, (1 - ANCHORS) * count / total, source)
        for (name, count), source in zip(SUBSET_SIZES.items(), (multi_turn, conflict, alignment), strict=True)
    )
    return (*weighted, WeightedSource("text-to-image", ANCHORS, anchors))
