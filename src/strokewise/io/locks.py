"""Locks on folders: one process at a time changes what lies there.

A lock belongs to its process and ends with it, however it ends. Knows file systems; refuses to know what is
protected.
"""

import fcntl
import os
from pathlib import Path
from types import TracebackType

from strokewise.errors import ConfigError

LOCK = ".lock"


class FolderLock:
    """A lock on a folder, which stands in its file ``.lock``. Acquired twice it is held once."""

    def __init__(self, folder: Path, holder: str) -> None:
        """Name the folder, and who holds it, for errors ("another process HOLDER FOLDER")."""
        self.folder, self.holder = folder, holder
        self._file: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            ConfigError: if another process has it, or the folder cannot be made or locked.
        """
        if self._file is not None:
            return
        path, file = self.folder / LOCK, None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if file is not None:
                os.close(file)
            if isinstance(error, BlockingIOError):
                raise ConfigError(
                    f"another process {self.holder} {self.folder}; wait for it or end it, or give another"
                    " folder"
                ) from error
            raise ConfigError(f"{path} cannot be locked: {error.strerror or error}") from error
        self._file = file

    def release(self) -> None:
        """Give the lock back, if it is held."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> "FolderLock":
        """Take the lock; errors as :meth:`acquire`."""
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""
        self.release()

    def __del__(self) -> None:
        """Give it back with the object."""
        self.release()
