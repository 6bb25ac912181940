"""The signals that end a program, and how they are kept from processes that it starts.

Knows which they are. It refuses to know what is still to be done when one comes.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

# The end of a session, a terminal or a container sends them to a whole group of processes.
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ending_signals_blocked() -> Iterator[None]:
    """Block these signals inside the block; processes that are started there are born with them blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
