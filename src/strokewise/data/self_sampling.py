"""Self-sampling: what a model paints, judged by the oracle, as the conflict and the alignment subset.

The faults a model learns to find are then its own (paper, subsets 2 and 3). Knows a painter and the data
package; what is done with the records is settled in ``recipes``.
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from strokewise.data.alignment import judge_sketches
from strokewise.data.building import claim, shard_name, table_bytes, write_manifest
from strokewise.data.canvas_painters import SpritePainter
from strokewise.data.conflict import judge_sampled
from strokewise.data.records import Record, to_table_row
from strokewise.data.sampled import Sampler, plans_of
from strokewise.data.scenes import SceneMix, sample_scene
from strokewise.errors import ConfigError
from strokewise.inference.options import OptionChanges
from strokewise.inference.painter import Painter
from strokewise.io.atomic import write_bytes
from strokewise.trajectory.values import Trajectory
from strokewise.world.language import PlainWording, write_prompt

JUDGES = {"conflict": judge_sampled, "alignment": judge_sketches}
WRONG = ("wrong", "negative")
CHUNK = 32


@dataclass(frozen=True)
class Sampling:
    """All that decides what is sampled.

    Attributes:
        model: name of what samples, for the record.
        prompts: how many the model paints, in chunks of 32.
        seed: of prompts, paintings and wording.
        scenes: what prompts ask for, and how freely corrections are laid out.
        right_share: largest share of right records, since a good model makes few faults to learn from.
        painting: options of the painter. At a temperature its texts go wrong now and then.
    """

    model: str
    prompts: int
    seed: int = 0
    scenes: SceneMix = field(default_factory=SceneMix)
    right_share: float = 0.45
    painting: OptionChanges = field(default_factory=lambda: OptionChanges(temperature=1.0))

    def __post_init__(self) -> None:
        """Refuse what cannot be sampled."""
        if self.prompts < 1 or not 0 <= self.right_share < 1:
            raise ConfigError("at least one prompt must be painted, and right_share must lie in [0, 1)")


@dataclass(frozen=True)
class PainterSampler:
    """A painter as a sampler.

    Attributes:
        painter: what paints.
        painting: its options.
    """

    painter: Painter
    painting: OptionChanges

    def sample(self, prompts: list[str], seeds: list[int]) -> list[Trajectory]:
        """A trajectory of each prompt."""
        return self.painter.paint_many(prompts, seeds, batch=CHUNK, check=False, **self.painting)


def self_sample(
    sampling: Sampling,
    sampler: Sampler,
    folder: Path,
    progress: Callable[[int, int], None] = lambda done, all: None,
) -> None:
    """Build ``folder/conflict`` and ``folder/alignment``, or go on with them.

    Args:
        sampling: what to sample.
        sampler: what paints.
        folder: where.
        progress: called with the prompts painted and those in all.

    Raises:
        ConfigError: if the folders hold other data, or nothing was painted that can be judged.
    """
    for subset in JUDGES:
        claim(folder / subset, json.dumps(asdict(sampling), indent=2) + "\n")
    for chunk in range(-(-sampling.prompts // CHUNK)):
        places = {subset: folder / subset / shard_name(chunk) for subset in JUDGES}
        if not all(place.exists() for place in places.values()):
            sampled = _paint(sampling, chunk, sampler)
            for subset, place in places.items():
                if rows := [to_table_row(record) for record in _judged(subset, sampled, sampling, chunk)]:
                    write_bytes(place, table_bytes(rows), ConfigError)
        progress(min(sampling.prompts, (chunk + 1) * CHUNK), sampling.prompts)
    for subset in JUDGES:
        count = sum(pq.read_metadata(path).num_rows for path in (folder / subset).glob("part-*.parquet"))
        if not count:
            raise ConfigError(f"{sampling.model} painted nothing from which {subset} records could be made")
        write_manifest(folder / subset, subset, count)


def _paint(sampling: Sampling, chunk: int, sampler: Sampler) -> list[Trajectory]:
    draw = random.Random(f"self-sampling/{sampling.seed}/{chunk}")
    count = min(CHUNK, sampling.prompts - chunk * CHUNK)
    graphs = [sample_scene(draw, sampling.scenes).graph for _ in range(count)]
    return sampler.sample([write_prompt(g, draw) for g in graphs], [draw.randrange(2**31) for _ in graphs])


def _judged(subset: str, sampled: Sequence[Trajectory], sampling: Sampling, chunk: int) -> list[Record]:
    """The records of a subset; of right ones no more than their share, in their order."""
    draw = random.Random(f"self-sampling/{subset}/{sampling.seed}/{chunk}")
    wording_rng = PlainWording(draw.randrange(2**31)) if sampling.scenes.plain else draw
    records = list(
        JUDGES[subset](plans_of(sampled, sampling.scenes.layout_jitter), SpritePainter(), wording_rng)
    )
    right = [i for i, record in enumerate(records) if record.label not in WRONG]
    allowed = round((len(records) - len(right)) * sampling.right_share / (1 - sampling.right_share))
    kept = set(draw.sample(right, min(len(right), max(1, allowed))))
    return [record for i, record in enumerate(records) if i in kept or record.label in WRONG]
