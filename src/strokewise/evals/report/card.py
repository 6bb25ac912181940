"""The card of a model folder: what it is, how it was trained, and what it reached, as the hub shows it.

Training is read from ``training.json`` beside the weights, figures from evaluation runs; neither is ever
made up: what is not known is said to be not stated.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from strokewise.errors import CheckpointError, InputError
from strokewise.evals.benchmarks.geneval.score import benchmark_name, summary_of
from strokewise.evals.generate import fingerprint
from strokewise.evals.report.tables import collect
from strokewise.evals.run_store import Run
from strokewise.io.markdown import markdown_table
from strokewise.io.outside import read_object
from strokewise.models import architecture_of
from strokewise.models.hub import TRAINING

SHOWN = (
    "learning_rate",
    "warmup_steps",
    "pack_tokens",
    "packs_per_step",
    "time_shift",
    "ema_decay",
    "precision",
    "canvas_side",
    "view_side",
    "lora",
    "seed",
)


def model_card(
    folder: Path, runs: Sequence[Run], name: str, license_id: str, data: str = "", seed: int = 0
) -> str:
    """Return the card of a model in Markdown, with the hub's metadata at its head.

    Args:
        folder: of the model.
        runs: evaluation runs of this very model; the card holds their tables.
        name: of the model, such as ``owner/name``.
        license_id: of the weights, as the hub spells it, such as ``apache-2.0``.
        data: where the training data come from, in words; its file states only their names.
        seed: of the bootstrap intervals.

    Raises:
        CheckpointError: if the folder holds no model.
        InputError: if a run is of other weights.
    """
    architecture = architecture_of(folder)
    weights = fingerprint(folder)
    for run in runs:
        if run.settings.get("weights") != weights:
            raise InputError(f"{run.folder} was painted with other weights than those in {folder}")
    training = read_object(folder / TRAINING, CheckpointError) if (folder / TRAINING).exists() else None
    lines = [
        f"---\n{_metadata(training, runs, name, license_id, seed)}\n---",
        f"# {name}",
        f"A unified multimodal model of the {architecture.name} architecture that paints in rounds of plan,"
        " sketch, inspect and refine. Weights are safetensors.",
        f'```\nstrokewise paint --model {name} "a red apple left of a blue bus"\n```',
        "## Training",
        *_training(training, data),
        "## Figures",
        *_figures(runs, seed),
    ]
    return "\n\n".join(lines) + "\n"


def _metadata(
    training: dict[str, Any] | None, runs: Sequence[Run], name: str, license_id: str, seed: int
) -> str:
    """Return the YAML head."""
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type="text-to-image",
            dataset_type="geneval",
            dataset_name=f"{benchmark_name(run.sprite)}, strategy {run.settings.get('strategy')}",
            metric_type="accuracy",
            metric_value=round(summary.overall.value, 4),
        )
        for run in runs
        if (summary := summary_of(run, seed)) and summary.complete
    ]
    start = training["start"] if training else None
    return ModelCardData(
        license=license_id,
        library_name="strokewise",
        pipeline_tag="text-to-image",
        tags=["text-to-image", "unified-multimodal", "process-driven"],
        base_model=start if start and "/" in start else None,
        model_name=name if results else None,
        eval_results=results or None,
    ).to_yaml()


def _training(training: dict[str, Any] | None, data: str) -> Iterator[str]:
    if training is None:
        yield "How these weights were trained is not stated beside them."
    else:
        settings = training["settings"]
        kept = "averaged (EMA)" if training["averaged"] else "last"
        yield (
            f"Recipe `{training['recipe']}` from `{training['start']}`: {training['steps_done']:,} of"
            f" {settings['steps']:,} steps; these are the {kept} weights."
        )
        yield markdown_table(
            ["data", "share of samples", "source"],
            [[one["name"], f"{one['share']:.1%}", _source(one)] for one in training["data"]],
        )
        there = [key for key in SHOWN if settings.get(key) is not None]
        stated = [[key.replace("_", " "), str(settings[key])] for key in there]
        yield markdown_table(["setting", "value"], stated)
        yield f"All settings are in `{TRAINING}`."
    yield f"Data: {data}" if data else "Where the data come from is not stated."


def _source(one: dict[str, Any]) -> str:
    rest = {key: value for key, value in one.items() if key not in ("name", "share", "kind")}
    return f"{one['kind']} ({', '.join(f'{key} {value}' for key, value in rest.items())})"


def _figures(runs: Sequence[Run], seed: int) -> Iterator[str]:
    if not runs:
        yield "None was measured."
        return
    for table in collect(runs, seed).tables:
        yield f"### {table.title}"
        yield markdown_table(table.head, table.lines)
        if table.note:
            yield table.note
