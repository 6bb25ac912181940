"""Where a data set is built: a folder, and perhaps a URL to which each finished file is copied.

A build that is resumed elsewhere continues with what is at the URL. This file knows the order in which files
count as finished. It refuses to know what is in them.
"""

from dataclasses import dataclass
from pathlib import Path

from strokewise.data.storage import RECIPE, claim
from strokewise.io.remote import RemoteFolder, is_url


@dataclass(frozen=True)
class Destination:
    """A folder of this machine, and its copy.

    Attributes:
        folder: that is filled.
        remote: to which each finished file is copied; None: nowhere.
    """

    folder: Path
    remote: RemoteFolder | None = None

    @classmethod
    def of(cls, text: str) -> "Destination":
        """Return a path; or a URL, with a folder beside it in the working directory, ``NAME.cache/out``."""
        return cls(beside(text) / "out", RemoteFolder(text)) if is_url(text) else cls(Path(text))

    @property
    def name(self) -> str:
        """As it was given."""
        return self.remote.url if self.remote is not None else str(self.folder)

    def begin(self, recipe: str) -> None:
        """Make the folder that of a recipe, with what is finished at the URL, except for records.

        Raises:
            ConfigError: if it holds something else.
            ServiceError: if the URL cannot be reached.
        """
        if self.remote is not None:
            self.remote.get(self.folder, lambda name: "/" not in name and not name.endswith(".parquet"))
        claim(self.folder, recipe)
        self.keep(RECIPE)

    def keep(self, *names: str) -> None:
        """Copy finished files, in this order, to the URL; ServiceError if it cannot be reached."""
        if self.remote is not None:
            self.remote.put(self.folder, names)

    def complete(self) -> None:
        """Copy what was finished elsewhere from the URL; ServiceError if it cannot be reached."""
        if self.remote is not None:
            self.remote.get(self.folder, lambda name: "/" not in name)


def beside(text: str) -> Path:
    """Return folder for what a build keeps beside its data set: that of a path, or of the last name of a
    URL.
    """
    if is_url(text):
        return Path(text.rstrip("/").rpartition("/")[2] + ".cache")
    return Path(text).with_name(Path(text).name + ".cache")
