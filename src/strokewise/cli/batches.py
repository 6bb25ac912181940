"""The number of paintings at once: as it was given, or as free memory allows. Imports torch late."""

import sys
from typing import TYPE_CHECKING

from strokewise.cli.options import MAX_BATCH
from strokewise.errors import ConfigError

if TYPE_CHECKING:
    from strokewise.inference.painter import Painter


def parse_batch(text: str) -> int | None:
    """Return a number of paintings under way at once; None for ``auto``.

    Raises:
        ConfigError: if it is neither.
    """
    if text == "auto":
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= MAX_BATCH):
        raise ConfigError(f"--batch is {text!r:.60}; it is 1 to {MAX_BATCH:,}, or auto")
    return int(text)


def fitted_batch(batch: int | None, painter: "Painter") -> int:
    """Return the number that was given, or what fits into free memory, which is told on standard error."""
    if batch is not None:
        return batch
    from strokewise.inference.room import fitting_batch

    fitting, reason = fitting_batch(painter.generator.model)
    print(f"--batch {fitting}: {reason}", file=sys.stderr)
    return fitting
