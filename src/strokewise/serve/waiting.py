"""Who is painted next: sessions wait in one line, fairly between clients.

The next one is of the client with the fewest under way, of those the one that was served longest ago, and of
its sessions the oldest. Knows clients by name; not what is painted.
"""

from collections import Counter
from collections.abc import Iterable

from strokewise.serve import problems
from strokewise.serve.live import Live


class Waiting:
    """The sessions that wait; calls are serialized by the caller's lock."""

    def __init__(self, places: int) -> None:
        """Begin with nobody, and room for some."""
        self.places = places
        self.line: list[Live] = []
        self._served: dict[str, int] = {}
        self._turns = 0

    def check(self, client: str, wait: float, sessions: int = 1) -> None:
        """Refuse sessions that have no place: nobody may take more than half of all (RequestError 429).

        Args:
            client: who waits.
            wait: seconds after which there may be a place.
            sessions: how many.
        """
        mine = sum(live.client == client for live in self.line)
        if len(self.line) + sessions > self.places:
            raise problems.busy(f"all {self.places} places in the queue are taken; try again later", wait)
        if mine + sessions > max(1, self.places // 2):
            raise problems.busy(f"{mine} of your sessions wait already; try again when some are done", wait)

    def add(self, live: Live) -> None:
        """Let a session wait."""
        self.line.append(live)

    def remove(self, live: Live) -> None:
        """Let it wait no more."""
        self.line = [one for one in self.line if one is not live]

    def take(self, running: Iterable[Live]) -> Live | None:
        """Return the next session, given those under way; None if nobody waits."""
        order = self.order(running)
        if not order:
            return None
        self.remove(order[0])
        self._turns += 1
        self._served[order[0].client] = self._turns
        if not self.line:
            self._served.clear()
        return order[0]

    def order(self, running: Iterable[Live]) -> list[Live]:
        """Return all that wait, in the order in which they would be taken if nothing ended."""
        busy, served = Counter(live.client for live in running), dict(self._served)
        left, found, turns = list(self.line), [], self._turns
        while left:
            chosen = min(left, key=lambda live: (busy[live.client], served.get(live.client, 0)))
            left.remove(chosen)
            found.append(chosen)
            turns += 1
            busy[chosen.client] += 1
            served[chosen.client] = turns
        return found
