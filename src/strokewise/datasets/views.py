"""Trajectories as samples: which of their texts and images carry a loss.

There are seven views: the whole process, its prompt with the last canvas (plain text-to-image), one stroke
(canvas, plan, next canvas), the texts alone, the last step, the last inspection, and what it saw. Knows
trajectories and a tokenizer, no files.

A step that the next one finds fault with is a condition without loss: the text of a wrong plan, the image of
a sketch that does not show its plan. Otherwise the model would be trained to make the faults it has to find.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image

from strokewise.datasets.samples import Sample, SampleImage, SamplePart, SampleText, text_of
from strokewise.errors import RecordError
from strokewise.sequence import Tokenizer, load_rgb
from strokewise.trajectory.values import Message, Step, StopReason, Trajectory, Verdict
from strokewise.world.language import listed_seen

NOT_JUDGED = Verdict()


def process(trajectory: Trajectory, tokenizer: Tokenizer, turn: int = 0) -> Sample:
    """Return prompt, plan, sketch, inspection, refinement, …, all with a loss but the prompt.

    So the paper trains (arXiv 2604.04746, "Training"). The end of the sequence is supervised where the
    trajectory ended by itself.
    """
    parts: list[SamplePart] = [] if trajectory.source is None else [_picture(trajectory.source, False)]
    parts.append(_text(trajectory.prompt, tokenizer, False))
    verdicts = [step.verdict or NOT_JUDGED for step in trajectory.steps[1:]] + [NOT_JUDGED]
    for step, found in zip(trajectory.steps, verdicts, strict=True):
        parts.append(_message(step, tokenizer, found.plan is not False))
        if step.image is not None:
            parts.append(_picture(step.image, found.sketch is not False))
    return Sample(tuple(parts), ends=trajectory.stop == StopReason.END)


def caption(trajectory: Trajectory, tokenizer: Tokenizer, turn: int = 0) -> Sample:
    """Return plain text-to-image: the last canvas directly after the prompt."""
    prompt = _text(trajectory.prompt, tokenizer, False)
    return Sample((prompt, _picture(trajectory.images[-1], True)), ends=False)


def stroke(trajectory: Trajectory, tokenizer: Tokenizer, turn: int = 0) -> Sample:
    """Return one stroke alone: the canvas before it, the plan, the canvas after it.

    ``turn`` selects one among the canvases that no later step finds at fault.
    """
    painted = [step for step in trajectory.steps if step.image is not None]
    verdicts = [step.verdict or NOT_JUDGED for step in trajectory.steps[1:]] + [NOT_JUDGED]
    right = [i for i in range(len(painted)) if verdicts[i].sketch is not False]
    at = right[turn % len(right)]
    before = painted[at - 1].image if at else trajectory.source
    message, after = painted[at].message, painted[at].image
    plan = Message(refine=message.refine, ins=message.ins, des=message.des)
    parts: list[SamplePart] = [] if before is None else [_picture(before, False)]
    assert after is not None
    return Sample((*parts, _text(plan.text(), tokenizer, False), _picture(after, True)), ends=False)


def planning(trajectory: Trajectory, tokenizer: Tokenizer, turn: int = 0) -> Sample:
    """Return the texts alone; with a wrong plan, up to the next step's verdict on it.

    What opens after a text is not supervised: it is an image, which is left out here, and other samples teach
    that it follows. A wrong plan is a condition. What inspections say of sketches is left out: without the
    image it could only be guessed.

    Raises:
        RecordError: if it is not known what an inspection says of the plan alone.
    """
    verdicts = [step.verdict or NOT_JUDGED for step in trajectory.steps[1:]]
    wrong = next((i for i, verdict in enumerate(verdicts) if verdict.plan is False), None)
    last = None if wrong is None else wrong + 2
    parts = [_text(trajectory.prompt, tokenizer, False)]
    for i, step in enumerate(trajectory.steps[:last]):
        message = replace(step.message, inspect=_of_plan(step, i))
        parts.append(replace(_text(message.text(), tokenizer, i != wrong), opens=False))
    return Sample(tuple(parts), ends=False)


def inspection(trajectory: Trajectory, tokenizer: Tokenizer, turn: int = 0) -> Sample:
    """Return prompt, last plan and its sketch, and the inspection of them: the last message."""
    *_, inspected, last = trajectory.steps
    assert inspected.image is not None
    prompt, plan = (_text(t, tokenizer, False) for t in (trajectory.prompt, inspected.message.text()))
    ends = last.image is None and trajectory.stop == StopReason.END
    verdict = replace(_message(last, tokenizer, True), opens=ends)
    return Sample((prompt, plan, _picture(inspected.image, False), verdict), ends=ends)


def last(trajectory: Trajectory, tokenizer: Tokenizer, turn: int = 0) -> Sample:
    """Return the whole process, of which the last message and its canvas alone are supervised.

    So a model learns from what it made itself without imitating the faults of it.
    """
    whole, final = process(trajectory, tokenizer, turn), trajectory.steps[-1]
    first = len(whole.parts) - (1 if final.image is None else 2)
    past = (replace(part, loss=False) for part in whole.parts[:first])
    opens = whole.ends or final.image is not None
    supervised = replace(_message(final, tokenizer, True), opens=opens)
    return Sample((*past, supervised, *whole.parts[first + 1 :]), ends=whole.ends)


def look(trajectory: Trajectory, tokenizer: Tokenizer, turn: int = 0) -> Sample:
    """Return the last inspected canvas alone, and what its inspection says that it shows.

    Inspections are written so: what is seen is read from the canvas alone (``inference.look``).

    Raises:
        RecordError: if the inspection does not say what the canvas shows.
    """
    *_, inspected, last = trajectory.steps
    assert inspected.image is not None
    seen = (last.verdict.seen_text if last.verdict else "") or ""
    if not seen:
        raise RecordError("the last inspection does not say what the canvas shows; take another view")
    text = _text(Message(des=listed_seen(seen)).text(), tokenizer, True)
    return Sample((_picture(inspected.image, False), replace(text, opens=False)), ends=False)


View = Callable[[Trajectory, Tokenizer, int], Sample]
VIEWS: dict[str, View] = {
    "process": process,
    "caption": caption,
    "stroke": stroke,
    "planning": planning,
    "inspection": inspection,
    "last": last,
    "look": look,
}
# How many turns a trajectory has, so that a finite set of them shows all of its strokes.
TURNS = {"process": 1, "caption": 1, "stroke": 4, "planning": 1, "inspection": 1, "last": 1, "look": 1}


def _message(step: Step, tokenizer: Tokenizer, loss: bool) -> SampleText:
    """Return a message; what it says that the canvas shows is written apart from it, and given to it."""
    seen = step.verdict.seen_text if step.verdict else None
    given = seen if seen and step.message.inspect.startswith(seen) else ""
    return text_of(step.message.text(), tokenizer, loss, given)


def _of_plan(step: Step, number: int) -> str:
    """Return what the inspection of a step says of the plan alone."""
    if not step.message.inspect:
        return ""
    if step.verdict is None or step.verdict.plan_text is None:
        raise RecordError(
            f"step {number}: it is not known what of the inspection {step.message.inspect[:60]!r} judges the"
            " plan alone; take another view than planning"
        )
    # In the whole inspection other sentences come before it: without the space its first word would be
    # tokenized in another way here.
    return f" {step.verdict.plan_text}"


def _text(text: str, tokenizer: Tokenizer, loss: bool) -> SampleText:
    return SampleText(tuple(tokenizer.encode(text)), loss)


def _picture(image: Image.Image, loss: bool) -> SampleImage:
    return SampleImage(np.array(load_rgb(image)), loss)
