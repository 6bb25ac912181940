"""Pictures to score, in the folder layout of GenEval's scripts.

    DIR/00000/metadata.jsonl      one line, the prompt's metadata
    DIR/00000/samples/0000.png    its pictures

Any image generator that writes this layout can be scored here, and what is written here can be scored by the
official harness. Other benchmarks use it with metadata of their own. This file knows names and formats; it
refuses to know what makes the pictures and how they are scored.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from typing_extensions import TypedDict

from strokewise.critics.geneval_rules import check_metadata
from strokewise.errors import InputError, RecordError
from strokewise.io.atomic import write_text, writing
from strokewise.io.outside import read_object
from strokewise.io.schema import checked

# Takes metadata and what names them in errors.
CheckMetadata = Callable[[Mapping[str, Any], object], None]
_DIGITS = re.compile(r"[0-9]+")
_PICTURE = re.compile(r"[0-9]+\.png")


class LabeledPicture(NamedTuple):
    """A picture to score and the metadata of its prompt."""

    path: Path
    metadata: dict[str, Any]

    @property
    def prompt(self) -> int:
        """The number of its prompt."""
        return int(self.path.parent.parent.name)

    @property
    def sample(self) -> int:
        """Its number among the pictures of its prompt."""
        return int(self.path.stem)


def read_pictures(folder: Path, check: CheckMetadata = check_metadata) -> list[LabeledPicture]:
    """Return all pictures of a folder with their prompts' metadata, by number.

    Folders and files whose names are no numbers are ignored, as by GenEval's scorer.

    Args:
        folder: of the whole benchmark.
        check: raises a RecordError unless metadata are of the benchmark; by default GenEval.

    Raises:
        InputError: if there is no such folder, or no picture in it.
        RecordError: if a prompt's metadata or its folder of samples is missing or not valid.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder of pictures")
    prompts = [path for path in folder.iterdir() if path.is_dir() and _DIGITS.fullmatch(path.name)]
    samples = []
    for prompt in sorted(prompts, key=_number):
        metadata = _read_metadata(prompt / "metadata.jsonl", check)
        samples += [LabeledPicture(path, metadata) for path in _pictures(prompt / "samples")]
    if not samples:
        raise InputError(
            f"{folder} holds no picture; expected such as {folder / '00000' / 'samples' / '0000.png'}"
        )
    return samples


def picture_path(folder: Path, prompt: int, sample: int) -> Path:
    """Return where the picture number `sample` of the prompt number `prompt` lies; both from 0."""
    return folder / f"{prompt:05}" / "samples" / f"{sample:04}.png"


def write_metadata(
    folder: Path, prompt: int, metadata: Mapping[str, Any], check: CheckMetadata = check_metadata
) -> None:
    """Write the metadata of the prompt number `prompt`.

    Args:
        folder: of the whole benchmark; made if it is not there.
        prompt: the prompt's number, from 0.
        metadata: the benchmark's; GenEval's are such as `world.language.geneval_metadata` gives.
        check: as for `read_pictures`.

    Raises:
        RecordError: if the metadata are not the benchmark's.
    """
    check(metadata, "metadata")
    path = folder / f"{prompt:05}" / "metadata.jsonl"
    write_text(path, json.dumps(metadata, ensure_ascii=False))


def write_picture(folder: Path, prompt: int, sample: int, image: Image.Image) -> Path:
    """Write a picture where `picture_path` says; a file of that name is always a whole picture."""
    path = picture_path(folder, prompt, sample)
    with writing(path) as partial:
        image.save(partial, format="PNG")
    return path


def _number(path: Path) -> int:
    return int(path.stem)


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise RecordError(f"{folder} is missing")
    return sorted((path for path in folder.iterdir() if _PICTURE.fullmatch(path.name)), key=_number)


class _Prompted(TypedDict):
    prompt: str


def _read_metadata(path: Path, check: CheckMetadata) -> dict[str, Any]:
    metadata = read_object(path)
    check(metadata, path)
    checked(_Prompted, metadata, path, extra="ignore")
    return metadata
