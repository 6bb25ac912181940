"""SHA-256 digests that stand beside files and are compared before the files are read.

A folder's list is ``SHA256SUMS``, in the form that ``sha256sum --check`` reads. Disks and copies change bits;
formats without checksums of their own would hand them on as values. Knows files; refuses to know formats.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from strokewise.errors import InputError, StrokewiseError
from strokewise.io.atomic import write_text
from strokewise.io.outside import read_text

SUMS = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64})  ([^/\\]+)")


def digest_of(path: Path, error: type[StrokewiseError] = InputError) -> str:
    """The SHA-256 of a file in hexadecimal digits.

    Raises:
        StrokewiseError: of class ``error``, if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as cause:
        raise error(f"{path} cannot be read: {cause}") from cause


def check_digest(path: Path, wanted: str | None, error: type[StrokewiseError] = InputError) -> None:
    """Refuse a file that is not what was written.

    Raises:
        StrokewiseError: of class ``error``, naming the file, if its digest is not the wanted one (None: it
            has none), or it cannot be read.
    """
    if digest_of(path, error) != wanted:
        raise damaged(path, error)


def damaged(path: Path, error: type[StrokewiseError] = InputError) -> StrokewiseError:
    """The error for a file whose digest differs."""
    return error(
        f"{path} is damaged: its SHA-256 is not the one stored when it was written; copy it or make it again"
    )


def write_digests(
    folder: Path, digests: Mapping[str, str], error: type[StrokewiseError] = InputError
) -> None:
    """List the digests of a folder's files by name in its ``SHA256SUMS``.

    Raises:
        StrokewiseError: of class ``error``, if the list cannot be written.
    """
    write_text(folder / SUMS, "".join(f"{digest}  {name}\n" for name, digest in digests.items()), error)


def read_digests(folder: Path, error: type[StrokewiseError] = InputError) -> dict[str, str]:
    """The digests of a folder's files by name.

    Raises:
        StrokewiseError: of class ``error``, if the list is missing or damaged.
    """
    path, found = folder / SUMS, {}
    for number, line in enumerate(read_text(path, error).splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise error(f"{path}, line {number}: expected a SHA-256 and a file name")
        found[match[2]] = match[1]
    return found
