"""Folders of paintings while they are made: claimed before anything is painted, written canvas by canvas.

A painting whose ``trajectory.json`` states another end than ``interrupted`` is complete. Several paintings
have a folder each, a list of what is requested, by which an interrupted job is resumed, and an index. Knows
names of files and folders; what a trajectory means is defined in ``values``, and how a page looks in
``templates``.
"""

import fcntl
import json
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from strokewise.errors import InputError, RecordError
from strokewise.io.atomic import PARTIAL, write_bytes, write_text
from strokewise.io.outside import read_json
from strokewise.io.pages import render_template
from strokewise.trajectory.files import FILE, encode_png, image_names, load, to_json
from strokewise.trajectory.page import write_page
from strokewise.trajectory.values import StopReason, Trajectory

FINAL, PAGE = "final.png", "trajectory.html"
INDEX, TABLE, REQUESTS = "index.html", "index.json", "requests.json"
PROBE = ".writable"
SLUG_LENGTH = 40


class Gallery:
    """The folder of one or several paintings; a context manager that holds it for this process."""

    def __init__(
        self, out: Path | None, requested: Sequence[tuple[str, int]], settings: dict[str, Any] | None = None
    ) -> None:
        """Claim a folder.

        Args:
            out: where; None: a new folder below ``paintings``, named after the first prompt.
            requested: prompt and seed of each painting.
            settings: what else decides the pictures, as plain values; a resumed job has the same.

        Raises:
            InputError: if other files are there, another process paints there, or it cannot be written to.
        """
        self.requested, self.several = list(requested), len(requested) > 1
        self.settings = {"requested": [list(one) for one in requested], **(settings or {})}
        self.done: dict[int, Trajectory] = {}
        self._made: list[Path] = []
        self._lock = -1
        self.folder = self._new_folder(*requested[0]) if out is None else out
        try:
            self._claim()
        except OSError as error:
            self.close()
            raise InputError(f"{self.folder} cannot be made: {error.strerror or error}") from error
        except InputError:
            self.close()
            raise

    def __enter__(self) -> "Gallery":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the folder free; folders that were made and stayed empty are removed."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        for folder in reversed(self._made):
            try:
                folder.rmdir()
            except OSError:
                break

    # --- claiming ----------------------------------------------------------------------------------------

    def _new_folder(self, prompt: str, seed: int) -> Path:
        name = f"{slug(prompt)}-{seed}"
        for number in range(1, 10**6):
            folder = Path("paintings") / (name if number == 1 else f"{name}-{number}")
            try:
                self._make(folder)
            except FileExistsError:
                continue
            except OSError as error:
                raise InputError(f"{folder} cannot be made: {error.strerror or error}") from error
            return folder
        raise InputError("too many paintings of this prompt; give --out")

    def _make(self, folder: Path) -> None:
        """Make a folder and those above it; FileExistsError if it is there."""
        for path in (*reversed(folder.parents), folder):
            if path != folder and path.is_dir():
                continue
            path.mkdir()
            self._made.append(path)

    def _claim(self) -> None:
        if not self._made:
            if not self.folder.is_dir():
                if self.folder.exists() or self.folder.is_symlink():
                    raise InputError(f"{self.folder} is there already and not a folder; give another --out")
                self._make(self.folder)
            elif any(not _left_by_killed(path) for path in self.folder.iterdir()):
                self._resume()
        self._lock = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"another process paints in {self.folder}; give another --out") from error
        for path in filter(_left_by_killed, list(self.folder.rglob(".*"))):
            path.unlink(missing_ok=True)
        if self.several:
            write_text(self.folder / REQUESTS, json.dumps(self.settings, indent=2, ensure_ascii=False) + "\n")
        else:
            probe = self.folder / PROBE
            write_bytes(probe, b"")
            probe.unlink()

    def _resume(self) -> None:
        """Find what an interrupted job of the same requests has finished."""
        listed = self.folder / REQUESTS
        if not (self.several and listed.exists()):
            raise InputError(f"{self.folder} is there already and not an empty folder; give another --out")
        if read_json(listed) != json.loads(json.dumps(self.settings)):
            raise InputError(
                f"{self.folder} holds paintings of other requests or options; give another --out"
            )
        for number in range(len(self.requested)):
            try:
                trajectory = load(self._place(number))
            except RecordError:
                continue  # not begun, or cut off by a killed process
            if trajectory.stop is not StopReason.INTERRUPTED:
                self.done[number] = trajectory

    # --- writing -----------------------------------------------------------------------------------------

    def _place(self, number: int) -> Path:
        prompt, seed = self.requested[number]
        digits = len(str(len(self.requested) - 1))
        name = f"{number:0{digits}}-{slug(prompt)}-{seed}"
        return self.folder / name if self.several else self.folder

    def write(self, number: int, trajectory: Trajectory, finished: bool = True) -> None:
        """Write a painting as far as it came; the record is written last, so what it names is there.

        Args:
            number: of its request.
            trajectory: what was painted.
            finished: also write its final picture and its page.

        Raises:
            InputError: if it cannot be written.
        """
        folder, names = self._place(number), list(image_names(trajectory))
        images = ([] if trajectory.source is None else [trajectory.source]) + trajectory.images
        for name, image in zip(names, images, strict=True):
            if finished or not (folder / name).exists():
                write_bytes(folder / name, encode_png(image))
        if not finished:
            # Its last canvas may end it, but its final picture and page are not there yet.
            trajectory = replace(trajectory, stop=StopReason.INTERRUPTED)
        else:
            if trajectory.images:
                write_bytes(folder / FINAL, encode_png(trajectory.images[-1]))
            write_page(trajectory, folder / PAGE)
            self.done[number] = trajectory
        value = to_json(trajectory) | {"images": names}
        write_text(folder / FILE, json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    def write_index(self) -> None:
        """Write an index to look at and one to read, of what is done; nothing for one painting."""
        if not (self.several and self.done):
            return
        rows = [_row(self._place(number).name, one) for number, one in sorted(self.done.items())]
        write_text(self.folder / TABLE, json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
        index = render_template("gallery.html", title="Paintings", paintings=rows, page=PAGE, final=FINAL)
        write_text(self.folder / INDEX, index)


def _left_by_killed(path: Path) -> bool:
    """Return whether a process that was killed left it, which is as if it were not there."""
    return path.name == PROBE or (path.name.startswith(".") and path.name.endswith(PARTIAL))


def slug(text: str) -> str:
    """Return a text as a part of a file name."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return words[:SLUG_LENGTH].strip("-") or "painting"


def _row(name: str, trajectory: Trajectory) -> dict[str, object]:
    return {
        "folder": name,
        "prompt": trajectory.prompt,
        "seed": trajectory.seed,
        "stop": trajectory.stop,
        "canvases": len(trajectory.images),
    }
