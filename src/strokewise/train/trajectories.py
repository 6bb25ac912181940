"""Trajectories, captions and readings as samples: which of their parts the model learns.

Knows texts and pictures and a tokenizer; where records lie and how they are stored is the business of
``data``. Tags such as <ins> are part of the texts here.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from strokewise.sequence.tokenizer import Tokenizer
from strokewise.train.samples import Part, Picture, Pixels, Sample, Text


@dataclass(frozen=True)
class Step:
    """A text or a picture of a trajectory.

    Attributes:
        content: a text, or pixels (height, width, 3).
        learnt: False for what the model is shown and shall not do itself: a picture the user gave, a faulty
            plan or sketch that the following texts correct.
    """

    content: str | Pixels
    learnt: bool = True


def trajectory_sample(
    prompt: str, steps: Iterable[Step], tokenizer: Tokenizer, system: str | None = None
) -> Sample:
    """A prompt and what follows it: plan, sketch, inspection, refinement, in the order of the sequence.

    Nothing of the prompt is learnt (paper, Training); after the last step the end of the sequence is.
    """
    parts = (_part(step, tokenizer) for step in steps)
    return Sample((*_opening(prompt, tokenizer, system), *parts))


def caption_sample(prompt: str, pixels: Pixels, tokenizer: Tokenizer, system: str | None = None) -> Sample:
    """Plain text-to-image: the picture is painted right after the prompt, nothing is written."""
    return Sample((*_opening(prompt, tokenizer, system), Picture(pixels, loss=True)), ends=False)


def reading_sample(pixels: Pixels, question: str, answer: str, tokenizer: Tokenizer) -> Sample:
    """Understanding: a picture and a question are given, the answer is learnt."""
    return Sample(
        (
            Picture(pixels),
            Text(tuple(tokenizer.encode(question))),
            Text(tuple(tokenizer.encode(answer)), loss=True),
        )
    )


def _opening(prompt: str, tokenizer: Tokenizer, system: str | None) -> list[Part]:
    texts: list[Part] = [Text(tuple(tokenizer.encode(prompt)))]
    if system is not None:
        texts.insert(0, Text(tuple(tokenizer.encode(system)), guided=False))
    return texts


def _part(step: Step, tokenizer: Tokenizer) -> Part:
    if isinstance(step.content, str):
        return Text(tuple(tokenizer.encode(step.content)), loss=step.learnt)
    return Picture(step.content, loss=step.learnt)
