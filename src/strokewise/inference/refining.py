"""Refined canvases: read in the place of their sketch, and kept only where they show the plan better.

Knows contexts, descriptions and pictures; refuses to know when a canvas is refined, or in which words.
"""

from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from strokewise.inference.generator import Generator
from strokewise.inference.session import Session
from strokewise.sequence import Tokenizer


def read_in_place(generator: Generator, tokenizer: Tokenizer, session: Session, image: Image.Image) -> None:
    """Read a refined canvas as if it had been the sketch; a plan that was revised with it, as the plan."""
    sketch = session.last_sketch
    assert sketch is not None, "such a session replaces its sketch"
    corrections = [*(step.message for step in session.steps[sketch + 1 :]), session.message]
    revised = next((message for message in reversed(corrections) if message.ins is not None), None)
    if revised is None:
        context = session.before_canvas[sketch].fork()
    else:
        context = session.before_message[sketch].fork()
        plan = replace(session.steps[sketch].message, ins=revised.ins, des=revised.des)
        generator.read([context], [tokenizer.encode(plan.text())])
    generator.see([context], [image])
    session.context = context


def better_than_before(
    generator: Generator, tokenizer: Tokenizer, sessions: Sequence[Session], images: Sequence[Image.Image]
) -> list[bool]:
    """Return whether the planned description is likelier for each refined canvas than for the one before it.

    Each canvas is seen alone: with its plan in context, the plan's words would be likely whatever it shows.

    Args:
        generator: reads, all canvases in one batch.
        tokenizer: of its model.
        sessions: whose message under way corrects a canvas.
        images: their refined canvases.
    """
    before = [session.steps[-1].image for session in sessions]
    canvases = [image for image in before if image is not None] + [*images]
    assert len(canvases) == 2 * len(images), "a refinement follows a canvas"
    planned = [session.message.des or session.planned for session in sessions]
    wanted = [session.protocol.as_seen(text) for session, text in zip(sessions, planned, strict=True)]
    contexts = [generator.context() for _ in canvases]
    generator.see(contexts, canvases)
    found = generator.log_likelihoods(contexts, [tokenizer.encode(text) for text in wanted] * 2)
    return [new > old for old, new in zip(found[: len(images)], found[len(images) :], strict=True)]
