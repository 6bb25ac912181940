"""Signals that end a run, put off until its step is done and saved.

Knows signals; refuses to know what is saved.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from strokewise.io.signals import ENDING_SIGNALS


@contextmanager
def interrupts_put_off() -> Iterator[list[int]]:
    """Note Ctrl-C, SIGTERM and SIGHUP inside the block; the first one is obeyed behind it.

    Yields:
        The numbers of the signals received so far. Ignored ones (nohup) stay ignored.
    """
    received: list[int] = []
    before = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: received.append(number))
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        signal.raise_signal(received[0])
