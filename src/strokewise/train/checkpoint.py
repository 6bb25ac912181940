"""Checkpoints of a run: written whole or not at all, read strictly.

A checkpoint is a folder ``step_00001000`` with the tensors (torch.distributed.checkpoint), ``run.json``
(step, data positions, configuration) and digests of all of these, which are compared before anything is
believed. It is written under another name and renamed; the file ``latest`` is changed last; older ones are
removed after that. All of this may happen in a thread, from a copy, while training continues.
Knows named tensors and facts; refuses to know what they are for.

DCP keeps its index as a pickle; ``stored_index`` reads it without running code.
"""

import json
import os
import re
import shutil
import struct
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions

from strokewise.errors import CheckpointError
from strokewise.io.atomic import clear_partials, write_text
from strokewise.io.digests import SUMS, check_digest, damaged, digest_of, read_digests, write_digests
from strokewise.io.outside import read_object, read_text
from strokewise.train.distributed import World
from strokewise.train.stored_index import IndexReader

FORMAT, WITHOUT_DIGESTS = 2, 1
FACTS, LATEST, PARTIAL = "run.json", "latest", ".partial"
LISTED = 5
_WORDS = struct.Struct("<4q")  # a SHA-256 as the integers that ranks exchange


class Checkpoints:
    """The checkpoints in a folder.

    A ``with`` block of them waits at its end for what is being written, and raises an error of that unless
    another one ends it.
    """

    def __init__(self, folder: Path, keep: int, world: World, background: bool = False) -> None:
        """Keep the last ``keep`` of them; all ranks call it.

        Args:
            folder: where they are.
            keep: how many.
            world: the ranks that write.
            background: write them in a thread, from a copy in the memory of the host.
        """
        self.folder, self.keep = folder, max(1, keep)
        self.world = world.apart() if background else world
        self._writer = ThreadPoolExecutor(1, initializer=world.occupy) if background else None
        self._under_way: Future[None] | None = None

    def __enter__(self) -> "Checkpoints":
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for what is being written."""
        try:
            self.finish()
        except Exception:
            if error is None:
                raise

    def latest(self) -> Path | None:
        """Return the last complete checkpoint, if there is any: the one that ``latest`` names, or else the
        newest.

        Raises:
            CheckpointError: if the one that is named is not there, or the name is none of a checkpoint.
        """
        marker = self.folder / LATEST
        if not marker.exists():
            return max(self._whole(), default=None)
        name = read_text(marker, CheckpointError).strip()
        if not re.fullmatch(r"step_\d+", name):
            raise CheckpointError(f"{marker} names {name[:80]!r}, which is no name of a checkpoint")
        path = self.folder / name
        if not (path / FACTS).exists():
            raise CheckpointError(
                f"{marker} names {path.name}, which is not there; put it back, or write the name of another"
                f" checkpoint into {marker}"
            )
        return path

    def save(self, step: int, tensors: dict[str, Tensor], facts: dict[str, Any]) -> Path:
        """Write a checkpoint; all ranks call it.

        In the background only the copying is waited for, and before it for the checkpoint under way, so that
        there is one copy at a time.

        Raises:
            CheckpointError: if it, or the one before, cannot be written (disk full?); earlier checkpoints are
                untouched.
        """
        self.finish()
        final = self.folder / f"step_{step:08d}"
        if self._writer is None:
            self._write(final, step, tensors, facts)
        else:
            self._under_way = self._writer.submit(self._write, final, step, _copied(tensors), facts)
        return final

    def check(self) -> None:
        """Raise the CheckpointError of the checkpoint under way if it has failed."""
        if self._under_way is not None and self._under_way.done():
            self.finish()

    def finish(self) -> None:
        """Wait until the checkpoint under way, if there is one, is written.

        Raises:
            CheckpointError: if it cannot be.
        """
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.result()

    def _write(self, final: Path, step: int, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        partial = final.with_name(final.name + PARTIAL)
        try:
            if self.world.leads:
                self._clear(partial)
                partial.mkdir(parents=True)
            self.world.wait()
            with _single_process_is_meant():
                alone = self.world.size == 1
                dcp.save(tensors, checkpoint_id=partial, process_group=self.world.group, no_dist=alone)
            if self.world.leads:
                facts = {"format": FORMAT, "step": step, **facts}
                write_text(partial / FACTS, json.dumps(facts, indent=1), CheckpointError)
            self.world.wait()
            names = sorted(file.name for file in partial.iterdir())
            digests = _digests(partial, names, self.world)
            if self.world.leads:
                write_digests(partial, digests, CheckpointError)
                self._publish(partial, final)
        except (OSError, CheckpointError, CheckpointException) as error:
            shutil.rmtree(partial, ignore_errors=True)
            last = self.latest()
            raise CheckpointError(
                f"the checkpoint of step {step} could not be written to {self.folder}: {_cause(error)};"
                f" {f'the last whole one is {last.name}' if last else 'there is no earlier one'}"
            ) from error
        self.world.wait()

    def _publish(self, partial: Path, final: Path) -> None:
        """Rename a finished checkpoint, then let ``latest`` name it, then remove old ones.

        In this order a crash at any point leaves ``latest`` naming a complete checkpoint.
        """
        if final.exists():
            shutil.rmtree(final)
        os.replace(partial, final)
        write_text(self.folder / LATEST, final.name + "\n", CheckpointError)
        for old in [p for p in self._whole() if p.name != final.name][: -self.keep + 1 or None]:
            shutil.rmtree(old, ignore_errors=True)

    def _whole(self) -> list[Path]:
        """Return all checkpoints, which are whole, in their order."""
        return sorted(path for path in self.folder.glob("step_*") if path.suffix != PARTIAL)

    def _clear(self, partial: Path) -> None:
        """Remove what a killed run left behind."""
        for leftover in {partial, *self.folder.glob(f"step_*{PARTIAL}")}:
            if leftover.exists():
                shutil.rmtree(leftover)
        clear_partials(self.folder / LATEST)


def _copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return copies of tensors, or of their shards, in the memory of the host."""
    stager = DefaultStager(StagingOptions(False, False, False, False))
    copied = stager.stage(tensors)
    stager.close()
    assert isinstance(copied, dict)
    return copied


def read_facts(path: Path) -> dict[str, Any]:
    """Step, data positions and configuration of a checkpoint.

    Raises:
        CheckpointError: if they cannot be read or are of another format.
    """
    if (path / SUMS).exists():
        check_digest(path / FACTS, read_digests(path, CheckpointError).get(FACTS), CheckpointError)
    facts = read_object(path / FACTS, CheckpointError)
    if facts.get("format") not in (FORMAT, WITHOUT_DIGESTS):
        raise CheckpointError(f"{path} has format {facts.get('format')}; this version reads {FORMAT}")
    if facts["format"] == FORMAT and not (path / SUMS).exists():
        raise CheckpointError(f"{path} is damaged: its {SUMS} is missing")
    return facts


def read_tensors(path: Path, tensors: dict[str, Tensor], world: World, partly: bool = False) -> None:
    """Fill ``tensors`` in place from a checkpoint, each rank its shards.

    Args:
        path: the checkpoint.
        tensors: by name.
        world: the ranks that read.
        partly: whether the checkpoint may hold more than is requested.

    Raises:
        CheckpointError: if names or shapes differ, or a file is damaged.
    """
    if (path / SUMS).exists():
        wanted = read_digests(path, CheckpointError)
        for name, digest in _digests(path, sorted(wanted), world).items():
            if digest != wanted[name]:
                raise damaged(path / name, CheckpointError)
    try:
        reader = IndexReader(path)
        stored = reader.read_metadata().state_dict_metadata
        found = {name: tuple(entry.size) for name, entry in stored.items() if hasattr(entry, "size")}
        _check(path, {name: tuple(t.shape) for name, t in tensors.items()}, found, partly)
        with _single_process_is_meant():
            dcp.load(tensors, storage_reader=reader, no_dist=world.size == 1)
    except CheckpointError:
        raise
    except (Exception, CheckpointException) as error:  # damage shows as any error of the unpickler or reader
        raise CheckpointError(f"the checkpoint {path} is damaged: {_cause(error)}") from error


def _digests(folder: Path, names: Sequence[str], world: World) -> dict[str, str]:
    """Return the digests of some files by name; each rank computes its share, and all ranks get all."""
    each = -(-len(names) // world.size)
    ours = [digest_of(folder / name, CheckpointError) for name in names[world.rank * each :][:each]]
    words = [word for digest in ours for word in _WORDS.unpack(bytes.fromhex(digest))]
    every = world.gather(words + [0] * (4 * each - len(words)))
    return {name: _WORDS.pack(*every[4 * i : 4 * i + 4]).hex() for i, name in enumerate(names)}


def _check(
    path: Path, expected: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]], partly: bool
) -> None:
    missing = sorted(set(expected) - set(found))
    unexpected = [] if partly else sorted(set(found) - set(expected))
    shapes = [
        f"{name} is {list(found[name])} there and {list(shape)} here"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    problems = [
        f"{title} ({len(names)}): {', '.join(names[:LISTED])}"
        for title, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
        if names
    ]
    if problems:
        raise CheckpointError(f"the checkpoint {path} does not fit this run\n  " + "\n  ".join(problems))


def _cause(error: BaseException) -> str:
    """Return what went wrong underneath a collective failure."""
    if isinstance(error, CheckpointException) and error.failures:
        inner = next(iter(error.failures.values()))[0]
        return f"{type(inner).__name__}: {inner}"
    return f"{type(error).__name__}: {error}"


@contextmanager
def _single_process_is_meant() -> Iterator[None]:
    """Leave out the warning of DCP that it runs in one process."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield
