"""Files and folders that appear whole or not at all.

Each is filled under a temporary name beside its own (``.NAME.RANDOM.partial``), forced to the disk and
renamed; whatever goes wrong before that, the temporary one is removed and an older file stays as it was.
Knows file systems; it refuses to know what is written.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path

from strokewise.errors import InputError, StrokewiseError

PARTIAL = ".partial"
NAME_KEPT = 48  # characters: at most four bytes each, and a file name holds 255 bytes


def write_bytes(path: Path, data: bytes, error: type[StrokewiseError] = InputError) -> None:
    """Write a file.

    Args:
        path: where; its folder is made if it is not there.
        data: the whole content.
        error: class of the error to raise.

    Raises:
        StrokewiseError: of class ``error``, naming the path, if it cannot be written.
    """
    with writing(path, error) as partial:
        partial.write_bytes(data)


def write_text(path: Path, text: str, error: type[StrokewiseError] = InputError) -> None:
    """Write a text as UTF-8; lone surrogates, which UTF-8 cannot hold, become question marks.

    Raises:
        StrokewiseError: as :func:`write_bytes`.
    """
    write_bytes(path, text.encode("utf-8", "replace"), error)


@contextmanager
def writing(path: Path, error: type[StrokewiseError] = InputError) -> Iterator[Path]:
    """Yield a temporary path to write a file to; on a normal end it becomes ``path``.

    Raises:
        StrokewiseError: of class ``error``, naming the path, if the file or its folder cannot be written.
    """
    partial = _partial(path)
    with _reported(path, error):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            sync(partial)
            os.replace(partial, path)
            sync(path.parent)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def writing_folder(
    path: Path, error: type[StrokewiseError] = InputError, replace: bool = False
) -> Iterator[Path]:
    """Yield a temporary folder to fill; on a normal end it becomes ``path``.

    Args:
        path: the final name; nothing or an empty folder may stand there.
        error: class of the error to raise.
        replace: whether a folder that is not empty may stand there; it is then replaced, or stays whole.

    Raises:
        StrokewiseError: of class ``error``, naming the path, if the folder cannot be written.
    """
    partial, old = _partial(path), None
    with _reported(path, error):
        try:
            partial.mkdir(parents=True)
            yield partial
            for file in partial.rglob("*"):
                sync(file)
            sync(partial)
            if replace and path.exists():
                old = path.with_name(partial.name.removesuffix(PARTIAL) + ".old")
                os.replace(path, old)
            try:
                os.replace(partial, path)
            except BaseException:
                if old is not None:
                    os.replace(old, path)
                raise
            sync(path.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def clear_partials(path: Path) -> None:
    """Remove what killed processes left of a file or folder, which nobody else may be writing now."""
    for partial in path.parent.glob(f".{escape(path.name[:NAME_KEPT])}.*{PARTIAL}"):
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Force a file's content, or a folder's list of names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _partial(path: Path) -> Path:
    """Return a name beside ``path`` that no other thread or process uses, of this machine or another one."""
    return path.absolute().with_name(f".{path.name[:NAME_KEPT]}.{secrets.token_hex(8)}{PARTIAL}")


@contextmanager
def _reported(path: Path, error: type[StrokewiseError]) -> Iterator[None]:
    try:
        yield
    except OSError as cause:
        raise error(f"{path} cannot be written: {cause.strerror or cause}") from cause
