"""Training samples of texts and images, and the sources that give them.

Knows ids and pixels. Which tokens carry a loss follows from the flags here; how they are laid out in a
sequence is decided in ``prepare``.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from strokewise.sequence.tokenizer import Tokenizer

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class SampleText:
    """A text of a sample.

    Attributes:
        ids: its tokens, without delimiters.
        loss: whether it is supervised, with its end and what opens after it.
        guided: whether text guidance leaves it out (False for a system prompt; see ``Generator.read``).
        opens: whether what opens after it is supervised too (False where the sample leaves out what would
            follow).
        given: how many of the first tokens are a condition all the same: words that somebody else writes, or
            the model elsewhere (what a canvas shows, read from the canvas alone).
        credits: of each id and of the text's end, where it is trained by reinforcement (see ``Segment``).
    """

    ids: tuple[int, ...]
    loss: bool = False
    guided: bool = True
    opens: bool = True
    given: int = 0
    credits: tuple[float, ...] = ()


@dataclass(frozen=True)
class SampleImage:
    """A picture of a sample.

    Attributes:
        pixels: (height, width, 3).
        loss: whether painting it, and what comes after it, is supervised. A picture without loss is a
            condition: one the user gave, or a faulty sketch that must not be imitated.
        credit: how well it was painted, 0 to 1, where it is trained by reinforcement.
    """

    pixels: Pixels
    loss: bool = False
    credit: float = 1.0


SamplePart = SampleText | SampleImage


def text_of(text: str, tokenizer: Tokenizer, loss: bool, given: str = "", opens: bool = True) -> SampleText:
    """Return a text whose beginning ``given`` carries no loss; both are encoded apart, as they are
    written.
    """
    assert text.startswith(given), "a text begins with what is given of it"
    first = tokenizer.encode(given) if given else []
    rest = text[len(given) :]
    ids = (*first, *(tokenizer.encode(rest) if rest else ()))
    return SampleText(ids, loss, opens=opens, given=len(first))


@dataclass(frozen=True)
class Sample:
    """Texts and pictures in the order of the sequence.

    Attributes:
        parts: in order.
        ends: whether the end of the sequence after the last part is supervised.
    """

    parts: tuple[SamplePart, ...]
    ends: bool = True

    @property
    def supervises_text(self) -> bool:
        """Whether any text carries a loss."""
        return any(part.loss for part in self.parts if isinstance(part, SampleText))


class Source(Protocol):
    """Samples by number. The same number always gives the same sample, in any process."""

    @property
    def size(self) -> int | None:
        """How many there are; None: endless, each number gives another."""

    def sample(self, index: int) -> Sample:
        """Return one sample.

        Raises:
            StrokewiseError: if it cannot be read.
        """


class SourceConfig(Protocol):
    """How to open a source: a frozen dataclass of plain values, kept with every checkpoint."""

    def open(self, tokenizer: Tokenizer) -> Source:
        """Return the source, its texts encoded with ``tokenizer``; picklable.

        Raises:
            StrokewiseError: if it is not there or damaged.
        """
