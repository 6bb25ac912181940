"""Folders of runs: what was requested, what was painted, and how the two are found again.

    DIR/run.json                          what decides the pictures: model, strategy, options, prompts
    DIR/prompts.jsonl                     a prompt a line, with a benchmark's metadata where it has some
    DIR/results-0-of-1.jsonl              a picture a line, written as it is finished
    DIR/trajectories/00000/0000/          how it came about: the prompt's number, then the seed's
    DIR/images/00000/samples/0000.png     the pictures in GenEval's layout, with its metadata

A line of results is written last and forced to the disk, so what it names is there. This file knows formats;
who paints and who scores is decided elsewhere.
"""

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Annotated, Any, TypeVar

from pydantic import Field
from typing_extensions import TypedDict

from strokewise.errors import ConfigError, InputError, RecordError
from strokewise.evals.costs import Cost
from strokewise.evals.image_folders import picture_path, write_metadata, write_picture
from strokewise.evals.prompt_sets import Prompt
from strokewise.evals.strategies.strategies import Outcome
from strokewise.inference import STROKEWISE
from strokewise.io.atomic import clear_partials, write_text
from strokewise.io.outside import read_json_lines, read_object
from strokewise.io.schema import checked
from strokewise.trajectory.files import load, save
from strokewise.trajectory.values import Trajectory

RUN, PROMPTS, IMAGES, TRAJECTORIES = "run.json", "prompts.jsonl", "images", "trajectories"
WORLDS = ("sprite", "real")
Number = Annotated[int, Field(ge=0)]
Stored = TypeVar("Stored")
_RESULTS = re.compile(r"results-\d+-of-\d+\.jsonl")


@dataclass(frozen=True)
class _StoredPrompt:
    """A prompt as JSON has it."""

    prompt: str
    metadata: dict[str, Any] = field(default_factory=dict)


class _StoredSettings(TypedDict, total=False):
    """What readers of a run take from its settings; there are more."""

    model: str
    strategy: str
    format: str
    world: str
    weights: str
    seeds: list[int]


@dataclass(frozen=True)
class RunEntry:
    """A line of results: which picture, its cost, and how it ended."""

    prompt: Number
    sample: Number
    seed: Number
    cost: Cost
    stop: str
    painted: bool
    notes: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return vars(self) | {"cost": self.cost.to_json()}

    @classmethod
    def from_json(cls, value: Any, where: str) -> "RunEntry":
        """Return the inverse of :meth:`to_json`; RecordError naming ``where`` if it is of another form."""
        return checked(cls, value, f"{where}: not a line of results")


class Run:
    """A run's folder, to read."""

    def __init__(self, folder: Path) -> None:
        """Open a folder; RecordError if it is not one of a run."""
        self.folder = folder
        self.settings = read_object(folder / RUN)
        checked(_StoredSettings, self.settings, folder / RUN, extra="ignore")
        self.prompts = [
            Prompt(one.prompt, one.metadata)
            for where, line in read_json_lines(folder / PROMPTS)
            for one in [checked(_StoredPrompt, line, where)]
        ]

    @property
    def name(self) -> str:
        """Its name in reports; models that write in another format than ours are named with it."""
        model, strategy, spoken = (self.settings.get(key, "") for key in ("model", "strategy", "format"))
        other = f" ({spoken})" if spoken not in ("", STROKEWISE.name) and strategy != "single-pass" else ""
        return f"{model} {strategy}{other}".strip()

    @property
    def sprite(self) -> bool:
        """Whether its pictures are of the sprite world."""
        return self.settings.get("world") == "sprite"

    @property
    def expected(self) -> int:
        """How many pictures it will have when it is finished."""
        return len(self.prompts) * len(self.settings.get("seeds", []))

    def entries(self) -> list[RunEntry]:
        """Return what was painted so far, by prompt and sample; each picture once.

        Raises:
            RecordError: if a line that is not the last of its file is damaged, or names no prompt.
        """
        found: dict[tuple[int, int], RunEntry] = {}
        for path in result_files(self.folder):
            for where, line in read_json_lines(path, torn=True):
                entry = RunEntry.from_json(line, where)
                if entry.prompt >= len(self.prompts):
                    raise RecordError(f"{where}: there is no prompt {entry.prompt}")
                found.setdefault((entry.prompt, entry.sample), entry)
        return [found[key] for key in sorted(found)]

    def trajectory(self, entry: RunEntry) -> Trajectory:
        """Return how a picture came about; RecordError if the folder is damaged."""
        return load(trajectory_path(self.folder, entry.prompt, entry.sample))

    def picture_name(self, entry: RunEntry) -> str:
        """Return where in the folder the picture lies, if one was painted."""
        return picture_path(Path(IMAGES), entry.prompt, entry.sample).as_posix()


def find_runs(folders: Sequence[Path]) -> list[Run]:
    """Return the runs of some folders: the folder itself, or those in it.

    Raises:
        InputError: if there is none.
    """
    found = []
    for folder in folders:
        inside = [folder] if (folder / RUN).exists() else sorted(p.parent for p in folder.glob(f"*/{RUN}"))
        if not inside:
            raise InputError(f"{folder} holds no run; expected {folder / RUN}, from strokewise eval run")
        found += [Run(path) for path in inside]
    return found


# --- writing ----------------------------------------------------------------------------------------------


def prepare(folder: Path, settings: dict[str, Any], prompts: Sequence[Prompt]) -> None:
    """Begin a run, or resume one of the same settings.

    Raises:
        ConfigError: if other pictures are there already; it names what differs.
        InputError: if the folder cannot be written.
    """
    lines = [json.dumps({"prompt": p.text, "metadata": p.metadata}, ensure_ascii=False) for p in prompts]
    stored = "\n".join(lines) + "\n"
    settings = settings | {"prompts": hashlib.sha256(stored.encode()).hexdigest()[:16]}
    wanted = {PROMPTS: stored, RUN: json.dumps(settings, indent=2, sort_keys=True) + "\n"}
    if (folder / RUN).exists():
        old, new = read_object(folder / RUN), json.loads(wanted[RUN])
        differ = sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
        if differ:
            raise ConfigError(f"{folder} is a run with another {', '.join(differ)}; give another --out")
    for name, text in wanted.items():
        write_text(folder / name, text)


class Writer:
    """A shard's results while they are painted. One process at a time may write a shard."""

    def __init__(self, folder: Path, prompts: Sequence[Prompt], shard: int, shards: int) -> None:
        """Open the shard's file and cut off a line that a killed process left unfinished.

        Raises:
            ConfigError: if another process is painting this shard.
        """
        self.folder, self.prompts = folder, prompts
        path = folder / f"results-{shard}-of-{shards}.jsonl"
        self.file: IO[bytes] = path.open("ab+")
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.file.close()
            raise ConfigError(f"another process is painting {path}; wait for it or end it") from error
        self.file.seek(0)
        whole = self.file.read()
        self.file.truncate(whole.rfind(b"\n") + 1)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, prompt: int, sample: int, seed: int, outcome: Outcome) -> RunEntry:
        """Store a picture and how it came about, then its line; on return all of it is on the disk."""
        metadata, images = self.prompts[prompt].metadata, self.folder / IMAGES
        if self.prompts[prompt].geneval:
            write_metadata(images, prompt, metadata)
        place = trajectory_path(self.folder, prompt, sample)
        for path in (place, picture_path(images, prompt, sample)):
            clear_partials(path)
        save(outcome.trajectory, place)
        if outcome.image is not None:
            write_picture(images, prompt, sample, outcome.image.convert("RGB"))
        stop = outcome.trajectory.stop
        entry = RunEntry(prompt, sample, seed, outcome.cost, stop, outcome.image is not None, outcome.notes)
        self.file.write((json.dumps(entry.to_json()) + "\n").encode())
        self.file.flush()
        os.fsync(self.file.fileno())
        return entry


def trajectory_path(folder: Path, prompt: int, sample: int) -> Path:
    """Return where the trajectory of a picture is stored."""
    return folder / TRAJECTORIES / f"{prompt:05}" / f"{sample:04}"


def result_files(folder: Path) -> list[Path]:
    """Return the files of results of all shards."""
    return sorted(path for path in folder.iterdir() if _RESULTS.fullmatch(path.name))


def write_objects(path: Path, objects: Iterable[dict[str, Any]]) -> None:
    """Write objects, one a line; a file of that name is always a whole one. InputError if it cannot be."""
    write_text(path, "".join(json.dumps(value) + "\n" for value in objects))


def read_objects(path: Path, shape: type[Stored]) -> list[Stored] | None:
    """Return what :func:`write_objects` wrote, each of a dataclass; None if there is no such file.

    Raises:
        RecordError: if the file is damaged.
    """
    if not path.exists():
        return None
    return [checked(shape, line, where) for where, line in read_json_lines(path)]
