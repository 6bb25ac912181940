"""Messages while they are written, in many sessions at once, around what somebody else supplies of them.

Knows tokens, texts, and where supplied words are put in. What a finished message leads to is decided in
``session``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from time import perf_counter

from strokewise.critics.conclusions import Conclusion
from strokewise.errors import ContextLengthError
from strokewise.inference.context import Context
from strokewise.inference.formats import Following
from strokewise.inference.generator import Generator
from strokewise.inference.policies import Begin, Instruct, Say
from strokewise.inference.session import Ended, Session
from strokewise.inference.writing import Constraint, TextStep, WriteEvent, WriteOptions
from strokewise.sequence import Segment, Tokenizer
from strokewise.trajectory.events import Event, TextDelta, TextFinished, TextStarted
from strokewise.trajectory.values import TAG, Message

# How a tag begins: from here on, a message whose instruction is supplied is not streamed to the listener.
TAG_START = "<"

SuppliedReply = Say | Begin | Instruct | None


class Draft:
    """A message while it is written."""

    def __init__(self, session: Session, supplied: SuppliedReply, tokenizer: Tokenizer) -> None:
        """Begin an empty message of ``session``, of which ``supplied`` is given."""
        self.session, self.supplied, self.tokenizer = session, supplied, tokenizer
        self.number = session.number
        self.ids: list[int] = []
        self.before = ""
        self.ended: Ended | None = None
        self.stop_id: int | None = None
        # What the message says of the canvas before, where the model reads something else.
        self.inspection = ""
        self.emitted = ""

    @property
    def text(self) -> str:
        """What is written so far."""
        return self.before + self.tokenizer.decode(self.ids)

    @property
    def shown(self) -> str:
        """The text as it is shown and stored."""
        if not self.inspection:
            return self.text
        tag = TAG.search(self.text)
        return f"{self.inspection} {self.text[tag.start() :]}" if tag else self.inspection

    def turn(self) -> None:
        """Begin a further text of the same message."""
        self.before, self.ids, self.ended, self.stop_id = self.text + "\n", [], None, None

    def new_text(self, until: str = "") -> str:
        """Return whole characters not emitted yet, up to the first ``until``; they count as emitted from now
        on.
        """
        text = self.shown.rstrip("\ufffd")  # the first bytes of a character whose rest is still to come
        if until:
            text = text.partition(until)[0]
        # A further token can change how earlier bytes decode; what was emitted cannot be taken back.
        if not text.startswith(self.emitted):
            return ""
        new, self.emitted = text[len(self.emitted) :], text
        return new

    @property
    def inspects(self) -> bool:
        """Whether the model inspects a canvas in it, in a family that says what it sees."""
        model = self.supplied is None or isinstance(self.supplied, Instruct)
        seen = self.number > 0 and self.session.steps[-1].image is not None
        return model and seen and self.session.protocol.say_seen is not None

    @property
    def accepts(self) -> bool:
        """Whether the canvas is kept whatever it shows, for it was refined as often as may be."""
        spent = self.session.refinements >= self.session.options.max_refinements
        return self.inspects and spent and self.session.planned != ""

    @property
    def looks(self) -> bool:
        """Whether it begins with what the canvas before it shows, read from the canvas alone."""
        options = self.session.options
        return options.look and self.inspects and (options.compare_words or not self.accepts)

    def keep(self, beginning: str) -> str:
        """Drop the ids behind ``beginning`` of the text; returns the part of it that no whole id makes up."""
        # A token can hold characters from both sides of the cut: it goes, and its first part is encoded anew.
        while self.ids and not beginning.startswith(self.text):
            self.ids.pop()
        return beginning[len(self.text) :]


class Messages:
    """One message in each of some sessions that share protocol format and options, written together."""

    def __init__(self, generator: Generator, tokenizer: Tokenizer, drafts: Sequence[Draft]) -> None:
        """Prepare to write ``drafts``; nothing is computed yet."""
        self.generator, self.tokenizer, self.drafts = generator, tokenizer, drafts
        self.protocol, self.options = drafts[0].session.protocol, drafts[0].session.options
        special = generator.special
        opens: dict[int | None, Following] = {special.image_start: "image", special.sequence_end: "end"}
        # Some models open an image without closing their text before; that decides as well as any.
        self.decided = opens if self.protocol.trigger == "token" else {}

    def run(self) -> Iterator[tuple[Session, Event]]:
        """Write, streaming; at the end every session knows its message."""
        start = perf_counter()
        for draft in self.drafts:
            yield draft.session, TextStarted(draft.number, draft.session.stage)
        yield from self._look([draft for draft in self.drafts if draft.looks])
        for draft in [draft for draft in self.drafts if draft.accepts and not draft.looks]:
            yield draft.session, self._accept(draft, None)
        if self.protocol.tagged:
            # The verdict on the canvas before is the model's; what it would paint next is dropped.
            yield from self._stream([d for d in self._with(Instruct) if d.number], TAG_START)
        for draft in self._with(Instruct, Begin, Say):
            if draft.ended != "context":
                self._supply(draft)
                yield draft.session, TextDelta(draft.number, draft.new_text())
        yield from self._stream([draft for draft in self.drafts if draft.ended is None])
        for request in self.protocol.turns[1:]:
            yield from self._turn([d for d in self.drafts if d.number and d.ended == "whole"], request)
        if self.protocol.tagged:
            for draft in self._with(Instruct):
                if draft.ended == "tokens":
                    self._close(draft)
        seconds = perf_counter() - start
        for draft, following in zip(self.drafts, self._followings(), strict=True):
            assert draft.ended is not None, "every text was written to its end"
            draws = isinstance(draft.supplied, Instruct | Say)
            message, verdict = draft.session.wrote(draft.shown, draft.ended, following, seconds, draws)
            yield draft.session, TextFinished(draft.number, draft.shown, seconds, message, verdict)

    def _with(self, *kinds: type) -> list[Draft]:
        return [draft for draft in self.drafts if isinstance(draft.supplied, kinds)]

    def _stream(self, drafts: Sequence[Draft], until: str = "") -> Iterator[tuple[Session, Event]]:
        """Write on until every text has ended."""
        for draft in drafts:
            # Two more for the delimiters.
            if not has_room(self.generator, draft.session.context, 2 + self.options.max_tokens):
                draft.ended = "context"
        drafts = [draft for draft in drafts if draft.ended is None]
        if not drafts:
            return
        for event in self._writing(drafts):
            if isinstance(event, TextStep):
                for draft, token in zip(drafts, event.ids, strict=True):
                    if token is not None:
                        draft.ids.append(token)
                        draft.session.usage.text_tokens += 1
                        if new := draft.new_text(until):
                            yield draft.session, TextDelta(draft.number, new)
                continue
            for draft, stop_id in zip(drafts, event.stop_ids, strict=True):
                draft.stop_id, draft.ended = stop_id, "tokens" if stop_id is None else "whole"

    def _turn(self, drafts: list[Draft], request: str) -> Iterator[tuple[Session, Event]]:
        """Write a further text of inspections that did not end the trajectory by their words."""
        going = [d for d in drafts if d.supplied is None and not self.protocol.stopped(d.text)]
        for draft in going:
            draft.turn()
            if request:
                ids = self.tokenizer.encode(request)
                if has_room(self.generator, draft.session.context, len(ids) + 2):
                    self.generator.append([draft.session.context], [[Segment.text(ids)]])
                else:
                    draft.ended = "context"
        yield from self._stream([draft for draft in going if draft.ended is None])

    def _writing(self, drafts: Sequence[Draft]) -> Iterator[WriteEvent]:
        stop_ids = frozenset(token for token in self.decided if token is not None)
        contexts = [draft.session.context for draft in drafts]
        seeds = [draft.session.seed("text") for draft in drafts]
        options = replace(self.options.writing(stop_ids), logit_bias=self._fault_bias())
        constraint = _all_of(self._without_refinement(drafts), self._as_outlined(drafts))
        return self.generator.write(contexts, replace(options, constraint=constraint), seeds)

    def _without_refinement(self, drafts: Sequence[Draft]) -> Constraint | None:
        """Return what keeps canvases that are accepted from another correction, whatever their inspection
        says.
        """
        rows = {row for row, draft in enumerate(drafts) if draft.accepts and self.protocol.tagged}
        if not rows:
            return None
        plan = {*self.tokenizer.encode("<ins>"), *self.tokenizer.encode("<des>")}
        tag = {*self.tokenizer.encode("<refine>")} - plan
        allowed = [token for token in range(self.tokenizer.vocab_size) if token not in tag]
        return lambda row, _: allowed if row in rows else None

    def _as_outlined(self, drafts: Sequence[Draft]) -> Constraint | None:
        """Return what makes the plans of outlined sessions those of the outline; a revised plan is the
        model's own.
        """
        opening, plans = self.tokenizer.encode("<ins>"), dict[int, list[int]]()
        for row, draft in enumerate(drafts):
            plan = draft.session.outlined
            if plan is not None and draft.supplied is None:
                text = Message(ins=plan.ins, des=plan.des).text()
                plans[row] = self.tokenizer.encode(text.removeprefix("<ins>"))
        begun: dict[int, int] = {}

        def constraint(row: int, ids: Sequence[int]) -> Sequence[int] | None:
            if row not in plans:
                return None
            if row not in begun and [*ids[-len(opening) :]] == opening:
                refines = "<refine>" in self.tokenizer.decode([*drafts[row].ids])
                begun[row] = -1 if refines else len(ids)
            if begun.get(row, -1) < 0:
                return None
            return plans[row][len(ids) - begun[row] :][:1] or None

        return constraint if plans else None

    def _fault_bias(self) -> tuple[tuple[int, float], ...]:
        """Return the bias against finding faults, on the ids that such words begin with."""
        if not self.options.fault_bias:
            return ()
        first = dict.fromkeys(self.tokenizer.encode(word)[0] for word in self.protocol.fault_words)
        return tuple((token, self.options.fault_bias) for token in first)

    def _look(self, drafts: list[Draft]) -> Iterator[tuple[Session, Event]]:
        """Begin messages with what their canvases show.

        In the sequence the plan stands before the canvas, and the likeliest words for what is seen are the
        plan's own. So they are written in a context of the canvas alone, and read into the sequence.
        """
        if not drafts:
            return
        for draft, (text, tokens) in zip(drafts, self._descriptions(drafts), strict=True):
            draft.session.usage.text_tokens += tokens
            described = self.protocol.readable(text).des
            conclusion = self._conclusion(draft, described) if described else None
            if draft.accepts:
                yield draft.session, self._accept(draft, conclusion)
            elif described:
                yield draft.session, self._say_seen(draft, described, conclusion)

    def _conclusion(self, draft: Draft, described: str) -> Conclusion | None:
        """Return what follows from the model's words, where that is wanted and anything does."""
        if not self.options.compare_words or self.protocol.conclude is None:
            return None
        return self.protocol.conclude(draft.session.request.prompt, draft.session.planned, described)

    def _say_seen(self, draft: Draft, description: str, conclusion: Conclusion | None) -> TextDelta:
        assert self.protocol.say_seen is not None, "only such drafts inspect"
        text = conclusion.message.text() if conclusion else self.protocol.say_seen(description)
        return self._begin(draft, text)

    def _accept(self, draft: Draft, conclusion: Conclusion | None) -> TextDelta:
        """Keep a canvas that was refined as often as may be; what is wrong with it is said all the same.

        A model that reads of a fault corrects it. So it reads that the canvas shows its plan, and continues.
        """
        if conclusion is not None and not conclusion.fits:
            draft.inspection, conclusion = conclusion.message.inspect, None
        return self._say_seen(draft, draft.session.planned, conclusion)

    def _descriptions(self, drafts: list[Draft]) -> list[tuple[str, int]]:
        """Return what the model writes, greedily, after each canvas alone, and in how many tokens."""
        contexts = [self.generator.context() for _ in drafts]
        images = [draft.session.steps[-1].image for draft in drafts]
        self.generator.see(contexts, [image for image in images if image is not None])
        alone = [context.fork() for context in contexts]
        written: tuple[tuple[int, ...], ...] = ()
        for event in self.generator.write(contexts, WriteOptions(self.options.max_tokens)):
            if not isinstance(event, TextStep):
                written = event.ids
        evident = self._evident(drafts, alone, written)
        return [
            (self.tokenizer.decode(list(ids)), len(old)) for ids, old in zip(evident, written, strict=True)
        ]

    def _evident(
        self, drafts: list[Draft], contexts: list[Context], written: Sequence[Sequence[int]]
    ) -> Sequence[Sequence[int]]:
        """Return the plan's words in the place of those that are hardly likelier for the canvas alone."""
        if not self.options.fault_margin:
            return written
        planned = [self.tokenizer.encode(self.protocol.as_seen(draft.session.planned)) for draft in drafts]
        # Where both are the same words, nothing has to be weighed.
        doubtful = [row for row in range(len(drafts)) if [*written[row]] != planned[row]]
        if not doubtful:
            return written
        evident = [*written]
        alone = [contexts[row] for row in doubtful]
        texts = [*(written[row] for row in doubtful), *(planned[row] for row in doubtful)]
        found = self.generator.log_likelihoods([*alone, *alone], texts)
        for row, of_seen, of_plan in zip(doubtful, found, found[len(doubtful) :], strict=False):
            if of_seen - of_plan <= self.options.fault_margin:
                evident[row] = planned[row]
        return evident

    def _supply(self, draft: Draft) -> None:
        """Read what is supplied of a message, and leave the text open where the model continues it."""
        supplied = draft.supplied
        if isinstance(supplied, Instruct) and self.protocol.tagged:
            self._instruct(draft, supplied.instruction)
            return
        if isinstance(supplied, Begin):
            self._begin(draft, supplied.text)
            return
        assert supplied is not None, "only such drafts are passed here"
        text = supplied.message.text() if isinstance(supplied, Say) else supplied.instruction
        ids = self.tokenizer.encode(text)
        self._append(draft, ids, Segment.text(ids))
        draft.ended = draft.ended or "whole"

    def _instruct(self, draft: Draft, instruction: str) -> None:
        """Put an instruction where the model's own would stand."""
        context, beginning, draft.ended = draft.session.context, "", None
        if draft.number:
            tag = TAG.search(draft.text)
            beginning = draft.text[: tag.start()] if tag else draft.text
            rest = draft.keep(beginning)
            # The text is open again behind what is kept of it: its opening delimiter and some ids.
            closed = len(context.entries[-1].ids)
            context.truncate(tokens=context.length - closed + 1 + len(draft.ids))
            beginning = rest + ("" if not beginning or beginning[-1].isspace() else " ")
        ids = self.tokenizer.encode(beginning + self.protocol.head(instruction))
        self._append(draft, ids, Segment.text(ids, opens=not draft.number, closes=False))

    def _close(self, draft: Draft) -> None:
        """End a description at its bound, so that the canvas of a supplied instruction follows."""
        if not self.protocol.readable(draft.text + self.protocol.tail()).paints:
            return  # tags inside it: no message, wherever it ends
        context = draft.session.context
        context.truncate(tokens=context.length - 1)  # its closing delimiter comes after the tag
        ids = self.tokenizer.encode(self.protocol.tail())
        draft.ended = "whole"
        self._append(draft, ids, Segment.text(ids, opens=False))

    def _begin(self, draft: Draft, text: str) -> TextDelta:
        ids = self.tokenizer.encode(text)
        self._append(draft, ids, Segment.text(ids, closes=False))
        return TextDelta(draft.number, draft.new_text())

    def _append(self, draft: Draft, ids: Sequence[int], segment: Segment) -> None:
        if has_room(self.generator, draft.session.context, segment.length):
            self.generator.append([draft.session.context], [[segment]])
            draft.ids += ids
        else:
            draft.ended = "context"

    def _followings(self) -> list[Following]:
        """Return what follows each text: what a supplied message announces, else what the model would."""
        found: dict[Draft, Following] = {}
        for draft in self._with(Say):
            assert isinstance(draft.supplied, Say)
            found[draft] = "image" if draft.supplied.message.paints else "end"
        open_ = [
            d
            for d in self.drafts
            if self.decided and d not in found and d.ended == "whole" and d.stop_id not in self.decided
        ]
        if open_:
            found |= zip(open_, self.generator.continuations([d.session.context for d in open_]), strict=True)
        return [found.get(draft) or self.decided.get(draft.stop_id, "text") for draft in self.drafts]


def _all_of(*constraints: Constraint | None) -> Constraint | None:
    """Return what allows the ids that all of the constraints allow."""
    given = [constraint for constraint in constraints if constraint is not None]
    if len(given) < 2:
        return given[0] if given else None

    def both(row: int, ids: Sequence[int]) -> Sequence[int] | None:
        allowed = [ids_ for constraint in given if (ids_ := constraint(row, ids)) is not None]
        if not allowed:
            return None
        return [token for token in allowed[-1] if all(token in each for each in allowed[:-1])]

    return both


def has_room(generator: Generator, context: Context, tokens: int) -> bool:
    """Return whether so many further positions are known to the model."""
    try:
        generator.check_length(context.position + tokens)
    except ContextLengthError:
        return False
    return True
