"""Messages while they are written, in many paintings at once; where the caller gives the stroke, around it.

Knows tokens, texts, and where a caller's words are put in. What a finished message leads to is settled in
``course``.
"""

from collections.abc import Iterator, Sequence
from time import perf_counter

from strokewise.errors import ContextLengthError
from strokewise.inference.context import Context
from strokewise.inference.course import Course, Ended
from strokewise.inference.formats import Following, ProtocolFormat
from strokewise.inference.generator import Generator
from strokewise.inference.options import PaintingOptions
from strokewise.inference.writing import TextStep, WriteEvent
from strokewise.sequence import Segment, Tokenizer
from strokewise.trajectory.events import Event, TextDelta, TextFinished, TextStarted
from strokewise.trajectory.values import TAG

# How a tag begins: from here on, a message that the caller takes over is not told to the listener.
TAG_START = "<"


class Draft:
    """A message while it is written."""

    def __init__(self, course: Course, tokenizer: Tokenizer) -> None:
        """Begin an empty message."""
        self.course, self.tokenizer = course, tokenizer
        self.number = course.number
        self.ids: list[int] = []
        self.ended: Ended | None = None
        self.stop_id: int | None = None
        self.told = ""

    @property
    def text(self) -> str:
        """What is written so far."""
        return self.tokenizer.decode(self.ids)

    def untold(self, until: str = "") -> str:
        """Whole characters not told yet, up to the first ``until``; they count as told from now on."""
        text = self.text.rstrip("\ufffd")  # the first bytes of a character whose rest is still to come
        if until:
            text = text.partition(until)[0]
        if not text.startswith(self.told):
            return ""
        new, self.told = text[len(self.told) :], text
        return new

    def keep(self, said: str) -> str:
        """Drop the ids behind ``said``, a beginning of the text; returns what of it no whole id makes up."""
        while self.ids and not said.startswith(self.text):
            self.ids.pop()
        return said[len(self.text) :]


class Messages:
    """One message in each of some paintings, written together."""

    def __init__(
        self,
        generator: Generator,
        tokenizer: Tokenizer,
        protocol_format: ProtocolFormat,
        options: PaintingOptions,
        courses: Sequence[Course],
    ) -> None:
        """Prepare to write the next message of ``courses``."""
        self.generator, self.tokenizer = generator, tokenizer
        self.protocol_format, self.options = protocol_format, options
        self.drafts = [Draft(course, tokenizer) for course in courses]
        special = generator.special
        opens: dict[int | None, Following] = {special.image_start: "image", special.sequence_end: "end"}
        # Some models open an image without closing their text before; that decides as well as any.
        self.decided = opens if protocol_format.trigger == "token" else {}

    def run(self) -> Iterator[tuple[Course, Event]]:
        """Write, streaming; then every course has been told what its message was."""
        start = perf_counter()
        for draft in self.drafts:
            yield draft.course, TextStarted(draft.number)
        instructed = [draft for draft in self.drafts if draft.course.instruction is not None]
        if self.protocol_format.tagged:
            # The verdict on the canvas before is the model's; what it would paint next is not listened to.
            yield from self._stream([draft for draft in instructed if draft.number], TAG_START)
        for draft in instructed:
            if draft.ended != "context":
                self._instruct(draft)
                yield draft.course, TextDelta(draft.number, draft.untold())
        yield from self._stream([draft for draft in self.drafts if draft.ended is None])
        seconds = perf_counter() - start
        for draft, following in zip(self.drafts, self._followings(), strict=True):
            assert draft.ended is not None, "every text was written to its end"
            draft.course.wrote(draft.text, draft.ended, following, seconds)
            yield draft.course, TextFinished(draft.number, draft.text, seconds)

    def _stream(self, drafts: Sequence[Draft], until: str = "") -> Iterator[tuple[Course, Event]]:
        """Write on until every text has ended."""
        for draft in drafts:
            if not has_room(self.generator, draft.course.context, 2 + self.options.max_tokens):
                draft.ended = "context"
        drafts = [draft for draft in drafts if draft.ended is None]
        if not drafts:
            return
        for event in self._writing(drafts):
            if isinstance(event, TextStep):
                for draft, token in zip(drafts, event.ids, strict=True):
                    if token is not None:
                        draft.ids.append(token)
                        if new := draft.untold(until):
                            yield draft.course, TextDelta(draft.number, new)
                continue
            for draft, stop_id in zip(drafts, event.stop_ids, strict=True):
                draft.stop_id, draft.ended = stop_id, "tokens" if stop_id is None else "whole"

    def _writing(self, drafts: Sequence[Draft]) -> Iterator[WriteEvent]:
        stop_ids = frozenset(token for token in self.decided if token is not None)
        contexts = [draft.course.context for draft in drafts]
        seeds = [draft.course.seed("text") for draft in drafts]
        return self.generator.write(contexts, self.options.writing(stop_ids), seeds)

    def _instruct(self, draft: Draft) -> None:
        """Put the caller's instruction where the model's own would stand."""
        context, instruction = draft.course.context, draft.course.instruction
        assert instruction is not None, "only such drafts are asked for"
        if not self.protocol_format.tagged:
            ids = self.tokenizer.encode(instruction)
            self._append(draft, ids, Segment.text(ids))
            draft.ended = draft.ended or "whole"
            return
        said, draft.ended = "", None
        if draft.number:
            tag = TAG.search(draft.text)
            said = draft.text[: tag.start()] if tag else draft.text
            rest = draft.keep(said)
            # The text is open again behind what is kept of it: its opening delimiter and some ids.
            closed = len(context.entries[-1].ids)
            context.truncate(tokens=context.length - closed + 1 + len(draft.ids))
            said = rest + ("" if not said or said[-1].isspace() else " ")
        ids = self.tokenizer.encode(said + self.protocol_format.head(instruction))
        self._append(draft, ids, Segment.text(ids, opens=not draft.number, closes=False))

    def _append(self, draft: Draft, ids: Sequence[int], segment: Segment) -> None:
        if has_room(self.generator, draft.course.context, segment.length):
            self.generator.append([draft.course.context], [[segment]])
            draft.ids += ids
        else:
            draft.ended = "context"

    def _followings(self) -> list[Following]:
        """What the model would go on with behind each text."""
        asked = [
            d for d in self.drafts if self.decided and d.ended == "whole" and d.stop_id not in self.decided
        ]
        told = self.generator.continuations([d.course.context for d in asked]) if asked else []
        found: dict[Draft, Following] = dict(zip(asked, told, strict=True))
        return [found.get(draft) or self.decided.get(draft.stop_id, "text") for draft in self.drafts]


def has_room(generator: Generator, context: Context, tokens: int) -> bool:
    """Whether so many further positions are known to the model."""
    try:
        generator.check_length(context.position + tokens)
    except ContextLengthError:
        return False
    return True
