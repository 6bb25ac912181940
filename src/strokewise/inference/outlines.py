"""Outlines: all plans of a painting, written in words before anything is painted.

Where a thing stands decides whether those that come later find a place, and what is painted stays. Words cost
little: chains of plans are written until one of them, by the rules of the protocol format's language, ends in
all that the prompt requests. Knows messages and contexts; when a session follows its outline is decided in
``messages``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from strokewise.critics.conclusions import PlanState
from strokewise.inference.context import Context
from strokewise.inference.generator import Generator
from strokewise.inference.messages import has_room
from strokewise.inference.session import Session
from strokewise.inference.writing import WriteOptions, Written
from strokewise.sequence import Tokenizer
from strokewise.trajectory.values import Message

# Of all outlines but the first: at a lower temperature they are too much alike.
TEMPERATURE = 0.6


@dataclass
class _Chain:
    """Plans of one painting, each written after the one before, with no canvas between them."""

    session: Session
    number: int
    context: Context
    messages: list[Message] = field(default_factory=list)
    state: PlanState = PlanState.UNFINISHED

    @property
    def seed(self) -> int:
        return self.session.seed(f"outline {self.number}/{len(self.messages)}")

    @property
    def temperature(self) -> float:
        stated = self.session.options.temperature
        return max(stated, TEMPERATURE) if self.number else stated


def write_outlines(generator: Generator, tokenizer: Tokenizer, sessions: Sequence[Session]) -> None:
    """Give sessions that are outlined the first chain of plans that is complete; none where no chain is.

    Args:
        generator: writes, all chains in one batch.
        tokenizer: of its model.
        sessions: which have read their prompt and nothing else.
    """
    waiting = [session for session in sessions if session.outlines]
    # The first chain alone, then the others together: most prompts need none of them.
    for alone in (True, False):
        chains = [
            _Chain(session, number, session.context.fork())
            for session in waiting
            for number in (range(1) if alone else range(1, session.outlines))
        ]
        _write(generator, tokenizer, chains)
        for chain in chains:
            if chain.state is PlanState.COMPLETE and not chain.session.outline:
                chain.session.outline = tuple(chain.messages)
        waiting = [session for session in waiting if not session.outline]


def _write(generator: Generator, tokenizer: Tokenizer, chains: list[_Chain]) -> None:
    """Write on until each chain is complete, goes wrong, or is as long as its painting may be."""
    while chains := [chain for chain in chains if _continues(generator, chain)]:
        options, temperature = chains[0].session.options, chains[0].temperature
        writing = WriteOptions(options.max_tokens, temperature, options.top_p)
        for event in generator.write([one.context for one in chains], writing, [one.seed for one in chains]):
            if isinstance(event, Written):
                for chain, ids in zip(chains, event.ids, strict=True):
                    chain.session.usage.text_tokens += len(ids)
                    _take(chain, tokenizer.decode(list(ids)))


def _continues(generator: Generator, chain: _Chain) -> bool:
    options = chain.session.options
    room = has_room(generator, chain.context, 2 + options.max_tokens)
    return chain.state is PlanState.UNFINISHED and len(chain.messages) < options.max_rounds and room


def _take(chain: _Chain, text: str) -> None:
    """Add a plan to its chain; a message that corrects, or plans nothing where something is missing, ends
    it.
    """
    protocol, message = chain.session.protocol, chain.session.protocol.readable(text)
    assert protocol.plan_state is not None, "only such sessions are outlined"
    if message.ins is None or message.des is None or message.refine is not None:
        chain.state = PlanState.WRONG
        return
    chain.messages.append(message)
    chain.state = protocol.plan_state(chain.session.request.prompt, message.des)
