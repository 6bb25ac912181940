"""GenRef: pairs of a good and a bad image with a reflection, as records of the alignment subset.

Its tar shards hold, for each key, KEY.good_image.jpg, KEY.bad_image.jpg, KEY.reflection.txt, KEY.prompt.txt
and KEY.subset.txt. This file knows these files. It refuses to know who wrote the reflections.
"""

import lzma
import tarfile
import threading
import zlib
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path

from strokewise.data.conflict import EXCERPT
from strokewise.data.records import Record
from strokewise.data.storage import write_shards
from strokewise.errors import RecordError
from strokewise.io.outside import MAX_BYTES, check_downloaded, decode_picture
from strokewise.trajectory.values import Message, Step, Trajectory, Verdict

GENREF_FILES = ("good_image.jpg", "bad_image.jpg", "reflection.txt", "prompt.txt", "subset.txt")
AGREES = "the sketch shows the plan."
_one_at_a_time = threading.Lock()  # threads that need one shard wait for one search


def import_genref(
    paths: Sequence[Path], folder: Path, progress: Callable[[int], None] = lambda done: None
) -> int:
    """Make a data set of tar shards, or continue with one; the number of its records.

    Args:
        paths: of the tar shards.
        folder: of the data set.
        progress: called with the number of shards done so far.

    Raises:
        ConfigError: if the folder holds other data, or the shards hold nothing.
        RecordError: as :func:`read_genref`.
    """

    def make(path: Path) -> dict[str, list[Record]]:
        return {"alignment": list(read_genref(path))}

    recipe = {"genref": [path.name for path in paths]}
    counts = write_shards({"alignment": folder}, recipe, [partial(make, p) for p in paths], progress)
    return counts["alignment"]


def genref_keys(path: Path) -> list[str]:
    """Return the keys of a tar shard, in order; RecordError if it is damaged."""
    return list(_members(path))


def read_pair(path: Path, key: str) -> tuple[Record, Record]:
    """Return the negative and the positive record of one key of a tar shard.

    Raises:
        RecordError: as :func:`read_genref`.
    """
    members = _members(path).get(key, {})
    with _opened(path) as shard:
        files = {name: _content(shard, member, path) for name, member in members.items()}
    _refuse_missing(files, path, key)
    negative, positive = _genref_records(files, f"{path}: {key}")
    return negative, positive


def read_genref(path: Path) -> Iterator[Record]:
    """Yield the records of a tar shard: for each key a bad image with its reflection, and a good one.

    Args:
        path: of the shard.

    Raises:
        RecordError: if the shard is damaged, or an example lacks a file.
    """
    found: dict[str, dict[str, bytes]] = {}
    with _opened(path) as shard:
        for member in shard:
            if (named := _named(member)) is None:
                continue
            key, name = named
            files = found.setdefault(key, {})
            files[name] = _content(shard, member, path)
            if len(files) == len(GENREF_FILES):
                yield from _genref_records(found.pop(key), f"{path}: {key}")
    for key, files in found.items():
        _refuse_missing(files, path, key)


def _refuse_missing(files: Container[str], path: Path, key: str) -> None:
    if lacks := [name for name in sorted(GENREF_FILES) if name not in files]:
        raise RecordError(f"{path}: {key} lacks {', '.join(lacks)}")


def _named(member: tarfile.TarInfo) -> tuple[str, str] | None:
    """Return the key of a file and which of an example's files it is; None if it is none of them."""
    key, _, name = Path(member.name).name.partition(".")
    return (key, name) if member.isfile() and name in GENREF_FILES else None


def _content(shard: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> bytes:
    if member.size > MAX_BYTES:
        raise RecordError(f"{path}: {member.name} is larger than {MAX_BYTES >> 20} MiB")
    stream = shard.extractfile(member)
    assert stream is not None, "it is a file"
    return stream.read()


def _members(path: Path) -> dict[str, dict[str, tarfile.TarInfo]]:
    """Return where the files of each key are, in order; a shard is searched once."""
    check_downloaded(path, RecordError)
    stat = path.stat()
    with _one_at_a_time:
        return _searched(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=2)  # a shard holds some 5,000 keys, and those at work are read one after the other
def _searched(path: Path, *state: int) -> dict[str, dict[str, tarfile.TarInfo]]:
    found: dict[str, dict[str, tarfile.TarInfo]] = {}
    with _opened(path) as shard:
        for member in shard:
            if (named := _named(member)) is not None:
                found.setdefault(named[0], {})[named[1]] = member
    return found


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    """Yield a tar shard to read; RecordError, also for what happens in the block, if it is damaged."""
    check_downloaded(path, RecordError)
    try:
        with tarfile.open(path) as shard:
            yield shard
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise RecordError(f"{path} is not a readable tar shard: {error}") from error


def _genref_records(files: dict[str, bytes], where: str) -> Iterator[Record]:
    prompt, reflection, subset = (
        files[f"{name}.txt"].decode("utf-8", "replace").strip() for name in ("prompt", "reflection", "subset")
    )
    good, bad = (
        decode_picture(files[f"{name}_image.jpg"], f"{where}.{name}_image.jpg", RecordError)
        for name in ("good", "bad")
    )
    plan = Message(ins=prompt, des=prompt)
    corrected = Step(Message(reflection, reflection), good, Verdict(None, False, ""))
    negative = Trajectory(prompt, (Step(plan, bad), corrected), stop=EXCERPT)
    yield Record("alignment", "negative", negative, subset)
    agrees = Step(Message(AGREES), None, Verdict(None, True, ""))
    yield Record("alignment", "positive", Trajectory(prompt, (Step(plan, good), agrees)))
