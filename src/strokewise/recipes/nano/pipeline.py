"""How nano is made, from nothing to the shipped folder, in stages that each go on where they stopped.

autoencoder → start → base → strokes → language → look → first process (rendered faults) → self-sampling →
process; beside the last two, a control that spends the same steps on single-pass data. What each stage learns
from is settled in ``nano_recipes``; every stage has a folder of its own, and one that has it is done.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from strokewise.data.self_sampling import PainterSampler, Sampling, self_sample
from strokewise.errors import StrokewiseError
from strokewise.inference.painter import Painter
from strokewise.inference.prompt_check import DEFAULTS, VOCABULARY
from strokewise.io.atomic import writing_folder
from strokewise.models.bagel import nano
from strokewise.recipes.nano.autoencoder import AutoencoderRun, train_autoencoder
from strokewise.recipes.nano.stages import (
    NANO_SCENES,
    nano_base,
    nano_control,
    nano_language,
    nano_look,
    nano_own_process,
    nano_process,
    nano_strokes,
)
from strokewise.recipes.nano.start import write_start
from strokewise.train.build import export
from strokewise.train.config import TrainConfig
from strokewise.train.trainer import Trainer
from strokewise.world.vocabulary import COLORS

# Self-sampling paints faster and worse than nano does for its users: it is faults that are wanted.
PROMPTS, SAMPLING = 640, {"temperature": 1.0, "steps": 10, "text_guidance": 1.0}
# At temperature 0 nano would put things in the same few places, whatever the seed.
PAINTING = {
    "steps": 12,
    "shift": 3.0,
    "text_guidance": 1.5,
    "image_guidance": 1.0,
    "temperature": 0.4,
    "max_tokens": 256,
}
Report = Callable[[str], None]


def train_nano(folder: Path, report: Report = print) -> Path:
    """Make nano in a folder, or go on with it; the folder of the finished model.

    Raises:
        StrokewiseError: if a stage fails; what is done stays.
    """
    start = _stage(folder / "start", report, lambda out: _write_start(folder / "autoencoder", out))
    base = trained(folder, "base", nano_base(str(start)), report)
    strokes = trained(folder, "strokes", nano_strokes(str(base)), report)
    language = trained(folder, "language", nano_language(str(strokes)), report)
    look = trained(folder, "look", nano_look(str(language)), report)
    first = trained(folder, "first", nano_process(str(look)), report)
    own = folder / "own"
    if not (own / "alignment" / "manifest.json").exists():
        report(f"self-sampling: {PROMPTS} prompts")
        sampling = Sampling(first.name, PROMPTS, scenes=NANO_SCENES, painting=SAMPLING)
        self_sample(sampling, PainterSampler(Painter.load(first), SAMPLING), own)
    process = trained(folder, "process", nano_own_process(str(first), own), report)
    trained(folder, "control", nano_control(str(look)), report)
    return process


def _write_start(runs: Path, out: Path) -> None:
    write_start(out, train_autoencoder(AutoencoderRun(), runs, nano().autoencoder))


def trained(folder: Path, name: str, config: TrainConfig, report: Report) -> Path:
    """The exported model of a run, made unless it is there: ``folder/name``, and the run beside it.

    Raises:
        StrokewiseError: if training fails or is interrupted; what is done stays.
    """

    def train(out: Path) -> None:
        run = folder / f"{name}-run"
        trainer = Trainer(replace(config, name=f"nano-{name}"), run)
        trainer.fit()
        if trainer.step < config.steps:
            raise StrokewiseError(f"stopped after step {trainer.step} of {run}; run the same again to go on")
        export(run, out)
        knows = {"classes": NANO_SCENES.classes, "colors": COLORS}
        (out / VOCABULARY).write_text(json.dumps(knows, indent=1) + "\n", encoding="utf-8")
        (out / DEFAULTS).write_text(json.dumps(PAINTING, indent=1) + "\n", encoding="utf-8")

    return _stage(folder / name, report, train)


def _stage(out: Path, report: Report, make: Callable[[Path], None]) -> Path:
    """A folder that ``make`` fills under another name, unless it is there."""
    if not out.exists():
        report(f"{out.name} …")
        with writing_folder(out) as partial:
            make(partial)
    report(f"{out.name}: {out}")
    return out
