"""Outlines: all plans of a painting, written in words before anything is painted.

Where a thing stands decides whether those that come later find a place, and what is painted stays. Words cost
little: chains of plans are written until one of them, by the rules of the protocol format's language, ends in
all that the prompt requests. Knows messages and contexts; that a session follows its outline is decided in
``messages``.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from strokewise.critics.conclusions import PlanState
from strokewise.inference.context import Context
from strokewise.inference.generator import Generator
from strokewise.inference.messages import has_room
from strokewise.inference.options import MOST_OUTLINES
from strokewise.inference.session import Session
from strokewise.inference.writing import WriteOptions, Written
from strokewise.sequence import Tokenizer
from strokewise.trajectory.values import Message

# Of all outlines but the first: at a lower temperature they are too much alike.
TEMPERATURE = 0.6
# Chains are written in groups that end at these numbers, the next group only if no chain is complete.
ENDS = (1, 4, 16, MOST_OUTLINES)


@dataclass(eq=False)
class Chain:
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

    def branch(self, number: int) -> "Chain":
        """Return another chain that begins with the plans of this one."""
        return replace(self, number=number, context=self.context.fork(), messages=list(self.messages))


def write_outlines(generator: Generator, tokenizer: Tokenizer, sessions: Sequence[Session]) -> None:
    """Write one more plan in each chain; sessions with a complete one, or with none left, begin to paint.

    Args:
        generator: writes, the chains of all sessions together.
        tokenizer: of its model.
        sessions: which have read their prompt and nothing else, with the same options.
    """
    for session in sessions:
        session.drafts = session.drafts or _begun(generator, session, 0)
    chains = [chain for session in sessions for chain in session.drafts]
    for temperature in sorted({chain.temperature for chain in chains}):
        _write(generator, tokenizer, [chain for chain in chains if chain.temperature == temperature])
    for session in sessions:
        complete = next((one for one in session.drafts if one.state is PlanState.COMPLETE), None)
        if complete is None:
            session.drafts = _continued(generator, session)
        if complete is not None or not session.drafts:
            session.end_outline(complete.messages if complete else ())


def _write(generator: Generator, tokenizer: Tokenizer, chains: Sequence[Chain]) -> None:
    """Write the next plan of chains that agree in temperature."""
    options = chains[0].session.options
    writing = WriteOptions(options.max_tokens, chains[0].temperature, options.top_p)
    *_, last = generator.write([one.context for one in chains], writing, [one.seed for one in chains])
    assert isinstance(last, Written)
    for chain, ids in zip(chains, last.ids, strict=True):
        chain.session.usage.text_tokens += len(ids)
        _take(chain, tokenizer.decode(list(ids)))


def _begun(generator: Generator, session: Session, number: int) -> list[Chain]:
    """Return new chains of a session, numbered from ``number``; none where they would be too many."""
    if number >= session.outlines:
        return []
    last = min(session.outlines, next(end for end in ENDS if end > number))
    chains = [Chain(session, i, session.context.fork()) for i in range(number, last)]
    return [chain for chain in chains if _has_room(generator, chain)]


def _continued(generator: Generator, session: Session) -> list[Chain]:
    """Return the chains of a session that continue, branches in the place of those that went wrong; new ones
    where all did.
    """
    chains = session.drafts
    alive = [chain for chain in chains if chain.state is PlanState.UNFINISHED and _has_room(generator, chain)]
    if not alive:
        return _begun(generator, session, chains[-1].number + 1) if chains else []
    others = itertools.cycle(alive)
    return [chain if chain in alive else next(others).branch(chain.number) for chain in chains]


def _has_room(generator: Generator, chain: Chain) -> bool:
    options = chain.session.options
    room = has_room(generator, chain.context, 2 + options.max_tokens)
    return len(chain.messages) < options.max_rounds and room


def _take(chain: Chain, text: str) -> None:
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
