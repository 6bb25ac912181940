"""What a run shows and records: progress, scalars, painted samples. Takes reports, decides nothing.

Scalars go to ``metrics.jsonl`` (one line a ``log_every`` steps; after a resume a step may stand there twice,
the later line counts) and, if it is switched on, to TensorBoard.
"""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from strokewise.errors import ConfigError, StrokewiseError
from strokewise.models import TrainingCosts
from strokewise.models.units import human
from strokewise.train.config import TrainConfig
from strokewise.train.workload import Workload


@dataclass(frozen=True)
class StepReport:
    """What an optimizer step did, over all ranks.

    Attributes:
        step: number of steps done.
        loss: the minimized sum of weighted terms.
        terms: mean of each term of the loss, nan where no token carried it.
        gradient: norm before clipping.
        rate: learning rate.
        work: counts of all packs.
        skipped: samples this rank has left out so far because they were too long.
    """

    step: int
    loss: float
    terms: dict[str, float]
    gradient: float
    rate: float
    work: Workload
    skipped: int


class Monitor:
    """Progress and records of a run, on the rank that leads; does nothing on others."""

    def __init__(
        self, folder: Path, config: TrainConfig, costs: TrainingCosts, first: int, last: int, leads: bool
    ) -> None:
        """Watch steps ``first`` to ``last``.

        Raises:
            ConfigError: if TensorBoard is switched on and not installed.
        """
        self.folder, self.config, self.costs, self.leads = folder, config, costs, leads
        self.console = Console(stderr=True, markup=False)
        self.progress = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(), console=self.console, disable=not (leads and self.console.is_terminal),
        )  # fmt: skip
        self.task = self.progress.add_task(config.name, total=last, completed=first)
        self.board = _board(folder, first) if leads and config.running.tensorboard else None
        self.since, self.work = time.monotonic(), Workload()

    def __enter__(self) -> "Monitor":
        """Begin to show progress."""
        self.progress.start()
        self.since = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self.progress.stop()
        if self.board is not None:
            self.board.close()

    def log(self, report: StepReport) -> None:
        """Add a step to the counts; every ``log_every`` steps write and show the scalars."""
        self.work += report.work
        self.progress.update(self.task, completed=report.step)
        if report.step % self.config.running.log_every or not self.leads:
            return
        now = time.monotonic()
        seconds, self.since = now - self.since, now
        values = self._scalars(report, seconds)
        self.work = Workload()
        self._append(json.dumps(values))
        if self.board is not None:
            for name, value in values.items():
                if name != "step" and value is not None:
                    self.board.add_scalar(name, value, report.step)
        terms = ", ".join(f"{name} {value:.4f}" for name, value in report.terms.items())
        line = (
            f"step {report.step}: loss {report.loss:.4f} ({terms}),"
            f" {human(values['tokens_per_second'])} tokens/s, {human(values['flops_per_second'], 'FLOP/s')}"
        )
        if self.progress.disable:
            self.say(line)
        else:
            self.progress.update(self.task, description=f"{self.config.name}: {line}")

    def say(self, line: str) -> None:
        """Show a line."""
        if self.leads:
            self.console.print(line, soft_wrap=True, highlight=False)

    def show(self, picture: Image.Image, step: int) -> None:
        """Write the painted samples of a step as a file, and to TensorBoard."""
        if not self.leads:
            return
        path = self.folder / "samples" / f"step_{step:08d}.png"
        path.parent.mkdir(exist_ok=True)
        picture.save(path)
        if self.board is not None:
            self.board.add_image("painted above expected", np.asarray(picture), step, dataformats="HWC")

    def rest(self) -> None:
        """Leave the time since the last line (saving, painting) out of the rates."""
        self.since = time.monotonic()
        self.work = Workload()

    def _append(self, line: str) -> None:
        path = self.folder / "metrics.jsonl"
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise StrokewiseError(f"cannot write {path}: {error}; the last checkpoint is whole") from error

    def _scalars(self, report: StepReport, seconds: float) -> dict[str, Any]:
        flops = self.work.flops(self.costs, frozen=self.config.lora is not None)
        return {
            "step": report.step,
            "loss": report.loss,
            **{f"{name}_loss": _number(value) for name, value in report.terms.items()},
            "gradient_norm": report.gradient,
            "learning_rate": report.rate,
            "samples_per_second": self.work.samples / seconds,
            "tokens_per_second": self.work.tokens / seconds,
            "flops_per_second": flops / seconds,
            "skipped": report.skipped,
        }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _board(folder: Path, first: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            "TensorBoard is not installed: pip install 'strokewise[train]', or switch it off"
            " (running.tensorboard)"
        ) from error
    return SummaryWriter(str(folder / "tensorboard"), purge_step=first + 1 if first else None)
