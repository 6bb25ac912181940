"""Writing texts, token by token, in several contexts at once. Knows ids and logits; not what is written.

Shape legend: ids and positions (rows, 1), hidden states (rows, size), logits (rows, vocab); each row is one
context.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from strokewise.errors import ConfigError
from strokewise.inference.context import Context, Entry
from strokewise.models import Backbone, KVCache, visibility
from strokewise.sequence import Kind, PackSpec, Segment, pack

# Given the row and the ids it has written so far, the ids that may follow; None allows all.
Constraint = Callable[[int, Sequence[int]], Sequence[int] | None]


@dataclass(frozen=True)
class WriteOptions:
    """How a text is written.

    Attributes:
        max_tokens: tokens at most, delimiters and prefix not counted; the text is then closed.
        temperature: 0 is greedy.
        top_p: share of probability kept, the most likely first.
        stop_ids: ids, besides the end of the text, at which it ends; such an id is not part of the text.
        constraint: hook for a grammar.
        prefix: ids every text begins with.
        logit_bias: added to the logits of some ids, before the temperature: pairs of id and bias.
    """

    max_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    stop_ids: frozenset[int] = field(default_factory=frozenset)
    constraint: Constraint | None = None
    prefix: tuple[int, ...] = ()
    logit_bias: tuple[tuple[int, float], ...] = ()

    def __post_init__(self) -> None:
        """Refuse values that have no meaning."""
        if self.max_tokens < 1:
            raise ConfigError(f"max_tokens is {self.max_tokens}; it must be at least 1")
        if self.temperature < 0:
            raise ConfigError(f"temperature is {self.temperature}; it cannot be negative (0 is greedy)")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p is {self.top_p}; it must lie in (0, 1]")


@dataclass(frozen=True)
class TextStep:
    """One token of each row; None where a row's text has ended."""

    ids: tuple[int | None, ...]


@dataclass(frozen=True)
class Written:
    """The finished texts: ids of each row without delimiters, and the id that ended it (None: the length)."""

    ids: tuple[tuple[int, ...], ...]
    stop_ids: tuple[int | None, ...]


WriteEvent = TextStep | Written


class _Row:
    """One text while it is written."""

    def __init__(self, context: Context, options: WriteOptions, text_start: int, seed: int) -> None:
        self.context = context
        # The context itself is not touched before the text is part of it.
        self.past = context.fork()
        first, self.guided = text_start, True
        if context.is_open:
            # An open text is continued by feeding its last token again, so that every row has one to feed.
            first, self.guided = context.entries[-1].ids[-1], context.entries[-1].guided
            self.past.truncate(tokens=context.length - 1)
        self.fed = [first, *options.prefix]
        self.ids: list[int] = list(options.prefix)
        self.stop_id: int | None = None
        self.last: Tensor
        self.done = False
        # On the CPU, so that a seed gives the same text on any device.
        self.draw = torch.Generator().manual_seed(seed)


class Writing:
    """A batch of texts while they are written."""

    def __init__(
        self,
        model: Backbone,
        spec: PackSpec,
        contexts: Sequence[Context],
        options: WriteOptions,
        seeds: Sequence[int],
    ) -> None:
        """Prepare to write in ``contexts``; nothing is computed yet."""
        self.model, self.spec, self.options = model, spec, options
        special = spec.special
        self.end = special.text_end
        self.rows = [
            _Row(context, options, special.text_start, seeds[i] if seeds else i)
            for i, context in enumerate(contexts)
        ]
        room = len(options.prefix) + options.max_tokens + 2
        pasts = [row.past for row in self.rows]
        self.cache = KVCache.gather([c.blocks for c in pasts], room, model.empty_block())
        self.start = self.cache.used
        # Without rows of another length nothing needs a mask, and attention takes its fastest kernel.
        self.even = len({c.length for c in pasts}) == 1
        self.positions = torch.tensor([[c.position] for c in pasts], device=model.device)

    def run(self) -> Iterator[WriteEvent]:
        """Write until every row has ended; then, or when abandoned, the contexts are updated."""
        try:
            hidden = self._feed_heads()
            while not all(row.done for row in self.rows):
                following = self._next(hidden)
                yield TextStep(tuple(following))
                hidden = self._feed([self.end if token is None else token for token in following])
            yield Written(tuple(tuple(row.ids) for row in self.rows), tuple(row.stop_id for row in self.rows))
        finally:
            self._commit()

    def _feed_heads(self) -> Tensor:
        """Feed what every text begins with; hidden states (rows, size) of the last tokens."""
        heads = [[[Segment.text(row.fed, opens=False, closes=False)]] for row in self.rows]
        packed = pack(heads, self.spec, self.positions[:, 0].tolist()).to(self.model.device)
        hidden = self.model(packed, visibility(packed, self.cache), self.cache).understanding
        self._advance(packed.positions.shape[1])
        for i, row in enumerate(self.rows):
            row.last = hidden[i, -1]
        return hidden[:, -1]

    def _feed(self, tokens: list[int]) -> Tensor:
        """Feed one token a row."""
        ids = torch.tensor(tokens, device=self.model.device)[:, None]
        used = self.cache.used
        self.cache.valid[:, used] = True
        mask = None if self.even else self.cache.valid[:, None, : used + 1]
        hidden = self.model.read_ids(ids, self.positions, mask, self.cache)[:, 0]
        self._advance(1)
        for i, row in enumerate(self.rows):
            # Rows that have ended are fed too, so that the batch keeps its shape; it is not kept.
            if not row.done:
                row.fed.append(tokens[i])
                row.last = hidden[i]
                row.done = tokens[i] == self.end
        return hidden

    def _advance(self, columns: int) -> None:
        self.cache.keep(columns)
        self.positions = self.positions + columns

    def _next(self, hidden: Tensor) -> list[int | None]:
        """Choose each row's next token; None where its text ends."""
        logits = self.model.text_logits(hidden)
        for token, bias in self.options.logit_bias:
            logits[:, token] += bias
        self._constrain(logits)
        chosen = choose(logits, self.options, [row.draw for row in self.rows])
        result: list[int | None] = []
        for row, token in zip(self.rows, chosen, strict=True):
            if row.done or len(row.ids) >= self.options.max_tokens + len(self.options.prefix):
                result.append(None)
            elif token == self.end or token in self.options.stop_ids:
                row.stop_id = token
                result.append(None)
            else:
                row.ids.append(token)
                result.append(token)
        return result

    def _constrain(self, logits: Tensor) -> None:
        """Leave each row only what its grammar allows."""
        if self.options.constraint is None:
            return
        for i, row in enumerate(self.rows):
            allowed = None if row.done else self.options.constraint(i, row.ids)
            if allowed is not None:
                if not allowed:
                    raise ConfigError(
                        "the constraint allows no token at all; let it allow the end of the text"
                    )
                logits[i] = allow_only(logits[i], allowed)

    def _commit(self) -> None:
        """Make the texts part of their contexts."""
        for i, row in enumerate(self.rows):
            # The last token of an abandoned text may have been chosen but not fed; it is not part of it.
            count = min(len(row.fed), self.cache.used - self.start)
            if count:
                block = self.cache.block(i, slice(self.start, self.start + count))
                ids = tuple(row.fed[:count])
                row.past.append(
                    Entry(Kind.TEXT, block, row.last.clone(), count, ids, row.guided, closed=row.done)
                )
                row.context.entries = row.past.entries


def allow_only(logits: Tensor, allowed: Sequence[int]) -> Tensor:
    """Return logits (vocab,) with all but the allowed ids at minus infinity."""
    index = torch.as_tensor(list(allowed), dtype=torch.long, device=logits.device)
    masked = torch.full_like(logits, -torch.inf)
    masked[index] = logits[index]
    return masked


def choose(logits: Tensor, options: WriteOptions, draws: Sequence[torch.Generator]) -> list[int]:
    """Return the next id of each row.

    Args:
        logits: (rows, vocab).
        options: temperature and top-p.
        draws: one CPU generator a row, so that a row draws the same alone and in a batch, on any device.
    """
    if options.temperature == 0:
        return logits.argmax(-1).tolist()
    probabilities = torch.softmax(logits.float() / options.temperature, dim=-1)
    ordered, ids = probabilities.sort(dim=-1, descending=True)
    # The sum before each id: the likeliest is always kept, however small top_p is.
    before = ordered.cumsum(-1) - ordered
    kept = torch.where(before < options.top_p, ordered, torch.zeros_like(ordered)).cumsum(-1)
    points = torch.stack([torch.rand(1, generator=g) for g in draws]).to(kept.device)
    index = torch.searchsorted(kept, points * kept[:, -1:], right=True)
    return ids.gather(1, index.clamp(max=kept.shape[-1] - 1))[:, 0].tolist()
