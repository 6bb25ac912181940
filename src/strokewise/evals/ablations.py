"""The paper's ablations at small scale: variants of the process data, trained alike, painted and compared.

Three questions of the paper's tables: what step instructions teach (additive ones alone, or changes too),
where critiques come from (nowhere, rendered faults, self-sampled), and which of them help (of plans,
of sketches). Variants differ in nothing but their data: same start, steps and seed. Knows recipes and runs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from strokewise.datasets.records import Rendered, Shards
from strokewise.errors import ConfigError
from strokewise.evals.benchmarks.geneval.images import write_results
from strokewise.evals.benchmarks.geneval.score import SCORES, detector_for, score_run, summary_of
from strokewise.evals.benchmarks.process.run import judge_run, store, stored_metrics
from strokewise.evals.generate import fingerprint, known_prompts, paint_run
from strokewise.evals.prompt_sets import Prompt
from strokewise.evals.run_store import Run
from strokewise.evals.strategies.strategies import make_strategy
from strokewise.evals.text_table import TextTable
from strokewise.inference.painter import Painter
from strokewise.recipes.nano.canvases import Canvases
from strokewise.recipes.nano.pipeline import trained
from strokewise.recipes.nano.stages import nano_process
from strokewise.train.config import TrainConfig, WeightedSource
from strokewise.world.language.geneval import GENEVAL_TAGS

SYMBOLIC, SELF_SAMPLED = "symbolic", "self-sampled"


@dataclass(frozen=True)
class Variant:
    """Process data with something left out.

    Attributes:
        name: for folders and tables.
        edits: whether some steps change what stands there instead of adding to it.
        conflict: where critiques of plans come from; empty: there are none.
        alignment: where critiques of sketches come from; empty: there are none.
    """

    name: str
    edits: bool = True
    conflict: str = ""
    alignment: str = ""


ADDITIVE = Variant("additive", edits=False)
ADDITIVE_CRITIQUE = Variant("additive, critique", edits=False, conflict=SELF_SAMPLED, alignment=SELF_SAMPLED)
DIVERSE = Variant("diverse")
CONFLICT, ALIGNMENT = Variant("conflict", conflict=SELF_SAMPLED), Variant("alignment", alignment=SELF_SAMPLED)
BOTH = Variant("both", conflict=SELF_SAMPLED, alignment=SELF_SAMPLED)
RENDERED = Variant("symbolic", conflict=SYMBOLIC, alignment=SYMBOLIC)

# The paper's tables 5 to 7, each row with its name there.
TABLES: dict[str, dict[str, Variant]] = {
    "instructions": {
        "additive only": ADDITIVE,
        "additive, self-critique": ADDITIVE_CRITIQUE,
        "with modify, swap, remove": DIVERSE,
        "with modify, swap, remove, self-critique": BOTH,
    },
    "critiques": {"none": DIVERSE, "symbolic": RENDERED, "self-sampled": BOTH},
    "supervision": {"none": DIVERSE, "conflict": CONFLICT, "alignment": ALIGNMENT, "both": BOTH},
}


@dataclass(frozen=True)
class Ablation:
    """What all variants share.

    Attributes:
        base: the model all start from, after its first stage.
        self_sampled: folder with ``conflict`` and ``alignment``, from a model tuned on the first subset.
        folder: where models and runs go.
        steps: of training, for each variant.
        prompts: what is painted; those outside the model's vocabulary are left out.
        seeds: a picture of each prompt for each.
        batch: paintings that advance together.
    """

    base: Path
    self_sampled: Path
    folder: Path
    steps: int
    prompts: Sequence[Prompt]
    seeds: Sequence[int] = (0,)
    batch: int = 16

    def config(self, variant: Variant) -> TrainConfig:
        """Return the training of a variant."""
        full = nano_process(str(self.base))
        sources = [made for entry in full.sources if (made := self._source(variant, entry)) is not None]
        warmup = min(full.warmup_steps, self.steps // 10)
        return replace(full, sources=tuple(sources), steps=self.steps, warmup_steps=warmup)

    def _source(self, variant: Variant, entry: WeightedSource) -> WeightedSource | None:
        """Return a source of the full mixture as the variant has it; None if it goes without."""
        rendered = entry.source
        if isinstance(rendered, Canvases):  # rendered sketches and what is to be said of them
            return entry if variant.alignment == SYMBOLIC else None
        assert isinstance(rendered, Rendered)
        if rendered.subset == "multi-turn":
            share = None if variant.edits else 0.0
            return replace(entry, source=replace(rendered, edit_share=share))
        kind = getattr(variant, rendered.subset)
        if kind == SELF_SAMPLED:
            return replace(entry, source=Shards(str(self.self_sampled / rendered.subset), rendered.view))
        return entry if kind == SYMBOLIC else None


def ablate(ablation: Ablation, tables: Sequence[str], log: Callable[[str], None] = print) -> list[TextTable]:
    """Train, paint and score the variants of some tables, or resume them; the filled tables.

    Raises:
        ConfigError: if there is no such table.
        StrokewiseError: if training or painting fails; what is done stays.
    """
    if unknown := [name for name in tables if name not in TABLES]:
        raise ConfigError(f"unknown tables {', '.join(unknown)}; known are {', '.join(TABLES)}")
    wanted = {variant.name: variant for name in tables for variant in TABLES[name].values()}
    runs = {name: _run(ablation, variant, log) for name, variant in wanted.items()}
    return [_table(name, ablation, runs) for name in tables]


def _run(ablation: Ablation, variant: Variant, log: Callable[[str], None]) -> Run:
    """Return the scored and judged run of a variant."""
    place = variant.name.replace(", ", "-")
    model = trained(ablation.folder / "models", place, ablation.config(variant), log)
    painter = Painter.load(model)
    known = known_prompts(painter, list(ablation.prompts), "skip", log)
    settings = {
        "model": variant.name,
        "strategy": "process",
        "weights": fingerprint(model),
        "seeds": list(ablation.seeds),
        "world": "sprite",
    }
    folder = ablation.folder / "runs" / place
    log(f"{variant.name}: {len(known)} prompts x {len(ablation.seeds)} seeds")
    paint_run(folder, settings, known, make_strategy("process", painter), batch=ablation.batch)
    run = Run(folder)
    if not (folder / SCORES).exists():
        write_results(list(score_run(run, detector_for(run, None))), folder / SCORES)
    if stored_metrics(run) is None:
        store(run, list(judge_run(run)))
    return run


def _table(name: str, ablation: Ablation, runs: dict[str, Run]) -> TextTable:
    lines = [[label, *_figures(runs[variant.name])] for label, variant in TABLES[name].items()]
    first = next(iter(runs.values()))
    note = (
        f"{ablation.steps:,} training steps for each from the same start; {len(first.prompts):,} prompts,"
        f" {len(ablation.seeds)} seeds each; 95 % intervals from resampling prompts. Sprite GenEval: not"
        " comparable with published figures."
    )
    head = [name, *(tag.replace("_", " ") for tag in GENEVAL_TAGS), "overall", "Inspect recall", "repaired"]
    return TextTable(f"Ablation: {name}", head, lines, note)


def _figures(run: Run) -> list[str]:
    summary, process = summary_of(run), stored_metrics(run)
    assert summary is not None
    assert process is not None
    cells = [f"{summary.tags[tag].score.value:.2f}" if tag in summary.tags else "–" for tag in GENEVAL_TAGS]
    overall = f"{summary.overall.value:.3f} ({summary.overall.low:.2f} to {summary.overall.high:.2f})"
    return [*cells, overall, str(process.whole.recall), str(process.repaired)]
