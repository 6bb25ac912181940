"""What a model has read so far: a list of segments with their keys and values.

Contexts grow by appending, fork by copying a list of references, and are cut back to any earlier point. The
two guidance contexts are parts of the same list: *without text* is a prefix of it, *without image* its texts,
for which each text after an image keeps a second block of keys. Knows segments; not stages, not prompts.

Shape legend: a block holds keys and values (layers, kv_heads, tokens, head_dim) of one segment.
"""

from dataclasses import dataclass, replace

from torch import Tensor

from strokewise.errors import ConfigError
from strokewise.models import KVBlock
from strokewise.sequence import Kind


@dataclass(frozen=True)
class Entry:
    """One segment that was read.

    Attributes:
        kind: text, vit or clean.
        block: its keys and values, one for each token, delimiters included.
        last: hidden state of its last token (size,), from which what follows is predicted.
        advance: rotary positions it takes.
        ids: text only: its ids, delimiters included.
        guided: text only: whether text guidance leaves it out of its second context.
        closed: whether its closing delimiter was read; a text may be open at the end of a context.
        alone: text only: its keys and values in a context of the texts alone; None: not computed yet.
    """

    kind: Kind
    block: KVBlock
    last: Tensor
    advance: int
    ids: tuple[int, ...] = ()
    guided: bool = True
    closed: bool = True
    alone: KVBlock | None = None

    @property
    def is_text(self) -> bool:
        """Whether this is a text."""
        return self.kind is Kind.TEXT

    def __len__(self) -> int:
        return len(self.block)

    def head(self, length: int) -> "Entry":
        """Return the first ``length`` tokens of a text, left open; ``last`` is then not its last token."""
        return replace(
            self,
            block=self.block.head(length),
            alone=self.alone.head(length) if self.alone else None,
            ids=self.ids[:length],
            advance=length,
            closed=False,
        )


class Context:
    """A growing sequence of segments. Cheap to fork; all of its contents are immutable and shared."""

    def __init__(self, entries: tuple[Entry, ...] = ()) -> None:
        """Make a context of the given entries, empty by default."""
        self.entries = entries

    @property
    def length(self) -> int:
        """Tokens read."""
        return sum(len(entry) for entry in self.entries)

    @property
    def position(self) -> int:
        """Rotary position of the next segment."""
        return sum(entry.advance for entry in self.entries)

    @property
    def blocks(self) -> list[KVBlock]:
        """Keys and values in order."""
        return [entry.block for entry in self.entries]

    @property
    def is_open(self) -> bool:
        """Whether the last text still waits for its end."""
        return bool(self.entries) and not self.entries[-1].closed

    @property
    def has_image(self) -> bool:
        """Whether an image was read."""
        return any(not entry.is_text for entry in self.entries)

    def fork(self) -> "Context":
        """Return a second context with the same past, which the two share; they continue independently."""
        return Context(self.entries)

    def append(self, entry: Entry) -> None:
        """Add a segment; a text continues an open one."""
        if self.is_open:
            assert entry.is_text, "an open text must be closed before an image"
            entry = _joined(self.entries[-1], entry)
            self.entries = (*self.entries[:-1], entry)
        else:
            self.entries = (*self.entries, entry)

    def truncate(self, *, segments: int | None = None, tokens: int | None = None) -> None:
        """Forget everything after the first ``segments``, or after the first ``tokens``.

        Raises:
            ConfigError: if the point lies beyond the end, or inside an image (whose tokens see each other, so
                that half of it means nothing).
        """
        if (segments is None) == (tokens is None):
            raise ConfigError("truncate needs either segments or tokens")
        if segments is not None:
            if not 0 <= segments <= len(self.entries):
                raise ConfigError(f"cannot keep {segments} segments of {len(self.entries)}")
            self.entries = self.entries[:segments]
            return
        assert tokens is not None
        if not 0 <= tokens <= self.length:
            raise ConfigError(f"cannot keep {tokens} tokens of {self.length}")
        kept: list[Entry] = []
        for entry in self.entries:
            if tokens >= len(entry):
                kept.append(entry)
            elif tokens > 0 and not entry.is_text:
                raise ConfigError(f"token {tokens} of an image is no place to cut; keep whole segments")
            elif tokens > 0:
                kept.append(entry.head(tokens))
            tokens = max(0, tokens - len(entry))
        self.entries = tuple(kept)

    def without_text(self) -> "Context":
        """Return the prefix that text guidance compares with: up to the texts since the last image."""
        since = 1 + max((i for i, e in enumerate(self.entries) if not e.is_text), default=-1)
        first = next((i for i, e in enumerate(self.entries) if i >= since and e.guided), len(self.entries))
        return Context(self.entries[:first])

    def storage(self) -> dict[int, int]:
        """Return bytes of each piece of memory that holds keys and values, by address; forks share most of
        them.
        """
        blocks = [b for entry in self.entries for b in (entry.block, entry.alone) if b is not None]
        pieces = [tensor.untyped_storage() for b in blocks for tensor in (b.keys, b.values)]
        return {piece.data_ptr(): piece.nbytes() for piece in pieces}

    def texts(self) -> list[int]:
        """Return indices of the texts."""
        return [i for i, entry in enumerate(self.entries) if entry.is_text]


def _joined(first: Entry, second: Entry) -> Entry:
    """Return an open text together with what continues it."""
    return replace(
        second,
        block=KVBlock.join([first.block, second.block]),
        alone=None
        if first.alone is None or second.alone is None
        else KVBlock.join([first.alone, second.alone]),
        ids=first.ids + second.ids,
        advance=first.advance + second.advance,
        guided=first.guided,
    )
