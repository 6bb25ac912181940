"""Building a data set: shards of records, each a pure function of (recipe, shard number, seed).

A build can be killed at any moment and run again: shards that are there are whole (they are written under a
temporary name), the rest are made, and the result is the same to the byte. The manifest is written last; a
folder without one is not finished. Knows shards and processes, not what a record means.
"""

import hashlib
import io
import json
import multiprocessing
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from strokewise.data.alignment import AlignmentMix, alignment
from strokewise.data.canvas_painters import SpritePainter
from strokewise.data.conflict import ConflictMix, conflict
from strokewise.data.multi_turn import MultiTurnMix, multi_turn
from strokewise.data.records import Record, from_table_row, to_table_row
from strokewise.errors import ConfigError, RecordError
from strokewise.io.atomic import PARTIAL, write_bytes, write_text
from strokewise.io.outside import read_object, read_text
from strokewise.io.schema import checked
from strokewise.world.render import SIZES

SHARD = 256
RECIPE, MANIFEST = "recipe.json", "manifest.json"
FORMAT = 1
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
    """

    subset: str
    count: int
    seed: int = 0
    size: int = 128
    mix: Mix | None = None
    format: int = field(default=FORMAT, init=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        if self.subset not in MAKERS:
            raise ConfigError(f"unknown subset {self.subset!r}; known are {', '.join(MAKERS)}")
        if self.count < 1:
            raise ConfigError(f"count is {self.count}; build at least one record")
        if not SIZES[0] <= self.size <= SIZES[1]:
            raise ConfigError(f"size is {self.size}; canvases are {SIZES[0]} to {SIZES[1]} pixels wide")
        if self.mix is None:
            object.__setattr__(self, "mix", MAKERS[self.subset][1]())

    @property
    def num_shards(self) -> int:
        """Shards of up to 256 records."""
        return -(-self.count // SHARD)

    def text(self) -> str:
        """The recipe as stored beside the shards."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"


def records_of(recipe: Recipe, shard: int) -> Iterator[Record]:
    """The records of one shard; each depends on its own number alone."""
    make, painter = MAKERS[recipe.subset][0], SpritePainter(recipe.size)
    for number in range(shard * SHARD, min(recipe.count, (shard + 1) * SHARD)):
        yield make(random.Random(f"{recipe.subset}/{recipe.seed}/{number}"), recipe.mix, painter)


def shard_name(shard: int) -> str:
    """File name of a shard."""
    return f"part-{shard:05d}.parquet"


def build_shard(recipe: Recipe, shard: int, folder: Path) -> int:
    """Make and write one shard; the number of its records."""
    rows = [to_table_row(record) for record in records_of(recipe, shard)]
    write_bytes(folder / shard_name(shard), table_bytes(rows), ConfigError)
    return len(rows)


def build(
    recipe: Recipe,
    folder: Path,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, all: None,
) -> Path:
    """Build a data set, or go on with one; the manifest's path.

    Args:
        recipe: what to build.
        folder: where; empty, or holding an unfinished build of the same recipe.
        workers: processes.
        progress: called with the records done and those in all.

    Raises:
        ConfigError: if the folder holds something else, or a build of another recipe.
    """
    if workers < 1:
        raise ConfigError(f"workers is {workers}; it must be at least 1")
    claim(folder, recipe.text())
    missing = [i for i in range(recipe.num_shards) if not (folder / shard_name(i)).exists()]
    done = recipe.count - sum(_shard_size(recipe, i) for i in missing)
    progress(done, recipe.count)
    for size in _run(recipe, missing, folder, workers):
        done += size
        progress(done, recipe.count)
    return write_manifest(folder, recipe.subset, recipe.count)


def read(folder: Path) -> Iterator[tuple[str, Record]]:
    """All records of a finished data set, each with its name for errors.

    Raises:
        RecordError: if the build is not finished, or a shard is missing or damaged.
    """
    manifest = read_manifest(folder)
    for name in manifest.shards:
        path = folder / Path(name).name
        for i, row in enumerate(read_rows(path)):
            where = f"{path}, row {i}"
            yield where, from_table_row(row, where)


@dataclass(frozen=True)
class Manifest:
    """What completes a data set.

    Attributes:
        subset: of all its records.
        count: its records.
        shards: file names in order.
        sha256: digest of each shard by its file name.
        format: version of the format.
    """

    subset: str
    count: int
    shards: tuple[str, ...]
    sha256: dict[str, str] = field(default_factory=dict)
    format: int = field(kw_only=True)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a finished data set.

    Raises:
        RecordError: if there is none or it is damaged.
    """
    path = folder / MANIFEST
    if not path.exists():
        hint = "; its build was not finished: run it again" if (folder / RECIPE).exists() else ""
        raise RecordError(f"{folder} is no data set: it has no {MANIFEST}{hint}")
    manifest = checked(Manifest, read_object(path), path)
    if manifest.format != FORMAT:
        raise RecordError(f"{path}: format {manifest.format}; this version reads {FORMAT}")
    return manifest


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a parquet file, a few at a time.

    Raises:
        RecordError: if it is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=64):
                yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise RecordError(f"{path} is not a readable parquet file: {error}") from error


def table_bytes(rows: list[dict[str, Any]]) -> bytes:
    """Rows as the bytes of a parquet file, the same for the same rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    # PNGs do not shrink any further.
    compression = {name: "NONE" if name == "images" else "ZSTD" for name in rows[0]}
    columns = {f"{n}.list.element" if n == "images" else n: c for n, c in compression.items()}
    pq.write_table(pa.Table.from_pylist(rows), buffer, compression=columns, store_schema=False)
    return buffer.getvalue()


def claim(folder: Path, recipe: str) -> None:
    """Make a folder that of a recipe, or see that it is already.

    Raises:
        ConfigError: if it holds something else.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be a folder: {error}") from error
    path = folder / RECIPE
    if path.exists():
        if read_text(path, ConfigError) != recipe:
            raise ConfigError(f"{folder} holds a build of another recipe (see {path}); give another folder")
    elif any(not name.name.startswith(".") for name in folder.iterdir()):
        raise ConfigError(f"{folder} holds other files; give an empty folder")
    else:
        write_text(path, recipe, ConfigError)


def _shard_size(recipe: Recipe, shard: int) -> int:
    return min(SHARD, recipe.count - shard * SHARD)


def _run(recipe: Recipe, shards: list[int], folder: Path, workers: int) -> Iterator[int]:
    """Build shards here or in processes; the sizes of finished ones."""
    if workers == 1 or len(shards) < 2:
        for shard in shards:
            yield build_shard(recipe, shard, folder)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(workers, len(shards))) as pool:
        jobs = [(recipe, shard, folder) for shard in shards]
        yield from pool.imap_unordered(_job, jobs)


def _job(job: tuple[Recipe, int, Path]) -> int:
    return build_shard(*job)


def write_manifest(folder: Path, subset: str, count: int) -> Path:
    """Finish a data set: what it holds, with a digest of each shard."""
    shards = sorted(path.name for path in folder.glob("part-*.parquet"))
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in shards}
    value = asdict(Manifest(subset, count, tuple(shards), hashes, format=FORMAT))
    text = json.dumps({"format": value.pop("format"), **value}, indent=2) + "\n"
    write_text(folder / MANIFEST, text, ConfigError)
    for left in folder.glob(f".*{PARTIAL}"):
        left.unlink(missing_ok=True)
    return folder / MANIFEST
