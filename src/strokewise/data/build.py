"""Building one of the paper's three subsets: shards of records, each a function of (recipe, shard number).

A build can be killed at any moment and run again: shards that are there are whole, the rest are made, and the
result is the same to the byte. This file knows recipes and processes. It refuses to know what a record means
and how it is stored (``storage``).
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from strokewise.data.alignment import AlignmentMix, alignment
from strokewise.data.canvas_painters import CanvasPainter, SpritePainter
from strokewise.data.conflict import ConflictMix, conflict
from strokewise.data.destination import Destination
from strokewise.data.executor import INLINE, Executor
from strokewise.data.multi_turn import MultiTurnMix, multi_turn
from strokewise.data.records import Record
from strokewise.data.storage import FORMAT, shard_name, write_manifest, write_shard
from strokewise.errors import ConfigError
from strokewise.world.render import SIZES

SHARD = 256
SPRITE = "sprite"
Mix = MultiTurnMix | ConflictMix | AlignmentMix
MAKERS: dict[str, tuple[Callable[..., Record], type[Any]]] = {
    "multi-turn": (multi_turn, MultiTurnMix),
    "conflict": (conflict, ConflictMix),
    "alignment": (alignment, AlignmentMix),
}


@dataclass(frozen=True)
class Recipe:
    """All that decides what is built.

    Attributes:
        subset: multi-turn, conflict or alignment.
        count: records in all.
        seed: of everything random.
        size: side of the canvases in pixels.
        mix: shares of the subset; None: its defaults.
        painter: ``sprite``, or the name of the image editor that paints the canvases.
    """

    subset: str
    count: int
    seed: int = 0
    size: int = 128
    mix: Mix | None = None
    painter: str = SPRITE
    format: int = field(default=FORMAT, init=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        if self.subset not in MAKERS:
            raise ConfigError(f"unknown subset {self.subset!r}; known are {', '.join(MAKERS)}")
        if self.count < 1:
            raise ConfigError(f"count is {self.count}; build at least one record")
        if self.painter != SPRITE and self.subset == "alignment":
            raise ConfigError(
                "the faulty sketches of the alignment subset are rendered; an editor cannot paint them"
            )
        if not SIZES[0] <= self.size <= SIZES[1]:
            raise ConfigError(f"size is {self.size}; canvases are {SIZES[0]} to {SIZES[1]} pixels wide")
        if self.mix is None:
            object.__setattr__(self, "mix", MAKERS[self.subset][1]())

    @property
    def num_shards(self) -> int:
        """Shards of up to 256 records."""
        return -(-self.count // SHARD)

    def text(self) -> str:
        """Return the recipe as stored beside the shards."""
        values = asdict(self)
        if self.painter == SPRITE:  # as it was stored before there was a choice
            del values["painter"]
        return json.dumps(values, indent=2, sort_keys=True) + "\n"


def records_of(recipe: Recipe, shard: int, painter: CanvasPainter | None = None) -> Iterator[Record]:
    """Yield the records of one shard; each depends on its own number alone.

    What an image editor paints need not be the scene, so its records state no scenes.
    """
    make, painter = MAKERS[recipe.subset][0], painter or SpritePainter(recipe.size)
    for number in range(shard * SHARD, min(recipe.count, (shard + 1) * SHARD)):
        record = make(random.Random(f"{recipe.subset}/{recipe.seed}/{number}"), recipe.mix, painter)
        exact = recipe.painter == SPRITE
        yield record if exact else replace(record, truth={"prompt": record.truth["prompt"]})


def build_shard(recipe: Recipe, shard: int, folder: Path, painter: CanvasPainter | None = None) -> int:
    """Make and write one shard; the number of its records."""
    return write_shard(folder, shard, records_of(recipe, shard, painter))


def build(
    recipe: Recipe,
    where: Path | Destination,
    executor: Executor | None = None,
    progress: Callable[[int, int], None] = lambda done, all: None,
    painter: CanvasPainter | None = None,
) -> Path:
    """Build a data set, or continue with one; the manifest's path.

    Args:
        recipe: what to build.
        where: empty, or holding an unfinished build of the same recipe.
        executor: where shards are made; None: in this process.
        progress: called with the records done and those in all.
        painter: the image editor that the recipe names; None: the sprite renderer.

    Raises:
        ConfigError: if the folder holds something else, or a build of another recipe.
    """
    executor = executor or Executor()
    if (painter is None) != (recipe.painter == SPRITE):
        raise ConfigError(f"the recipe names the painter {recipe.painter!r}; give that painter")
    if painter is not None and executor.kind != INLINE:
        raise ConfigError("an image editor paints in one process; take the inline executor with one worker")
    place = where if isinstance(where, Destination) else Destination(where)
    place.begin(recipe.text())
    place.complete()
    folder = place.folder
    missing = [i for i in range(recipe.num_shards) if not (folder / shard_name(i)).exists()]
    done = recipe.count - sum(_shard_size(recipe, i) for i in missing)
    progress(done, recipe.count)
    for size in executor.run(_ShardWork(recipe, place, painter), missing):
        done += size
        progress(done, recipe.count)
    place.complete()
    path = write_manifest(folder, recipe.subset, recipe.count)
    place.keep(path.name)
    return path


@dataclass(frozen=True)
class _ShardWork:
    """What builds shards; without an editor it can be sent to other processes."""

    recipe: Recipe
    place: Destination
    painter: CanvasPainter | None

    def __call__(self) -> Callable[[int], int]:
        return self._build

    def _build(self, shard: int) -> int:
        size = build_shard(self.recipe, shard, self.place.folder, self.painter)
        self.place.keep(shard_name(shard))
        return size


def _shard_size(recipe: Recipe, shard: int) -> int:
    return min(SHARD, recipe.count - shard * SHARD)
