"""A data set on disk: a folder of parquet shards with its recipe and, once it is finished, its manifest.

    DIR/recipe.json             all that decides what is built; written first
    DIR/part-00000.parquet      a record a row
    DIR/manifest.json           shards, counts, and a SHA-256 of each shard; written last

A folder of data sets, built apart on several devices, is read as one (``parts_of``). Every file is written
under a temporary name and renamed, so a shard that is there is whole. This file knows shards. It refuses to
know what a record means.
"""

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strokewise.data.parquet_footer import stated
from strokewise.data.records import Record, from_table_row, to_table_row
from strokewise.errors import ConfigError, RecordError
from strokewise.io.atomic import PARTIAL, write_bytes, write_text
from strokewise.io.digests import check_digest, digest_of
from strokewise.io.outside import MAX_BYTES, check_downloaded, read_object, read_text
from strokewise.io.schema import checked

if TYPE_CHECKING:
    import pyarrow.parquet as pq

MAX_RATIO = 64  # of what a parquet file states to hold to its size; pictures and texts stay below 20
# Records that are read together: a picture of theirs may be a megabyte.
ROWS_IN_GROUP = 4
RECIPE, MANIFEST = "recipe.json", "manifest.json"
FORMAT = 1


def shard_name(shard: int) -> str:
    """Return file name of a shard."""
    return f"part-{shard:05d}.parquet"


def read(folder: Path) -> Iterator[tuple[str, Record]]:
    """Yield all records of a finished data set, each with its name for errors.

    Raises:
        RecordError: if the build is not finished, or a shard is missing or damaged.
    """
    for shard in shards_of(folder):
        shard.check()
        yield from read_shard(shard.path)


def parts_of(folder: Path) -> list[Path]:
    """Return the data sets that a folder holds, in the order of their names; the folder itself if it is
    one.
    """
    if (folder / RECIPE).exists() or (folder / MANIFEST).exists():
        return [folder]
    return sorted(path.parent for path in folder.glob(f"*/{RECIPE}")) or [folder]


@dataclass(frozen=True)
class Shard:
    """A file of records, and its SHA-256 where its manifest states it (those of today do)."""

    path: Path
    sha256: str | None = None

    def check(self) -> None:
        """Compare the file with its digest; RecordError if it is missing or damaged."""
        if self.sha256 is not None:
            check_digest(self.path, self.sha256, RecordError)


def shards_of(folder: Path) -> list[Shard]:
    """Return the shards of a finished data set, or of all data sets in a folder; they are not read yet.

    Raises:
        RecordError: as :func:`read_manifests`; or if a manifest lacks the digest of one of its shards.
    """
    manifests = zip(parts_of(folder), read_manifests(folder), strict=True)
    return [shard for part, manifest in manifests for shard in _listed(part, manifest)]


def _listed(folder: Path, manifest: "Manifest") -> Iterator[Shard]:
    for name in manifest.shards:
        if manifest.sha256 and name not in manifest.sha256:
            raise RecordError(f"{folder / MANIFEST} is damaged: it states no sha256 of {name}")
        yield Shard(folder / Path(name).name, manifest.sha256.get(name))


def read_shard(path: Path) -> Iterator[tuple[str, Record]]:
    """Yield all records of a shard, each with its name for errors; RecordError if it is missing or
    damaged.
    """
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
    """Return the manifest of a finished data set.

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


def read_manifests(folder: Path) -> list[Manifest]:
    """Return the manifest of a finished data set, or of each in a folder; all are of one subset.

    Raises:
        RecordError: if there is no data set, one is not finished, or they are of several subsets.
    """
    found = [read_manifest(part) for part in parts_of(folder)]
    if len(subsets := {manifest.subset for manifest in found}) > 1:
        raise RecordError(f"{folder} holds data sets of several subsets: {', '.join(sorted(subsets))}")
    return found


def read_group(path: Path, row: int) -> tuple[int, list[dict[str, Any]], int]:
    """Return the row group of a parquet file that holds a row: its first row, its rows, their bytes in
    memory.

    Raises:
        RecordError: if the file is missing, damaged, or has no such row.
    """
    with opened(path) as file:
        first = 0
        for group in range(file.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            if row < first + count:
                table = file.read_row_group(group)
                return first, table.to_pylist(), table.nbytes
            first += count
    raise RecordError(f"{path} holds {first} rows; it has changed since it was opened; start again")


def read_rows(path: Path, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yield rows of a parquet file, all columns or some, a few at a time.

    Raises:
        RecordError: if it is missing or damaged.
    """
    with opened(path) as file:
        for batch in file.iter_batches(batch_size=64, columns=columns):
            yield from batch.to_pylist()


@contextmanager
def opened(path: Path) -> Iterator["pq.ParquetFile"]:
    """Yield a parquet file to read.

    Raises:
        RecordError: naming the file, also for what happens in the block, if it is missing, damaged, or states
            that a small file holds much.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    check_downloaded(path, RecordError)
    try:
        _check_size(path, path.stat().st_size, path.stat().st_mtime_ns)
        with pq.ParquetFile(path) as file:
            yield file
    except (OSError, ValueError, pa.ArrowException) as error:  # ValueError: texts that are not UTF-8
        raise RecordError(f"{path} is not a readable parquet file: {error}") from error


@lru_cache(maxsize=1024)
def _check_size(path: Path, size: int, _changed: int) -> None:
    """Refuse, before anything is decoded, what would fill the memory; once for each state of a file."""
    found, allowed = stated(path), max(MAX_BYTES, MAX_RATIO * size)
    if max(found) > allowed or min(found) < 0:
        raise RecordError(
            f"{path} states that it holds {found.bytes:,} bytes and {found.values:,} values, many times its"
            f" size; at most {allowed:,} are read"
        )


def count_rows(path: Path) -> int:
    """Return rows of a parquet file, from its footer; RecordError if it is missing or damaged."""
    with opened(path) as file:
        return int(file.metadata.num_rows)


def table_bytes(rows: list[dict[str, Any]]) -> bytes:
    """Return rows as the bytes of a parquet file, the same for the same rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    # PNGs do not shrink any further.
    compression = {name: "NONE" if name == "images" else "ZSTD" for name in rows[0]}
    columns = {f"{n}.list.element" if n == "images" else n: c for n, c in compression.items()}
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, buffer, row_group_size=ROWS_IN_GROUP, compression=columns, store_schema=False)
    return buffer.getvalue()


def claim(folder: Path, recipe: str) -> None:
    """Make a folder that of a recipe, or confirm that it is already.

    Raises:
        ConfigError: if it holds something else.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be a folder: {error}") from error
    path = folder / RECIPE
    if path.exists():
        if not _same_recipe(read_text(path, ConfigError), recipe):
            raise ConfigError(f"{folder} holds a build of another recipe (see {path}); give another folder")
    elif any(not name.name.startswith(".") for name in folder.iterdir()):
        raise ConfigError(f"{folder} holds other files; give an empty folder")
    else:
        write_text(path, recipe, ConfigError)


def _same_recipe(stored: str, recipe: str) -> bool:
    """Return whether two recipes are equal, fields of the released version being known by their old names."""
    old = '"freedom":'
    if old not in stored:
        return stored == recipe
    try:
        return bool(json.loads(stored.replace(old, '"layout_jitter":')) == json.loads(recipe))
    except (ValueError, RecursionError):
        return False


def write_manifest(folder: Path, subset: str, count: int) -> Path:
    """Finish a data set: what it holds, with a digest of each shard."""
    shards = sorted(path.name for path in folder.glob("part-*.parquet"))
    hashes = {name: digest_of(folder / name, RecordError) for name in shards}
    value = asdict(Manifest(subset, count, tuple(shards), hashes, format=FORMAT))
    text = json.dumps({"format": value.pop("format"), **value}, indent=2) + "\n"
    write_text(folder / MANIFEST, text, ConfigError)
    for left in folder.glob(f".*{PARTIAL}"):
        left.unlink(missing_ok=True)
    return folder / MANIFEST


def write_shard(folder: Path, shard: int, records: Iterable[Record]) -> int:
    """Write one shard, unless there are no records; the number of its records."""
    rows = [to_table_row(record) for record in records]
    if rows:
        write_bytes(folder / shard_name(shard), table_bytes(rows), ConfigError)
    return len(rows)


def write_shards(
    folders: Mapping[str, Path],
    recipe: Mapping[str, Any],
    shards: Iterable[Callable[[], Mapping[str, Iterable[Record]]]],
    progress: Callable[[int], None] = lambda done: None,
    nothing: str = "nothing was found to make {subset} records of",
) -> dict[str, int]:
    """Write data sets whose shards are made together, or continue with them.

    Args:
        folders: of each subset that is made.
        recipe: all that decides what is made, as JSON values.
        shards: for each shard a function that makes its records of each subset; not called where the shard is
            there already.
        progress: called with the number of shards done so far.
        nothing: the error where no records of a subset were made, with a place for its name.

    Returns:
        The number of records of each subset.

    Raises:
        ConfigError: if a folder holds other data, or no records of a subset were made.
    """
    data = Together(folders, recipe)
    for number, make in enumerate(shards):
        if not data.has(number):
            data.write(number, make())
        progress(number + 1)
    return data.finish(nothing)


class Together:
    """Data sets whose shards are made together, one of each at a time; an unfinished one is continued."""

    def __init__(self, folders: Mapping[str, Path], recipe: Mapping[str, Any]) -> None:
        """Claim the folders; a ConfigError if one holds other data."""
        self.folders = folders
        for folder in folders.values():
            claim(folder, json.dumps(recipe, indent=2) + "\n")

    def has(self, number: int) -> bool:
        """Return whether the shards of this number are there."""
        return all((folder / shard_name(number)).exists() for folder in self.folders.values())

    def write(self, number: int, made: Mapping[str, Iterable[Record]]) -> None:
        """Write the shards of this number, from the records of each subset."""
        for subset, folder in self.folders.items():
            write_shard(folder, number, made[subset])

    def finish(self, nothing: str) -> dict[str, int]:
        """Write the manifests; a ConfigError, ``nothing``, if no records of a subset were made."""
        counts = {}
        for subset, folder in self.folders.items():
            counts[subset] = sum(map(count_rows, folder.glob("part-*.parquet")))
            if not counts[subset]:
                raise ConfigError(nothing.format(subset=subset))
            write_manifest(folder, subset, counts[subset])
        return counts
