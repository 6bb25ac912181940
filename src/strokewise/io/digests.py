"""SHA-256 digests that stand beside files and are compared before the files are read.

A folder's list is ``SHA256SUMS``, that of a file that is written alone ``NAME.sha256``, in the form that
``sha256sum --check`` reads. Disks and copies change bits;
formats without checksums of their own would hand them on as values. Knows files; refuses to know formats.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from strokewise.errors import InputError, StrokewiseError
from strokewise.io.atomic import write_bytes, write_text
from strokewise.io.outside import read_text

SUMS = "SHA256SUMS"
SUFFIX = ".sha256"
_LINE = re.compile(r"([0-9a-f]{64})  ([^/\\]+)")


def digest_of(path: Path, error: type[StrokewiseError] = InputError) -> str:
    """Return the SHA-256 of a file in hexadecimal digits.

    Raises:
        StrokewiseError: of class ``error``, if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as cause:  # ValueError: of a name that no file has
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
    """Return the error for a file whose digest differs."""
    return error(
        f"{path} is damaged: its SHA-256 is not the one stored when it was written; copy it or make it again"
        " (if you changed it, remove the stored one)"
    )


def write_digests(
    folder: Path, digests: Mapping[str, str], error: type[StrokewiseError] = InputError
) -> None:
    """List the digests of a folder's files by name in its ``SHA256SUMS``.

    Raises:
        StrokewiseError: of class ``error``, if the list cannot be written.
    """
    _write(folder / SUMS, digests, error)


def read_digests(folder: Path, error: type[StrokewiseError] = InputError) -> dict[str, str]:
    """Return the digests of a folder's files by name.

    Raises:
        StrokewiseError: of class ``error``, if the list is missing or damaged.
    """
    return _read(folder / SUMS, error)


def write_with_digest(path: Path, data: bytes, error: type[StrokewiseError] = InputError) -> None:
    """Write a file after its digest, in a file beside it, so that one that is there has its digest.

    Raises:
        StrokewiseError: of class ``error``, if one of them cannot be written.
    """
    _write(_beside(path), {path.name: hashlib.sha256(data).hexdigest()}, error)
    write_bytes(path, data, error)


def check_with_digest(path: Path, error: type[StrokewiseError] = InputError) -> None:
    """Refuse a file that is not what :func:`write_with_digest` wrote.

    Raises:
        StrokewiseError: of class ``error``, naming the file or its digest's, if one is missing or damaged.
    """
    check_digest(path, _read(_beside(path), error).get(path.name), error)


def _beside(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)


def _write(path: Path, digests: Mapping[str, str], error: type[StrokewiseError]) -> None:
    write_text(path, "".join(f"{digest}  {name}\n" for name, digest in digests.items()), error)


def _read(path: Path, error: type[StrokewiseError]) -> dict[str, str]:
    found = {}
    for number, line in enumerate(read_text(path, error).splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise error(f"{path}, line {number}: expected a SHA-256 and a file name")
        found[match[2]] = match[1]
    return found
