"""Folders of paintings: pictures and record of each, and an index where there are several.

A folder appears whole or not at all. Knows names of files and folders; what a trajectory means is defined in
``values``, and how a page looks in ``templates``.
"""

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from strokewise.errors import InputError
from strokewise.io.atomic import write_bytes, write_text, writing_folder
from strokewise.io.pages import render
from strokewise.trajectory.files import encode_png, save
from strokewise.trajectory.page import write_page
from strokewise.trajectory.values import Trajectory

FINAL, PAGE = "final.png", "trajectory.html"
INDEX, TABLE = "index.html", "index.json"
SLUG_LENGTH = 40


def check_free(folder: Path) -> None:
    """Refuse a folder that is in use, before anything is painted for it.

    Raises:
        InputError: if something is there already, or it cannot be made.
    """
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists() or folder.is_symlink():
        raise InputError(f"{folder} is there already and not an empty folder; give another --out")
    parent = next(parent for parent in folder.absolute().parents if parent.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise InputError(f"{folder} cannot be made: {parent} is no folder that can be written to")


def free_folder(prompt: str, seed: int) -> Path:
    """A folder below ``paintings`` that is not there yet, named after what is painted."""
    name = f"{slug(prompt)}-{seed}"
    for number in range(1, 10**6):
        folder = Path("paintings") / (name if number == 1 else f"{name}-{number}")
        if not folder.exists():
            return folder
    raise InputError("too many paintings of this prompt; give --out")


def slug(text: str) -> str:
    """A text as a part of a file name."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return words[:SLUG_LENGTH].strip("-") or "painting"


def write_one(trajectory: Trajectory, folder: Path) -> None:
    """The folder of one painting.

    Raises:
        InputError: if the folder is in use or cannot be written.
    """
    check_free(folder)
    with writing_folder(folder) as partial:
        _fill(trajectory, partial)


def write_many(trajectories: Sequence[Trajectory], folder: Path) -> None:
    """A folder with one of each painting, an index to look at and one to read.

    Raises:
        InputError: if the folder is in use or cannot be written.
    """

    check_free(folder)
    names = list(_names(trajectories))
    rows = [_row(name, one) for name, one in zip(names, trajectories, strict=True)]
    with writing_folder(folder) as partial:
        for name, trajectory in zip(names, trajectories, strict=True):
            _fill(trajectory, partial / name)
        write_text(partial / TABLE, json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
        index = render("gallery.html", title="Paintings", paintings=rows, page=PAGE, final=FINAL)
        write_text(partial / INDEX, index)


def _fill(trajectory: Trajectory, folder: Path) -> None:
    save(trajectory, folder)
    if trajectory.images:
        write_bytes(folder / FINAL, encode_png(trajectory.images[-1]))
    write_page(trajectory, folder / PAGE)


def _names(trajectories: Sequence[Trajectory]) -> Iterator[str]:
    digits = len(str(len(trajectories) - 1))
    for i, trajectory in enumerate(trajectories):
        yield f"{i:0{digits}}-{slug(trajectory.prompt)}-{trajectory.seed}"


def _row(name: str, trajectory: Trajectory) -> dict[str, object]:
    return {
        "folder": name,
        "prompt": trajectory.prompt,
        "seed": trajectory.seed,
        "stop": trajectory.stop,
        "canvases": len(trajectory.images),
    }
