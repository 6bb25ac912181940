"""Keeping a service's key out of whatever is shown, logged or stored.

A service can quote the key in its answers and errors: whole or in part, in other letter case, quoted for a
URL or in base64. This file knows texts. It refuses to know where they come from.
"""

import base64
import logging
from urllib.parse import quote

PLAIN = 8  # shorter keys are words for servers that need none, such as "any"
SHOWN = "[key]"
# Loggers of the HTTP stack whose records can hold what a server sent.
_LOGGERS = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy", "openai._base_client")


class Secret:
    """A key, and the recognition of texts that quote it."""

    def __init__(self, key: str) -> None:
        """Watch for ``key``, or for half of it in one piece."""
        self._fragments: dict[int, set[str]] = {}
        if len(key) < PLAIN:
            return
        for form in {key, quote(key, safe=""), base64.b64encode(key.encode()).decode().rstrip("=")}:
            length = max(PLAIN, len(form) // 2)
            found = {form[i : i + length].casefold() for i in range(len(form) - length + 1)}
            self._fragments.setdefault(length, set()).update(found)

    def __eq__(self, other: object) -> bool:
        """Secrets of the same key are the same: loggers keep one of them."""
        return isinstance(other, Secret) and self._fragments == other._fragments

    def __hash__(self) -> int:
        """Of the lengths alone: not of the key."""
        return hash(tuple(self._fragments))

    def quoted_in(self, text: str) -> bool:
        """Return whether a text quotes the key."""
        return bool(self._found(text))

    def redact(self, text: str) -> str:
        """Return the text with ``[key]`` in place of the key."""
        hidden = sorted(self._found(text))
        shown: list[str] = []
        end = 0
        for start, stop in hidden:
            if start > end or not shown:
                shown += [text[end:start], SHOWN]
            end = max(end, stop)
        return "".join([*shown, text[end:]])

    def watch_logs(self) -> None:
        """Redact what the HTTP stack logs from now on; equal keys do so once."""
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact a record; it is always logged."""
        text = record.getMessage()
        if self.quoted_in(text):
            record.msg, record.args = self.redact(text), ()
        if record.exc_info and self.quoted_in(logging.Formatter().formatException(record.exc_info)):
            record.exc_info = None
        return True

    def _found(self, text: str) -> list[tuple[int, int]]:
        """Return where fragments of the key stand, as (start, stop)."""
        lower = text.casefold()
        if len(lower) != len(text):  # some letters fold to two
            lower = text.lower() if len(text.lower()) == len(text) else text
        return [
            (i, i + length)
            for length, fragments in self._fragments.items()
            for i in range(len(lower) - length + 1)
            if lower[i : i + length] in fragments
        ]
