"""Sessions in memory, and the one place that changes, stores and announces them.

A :class:`Live` is a session with its tree; the :class:`Registry` holds all of them under one lock. It refuses
to know when a session may change (``manager``) and how it is painted (``worker``).
"""

import base64
import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from PIL import Image

from strokewise.inference import Session
from strokewise.inference.options import Request
from strokewise.serve import problems
from strokewise.serve.store import Store
from strokewise.serve.stream import Stream
from strokewise.serve.values import (
    Deleted,
    Node,
    NodeChanged,
    SessionValue,
    Snapshot,
    State,
    StateChanged,
    Summary,
    UnderWay,
)
from strokewise.trajectory.events import Event
from strokewise.trajectory.files import to_json
from strokewise.trajectory.values import Step, StopReason, Trajectory

SOURCE = "source.png"


@dataclass
class Live:
    """A session and what is needed to resume it.

    Attributes:
        owner: whose it is: those who hold the same key.
        client: on whose account it waits and is painted.
        state: what clients see.
        nodes: the tree, by id.
        instruct: the next strokes, in plain words.
        seed: of everything that is painted from here on.
        kept: whether it counts as somebody's work; others make room for newer ones.
        painting: the engine's session, under way or set aside.
        stream: its events.
        png: the last preview.
        unsent: what was written since the last event of it, at time ``sent``.
    """

    owner: str
    client: str
    state: State
    nodes: dict[int, Node] = field(default_factory=dict)
    instruct: list[str] = field(default_factory=list)
    seed: int = 0
    kept: bool = True
    painting: Session | None = None
    stream: Stream = field(init=False)
    png: bytes | None = None
    queued: float = 0.0
    unsent: str = ""
    sent: float = 0.0

    def __post_init__(self) -> None:
        """Begin the stream of events."""
        self.stream = Stream(self.state.id)

    @property
    def id(self) -> str:
        """Of the session."""
        return self.state.id

    def node(self, number: int) -> Node:
        """Return a node; a RequestError if there is none."""
        if number not in self.nodes:
            raise problems.not_found(f"node {number} in session {self.id}")
        return self.nodes[number]

    @property
    def head(self) -> Node | None:
        """The node where painting stands."""
        return None if self.state.head is None else self.nodes[self.state.head]

    def path(self, number: int | None) -> list[Node]:
        """Return the nodes from the first step to one."""
        found: list[Node] = []
        while number is not None:
            found.append(self.node(number))
            number = found[-1].parent
        return found[::-1]

    def children(self, number: int | None) -> list[Node]:
        """Return the nodes right after one."""
        return [node for node in self.nodes.values() if node.parent == number]

    def add(self, **values: object) -> Node:
        """Return a new node, which becomes the head."""
        node = Node.model_validate({"id": len(self.nodes), **values})
        self.nodes[node.id] = node
        self.state.head = node.id
        return node

    def summary(self) -> Summary:
        """Return the session in a list."""
        painted = [node.canvas for node in self.path(self.state.head) if node.canvas]
        values = dict(self.state) | {"node_count": len(self.nodes)}
        fields = {key: value for key, value in values.items() if key in Summary.model_fields}
        return Summary(**fields, thumbnail=painted[-1] if painted else self.state.source)


def canvas_url(session: str, number: int) -> str:
    """Return where a canvas is read."""
    return f"/v1/sessions/{session}/nodes/{number}/canvas.png"


def canvas_file(number: int) -> str:
    """Return the file of a canvas in its session's folder."""
    return f"canvas-{number}.png"


class Registry:
    """All sessions of a server; ``lock`` guards them, and the store."""

    def __init__(self, store: Store, replica: int | None = None) -> None:
        """Bring the stored sessions back; those that were not done are paused.

        Args:
            store: where they are.
            replica: number of this server where it is one of several; the ids of its sessions name it.
        """
        self._prefix = "s_" if replica is None else f"s_{replica}_"
        self.store, self.lock, self.boot = store, threading.RLock(), secrets.token_hex(4)
        self.lives: dict[str, Live] = {}
        for owner, extra, state, nodes in store.load():
            live = Live(owner, owner, state, {node.id: node for node in nodes})
            live.instruct = [str(text) for text in extra.get("instruct", [])]  # type: ignore[attr-defined]
            live.seed, live.kept = int(extra.get("seed", state.seed)), bool(extra.get("kept"))  # type: ignore[call-overload]
            if state.status in ("queued", "running"):
                state.status, state.stop, state.pausing = "paused", StopReason.INTERRUPTED, False
                store.save(owner, extra, state)
            self.lives[state.id] = live

    def new_id(self) -> str:
        """Return an id that cannot be guessed."""
        return self._prefix + secrets.token_hex(8)

    # --- finding -----------------------------------------------------------------------------------------

    def get(self, owner: str, session: str) -> Live:
        """Return a session of an owner; a RequestError if there is none."""
        live = self.lives.get(session)
        if live is None or live.owner != owner:
            raise problems.not_found(f"session {session}")
        return live

    def of(self, owner: str) -> Iterator[Live]:
        """Return the sessions of an owner, the newest first."""
        return (live for live in reversed(self.lives.values()) if live.owner == owner)

    # --- changing ----------------------------------------------------------------------------------------

    def changed(self, live: Live, *nodes: Node, event: Event | None = None) -> None:
        """Store a session and those of its nodes that are new or changed, then announce it all.

        Args:
            live: the session.
            nodes: new or changed ones.
            event: of painting, that they come from; announced before them.
        """
        live.state.updated = time.time()
        extra: dict[str, object] = {"instruct": live.instruct, "seed": live.seed, "kept": live.kept}
        self.store.save(live.owner, extra, live.state, *nodes)
        if event is not None:
            live.stream.add(event)
        for node in nodes:
            live.stream.add(NodeChanged(node.step, node=node.model_dump(mode="json")))
        self.announce(live)

    def announce(self, live: Live) -> None:
        """Send what changed to those who listen, without storing it."""
        live.stream.add(StateChanged(self._step(live), session=live.state.model_dump(mode="json")))
        if live.state.status in ("paused", "finished"):
            live.png = None
            live.stream.forget()

    def once(
        self, owner: str, key: str | None, request: object, make: Callable[[], list[Live]]
    ) -> tuple[list[Live], bool]:
        """Return what ``make`` returns, but only once for each key of an owner; and whether it was made now.

        Raises:
            RequestError: if the key was used for another request.
        """
        if key is None:
            return make(), True
        digest = hashlib.sha256(repr(request).encode()).hexdigest()
        with self.lock:
            before = self.store.answer(owner, key)
            if before is None:
                made = make()
                self.store.put_answer(owner, key, digest, " ".join(one.id for one in made))
                return made, True
            if before[0] != digest:
                raise problems.conflict("this Idempotency-Key was used for another request; take a new one")
            return [self.get(owner, one) for one in before[1].split()], False

    def delete(self, live: Live) -> None:
        """Forget a session."""
        self.lives.pop(live.id, None)
        self.store.delete(live.id)
        live.stream.add(Deleted(0))

    def put_canvas(self, live: Live, node: Node, png: bytes) -> None:
        """Give a node its canvas; the picture is on the disk before anything names it."""
        self.store.put_picture(live.id, canvas_file(node.id), png)
        node.canvas = canvas_url(live.id, node.id)

    def put_trajectory(self, live: Live) -> None:
        """Write the path to the head beside the pictures, in the trajectory format."""
        path, blank = live.path(live.state.head), Image.new("RGB", (1, 1))
        names = [SOURCE] if live.state.source else []
        names += [canvas_file(node.id) for node in path if node.canvas]
        shown = trajectory_of(live.state, path, [blank if node.canvas else None for node in path], blank)
        self.store.put_trajectory(live.id, to_json(shown) | {"images": names})

    # --- reading -----------------------------------------------------------------------------------------

    def value(self, live: Live) -> SessionValue:
        """Return a session with its tree, as clients see it."""
        state = dict(live.state)
        if live.state.under_way is not None and live.png is not None:
            preview = base64.b64encode(live.png).decode()
            state["under_way"] = live.state.under_way.model_copy(update={"preview": preview})
        event_id = f"{self.boot}.{live.stream.last}"
        return SessionValue.model_construct(**state, nodes=list(live.nodes.values()), event_id=event_id)

    def snapshot(self, live: Live) -> Snapshot:
        """Return all there is to know of a session."""
        return Snapshot(self._step(live), session=self.value(live).model_dump(mode="json"))

    def trajectory(self, live: Live, number: int | None) -> Trajectory:
        """Return the path to a node, with its pictures; RecordError if one cannot be read."""
        path = live.path(number)
        return trajectory_of(live.state, path, [self.canvas(live, n) for n in path], self.source(live))

    def request(self, live: Live) -> Request:
        """Return what the engine is asked: the prompt, and every step before the one to be made."""
        head = live.head
        last = head.parent if head is not None and head.canvas is None else live.state.head
        steps = self.trajectory(live, last).steps
        state = live.state
        return Request(
            state.prompt, live.seed, self.source(live), before=steps, original_prompt=state.original_prompt
        )

    def source(self, live: Live) -> Image.Image | None:
        """Return the image that is edited."""
        return self.store.picture(live.id, SOURCE) if live.state.source else None

    def canvas(self, live: Live, node: Node) -> Image.Image | None:
        """Return the picture of a node, if it has one."""
        return self.store.picture(live.id, canvas_file(node.id)) if node.canvas else None

    @staticmethod
    def _step(live: Live) -> int:
        under_way: UnderWay | None = live.state.under_way
        return under_way.step if under_way is not None else len(live.path(live.state.head))


def trajectory_of(
    state: State, path: list[Node], pictures: list[Image.Image | None], source: Image.Image | None
) -> Trajectory:
    """Return a path of the tree as a trajectory."""
    steps = [
        Step(node.message, picture, node.verdict, node.seed, node.seconds)
        for node, picture in zip(path, pictures, strict=True)
    ]
    return Trajectory(
        state.prompt,
        tuple(steps),
        source if state.source else None,
        (path[-1].stop if path else None) or StopReason.INTERRUPTED,
        state.model,
        state.seed,
        state.original_prompt,
    )
