"""What is read anew before a message or a canvas, for families whose loops do not keep what was read before.

Our own process reads everything once. The released loops of some derivatives of BAGEL build a new context for
each message and each canvas, and leave out or show otherwise what came before; here is what. Knows messages
and the order of parts; refuses to know tokens and how anything is read.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

# How a suggestion begins, the last thing that UniCoT says before it paints again.
SUGGESTION = re.compile(r"<sugg>(?!.*<sugg>)", re.DOTALL)


@dataclass(frozen=True)
class ReadText:
    """A text; ``guided`` says whether text guidance may leave it out of what it compares with."""

    text: str
    guided: bool = True


@dataclass(frozen=True)
class ReadCanvas:
    """The canvas of a step, or the picture that was given (None): its latents, or not, and its view."""

    step: int | None
    latents: bool = True


HistoryPart = ReadText | ReadCanvas


@dataclass(frozen=True)
class Past:
    """What a session has read and made.

    Attributes:
        system: system prompt; may be empty.
        prompt: of the session.
        source: whether a picture was given.
        messages: of the finished steps, each of which ends in a canvas.
        message: the one under way, before its canvas is painted; None before it is written.
    """

    system: str
    prompt: str
    source: bool
    messages: Sequence[str]
    message: str | None = None

    def opening(self) -> Iterator[HistoryPart]:
        """Yield the system prompt, if there is one."""
        if self.system:
            yield ReadText(self.system, guided=False)


History = Callable[[Past], Iterator[HistoryPart]]


def views_while_writing(past: Past) -> Iterator[HistoryPart]:
    """Yield Zebra-CoT: prompt before picture; canvases are ViT views while it writes, both while it
    paints.
    """
    painting = past.message is not None
    yield from past.opening()
    # Guidance compares with the context before the last text, so with the prompt in it.
    yield ReadText(past.prompt, guided=False)
    if past.source:
        yield ReadCanvas(None, painting)
    for step, message in enumerate(past.messages):
        yield ReadText(message)
        yield ReadCanvas(step, painting)
    if past.message is not None:
        yield ReadText(past.message)


def last_canvas_only(past: Past) -> Iterator[HistoryPart]:
    """Yield UniCoT: the first thought and the last canvas; while it paints again, the last suggestion
    alone.
    """
    yield from past.opening()
    if past.source:
        yield ReadCanvas(None)
    yield ReadText(past.prompt)
    if past.messages:
        yield ReadText(past.messages[0])
        yield ReadCanvas(len(past.messages) - 1, latents=past.message is not None)
    if past.message is not None:
        found = SUGGESTION.search(past.message) if past.messages else None
        yield ReadText(past.message if found is None else past.message[found.start() :])


def first_canvas_bare(past: Past) -> Iterator[HistoryPart]:
    """Yield UMM-Reflection: the first canvas is painted from the prompt alone, without the system prompt."""
    painted = bool(past.messages) or past.message not in (None, "")
    if painted or past.message is None:
        yield from past.opening()
    if past.source:
        yield ReadCanvas(None)
    yield ReadText(past.prompt)
    for step, message in enumerate(past.messages):
        if message:
            yield ReadText(message)
        yield ReadCanvas(step)
    if past.message:
        yield ReadText(past.message)
