"""Reinforcement: rounds of rollouts with the present weights, and of training on them.

A round samples with the averaged weights, the old policy, stores what was painted and rewarded, trains some
steps on it and moves the old policy. Whatever is interrupted resumes to the bit: files of rollouts are
functions of weights and numbers, steps resume from checkpoints. Knows a trainer, a painter and a critic by
its rewards; refuses to know worlds.
"""

import json
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.table import Table

from strokewise.data.rollouts import (
    Facts,
    Rewarding,
    Rollout,
    RolloutSampling,
    read_rollout_facts,
    round_files,
    round_folder,
    sample,
    write_rollouts,
)
from strokewise.data.storage import claim, shard_name
from strokewise.datasets.rollouts import RIGHT, ROUND, Rollouts, credited_rollouts
from strokewise.errors import ConfigError
from strokewise.inference.painter import Painter
from strokewise.inference.policies import Policy
from strokewise.models import find_checkpoint
from strokewise.models.units import human
from strokewise.sequence import Tokenizer
from strokewise.train.config import TrainConfig, WeightedSource
from strokewise.train.distributed import World
from strokewise.train.estimate import Speed, duration, estimate
from strokewise.train.trainer import Trainer

ROLLOUTS = "rollouts"


@dataclass(frozen=True)
class ReinforcementConfig:
    """A run of reinforcement.

    Attributes:
        training: the steps; its sources are left empty, its number of steps is that of all rounds.
        sampling: the rollouts of a round.
        credit_rule: what is learned from them (``datasets.rollouts.CREDIT_RULES``); the objective must fit.
        rounds: how many.
    """

    training: TrainConfig
    sampling: RolloutSampling
    credit_rule: str
    rounds: int

    def __post_init__(self) -> None:
        """Refuse rounds of unequal length."""
        if self.rounds < 1 or self.training.steps % self.rounds:
            raise ConfigError(
                f"{self.training.steps} steps cannot be shared evenly by {self.rounds} rounds;"
                " set training.steps to a multiple of rounds"
            )

    @property
    def steps(self) -> int:
        """Optimizer steps of a round."""
        return self.training.steps // self.rounds


class Reinforcement:
    """A run in a folder, which resumes where it was interrupted."""

    def __init__(
        self,
        config: ReinforcementConfig,
        rewarding: Rewarding,
        folder: Path,
        policy: Policy | None = None,
        report: Callable[[str], None] = print,
    ) -> None:
        """Load the model, and resume.

        Args:
            config: what is sampled and trained.
            rewarding: the critic.
            folder: of the run.
            policy: who decides what is said and painted in rollouts; default: the model.
            report: called with a line for each round and each file of rollouts.

        Raises:
            StrokewiseError: if the start or a checkpoint is missing or damaged, or the folder holds another
                run; ConfigError if several processes share it.
        """
        world = World.join()
        if world.size > 1:
            raise ConfigError("reinforcement runs in one process; start it without torchrun")
        self.config, self.rewarding, self.policy, self.report = config, rewarding, policy, report
        self.rollouts = folder / ROLLOUTS
        recipe = {**asdict(config.sampling), "rounds": config.rounds, "credit_rule": config.credit_rule}
        claim(self.rollouts, json.dumps(recipe, indent=2) + "\n")
        source = WeightedSource(ROLLOUTS, 1.0, Rollouts(str(self.rollouts), config.credit_rule))
        training = replace(config.training, sources=(source,), ema_every=config.steps)
        self.trainer = Trainer(training, folder, world)
        self.tokenizer = Tokenizer.load(find_checkpoint(training.model))

    def fit(self, minutes: float | None = None) -> None:
        """Run to the end, or until this call has lasted ``minutes``; ends with a checkpoint.

        Raises:
            StrokewiseError: as ``Trainer.fit``; or if painting or critic fails, or a round gives no samples.
        """
        until = math.inf if minutes is None else time.monotonic() + 60 * minutes
        with self.trainer.lock:
            while self.trainer.step < self.trainer.config.steps and self._round(until):
                pass

    def _round(self, until: float) -> bool:
        """Do what is left of the present round; whether time sufficed."""
        trainer, steps = self.trainer, self.config.steps
        number, done = divmod(trainer.step, steps)
        if not self._sample(number, until):
            return False
        if not done:
            self.report(str(RoundFigures.of(self.rollouts, number, self.config.credit_rule)))
            trainer.skip_to(number * ROUND)
        trainer.train_to((number + 1) * steps, until)
        return trainer.step == (number + 1) * steps

    def _sample(self, number: int, until: float) -> bool:
        """Paint the rollouts of a round that are missing; whether time sufficed."""
        folder, files = round_folder(self.rollouts, number), self.config.sampling.files()
        for file in files:
            if (folder / shard_name(file)).exists():
                continue
            if time.monotonic() > until:
                return False
            start = time.monotonic()
            rollouts = self._paint(number, file)
            write_rollouts(self.rollouts, number, file, rollouts)
            spent = time.monotonic() - start
            self.report(
                f"round {number}: file {file + 1} of {len(files)}, {len(rollouts)} rollouts, {spent:.0f} s"
            )
        return True

    def _paint(self, number: int, file: int) -> list[Rollout]:
        """Return the rollouts of a file, painted with the averaged weights."""
        with self.trainer.averaged():
            painter = Painter(self.trainer.model, self.tokenizer, self.config.training.name)
            return sample(painter, self.rewarding, self.config.sampling, number, file, self.policy)


@dataclass(frozen=True)
class RoundFigures:
    """What a round of rollouts shows.

    Attributes:
        number: of the round.
        rollouts, groups: how many were painted.
        first, picture: share of right first canvases and of right final pictures.
        verdicts: mean agreement of inspections with the critic, nan where none was judged.
        credited: rollouts from which something is learned.
        passes, text_tokens: that painting took.
    """

    number: int
    rollouts: int
    groups: int
    first: float
    picture: float
    verdicts: float
    credited: int
    passes: int
    text_tokens: int

    @classmethod
    def of(cls, folder: Path, number: int, credit_rule: str) -> "RoundFigures":
        """Return the figures of a stored round.

        Raises:
            ConfigError: if nothing was painted.
            RecordError: if a file is damaged.
        """
        every = [facts for path in round_files(folder, number) for facts in read_rollout_facts(path)]
        if not every:
            raise ConfigError(f"round {number} has no rollouts: no prompt led to a first canvas")
        verdicts = [value for facts in every for value in facts.rewards.verdicts if value is not None]
        return cls(
            number,
            len(every),
            len({facts.group for facts in every}),
            _share(every, lambda facts: facts.rewards.first >= RIGHT),
            _share(every, lambda facts: facts.rewards.picture >= RIGHT),
            sum(verdicts) / len(verdicts) if verdicts else math.nan,
            len(credited_rollouts(folder, number, credit_rule)),
            sum(facts.passes for facts in every),
            sum(facts.text_tokens for facts in every),
        )

    def __str__(self) -> str:
        return (
            f"round {self.number}: {self.rollouts:,} rollouts in {self.groups:,} groups,"
            f" {self.credited:,} with credit; right first {self.first:.3f}, final {self.picture:.3f};"
            f" verdicts {self.verdicts:.3f};"
            f" {self.passes:,} passes, {self.text_tokens:,} text tokens"
        )


def costs(config: ReinforcementConfig, rewarding: Rewarding, policy: Policy | None = None) -> Table:
    """Return what a run will cost, from the first file of its rollouts, painted here and thrown away.

    Raises:
        StrokewiseError: as :class:`Reinforcement`; also if these rollouts teach nothing.
    """
    with tempfile.TemporaryDirectory() as folder:
        run = Reinforcement(config, rewarding, Path(folder), policy)
        start = time.monotonic()
        rollouts = run._paint(0, 0)
        seconds = time.monotonic() - start
        write_rollouts(run.rollouts, 0, 0, rollouts)
        found = RoundFigures.of(run.rollouts, 0, config.credit_rule)
        speed = Speed.measured(run.trainer.world.device, run.trainer.config.precision)
        training = estimate(run.trainer.config, run.trainer.data, 1, speed)
    sampling, rounds = config.sampling, config.rounds
    scale = sampling.groups / min(sampling.groups, sampling.batch)
    canvases = sum(len(rollout.trajectory.images) for rollout in rollouts) / len(rollouts)
    painting = rounds * scale * seconds
    seen = config.steps * training.samples / max(1.0, scale * found.credited)
    shown = Table(title=f"{config.training.name}: what this run will cost", show_header=False)
    rows = {
        "measured": str(found),
        "a round": f"{sampling.groups:,} prompts, {sampling.groups * sampling.siblings:,} rollouts of"
        f" {canvases:.1f} canvases on average, {human(scale * found.passes)} passes,"
        f" {human(scale * found.text_tokens)} text tokens; then {config.steps:,} steps,"
        f" in which each of about {scale * found.credited:,.0f} samples is seen {seen:.1f} times",
        f"{rounds:,} rounds": f"{human(rounds * sampling.groups * sampling.siblings)} rollouts,"
        f" {human(rounds * scale * found.passes)} passes, {config.training.steps:,} steps",
        "memory for training": f"at least {human(training.memory.total, 'B')}",
        "time": f"about {duration(painting)} of painting and judging, as measured here, and"
        f" {duration(training.seconds)} of training, at {training.speed.origin}",
    }
    for name, value in rows.items():
        shown.add_row(name, value)
    return shown


def _share(every: list[Facts], holds: Callable[[Facts], bool]) -> float:
    return sum(map(holds, every)) / len(every)
