"""Segments, the units of a sequence: runs of tokens of one kind with one attention mode.

Knows what a segment holds and how long it is; how segments become a batch is decided in ``packing``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor


class Kind(StrEnum):
    """What a segment holds."""

    TEXT = "text"
    VIT = "vit"
    CLEAN = "clean"
    NOISED = "noised"


@dataclass(frozen=True)
class Segment:
    """A run of tokens with one attention mode.

    Attributes:
        kind: what it holds.
        tokens: text: ids, shape (n,), without delimiters; vit: patches (n, patch·patch·3); clean and noised:
            latent tokens (n, channels), the clean ones in both cases.
        grid: (rows, columns) of an image segment.
        loss: text: every token predicts the next, ending in text_end; noised: the velocity is predicted.
        end_label: id that the closing delimiter (text_end or image_end) should predict; None: no loss there.
        noise: noised only: Gaussian of the shape of ``tokens``.
        time: noised only: flow time in [0, 1].
        opens: text only: whether text_start stands before it (False continues a text).
        closes: text only: whether text_end stands after it (False leaves the text open).
        gap: rotary positions left free before it, for images dropped from the conditions (BAGEL).
        credits: what reinforcement credits each predicted token of a text with, text_end included, or a
            noised image with (one value); empty: 1.
    """

    kind: Kind
    tokens: Tensor
    grid: tuple[int, int] | None = None
    loss: bool = False
    end_label: int | None = None
    noise: Tensor | None = None
    time: float = 0.0
    opens: bool = True
    closes: bool = True
    gap: int = 0
    credits: tuple[float, ...] = ()

    @classmethod
    def text(
        cls,
        ids: Sequence[int] | Tensor,
        *,
        loss: bool = False,
        end_label: int | None = None,
        opens: bool = True,
        closes: bool = True,
        gap: int = 0,
        credits: tuple[float, ...] = (),
    ) -> "Segment":
        """Return a text segment of the given ids; the other arguments are attributes."""
        tokens = torch.as_tensor(ids, dtype=torch.long)
        return cls(
            Kind.TEXT,
            tokens,
            loss=loss,
            end_label=end_label,
            opens=opens,
            closes=closes,
            gap=gap,
            credits=credits,
        )

    @property
    def is_text(self) -> bool:
        """Whether this is a text."""
        return self.kind is Kind.TEXT

    @property
    def length(self) -> int:
        """Tokens in the sequence, delimiters included."""
        return len(self.tokens) + (self.opens + self.closes if self.is_text else 2)

    @property
    def advance(self) -> int:
        """How many rotary positions the next segment stands behind this one."""
        if self.is_text:
            return self.length
        return 0 if self.kind is Kind.NOISED else 1
