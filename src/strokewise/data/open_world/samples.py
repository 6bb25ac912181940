"""Where the samples are that conflict and alignment data are made of, each found by itself.

Painted trajectories (folders, data sets, parquet files of any format) and GenRef's tar shards are listed
without being read, so that any process can take any part of them. This file knows files. It refuses to know
what is made of a sample.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from strokewise.data.genref import genref_keys, read_pair
from strokewise.data.interop import trajectory_of_row
from strokewise.data.records import Record
from strokewise.data.storage import MANIFEST, Shard, count_rows, read_group, shards_of
from strokewise.errors import ConfigError
from strokewise.trajectory.files import FILE, load
from strokewise.trajectory.values import Trajectory

TAR = (".tar", ".tgz", ".tar.gz")


@dataclass(frozen=True)
class Place:
    """Where a sample is.

    Attributes:
        number: of it among all.
        path: a folder of a trajectory, a parquet file, or a tar shard.
        row: of the parquet file; -1 elsewhere.
        key: in the tar shard; empty elsewhere.
    """

    number: int
    path: Path
    row: int = -1
    key: str = ""

    def trajectory(self) -> Trajectory:
        """Return the trajectory that is here; RecordError if it is damaged."""
        if self.row < 0:
            return load(self.path)
        first, rows, _ = read_group(self.path, self.row)
        return trajectory_of_row(rows[self.row - first], f"{self.path}, row {self.row}")

    def pair(self) -> tuple[Record, Record]:
        """Return GenRef's negative and positive record that are here; RecordError if they are damaged."""
        return read_pair(self.path, self.key)


def places_of(sources: Sequence[Path]) -> list[Place]:
    """Return all samples of some sources, in order.

    Raises:
        ConfigError: if there are none.
        RecordError: if a source is missing or damaged.
    """
    found = [(path, row, key) for source in sources for path, row, key in _places(source)]
    if not found:
        raise ConfigError(f"{', '.join(map(str, sources))}: there are no samples")
    return [Place(number, *place) for number, place in enumerate(found)]


def _places(source: Path) -> Iterator[tuple[Path, int, str]]:
    if source.name.endswith(TAR):
        yield from ((source, -1, key) for key in genref_keys(source))
        return
    if source.is_dir() and not (source / MANIFEST).exists():
        folders = sorted(path.parent for path in source.rglob(FILE))
        if folders:
            yield from ((folder, -1, "") for folder in folders)
            return
    for shard in shards_of(source) if source.is_dir() else [Shard(source)]:
        shard.check()
        yield from ((shard.path, row, "") for row in range(count_rows(shard.path)))
