"""The one thread that paints: it lets sessions join the engine, hears its events, and sets sessions aside.

Everything that touches the engine happens here, between or within stages. It refuses to know HTTP, and what a
person may do with a session (``manager``).
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict

from strokewise.errors import StrokewiseError
from strokewise.inference import Session
from strokewise.inference.painter import Painter
from strokewise.inference.policies import Instruct, Policy, Reply, Say
from strokewise.inference.session import SessionState as Waits
from strokewise.serve.live import Live, Registry
from strokewise.serve.metrics import Metrics
from strokewise.serve.values import Node, UnderWay
from strokewise.serve.waiting import Waiting
from strokewise.trajectory.events import (
    Event,
    Failed,
    Finished,
    ImageFinished,
    ImagePreview,
    ImageStarted,
    TextDelta,
    TextFinished,
    TextStarted,
)
from strokewise.trajectory.values import Message, Step, StopReason

log = logging.getLogger(__name__)
GATHER = 0.03  # seconds of writing that make one event: no eye sees more of them, and each costs time
UNSEEN = "the server met an error that it does not know; its log says more"


class Supplied(Policy):
    """What a person has supplied already: a whole message, and instructions of the next strokes."""

    def __init__(self, replies: list[Reply]) -> None:
        """Give these replies one by one; afterwards the model decides."""
        self.replies = replies

    def message(self, session: Session) -> Reply | None:
        """See :class:`Policy`."""
        return self.replies.pop(0) if self.replies else None


class Worker:
    """The thread and its engine; all of its state is guarded by the registry's lock."""

    def __init__(
        self,
        painter: Painter,
        registry: Registry,
        batch: int,
        places: int,
        metrics: Metrics,
        painted: Callable[[Live, Node], None],
    ) -> None:
        """Prepare; :meth:`start` begins.

        Args:
            painter: the model.
            registry: of the sessions.
            batch: sessions under way at once, and sessions that keep their memory while they are set aside.
            places: in the queue.
            metrics: what is measured.
            painted: called with every new canvas.
        """
        self.painter, self.registry, self.batch, self.metrics = painter, registry, batch, metrics
        self.waiting, self.painted = Waiting(places), painted
        self.engine = painter.engine(batch)
        self.running: dict[str, Live] = {}
        self.aside: OrderedDict[str, Live] = OrderedDict()
        self.stopping = False
        self.seconds = 10.0  # of a painting, on average
        self._runs = 0
        self._moved: set[str] = set()
        self._something = threading.Condition(registry.lock)
        self._thread = threading.Thread(target=self._run, name="painting", daemon=True)

    def start(self) -> None:
        """Begin to paint."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it paints or waits for something to paint."""
        return self._thread.is_alive()

    def stop(self, seconds: float) -> None:
        """Let what is under way finish its stage, and save it; at most so long."""
        with self.registry.lock:
            self.stopping = True
            self._something.notify()
        self._thread.join(seconds)
        with self.registry.lock:
            for live in [*self.running.values(), *self.waiting.line]:
                live.state.pausing, live.state.under_way, live.state.position = False, None, None
                live.state.status, live.state.stop = "paused", StopReason.INTERRUPTED
                self.registry.changed(live)

    # --- called by the manager, with the lock ------------------------------------------------------------

    def enqueue(self, live: Live) -> None:
        """Let a session wait; it resumes where it was set aside, or else reads its past again."""
        live.queued = time.time()
        live.state.status, live.state.stop, live.state.error = "queued", None, None
        live.state.pausing, live.state.under_way = False, None
        self.waiting.add(live)
        self._place()
        self._something.notify()

    def withdraw(self, live: Live) -> None:
        """Let a session leave the queue or the engine; what it was making is dropped at the next stage."""
        self.waiting.remove(live)
        self.aside.pop(live.id, None)
        if live.painting is not None:
            self.running.pop(live.painting.name, None)
            # The engine may be amid a stage: it forgets a cancelled session when the stage is over.
            live.painting.cancelled = True
            live.painting = None
        live.state.pausing, live.state.under_way, live.state.position, live.png = False, None, None, None
        self._place()
        self._something.notify()

    def wait(self) -> float:
        """Return seconds after which a place in the queue may be free."""
        return self.seconds * (1 + len(self.waiting.line)) / self.batch

    # --- the loop ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            try:
                if not self._turn():
                    return
            except Exception as error:
                log.exception("the engine failed")
                with self.registry.lock:
                    self._broken(error)

    def _turn(self) -> bool:
        """Return one stage of all sessions under way, as soon as there are some; False when it is time to
        stop.
        """
        with self.registry.lock:
            self._boundary()
            self._admit()
            while not self.engine.sessions and not self.stopping:
                self._something.wait()
                self._admit()
            if self.stopping and not self.running:
                return False
        for session, event in self.engine.advance():
            with self.registry.lock:
                self._heard(session, event)
        return True

    def _admit(self) -> None:
        """Let sessions join while there is room."""
        while len(self.running) < self.batch and not self.stopping:
            live = self.waiting.take(self.running.values())
            if live is None:
                break
            try:
                self._open(live)
            except StrokewiseError as error:
                self._end(live, StopReason.FAILED, str(error))
                continue
            except Exception:
                log.exception("session %s cannot be opened", live.id)
                self._end(live, StopReason.FAILED, UNSEEN)
                continue
            assert live.painting is not None
            self.running[live.painting.name] = live
            live.state.status, live.state.position = "running", None
            self.metrics.queued.observe(time.time() - live.queued)
            self.registry.changed(live)
        self._place()

    def _open(self, live: Live) -> None:
        if self.aside.pop(live.id, None) is not None and live.painting is not None:
            self.engine.join(live.painting)
            return
        head, replies = live.head, list[Reply]()
        if head is not None and head.canvas is None:
            replies.append(Say(head.message))
        replies += [Instruct(text) for text in live.instruct]
        self._runs += 1
        options = asdict(live.state.options) | {"size": live.state.size}
        live.painting = self.painter.open(
            self.engine,
            self.registry.request(live),
            name=f"{live.id}-{self._runs}",
            policy=Supplied(replies),
            check=False,
            **options,
        )

    def _place(self) -> None:
        """Tell those who wait their places."""
        for place, live in enumerate(self.waiting.order(self.running.values()), 1):
            if live.state.position != place:
                live.state.position = place
                self.registry.announce(live)
        self.metrics.waiting.set(len(self.waiting.line))
        self.metrics.running.set(len(self.running))

    # --- between stages ----------------------------------------------------------------------------------

    def _boundary(self) -> None:
        """Set aside those that are to pause here, and forget those that were withdrawn."""
        for session in list(self.engine.sessions.values()):
            live = self.running.get(session.name)
            if live is None:
                self.engine.close(session)
            elif self._pauses(live, session):
                self._set_aside(live, session)
        self._moved.clear()
        self.metrics.memory.set(self.engine.memory())

    def _pauses(self, live: Live, session: Session) -> bool:
        if self.stopping or live.state.pausing:
            return True
        if session.name not in self._moved:
            return False
        until = live.state.until
        return until == "stage" or (until == "canvas" and session.state is Waits.WRITE)

    def _set_aside(self, live: Live, session: Session) -> None:
        self.engine.leave(session)
        del self.running[session.name]
        self.aside[live.id] = live
        while len(self.aside) > self.batch:
            _, oldest = self.aside.popitem(last=False)
            oldest.painting = None
        live.state.status, live.state.pausing, live.state.under_way = "paused", False, None
        live.state.stop = StopReason.INTERRUPTED if self.stopping else None
        self.registry.changed(live)

    def _end(self, live: Live, reason: StopReason, error: str | None = None) -> None:
        if live.painting is not None:
            self.metrics.tokens.inc(live.painting.usage.text_tokens)
            self.running.pop(live.painting.name, None)
            self.engine.close(live.painting)
            live.painting = None
        state, nodes = live.state, list[Node]()
        state.status, state.stop, state.error = "finished", reason, error
        state.pausing, state.under_way, state.position = False, None, None
        if live.head is not None and error is None:
            live.head.stop = reason
            nodes.append(live.head)
        self.metrics.ended.labels(reason).inc()
        taken = time.time() - live.queued
        self.metrics.latency.observe(taken)
        self.seconds += (taken - self.seconds) / 8
        self.registry.changed(live, *nodes)

    def _broken(self, error: Exception) -> None:
        """Recover from an unforeseen error of the engine: end what was under way, begin anew with the
        rest.
        """
        known = "out of memory" if "out of memory" in str(error).lower() else None
        self.engine = self.painter.engine(self.batch)
        lives = list(self.running.values())
        self.running.clear()
        for live in lives:
            live.painting = None
            text = f"the server ran {known}; try a smaller size" if known else UNSEEN
            try:
                self._end(live, StopReason.FAILED, text)
            except Exception:
                log.exception("session %s cannot be stored", live.id)

    # --- within stages -----------------------------------------------------------------------------------

    def _heard(self, session: Session, event: Event) -> None:
        live = self.running.get(session.name)
        if live is None:
            return
        self._tell_text(live, event)
        head, state = live.head, live.state
        open_ = head if head is not None and head.canvas is None and head.state == "written" else None
        match event:
            case TextStarted():
                parent = open_.parent if open_ else state.head
                state.under_way = UnderWay(parent=parent, step=event.step, stage=event.stage)
                if event.step == 0:
                    self.metrics.first.observe(time.time() - live.queued)
            case TextDelta():
                return
            case ImageStarted():
                parent = open_.parent if open_ else state.head
                text = state.under_way.text if state.under_way is not None else ""
                state.under_way = UnderWay(parent=parent, step=event.step, stage=event.stage, text=text)
            case ImagePreview() if state.under_way is not None:
                state.under_way.flow_step, state.under_way.num_steps = event.flow_step, event.num_steps
                live.png = event.png
            case TextFinished():
                self._written(live, session, event, open_)
                return
            case ImageFinished():
                self._painted(live, session, event, open_)
                return
            case Finished():
                live.stream.add(event)
                self._end(live, event.reason)
                return
            case Failed():
                live.stream.add(event)
                self._end(live, StopReason.FAILED, event.message)
                return
        live.stream.add(event)

    @staticmethod
    def _tell_text(live: Live, event: Event) -> None:
        """Announce what is being written, a few pieces together; all of it before any other event."""
        sent = 0.0
        if isinstance(event, TextDelta):
            live.unsent, sent = live.unsent + event.text, time.monotonic()
            if sent - live.sent < GATHER:
                return
        if live.unsent and live.state.under_way is not None:
            live.state.under_way.text += live.unsent
            live.stream.add(TextDelta(event.step, live.unsent))
        live.unsent, live.sent = "", sent

    def _written(self, live: Live, session: Session, event: TextFinished, node: Node | None) -> None:
        """Make a node of a whole message, unless it is one that a person wrote."""
        self._moved.add(session.name)
        state: str = "written" if session.state is Waits.PAINT else "finished"
        if node is None:
            if live.instruct:
                live.instruct.pop(0)
            node = live.add(
                parent=live.state.head,
                step=event.step,
                state=state,
                message=event.message or Message(event.text),
                text=event.text,
                verdict=event.verdict,
                seconds=round(event.seconds, 3),
            )
        else:
            node.state = state  # type: ignore[assignment]
        node.stages = list(Step(node.message).stages)
        self.registry.changed(live, node, event=event)

    def _painted(self, live: Live, session: Session, event: ImageFinished, node: Node | None) -> None:
        """Store a canvas: that of the node under way, or of one without a message."""
        self._moved.add(session.name)
        step = session.steps[-1]
        if node is None:
            node = live.add(
                parent=live.state.head, step=event.step, state="finished", message=Message(), text=""
            )
        node.state, node.seed, node.seconds, node.stages = (
            "finished",
            step.seed,
            step.seconds,
            list(step.stages),
        )
        self.registry.put_canvas(live, node, event.png)
        self.registry.put_trajectory(live)
        live.state.under_way, live.png = None, None
        self.metrics.canvases.inc()
        self.registry.changed(live, node, event=event)
        self.painted(live, node)
