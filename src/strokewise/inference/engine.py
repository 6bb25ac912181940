"""Engine: advances any number of sessions together, a stage at a time, and emits what happens as events.

Sessions join, leave and are cancelled between stages. What follows what is decided in ``session`` and
``policies``, what a text calls for in ``formats``; what is read before anything is made in ``reading``, and
how texts and pictures are made in ``generator``.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from numbers import Integral
from time import perf_counter

from PIL import Image

from strokewise.errors import ConfigError, StrokewiseError
from strokewise.inference.formats import STROKEWISE, ProtocolFormat
from strokewise.inference.generator import Generator
from strokewise.inference.messages import Draft, Messages, has_room
from strokewise.inference.options import PaintingOptions, Request
from strokewise.inference.outlines import write_outlines
from strokewise.inference.painting import PaintOptions, Preview
from strokewise.inference.policies import End, PaintNow, Policy, Reply
from strokewise.inference.reading import fit_canvas, read_anew, read_beginnings
from strokewise.inference.refining import better_than_before, read_in_place
from strokewise.inference.session import Session, SessionState
from strokewise.sequence import ImageLimits, Tokenizer, load_rgb
from strokewise.trajectory.events import Event, Failed, Finished, ImageFinished, ImagePreview, ImageStarted
from strokewise.trajectory.files import encode_png
from strokewise.trajectory.values import StopReason, Trajectory

Emitted = Iterator[tuple[Session, Event]]
BATCH = 8


class Engine:
    """Sessions that advance together on one model.

    The first ``batch`` unfinished sessions are under way; the others wait their turn in the order in which
    they were opened. Each gets the words and pictures it would get alone, up to the rounding of batched
    products (at most one of 255 levels a pixel); with ``batch=1`` the network sees one session at a time
    and results are equal to the bit, whatever else the engine does.
    """

    def __init__(
        self, generator: Generator, tokenizer: Tokenizer, model: str = "", batch: int = BATCH
    ) -> None:
        """Prepare an engine without sessions.

        Args:
            generator: writes and paints.
            tokenizer: of its model.
            model: its name, for the record.
            batch: sessions under way at once.

        Raises:
            ConfigError: if ``batch`` is no number of at least one.
        """
        whole: object = batch  # as callers give it; numpy's integers are no int
        if not isinstance(whole, Integral) or batch < 1:
            raise ConfigError(f"batch is {batch!r:.60}; it must be a whole number of at least 1")
        self.generator, self.tokenizer, self.model, self.batch = generator, tokenizer, model, batch
        self.sessions: dict[str, Session] = {}
        self._finished: set[str] = set()
        self._opened = 0

    # --- joining and leaving -----------------------------------------------------------------------------

    def open(
        self,
        request: Request,
        options: PaintingOptions | None = None,
        *,
        policy: Policy | None = None,
        protocol: ProtocolFormat = STROKEWISE,
        name: str | None = None,
        keep: bool = True,
    ) -> Session:
        """Let a session join; nothing is computed before the next :meth:`advance`.

        Args:
            request: what to paint.
            options: how.
            policy: who decides what is said and painted; default: the model.
            protocol: how the model's texts are read.
            name: unique in this engine; default: its number.
            keep: keep the contexts of all steps, so that it can be edited and forked, until it is closed.

        Raises:
            ConfigError: if there is such a session already, or the policy cannot follow the request.
            InputError: if the model cannot paint canvases of the size.
        """
        options, policy = options or PaintingOptions(), policy or Policy()
        policy.check(request, protocol)
        if options.fault_bias and not protocol.fault_words:
            raise ConfigError(
                f"it is not known how texts of {protocol.name} word faults; leave fault_bias at 0"
            )
        size = self.size(options, request.source)
        self.generator.canvas.check(*size)
        if request.source is not None:
            request = replace(request, source=fit_canvas(request.source, size))
        canvases = {number: fit_canvas(image, size) for number, image in request.canvases.items()}
        request = replace(request, canvases=canvases)
        context, name = self.generator.context(), name or str(self._opened)
        session = Session(name, request, protocol, options, policy, size, context, self.model, keep)
        return self.join(session)

    def fork(
        self,
        session: Session,
        at: int | None = None,
        *,
        seed: int | None = None,
        policy: Policy | None = None,
        name: str | None = None,
    ) -> Session:
        """Let a branch of a session join; see :meth:`Session.fork`."""
        return self.join(session.fork(name or str(self._opened), at, seed=seed, policy=policy))

    def join(self, session: Session) -> Session:
        """Let a session of this model join, such as one that left; ConfigError if its name is taken."""
        if session.name in self.sessions:
            raise ConfigError(f"there is a session {session.name!r} already")
        self.sessions[session.name] = session
        self._opened += 1
        return session

    def leave(self, session: Session) -> None:
        """Set a session aside, between stages; it keeps its memory and continues after :meth:`join`."""
        self.sessions.pop(session.name, None)

    def cancel(self, session: Session) -> None:
        """End a session at the next stage boundary; what it has painted stays in its trajectory."""
        session.cancelled = True

    def close(self, session: Session) -> None:
        """Forget a session and free its memory, now; one that is not done is cancelled first."""
        if not session.done:
            session.cancelled = True
            session.finish(StopReason.CANCELLED)
        session.release()
        self.sessions.pop(session.name, None)
        self._finished.discard(session.name)

    def memory(self) -> int:
        """Return bytes of all keys and values that the sessions hold; what they share counts once."""
        contexts = chain.from_iterable(session.contexts() for session in self.sessions.values())
        return sum({key: size for context in contexts for key, size in context.storage().items()}.values())

    def trajectories(self) -> list[Trajectory]:
        """Return what was painted so far, in the order in which the sessions were opened."""
        return [session.trajectory() for session in self.sessions.values()]

    # --- running -----------------------------------------------------------------------------------------

    def run(self) -> Emitted:
        """Advance until every session is done; abandoning the iterator leaves them as far as they came."""
        while self.pending():
            yield from self.advance()

    def pending(self) -> bool:
        """Return whether a session is not done, or was edited, or its end was not emitted yet."""
        return any(not s.done or s.name not in self._finished for s in self.sessions.values())

    def advance(self) -> Emitted:
        """Yield one stage of some sessions: prompts are read first, then messages written, then canvases
        painted.

        So sessions that joined at different times come to write and to paint together, and share the passes.
        A plan of each outline is written beside: some take many, and nobody is to wait for them.
        """
        yield from self._sweep()
        waiting: dict[SessionState, list[Session]] = defaultdict(list)
        # In the order of joining: a session under way is never overtaken by one that joins later.
        for session in [s for s in self.sessions.values() if not s.done][: self.batch]:
            waiting[session.state].append(session)
        if outlining := waiting[SessionState.OUTLINE]:
            yield from self._sharing(self._outline, outlining, lambda s: s.options)
        if reading := waiting[SessionState.READ]:
            yield from self._sharing(self._read, reading, lambda s: s.protocol.system)
        elif writing := waiting[SessionState.WRITE]:
            yield from self._sharing(self._write, writing, lambda s: (s.protocol, s.options))
        else:
            yield from self._sharing(self._paint, waiting[SessionState.PAINT], _painting_options)
        yield from self._sweep()

    def _sharing(
        self,
        stage: Callable[[list[Session]], Emitted],
        sessions: Iterable[Session],
        key: Callable[[Session], Hashable],
    ) -> Emitted:
        """Perform a stage for some sessions, those that agree in ``key`` together.

        An error of the user fails the sessions it struck and no others.
        """
        groups: dict[Hashable, list[Session]] = defaultdict(list)
        for session in sessions:
            groups[key(session)].append(session)
        for group in groups.values():
            # A reader of the events of an earlier group may have cancelled one of this group.
            group = [session for session in group if not session.cancelled]
            try:
                if group:
                    yield from stage(group)
            except StrokewiseError as error:
                for session in group:
                    if not session.done:
                        session.fail(error)

    def _sweep(self) -> Emitted:
        """Emit the ends of sessions that are done by now, cancelled ones included."""
        # A copy: a receiver of an event may let sessions join or leave.
        for session in list(self.sessions.values()):
            if session.cancelled and not session.done:
                session.finish(StopReason.CANCELLED)
            if not session.done:
                self._finished.discard(session.name)
            elif session.name not in self._finished:
                self._finished.add(session.name)
                if session.error is not None:
                    yield session, Failed(session.number, str(session.error))
                else:
                    yield session, Finished(session.number, session.stop or StopReason.END)

    # --- reading -----------------------------------------------------------------------------------------

    def size(self, options: PaintingOptions, source: Image.Image | None) -> tuple[int, int]:
        """Return the (height, width) of canvases: the stated one, or what the model paints by itself."""
        if options.size is not None:
            return options.size
        limits = self.generator.canvas
        # Twice the smallest side it is shown: 1024 for BAGEL, 128 for nano, what they were trained on.
        side = min(2 * limits.smallest, limits.largest)
        if source is None:
            return side, side
        width, height = ImageLimits(limits.stride, limits.smallest, side).fit(*load_rgb(source).size)
        return height, width

    def _read(self, sessions: list[Session]) -> Emitted:
        """Read what stands before the first message."""
        read_beginnings(self.generator, self.tokenizer, sessions)
        # Reading emits nothing, but is a stage like the others.
        yield from ()

    def _outline(self, sessions: list[Session]) -> Emitted:
        """Write plans of what is to be painted, one in each chain."""
        write_outlines(self.generator, self.tokenizer, sessions)
        # As reading.
        yield from ()

    # --- messages ----------------------------------------------------------------------------------------

    def _write(self, sessions: list[Session]) -> Emitted:
        """Write the next message of each: supplied, begun by somebody else, or the model's own."""
        replies: list[tuple[Session, Reply | None]] = []
        for session in sessions:
            read_anew(self.generator, self.tokenizer, session)
            # Before the policy is queried, which may look at the session as it stands.
            session.begin_message()
            try:
                replies.append((session, session.next_message()))
            except Exception as error:  # a policy may be anybody's code; the others continue
                session.fail(error)
        self._end_where_the_model_ends([session for session, reply in replies if reply is None])
        drafts = []
        for session, reply in replies:
            if isinstance(reply, End):
                session.finish(reply.reason)
            elif isinstance(reply, PaintNow):
                session.paint_silently()
            elif session.done:
                continue
            elif not has_room(self.generator, session.context, 2 + session.options.max_tokens):
                session.finish(StopReason.CONTEXT)
            else:
                drafts.append(Draft(session, reply, self.tokenizer))
        if drafts:
            yield from Messages(self.generator, self.tokenizer, drafts).run()

    def _end_where_the_model_ends(self, sessions: list[Session]) -> None:
        """End the sessions whose sequence the model ends right after its last canvas."""
        continued = [s for s in sessions if s.steps and s.protocol.trigger == "token"]
        following = self.generator.continuations([s.context for s in continued]) if continued else []
        for session, next_ in zip(continued, following, strict=True):
            if next_ == "end":
                session.finish(StopReason.END)

    # --- canvases ----------------------------------------------------------------------------------------

    def _paint(self, sessions: list[Session]) -> Emitted:
        """Paint one canvas in each, or take one that is supplied."""
        start, supplied = perf_counter(), list[tuple[Session, Image.Image]]()
        for session in sessions:
            read_anew(self.generator, self.tokenizer, session)
            if not has_room(self.generator, session.context, 2):
                session.finish(StopReason.CONTEXT)
                continue
            session.begin_canvas()
            try:
                image = session.next_canvas()
            except Exception as error:  # as in _write
                session.fail(error)
                continue
            if image is not None:
                supplied.append((session, fit_canvas(image, session.size)))
        # Supplied canvases are read before the others are painted, so that one batch holds painted ones only.
        given = {session.name for session, _ in supplied}
        if supplied:
            of, images = map(list, zip(*supplied, strict=True))
            self.generator.see([session.context for session in of], images)
            for session in of:
                yield session, _started(session, 0)
            yield from self._finish(of, images, [None] * len(of), perf_counter() - start)
        painting = [session for session in sessions if not session.done and session.name not in given]
        if painting:
            yield from self._paint_together(painting, _painting_options(painting[0]))

    def _paint_together(self, sessions: list[Session], options: PaintOptions) -> Emitted:
        start = perf_counter()
        for session in sessions:
            yield session, _started(session, options.num_steps)
        contexts, seeds = [s.context for s in sessions], [s.seed("noise") for s in sessions]
        for session in sessions:
            session.usage.images += 1
            # Counted before the work, so that an abandoned canvas is paid for too.
            session.usage.flow_steps += options.num_steps
            session.usage.passes += options.passes(session.context.has_image)
        for event in self.generator.paint(contexts, [s.size for s in sessions], options, seeds):
            if isinstance(event, Preview):
                for session, image in zip(sessions, event.images, strict=True):
                    png = encode_png(image)
                    yield session, ImagePreview(session.number, event.step, event.num_steps, png)
            else:
                yield from self._finish(sessions, event.images, seeds, perf_counter() - start)

    def _finish(
        self,
        sessions: list[Session],
        images: Sequence[Image.Image],
        seeds: Sequence[int | None],
        seconds: float,
    ) -> Emitted:
        kept = self._keep_better(sessions, images, seeds)
        for session, (image, seed) in zip(sessions, kept, strict=True):
            # Made first: ``painted`` moves the session to its next step and stage.
            event = ImageFinished(session.number, session.stage, encode_png(image), seconds)
            if session.replaces_sketch:
                read_in_place(self.generator, self.tokenizer, session, image)
            session.painted(image, seed, seconds)
            yield session, event

    def _keep_better(
        self, sessions: list[Session], images: Sequence[Image.Image], seeds: Sequence[int | None]
    ) -> list[tuple[Image.Image, int | None]]:
        """Return each canvas and its seed; where the model's own refinement is no better, those before it."""
        made = list(zip(images, seeds, strict=True))
        asked = [i for i, session in enumerate(sessions) if seeds[i] is not None and session.keeps_better]
        if asked:
            of, refined = [sessions[i] for i in asked], [images[i] for i in asked]
            for i, better in zip(
                asked, better_than_before(self.generator, self.tokenizer, of, refined), strict=True
            ):
                image = sessions[i].steps[-1].image
                if not better and image is not None:
                    made[i] = image, sessions[i].steps[-1].seed
        return made


def _painting_options(session: Session) -> PaintOptions:
    """Return how the next canvas is painted; guidance depends on whether an image was read."""
    options = session.options.painting(session.context.has_image)
    # A canvas after which nothing is read need not be encoded.
    last = session.policy.stops_after_canvas(session) is not None
    return replace(options, feedback="none") if last else options


def _started(session: Session, num_steps: int) -> ImageStarted:
    height, width = session.size
    return ImageStarted(session.number, session.stage, width, height, num_steps)
