"""Outlines: all plans of a painting, written in words before anything is painted.

Where a thing stands decides whether those that come later find a place, and what is painted stays. Words cost
little: chains of plans are written until one of them, by the rules of the protocol format's language, ends in
all that the prompt requests. Knows messages and contexts; when a session follows its outline is decided in
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
# Chains written together: most prompts need the first alone, and few need them all.
GROUPS = (0, 1, 4, 16, MOST_OUTLINES)


@dataclass(eq=False)
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

    def branch(self, number: int) -> "_Chain":
        """Return another chain that begins with the plans of this one."""
        return replace(self, number=number, context=self.context.fork(), messages=list(self.messages))


def write_outlines(generator: Generator, tokenizer: Tokenizer, sessions: Sequence[Session]) -> None:
    """Give sessions that are outlined the first chain of plans that is complete; none where no chain is.

    Args:
        generator: writes, all chains in one batch.
        tokenizer: of its model.
        sessions: which have read their prompt and nothing else.
    """
    waiting = [session for session in sessions if session.outlines]
    for first, last in itertools.pairwise(GROUPS):
        groups = []
        for session in waiting:
            numbers = range(first, min(last, session.outlines))
            groups.append([_Chain(session, number, session.context.fork()) for number in numbers])
        _write(generator, tokenizer, groups)
        waiting = [session for session in waiting if not session.outline]


def _write(generator: Generator, tokenizer: Tokenizer, groups: list[list[_Chain]]) -> None:
    """Write the chains of each session until one is complete, or none can be continued."""
    while groups := [group for chains in groups if (group := _continued(generator, chains))]:
        chains = [chain for group in groups for chain in group]
        options, temperature = chains[0].session.options, chains[0].temperature
        writing = WriteOptions(options.max_tokens, temperature, options.top_p)
        *_, last = generator.write([one.context for one in chains], writing, [one.seed for one in chains])
        assert isinstance(last, Written)
        for chain, ids in zip(chains, last.ids, strict=True):
            chain.session.usage.text_tokens += len(ids)
            _take(chain, tokenizer.decode(list(ids)))


def _continued(generator: Generator, chains: list[_Chain]) -> list[_Chain]:
    """Return the chains of a session that are to be continued; branches of the others stand in for those that
    went wrong.
    """
    complete = [chain for chain in chains if chain.state is PlanState.COMPLETE]
    if complete:
        complete[0].session.outline = tuple(complete[0].messages)
        return []
    alive = [chain for chain in chains if chain.state is PlanState.UNFINISHED and _has_room(generator, chain)]
    if not alive:
        return []
    others = itertools.cycle(alive)
    return [chain if chain in alive else next(others).branch(chain.number) for chain in chains]


def _has_room(generator: Generator, chain: _Chain) -> bool:
    options = chain.session.options
    room = has_room(generator, chain.context, 2 + options.max_tokens)
    return len(chain.messages) < options.max_rounds and room


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
