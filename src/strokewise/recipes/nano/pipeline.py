"""How nano is trained from scratch to the shipped folder, in stages that resume where they stopped.

autoencoder → initial model → base → strokes → language → verification → first process (rendered faults) →
comparison → self-sampling → process; beside these, a control that spends the same steps on single-pass data.
The data of each stage are decided in ``stages``; a stage whose folder exists is done.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from strokewise.data.self_sampling import PainterSampler, SelfSampling, self_sample
from strokewise.errors import StrokewiseError
from strokewise.inference.options import OptionChanges
from strokewise.inference.painter import Painter
from strokewise.inference.prompt_check import DEFAULTS, VOCABULARY
from strokewise.io.atomic import writing_folder
from strokewise.models.bagel import nano
from strokewise.recipes.nano.autoencoder import AutoencoderRun, train_autoencoder
from strokewise.recipes.nano.initial_model import write_initial_model
from strokewise.recipes.nano.stages import (
    NANO_SCENES,
    nano_base,
    nano_comparison,
    nano_control,
    nano_language,
    nano_process,
    nano_self_sampled,
    nano_strokes,
    nano_verification,
)
from strokewise.train.config import TrainConfig
from strokewise.train.export import export
from strokewise.train.trainer import Trainer
from strokewise.world.vocabulary import COLORS

# Texts at temperature 1, and plans written when they are due, go wrong more often than those that users get:
# faults are to be collected.
PROMPTS = 640
SAMPLING: OptionChanges = {
    "temperature": 1.0,
    "steps": 4,
    "text_guidance": 1.0,
    "look": True,
    "outlines": 0,
}
# Defaults of painting, stored with the model. At temperature 0 nano would put things in the same few places,
# whatever the seed.
PAINTING = {
    "steps": 4,
    "shift": 3.0,
    "text_guidance": 1.0,
    "image_guidance": 1.0,
    "temperature": 0.4,
    "max_tokens": 384,
    "max_refinements": 2,
    "replace_refined": True,
    "look": True,
    "compare_words": True,
    "fault_margin": 3.0,
    "outlines": 64,
    "keep_better": True,
}
# Folders of stages whose names have changed.
RENAMED = {"start": "initial", "look": "verification", "own": "self-sampled"}


def train_nano(folder: Path, report: Callable[[str], None] = print) -> Path:
    """Train nano in a folder, or resume there; returns the folder of the finished model.

    Raises:
        StrokewiseError: if a stage fails, or the folder was made by an earlier version; finished stages stay.
    """
    for old, new in RENAMED.items():
        if (folder / old).exists():
            raise StrokewiseError(
                f"{folder / old} was made by an earlier version, under another name; rename the folder to"
                f" {new} to resume"
            )
    initial = _stage(folder / "initial", report, lambda out: _write_initial(folder / "autoencoder", out))
    base = trained(folder, "base", nano_base(str(initial)), report)
    strokes = trained(folder, "strokes", nano_strokes(str(base)), report)
    language = trained(folder, "language", nano_language(str(strokes)), report)
    verification = trained(folder, "verification", nano_verification(str(language)), report)
    first = trained(folder, "first", nano_process(str(verification)), report)
    comparison = trained(folder, "comparison", nano_comparison(str(first)), report)
    sampled = folder / "self-sampled"
    if not (sampled / "alignment" / "manifest.json").exists():
        report(f"self-sampling: {PROMPTS} prompts")
        sampling = SelfSampling(comparison.name, PROMPTS, scenes=NANO_SCENES, painting=SAMPLING)
        self_sample(sampling, PainterSampler(Painter.load(comparison), SAMPLING), sampled)
    process = trained(folder, "process", nano_self_sampled(str(comparison), sampled), report)
    trained(folder, "control", nano_control(str(verification)), report)
    return process


def _write_initial(runs: Path, out: Path) -> None:
    write_initial_model(out, train_autoencoder(AutoencoderRun(), runs, nano().autoencoder))


def trained(folder: Path, name: str, config: TrainConfig, report: Callable[[str], None]) -> Path:
    """Train and export a stage unless its folder exists: ``folder/name``, and the run beside it.

    Raises:
        StrokewiseError: if training fails or is interrupted; the run's checkpoints stay.
    """

    def train(out: Path) -> None:
        run = folder / f"{name}-run"
        trainer = Trainer(replace(config, name=f"nano-{name}"), run)
        trainer.fit()
        if trainer.step < config.steps:
            raise StrokewiseError(
                f"stopped after step {trainer.step} of {run}; run the same command again to resume"
            )
        export(run, out)
        vocabulary = {"classes": NANO_SCENES.classes, "colors": COLORS}
        (out / VOCABULARY).write_text(json.dumps(vocabulary, indent=1) + "\n", encoding="utf-8")
        (out / DEFAULTS).write_text(json.dumps(PAINTING, indent=1) + "\n", encoding="utf-8")

    return _stage(folder / name, report, train)


def _stage(out: Path, report: Callable[[str], None], make: Callable[[Path], None]) -> Path:
    """Return a folder that ``make`` fills under a temporary name, unless it exists."""
    if not out.exists():
        report(f"{out.name} …")
        with writing_folder(out) as partial:
            make(partial)
    report(f"{out.name}: {out}")
    return out
