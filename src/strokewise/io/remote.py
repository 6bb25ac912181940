"""Data sets at URLs that fsspec knows (s3://, gs://, memory://, file://), copied to and from folders.

All else works on folders: a build fills one and copies each file as it is finished, a reader copies what it
reads first. A file at a URL is whole or not there. This file knows files. It refuses to know what they hold.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from strokewise.errors import ConfigError, ServiceError
from strokewise.io.atomic import writing

_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def is_url(text: str) -> bool:
    """Return whether a text names a place by a URL, and not by a path."""
    return bool(_URL.match(text))


@dataclass(frozen=True)
class RemoteFolder:
    """A folder at a URL; it can be sent to other processes."""

    url: str

    @cached_property
    def _place(self) -> tuple[Any, str]:
        try:
            import fsspec

            system, root = fsspec.core.url_to_fs(self.url)
        except ImportError as error:
            raise ConfigError(f"{self.url} needs another package: {error}") from error
        except ValueError as error:
            raise ConfigError(f"{self.url} is no place for data: {error}") from error
        return system, root.rstrip("/")

    def names(self) -> list[str]:
        """Return the files at the URL and in its folders, as paths below it, in order.

        Raises:
            ServiceError: if they cannot be listed.
        """
        system, root = self._place
        with self._reported():
            # What was listed before may have changed.
            system.invalidate_cache()
            found = system.find(root) if system.exists(root) else []
        return sorted(path[len(root) :].lstrip("/") for path in found)

    def read(self, name: str) -> bytes:
        """Return the content of a file; ServiceError if it cannot be read."""
        system, root = self._place
        with self._reported():
            return bytes(system.cat_file(f"{root}/{name}"))

    def get(self, folder: Path, wanted: Callable[[str], bool] = lambda name: True) -> None:
        """Copy the files that a folder lacks.

        Args:
            folder: where to; its files are whole or not there.
            wanted: decides by a file's path below the URL.

        Raises:
            ServiceError: if one cannot be read or written.
        """
        system, root = self._place
        for name in self.names():
            if wanted(name) and not (folder / name).exists():
                with self._reported(), writing(folder / name, ServiceError) as partial:
                    system.get_file(f"{root}/{name}", str(partial))

    def put(self, folder: Path, names: Iterable[str]) -> None:
        """Copy files of a folder in the given order, those that it holds, over what is there.

        Raises:
            ServiceError: if one cannot be read or written.
        """
        system, root = self._place
        for name in names:
            if not (folder / name).exists():
                continue
            with self._reported():
                system.makedirs(os.path.dirname(f"{root}/{name}"), exist_ok=True)
                with system.transaction, system.open(f"{root}/{name}", "wb") as file:
                    file.write((folder / name).read_bytes())

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, RuntimeError) as error:
            raise ServiceError(f"{self.url} cannot be reached: {error}; run it again to continue") from error


def local(text: str | Path, cache: Path | None = None) -> Path:
    """Return a folder or file by its path, or a copy of the data sets at a URL.

    Args:
        text: a path or a URL.
        cache: folder of copies; None: ``strokewise/data`` in the user's cache.

    Raises:
        ConfigError: if nothing is at the URL, or its kind is not known.
        ServiceError: if it cannot be reached.
    """
    if not is_url(str(text)):
        return Path(text)
    remote = RemoteFolder(str(text))
    manifests = [name for name in remote.names() if os.path.basename(name) == "manifest.json"]
    if not manifests:
        raise ConfigError(f"{text}: there is no finished data set")
    # A data set that was built anew is another copy.
    stated = b"".join([str(text).encode(), *map(remote.read, manifests)])
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = (cache or home / "strokewise" / "data") / hashlib.sha256(stated).hexdigest()[:16]
    remote.get(folder)
    return folder
