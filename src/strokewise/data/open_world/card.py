"""The card of an open-world data set, as the hub shows it: how it was made, its figures, what was rejected.

All of it follows from the recipe and the records; what is not known is not stated. This file knows Markdown.
It refuses to know how records are made.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strokewise.data.report import DataFigures
from strokewise.data.storage import read_rows
from strokewise.io.markdown import markdown_table

# The paper's table of its data (arXiv 2604.04746): samples, and words and images where it states them.
PAPER = {
    "multi-turn": ("32,012", "3.51", "5"),
    "conflict": ("15,201 (6,905 right, 8,296 wrong)", "", ""),
    "alignment": ("15,000 (5,000 positive, 10,000 negative)", "", ""),
}
TEMPLATES = "templates"  # in recipes: what words texts where no model does
WHAT = {
    "multi-turn": "a prompt painted step by step, each step a plan in words and the canvas after it",
    "conflict": "the steps up to one plan, and whether it contradicts the prompt; if so, its correction",
    "alignment": "the steps up to one canvas, and whether it shows its plan; if not, its correction",
}


@dataclass(frozen=True)
class Yield:
    """What a build gave.

    Attributes:
        tried: items.
        records: that were made of them.
        reasons: of rejects, with their numbers.
    """

    tried: int
    records: int
    reasons: Counter[str]


def data_card(folder: Path, subset: str, recipe: Mapping[str, Any], found: Yield) -> str:
    """Return the card of a data set in Markdown, with the hub's metadata at its head.

    Args:
        folder: that holds its shards.
        subset: of its records.
        recipe: all that decided what was built.
        found: what was tried, and rejected.

    Raises:
        RecordError: if a shard is damaged.
    """
    from huggingface_hub import DatasetCardData

    figures = _figures(folder)
    head = DatasetCardData(
        pretty_name=f"Strokewise {subset}",
        task_categories=["text-to-image"],
        language="en",
        tags=["process-driven", "unified-multimodal", "interleaved", "synthetic"],
        configs=[{"config_name": "default", "data_files": "part-*.parquet"}],
    ).to_yaml()
    samples, images, most = PAPER[subset]
    ours = [_samples(figures), _mean(figures.images, figures), str(figures.most_images)]
    rows = [
        ["samples", samples, ours[0]],
        ["images, average", images, ours[1]],
        ["images, most", most, ours[2]],
    ]
    words = ["words in a prompt, average", "", _mean(figures.prompt_words, figures)]
    diversity = [[name.strip(), "", value] for name, value in figures.instructions.rows()]
    reasons = [
        [reason, f"{count:,}", f"{count / found.tried:.1%}"] for reason, count in found.reasons.most_common()
    ]
    lines = [
        f"---\n{head}\n---",
        f"# {subset} data for process-driven image generation",
        f"Each record is {WHAT[subset]}. Scenes are sampled from a taxonomy, pictures are painted by a model,"
        f" and a vision model judges every canvas{_worded_by(recipe)}: nobody looked at each record, and"
        " models err.",
        "```\nstrokewise data show FOLDER\n```",
        "## Figures",
        markdown_table(["", "arXiv 2604.04746", "here"], [*rows, words, *diversity]),
        *_removed(recipe.get("removed", {})),
        f"Tried: {found.tried:,}. Kept: {found.records:,}.",
        *([markdown_table(["rejected for", "number", "of those tried"], reasons)] if reasons else []),
        "What was rejected, with the analysis, is in `rejects-*.jsonl`.",
        "## Recipe",
        f"```json\n{json.dumps(recipe, indent=2, sort_keys=True)}\n```",
        "The licenses of painter and judge decide how the data may be used; they are not stated here.",
    ]
    return "\n\n".join(lines) + "\n"


def _worded_by(recipe: Mapping[str, Any]) -> str:
    """Return who worded prompts and steps, where the recipe says so."""
    writer = recipe.get("writer")
    if writer is None:
        return ""
    if writer == TEMPLATES:
        return "; prompts and steps are worded by plain templates"
    return (
        f"; prompts and steps are worded by {writer}, and each text is read back and compared with its scene"
    )


def _removed(reasons: Mapping[str, int]) -> Iterator[str]:
    """Yield what was left out before anything was tried."""
    if reasons:
        stated = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
        yield f"Left out before that: {stated}."


def _figures(folder: Path) -> DataFigures:
    """Return the figures of all shards; pictures are not read."""
    figures = DataFigures()
    for path in sorted(folder.glob("part-*.parquet")):
        for row in read_rows(path, ["prompt", "trajectory", "label", "fault"]):
            steps = json.loads(row["trajectory"])["steps"]
            images = sum("image" in step for step in steps)
            instructions = [step["ins"] for step in steps if step.get("ins") is not None]
            figures.count(row["prompt"], images, row["label"], row["fault"], instructions)
    return figures


def _samples(figures: DataFigures) -> str:
    parts = ", ".join(f"{count:,} {label}" for label, count in sorted(figures.labels.items()))
    return f"{figures.records:,}" + (f" ({parts})" if len(figures.labels) > 1 else "")


def _mean(total: int, figures: DataFigures) -> str:
    return f"{total / figures.records:.2f}"
