"""A build of the open world: shards of records and of rejects, made by an executor, resumed where they end.

    DIR/recipe.json              all that decides what is built; written first
    DIR/part-00000.parquet       the records of a shard; none where all were rejected
    DIR/rejects-00000.jsonl      what was tried there and rejected, and why; written after the records
    DIR/README.md                the data set's card
    DIR/manifest.json            written last

Shards are small, because their pictures are dear. This file knows shards. It refuses to know how a record is
made (``multi_turn``, ``critiqued``).
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from strokewise.data.destination import Destination
from strokewise.data.executor import Executor
from strokewise.data.open_world.card import Yield, data_card
from strokewise.data.records import Record
from strokewise.data.storage import MANIFEST, count_rows, shard_name, write_manifest, write_shard
from strokewise.errors import ConfigError, RecordError
from strokewise.io.atomic import write_text
from strokewise.io.outside import read_json_lines
from strokewise.io.schema import checked

SHARD = 16  # items
UNDECIDED = "not decided"  # a service refuses to paint or judge this one


@dataclass(frozen=True)
class Rejected:
    """What was tried and is no record.

    Attributes:
        number: of the item.
        prompt: of it.
        step: at which it ended, from 0.
        reason: one of few, by which rejects are counted.
        analysis: what was found, in words.
    """

    number: int
    prompt: str
    step: int
    reason: str
    analysis: str


Outcome = Record | Rejected
Make = Callable[[Iterable[Any]], Iterator[Sequence[Outcome]]]


@dataclass(frozen=True)
class _ShardWork:
    """What makes and writes shards; it can be sent to other processes."""

    begin: Callable[[], Make]
    place: Destination

    def __call__(self) -> Callable[[tuple[int, Sequence[Any]]], int]:
        return partial(_make_shard, self.begin(), self.place)


def build_open(
    subset: str,
    recipe: dict[str, Any],
    items: Sequence[Any],
    begin: Callable[[], Make],
    place: Destination,
    executor: Executor,
    progress: Callable[[int], None] = lambda done: None,
) -> Yield:
    """Build a data set, or continue with one.

    Args:
        subset: of its records.
        recipe: all that decides what is built, as JSON values.
        items: what is tried: anything that can be pickled and says all that decides its outcomes.
        begin: called in each worker; gives what makes the outcomes of items, in order.
        place: where; empty, or holding an unfinished build of the same recipe.
        executor: where shards are made.
        progress: called with the number of items done.

    Raises:
        ConfigError: if the folder holds something else, or nothing is accepted.
        ServiceError: if a service fails or the limits are reached; run it again to continue.
    """
    folder = place.folder
    place.begin(json.dumps(recipe, indent=2, sort_keys=True) + "\n")
    shards = [(i // SHARD, items[i : i + SHARD]) for i in range(0, len(items), SHARD)]
    missing = [shard for shard in shards if not rejects_file(folder, shard[0]).exists()]
    done = len(items) - sum(len(numbers) for _, numbers in missing)
    progress(done)
    for count in executor.run(_ShardWork(begin, place), missing):
        done += count
        progress(done)
    return _finish(subset, recipe, place, len(items))


def rejects_file(folder: Path, shard: int) -> Path:
    """Return where the rejects of a shard are."""
    return folder / f"rejects-{shard:05d}.jsonl"


def rejects_of(folder: Path) -> Iterator[Rejected]:
    """Yield all that a build rejected so far; RecordError if a file is damaged."""
    for path in sorted(folder.glob("rejects-*.jsonl")):
        for where, value in read_json_lines(path, RecordError):
            yield checked(Rejected, value, where)


def _make_shard(make: Make, place: Destination, shard: tuple[int, Sequence[Any]]) -> int:
    """Make and write one shard; the number of its items."""
    number, items = shard
    folder = place.folder
    outcomes = [outcome for found in make(items) for outcome in found]
    write_shard(folder, number, (one for one in outcomes if isinstance(one, Record)))
    rejects = (json.dumps(asdict(one)) for one in outcomes if isinstance(one, Rejected))
    write_text(rejects_file(folder, number), "".join(f"{line}\n" for line in rejects), ConfigError)
    place.keep(shard_name(number), rejects_file(folder, number).name)
    return len(items)


def _finish(subset: str, recipe: Mapping[str, Any], place: Destination, tried: int) -> Yield:
    """Write card and manifest."""
    folder = place.folder
    place.complete()
    reasons = Counter(one.reason for one in rejects_of(folder))
    records = sum(count_rows(path) for path in folder.glob("part-*.parquet"))
    found = Yield(tried, records, reasons)
    if not records:
        stated = ", ".join(f"{reason}: {count:,}" for reason, count in reasons.most_common())
        raise ConfigError(f"all of the {tried:,} that were tried are rejected ({stated}); see {folder}")
    write_text(folder / "README.md", data_card(folder, subset, recipe, found), ConfigError)
    write_manifest(folder, subset, records)
    place.keep("README.md", MANIFEST)
    return found
