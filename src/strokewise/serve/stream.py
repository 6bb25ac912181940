"""The events of one session for any number of listeners, each at its own speed.

Recent events are kept within bounds; a client that has missed older ones is sent a snapshot of the session.
Events are added by any thread and read in an event loop. Knows frames of text; not what they mean.
"""

import asyncio
import json
import threading
from collections import deque
from typing import NamedTuple

from strokewise.trajectory.events import Event, Stamp

MAX_EVENTS, MAX_BYTES = 4096, 4 << 20


class Frame(NamedTuple):
    """An event as it is sent: its number, its type, and its envelope as JSON."""

    number: int
    kind: str
    data: str


class Stream:
    """The last events of a session; may be used by any thread."""

    def __init__(self, session: str) -> None:
        """Begin without events."""
        self.stamp = Stamp(session)
        self.frames: deque[Frame] = deque()
        self.bytes = 0
        self.listeners: set[Listener] = set()
        self._lock = threading.Lock()

    @property
    def last(self) -> int:
        """Number of the last event; -1 before the first."""
        return self.stamp.next - 1

    @property
    def oldest(self) -> int:
        """Number of the oldest event that is kept; of the next one if there are none."""
        with self._lock:
            return self.frames[0].number if self.frames else self.stamp.next

    def add(self, event: Event) -> None:
        """Append an event and wake the listeners."""
        with self._lock:
            frame = framed(self.stamp, event)
            self.frames.append(frame)
            self.bytes += len(frame.data)
            while len(self.frames) > MAX_EVENTS or (self.bytes > MAX_BYTES and len(self.frames) > 1):
                self.bytes -= len(self.frames.popleft().data)
            listeners = list(self.listeners)
        for listener in listeners:
            listener.wake()

    def after(self, number: int) -> list[Frame] | None:
        """Return the events after one; None if some of them are not kept any more, or there is no such
        event.
        """
        with self._lock:
            if number == self.last:
                return []
            if number > self.last or not self.frames or number + 1 < self.frames[0].number:
                return None
            return [frame for frame in self.frames if frame.number > number]

    def join(self, listener: "Listener") -> None:
        """Wake a listener from now on."""
        with self._lock:
            self.listeners.add(listener)

    def leave(self, listener: "Listener") -> None:
        """Wake it no more."""
        with self._lock:
            self.listeners.discard(listener)

    def forget(self) -> None:
        """Drop the events, where nobody listens."""
        with self._lock:
            if not self.listeners:
                self.frames.clear()
                self.bytes = 0


def framed(stamp: Stamp, event: Event) -> Frame:
    """Return an event in the next envelope of a stamp."""
    envelope = stamp(event)
    return Frame(envelope.sequence, event.type, json.dumps(envelope.to_json(), ensure_ascii=False))


class Listener:
    """One who is woken when there are events; made in the event loop that waits."""

    def __init__(self) -> None:
        """Prepare to wait in the running loop."""
        self.loop, self.event = asyncio.get_running_loop(), asyncio.Event()

    def wake(self) -> None:
        """Announce, from any thread, that there is something to read."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.event.set)

    async def wait(self, seconds: float) -> bool:
        """Return whether there is something to read within some seconds."""
        try:
            await asyncio.wait_for(self.event.wait(), seconds)
        except TimeoutError:
            return False
        self.event.clear()
        return True
