"""Rollouts: what a model paints to learn from its own rewards, in groups that share a prompt and a canvas.

The first canvas of a prompt is painted once; siblings are forked behind it with seeds of their own, so that
what they differ in is what they inspected, corrected and painted afterwards. A round is stored as parquet
files that appear whole, each of some groups; they depend on the weights and on numbers only, so an
interrupted round paints what is missing. This file knows painters and critics; what is learned from rollouts
is decided in ``datasets/rollouts``.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from typing_extensions import TypedDict

from strokewise.critics.rewards import Rewards
from strokewise.data.scenes import SceneMix, sample_scene
from strokewise.data.storage import read_rows, shard_name, table_bytes
from strokewise.errors import ConfigError, ProtocolError, RecordError
from strokewise.inference.options import OptionChanges, Request
from strokewise.inference.painter import Painter, raising
from strokewise.inference.policies import Policy
from strokewise.inference.session import Session
from strokewise.io.bounds import LARGEST_SEED, check_numbers
from strokewise.io.digests import check_with_digest, write_with_digest
from strokewise.io.schema import checked_row
from strokewise.trajectory.files import from_row, to_row
from strokewise.trajectory.values import Trajectory
from strokewise.world.language import write_prompt

# Steps that all siblings of a group share.
SHARED = 1
Rewarding = Callable[[Sequence[Trajectory]], list[Rewards]]


class Prompts(Protocol):
    """What is painted; a frozen dataclass of plain values."""

    def draw(self, rng: random.Random) -> str:
        """Return a prompt."""


@dataclass(frozen=True)
class ScenePrompts:
    """Prompts of random scenes of the sprite world."""

    scenes: SceneMix = field(default_factory=SceneMix)

    def draw(self, rng: random.Random) -> str:
        """See :class:`Prompts`."""
        return write_prompt(sample_scene(rng, self.scenes).graph, rng)


@dataclass(frozen=True)
class ListedPrompts:
    """Prompts from a list."""

    texts: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse an empty list."""
        if not self.texts:
            raise ConfigError("there are no prompts to paint")

    def draw(self, rng: random.Random) -> str:
        """See :class:`Prompts`."""
        return rng.choice(self.texts)


@dataclass(frozen=True)
class RolloutSampling:
    """All that decides which rollouts are sampled, but the weights.

    Attributes:
        prompts: what is painted.
        groups: prompts of a round.
        siblings: rollouts of each prompt, forked behind its first canvas.
        batch: how many are painted at once, and groups of a file.
        painting: options of the painter; texts must be sampled (temperature above 0).
        seed: of prompts, texts and noise.
    """

    prompts: Prompts
    groups: int
    siblings: int
    batch: int
    painting: OptionChanges
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what gives no groups to compare in."""
        check_numbers(self, seed=(0, LARGEST_SEED))
        if self.groups < 1 or self.batch < 1 or self.siblings < 2:
            raise ConfigError("a round needs at least one group of two siblings, and a batch of one")

    def files(self) -> range:
        """Return numbers of the files of a round."""
        return range(-(-self.groups // self.batch))


@dataclass(frozen=True)
class Facts:
    """What is known of a rollout without its pictures.

    Attributes:
        group: number of its group in the round; its members share their first ``SHARED`` steps.
        rewards: the critic's.
        whole: whether every message keeps the grammar; others cannot be laid out as samples.
        passes: through the network for its canvases; the first of a group counts the shared one.
        text_tokens: that the model wrote in it, counted likewise.
    """

    group: int
    rewards: Rewards
    whole: bool
    passes: int
    text_tokens: int


@dataclass(frozen=True)
class Rollout:
    """A painted trajectory, and what is known of it."""

    facts: Facts
    trajectory: Trajectory


def sample(
    painter: Painter,
    rewarding: Rewarding,
    sampling: RolloutSampling,
    number: int,
    file: int,
    policy: Policy | None = None,
) -> list[Rollout]:
    """Paint and reward the groups of one file of a round; a prompt without a first canvas gives none.

    Args:
        painter: with the weights of the round.
        rewarding: the critic.
        sampling: what to paint.
        number: of the round.
        file: of the round.
        policy: who decides what is said and painted; default: the model.

    Returns:
        The rollouts, one group after another.
    """
    groups = range(file * sampling.batch, min(sampling.groups, (file + 1) * sampling.batch))
    draws = [random.Random(f"rollouts/{sampling.seed}/{number}/{group}") for group in groups]
    requests = [Request(sampling.prompts.draw(draw), draw.randrange(2**31)) for draw in draws]
    opening, engine = painter.engine(sampling.batch), painter.engine(sampling.batch)
    firsts = [
        painter.open(opening, request, policy=policy, check=False, keep=True, **sampling.painting)
        for request in requests
    ]
    while any(not first.done and first.number < SHARED for first in firsts):
        for _ in raising(opening.advance()):
            pass
    members: list[tuple[int, Session]] = []
    for group, draw, first in zip(groups, draws, firsts, strict=True):
        for i in range(0 if first.done else sampling.siblings):
            sibling = engine.fork(first, seed=draw.randrange(2**31))
            sibling.keep = False  # the contexts of its steps are not needed again
            if i == 0:
                sibling.usage = first.usage
            members.append((group, sibling))
        opening.close(first)
    for _ in raising(engine.run()):
        pass
    trajectories = [session.trajectory() for _, session in members]
    rollouts = []
    for (group, session), trajectory, rewards in zip(
        members, trajectories, rewarding(trajectories), strict=True
    ):
        usage = session.usage
        facts = Facts(group, rewards, _whole(trajectory), usage.passes, usage.text_tokens)
        rollouts.append(Rollout(facts, trajectory))
    return rollouts


def _whole(trajectory: Trajectory) -> bool:
    try:
        return all(step.message.text() for step in trajectory.steps)
    except ProtocolError:
        return False


# --- files --------------------------------------------------------------------------------------------------


def round_folder(folder: Path, number: int) -> Path:
    """Return the folder of a round."""
    return folder / f"round-{number:05d}"


def round_files(folder: Path, number: int) -> list[Path]:
    """Return the files of a round that are there, in their order."""
    return sorted(round_folder(folder, number).glob("part-*.parquet"))


def write_rollouts(folder: Path, number: int, file: int, rollouts: Sequence[Rollout]) -> None:
    """Write one file of a round; without rollouts there is none."""
    if rollouts:
        path = round_folder(folder, number) / shard_name(file)
        write_with_digest(path, table_bytes([_to_row(rollout) for rollout in rollouts]), ConfigError)


def read_rollout_facts(path: Path) -> list[Facts]:
    """Return what is known of the rollouts of a file, without their pictures.

    Raises:
        RecordError: if the file is missing or damaged.
    """
    check_with_digest(path, RecordError)
    rows = read_rows(path, list(_Facts.__annotations__))
    return [_facts(row, f"{path}, row {i}") for i, row in enumerate(rows)]


def read_trajectories(path: Path) -> list[Trajectory]:
    """Return the trajectories of a file, in the order of :func:`read_rollout_facts`; RecordError as there."""
    check_with_digest(path, RecordError)
    rows = read_rows(path, ["trajectory", "images"])
    return [from_row(row, f"{path}, row {i}") for i, row in enumerate(rows)]


class _Facts(TypedDict):
    group: int
    first: float
    picture: float
    verdicts: list[float | None]
    canvases: list[float | None]
    whole: bool
    passes: int
    text_tokens: int


def _to_row(rollout: Rollout) -> dict[str, Any]:
    facts = asdict(rollout.facts)
    return {**facts, **facts.pop("rewards"), **to_row(rollout.trajectory)}


def _facts(row: dict[str, Any], where: str) -> Facts:
    found = checked_row(_Facts, row, where)
    verdicts, canvases = tuple(found["verdicts"]), tuple(found["canvases"])
    rewards = Rewards(found["first"], found["picture"], verdicts, canvases)
    return Facts(found["group"], rewards, found["whole"], found["passes"], found["text_tokens"])
