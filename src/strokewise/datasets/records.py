"""Sources of samples: built data sets, and the sprite world rendered on the fly.

Knows shards and builders of ``data``; how a trajectory becomes a sample is decided in ``views``.
"""

import random
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from strokewise.data.build import MAKERS
from strokewise.data.canvas_painters import NoPainter, SpritePainter
from strokewise.data.records import from_table_row
from strokewise.data.scenes import SceneMix
from strokewise.data.storage import Shard, count_rows, read_group, shards_of
from strokewise.datasets.samples import Sample
from strokewise.datasets.views import TURNS, VIEWS
from strokewise.errors import ConfigError
from strokewise.sequence import Tokenizer

# Bytes of records that a source keeps in each process that reads it: order is random, so little comes again.
CACHE_BYTES = 2**26
# Samples of the paper's three subsets; mixtures keep their proportions.
SUBSET_SIZES = {"multi-turn": 32_012, "conflict": 15_201, "alignment": 15_000}
# Share of plain text-to-image samples: models tuned on processes alone lose plain generation.
ANCHORS = 0.1


@dataclass(frozen=True)
class Shards:
    """A finished data set in a folder, or all those in a folder, in one of ``VIEWS``."""

    folder: str
    view: str = "process"

    def open(self, tokenizer: Tokenizer) -> "ShardSource":
        """Return the source.

        Raises:
            RecordError: if the data set is not finished, or a shard is missing or damaged.
            ConfigError: if there is no such view.
        """
        _check_view(self.view)
        shards = shards_of(Path(self.folder))
        return ShardSource(shards, [count_rows(shard.path) for shard in shards], self.view, tokenizer)


@dataclass
class ShardSource:
    """Records of shards by number, read by row groups.

    A shard is compared with its digest when it is read first. Up to ``CACHE_BYTES`` of the records read last
    stay in memory; a copy for another process begins with none.
    """

    shards: list[Shard]
    counts: list[int]
    view: str
    tokenizer: Tokenizer

    def __post_init__(self) -> None:
        """Compute where each shard ends."""
        self._ends = list(accumulate(self.counts))
        self._groups: OrderedDict[tuple[int, int], _Group] = OrderedDict()
        self._held = 0
        self._checked: set[int] = set()

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave the cache behind."""
        return type(self), (self.shards, self.counts, self.view, self.tokenizer)

    @property
    def size(self) -> int:
        """Samples: records, each as often as the view has turns."""
        return sum(self.counts) * TURNS[self.view]

    def sample(self, index: int) -> Sample:
        """Return one sample.

        Raises:
            RecordError: if its shard or row is damaged.
        """
        turn, number = divmod(index, sum(self.counts))
        shard = bisect_right(self._ends, number)
        row = number - (self._ends[shard - 1] if shard else 0)
        record = from_table_row(self._row(shard, row), f"{self.shards[shard].path}, row {row}")
        return VIEWS[self.view](record.trajectory, self.tokenizer, turn)

    def _row(self, shard: int, row: int) -> dict[str, Any]:
        for key, group in self._groups.items():
            if key[0] == shard and 0 <= row - key[1] < len(group.rows):
                self._groups.move_to_end(key)
                return group.rows[row - key[1]]
        if shard not in self._checked:
            self.shards[shard].check()
            self._checked.add(shard)
        first, rows, size = read_group(self.shards[shard].path, row)
        self._groups[shard, first] = _Group(rows, size)
        self._held += size
        while self._held > CACHE_BYTES and len(self._groups) > 1:
            self._held -= self._groups.popitem(last=False)[1].size
        return rows[row - first]


@dataclass(frozen=True)
class _Group:
    """Rows that are stored together, and their bytes."""

    rows: list[dict[str, Any]]
    size: int


@dataclass(frozen=True)
class Rendered:
    """Records of a subset rendered when they are read, an endless number of them.

    They are those that ``strokewise data build`` would store for the same seed.

    Attributes:
        subset: multi-turn, conflict or alignment.
        view: one of ``VIEWS``.
        scenes: the distribution of scenes.
        seed: of scenes, wordings and faults.
        side: of the canvases, in pixels.
        edit_share: share of edits among multi-turn trajectories; None is the builder's default.
    """

    subset: str
    view: str = "process"
    scenes: SceneMix = field(default_factory=SceneMix)
    seed: int = 0
    side: int = 128
    edit_share: float | None = None

    def open(self, tokenizer: Tokenizer) -> "RenderedSource":
        """Return the source.

        Raises:
            ConfigError: if there is no such subset or view.
        """
        _check_view(self.view)
        if self.subset not in MAKERS:
            raise ConfigError(f"unknown subset {self.subset!r}; known are {', '.join(MAKERS)}")
        return RenderedSource(self, tokenizer)


@dataclass(frozen=True)
class RenderedSource:
    """Records by number, rendered on each read."""

    config: Rendered
    tokenizer: Tokenizer
    size: None = None

    def sample(self, index: int) -> Sample:
        """Return one sample."""
        config = self.config
        make, mix = MAKERS[config.subset]
        draw = random.Random(f"{config.subset}/{config.seed}/{index}")
        shares = {} if config.edit_share is None else {"edit_share": config.edit_share}
        painter = NoPainter() if config.view == "planning" else SpritePainter(config.side)
        record = make(draw, mix(scenes=config.scenes, **shares), painter)
        return VIEWS[config.view](record.trajectory, self.tokenizer, draw.randrange(60))


def _check_view(view: str) -> None:
    if view not in VIEWS:
        raise ConfigError(f"unknown view {view!r}; known are {', '.join(VIEWS)}")
