"""Rollouts as samples: what is learned from the groups of a round, and how much each part is credited.

Three rules of credit, one for each objective of reinforcement:

``raft``  the best of a group, if they are right and not all are, as supervised samples (arXiv 2504.11343)
``grpo``  texts: an inspection is credited with the advantage of its verdict, what follows it in the message
          with the advantage of the final picture
``nft``   canvases, credited with how well they show their plans among those of the group

Only what siblings do not share is trained. Knows rollouts and views; how a credit becomes a loss is decided
by the objective.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from statistics import fmean, pstdev

import numpy as np

from strokewise.critics.rewards import Rewards
from strokewise.data.rollouts import SHARED, read_rollout_facts, read_trajectories, round_files
from strokewise.datasets.mixture import derive_seed
from strokewise.datasets.samples import Sample, SamplePart, SampleText
from strokewise.datasets.views import process
from strokewise.errors import ConfigError
from strokewise.sequence import Tokenizer
from strokewise.trajectory.values import Trajectory

# Positions in the mixture that belong to a round; so many samples no round uses.
ROUND = 2**32
# From here on a picture counts as right; the exact critic gives 1 to those that are and less to all others.
RIGHT = 0.9
FILES_IN_MEMORY = 2

Values = tuple[float | None, ...]


@dataclass(frozen=True)
class Credits:
    """What is learned from a rollout: for each step, None where nothing is.

    Attributes:
        inspections: credit of its inspection.
        actions: credit of what follows it in the message.
        canvases: credit of its canvas.
    """

    inspections: Values = ()
    actions: Values = ()
    canvases: Values = ()

    @property
    def empty(self) -> bool:
        """Whether nothing is learned."""
        return not any(value is not None for value in (*self.inspections, *self.actions, *self.canvases))


# --- credits of a group -------------------------------------------------------------------------------------


def advantages(values: Sequence[Values]) -> list[Values]:
    """Return distances from the mean of a group, in standard deviations; None where all values are equal."""
    known = [value for row in values for value in row if value is not None]
    spread = pstdev(known) if known else 0.0
    if spread == 0:
        return [(None,) * len(row) for row in values]
    mean = fmean(known)
    return [tuple(None if value is None else (value - mean) / spread for value in row) for row in values]


def pictures(group: Sequence[Rewards]) -> list[float]:
    """Return rewards of the final pictures; one no better than a wrong first canvas has the least of the
    group.

    Otherwise it would pay to leave a picture as it is (arXiv 2605.12495).
    """
    least = min(rewards.picture for rewards in group)
    return [least if r.first < RIGHT and r.picture <= r.first else r.picture for r in group]


def raft(group: Sequence[Rewards]) -> list[Credits]:
    """Return 1 for every step of a rollout that is right from its inspections to its picture, in a mixed
    group.
    """
    right = [
        r.picture >= RIGHT and all(value is None or value == 1 for value in _own(r.verdicts)) for r in group
    ]
    mixed = any(r.picture < RIGHT for r in group)
    found = [(1.0,) * len(r.verdicts) if mixed and good else () for r, good in zip(group, right, strict=True)]
    return [Credits(steps, steps, steps) for steps in found]


def grpo(group: Sequence[Rewards]) -> list[Credits]:
    """Return advantages of verdicts for inspections, and of final pictures for what follows them."""
    verdicts = advantages([_own(rewards.verdicts) for rewards in group])
    final = advantages([(picture,) for picture in pictures(group)])
    return [Credits(_shared() + v, _shared() + p * len(v)) for v, p in zip(verdicts, final, strict=True)]


def nft(group: Sequence[Rewards]) -> list[Credits]:
    """Return half, and up to half more or less by the advantage of a canvas (arXiv 2509.16117, equation
    8).
    """
    found = advantages([_own(rewards.canvases) for rewards in group])
    halves = [tuple(None if a is None else 0.5 + 0.5 * max(-1.0, min(1.0, a)) for a in row) for row in found]
    return [Credits(canvases=_shared() + row) for row in halves]


CREDIT_RULES: dict[str, Callable[[Sequence[Rewards]], list[Credits]]] = {
    "raft": raft,
    "grpo": grpo,
    "nft": nft,
}


def _own(values: Values) -> Values:
    return values[SHARED:]


def _shared() -> Values:
    return (None,) * SHARED


# --- samples ------------------------------------------------------------------------------------------------


def supervised(trajectory: Trajectory, tokenizer: Tokenizer) -> Sample:
    """Return the whole process, what siblings share being a condition."""
    sample = process(trajectory, tokenizer)
    shared = len(_until(trajectory, SHARED, tokenizer))
    parts = (replace(p, loss=p.loss and i >= shared) for i, p in enumerate(sample.parts))
    return replace(sample, parts=tuple(parts))


def credited(trajectory: Trajectory, credits: Credits, tokenizer: Tokenizer) -> Sample:
    """Return the process up to the last part with a credit, those with one being trained.

    What opens after a text or a canvas is not trained: the model does not sample it.
    """
    parts = list(_until(trajectory, 1, tokenizer)[: 1 + (trajectory.source is not None)])
    last = 0
    for number, step in enumerate(trajectory.steps):
        of_step = _until(trajectory, number + 1, tokenizer)[len(parts) :]
        for part in of_step:
            if isinstance(part, SampleText):
                inspect, act = (_at(values, number) for values in (credits.inspections, credits.actions))
                parts.append(_credited_text(part, step.message.inspect, inspect, act, tokenizer))
            else:
                credit = _at(credits.canvases, number)
                parts.append(replace(part, loss=credit is not None, credit=0.5 if credit is None else credit))
            last = len(parts) if parts[-1].loss else last
    return Sample(tuple(parts[:last]), ends=False)


def _until(trajectory: Trajectory, steps: int, tokenizer: Tokenizer) -> tuple[SamplePart, ...]:
    """Return the parts of the first steps."""
    return process(replace(trajectory, steps=trajectory.steps[:steps]), tokenizer).parts


def _credited_text(
    text: SampleText, inspect: str, of_inspection: float | None, of_action: float | None, tokenizer: Tokenizer
) -> SampleText:
    """Return a message whose inspection, and whose rest with its end, have credits of their own."""
    if of_inspection is None and of_action is None:
        return replace(text, loss=False)
    ids, length = list(text.ids), 0
    while len(tokenizer.decode(ids[:length])) < len(inspect):
        length += 1
    rest = len(ids) - length + 1
    credits = (of_inspection or 0.0,) * length + (of_action or 0.0,) * rest
    return replace(text, loss=True, opens=False, credits=credits)


def _at(values: Values, number: int) -> float | None:
    return values[number] if number < len(values) else None


# --- the source ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rollouts:
    """Samples of the rounds in a folder; position ``n * ROUND`` of the mixture begins round n.

    Attributes:
        folder: of the rounds.
        credit_rule: one of ``CREDIT_RULES``.
        seed: of the order within a round.
    """

    folder: str
    credit_rule: str
    seed: int = 0

    def open(self, tokenizer: Tokenizer) -> "RolloutSource":
        """Return the source; its rounds need not be there yet.

        Raises:
            ConfigError: if there is no such rule of credit.
        """
        if self.credit_rule not in CREDIT_RULES:
            raise ConfigError(
                f"unknown credit rule {self.credit_rule!r}; known are {', '.join(CREDIT_RULES)}"
            )
        return RolloutSource(self, tokenizer)


@dataclass
class RolloutSource:
    """Samples of rollouts by number; the round and the files read last stay in memory."""

    config: Rollouts
    tokenizer: Tokenizer
    size: None = None
    _round: tuple[int, list["CreditedRollout"]] | None = None
    _files: dict[Path, list[Trajectory]] = field(default_factory=dict)

    def sample(self, index: int) -> Sample:
        """Return one sample.

        Raises:
            ConfigError: if the round has no training signal.
            RecordError: if its files are missing or damaged.
        """
        number, place = divmod(index, ROUND)
        found = self.rollouts(number)
        if not found:
            raise ConfigError(
                f"round {number} has no training signal: in every group of siblings all rewards are equal;"
                " take prompts that the model sometimes paints right, more groups, or a higher temperature"
            )
        epoch, at = divmod(place, len(found))
        order = np.random.default_rng(derive_seed(self.config.seed, 5, number, epoch)).permutation(len(found))
        chosen = found[int(order[at])]
        trajectory = self._read(chosen.path)[chosen.row]
        if self.config.credit_rule == "raft":
            return supervised(trajectory, self.tokenizer)
        return credited(trajectory, chosen.credits, self.tokenizer)

    def rollouts(self, number: int) -> list["CreditedRollout"]:
        """Return the rollouts of a round from which something is learned."""
        if self._round is None or self._round[0] != number:
            self._round = number, credited_rollouts(Path(self.config.folder), number, self.config.credit_rule)
        return self._round[1]

    def _read(self, path: Path) -> list[Trajectory]:
        if path not in self._files:
            if len(self._files) == FILES_IN_MEMORY:
                del self._files[next(iter(self._files))]
            self._files[path] = read_trajectories(path)
        return self._files[path]


@dataclass(frozen=True)
class CreditedRollout:
    """A rollout of which something is supervised: its file, its row there, and the credits."""

    path: Path
    row: int
    credits: Credits


def credited_rollouts(folder: Path, number: int, credit_rule: str) -> list[CreditedRollout]:
    """Return the rollouts of a round with a credit whose messages keep the protocol's grammar.

    Raises:
        RecordError: if a file is damaged.
    """
    found = []
    for path in round_files(folder, number):
        rows = list(enumerate(read_rollout_facts(path)))
        for _, group in groupby(rows, lambda row: row[1].group):
            members = list(group)
            credits = CREDIT_RULES[credit_rule]([facts.rewards for _, facts in members])
            found += [
                CreditedRollout(path, row, credit)
                for (row, facts), credit in zip(members, credits, strict=True)
                if facts.whole and not credit.empty
            ]
    return found
