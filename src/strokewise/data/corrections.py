"""Records of what people correct and accept: a person in the place of the oracle.

A person's judgment is a better step beside a worse one; the inspection and the correction that lead from one
to the other are written in the sprite world's language where both can be read, else in plain words. This file
knows steps and records. It refuses to know where a person works.
"""

from dataclasses import replace

from strokewise.critics.canvas_reader import read_canvas
from strokewise.critics.oracle import judge_plan
from strokewise.critics.verdicts import word_inspection
from strokewise.data.conflict import EXCERPT
from strokewise.data.records import Record
from strokewise.data.wording import with_sketch
from strokewise.errors import InputError, LanguageError, ProtocolError, SceneError
from strokewise.trajectory.values import Message, Step, Trajectory, Verdict
from strokewise.world.language import (
    Description,
    PlainWording,
    compare,
    parse_description,
    parse_prompt,
    repair,
    write_correction,
)


def corrected(trajectory: Trajectory, better: Step) -> Record:
    """Return the record of a step and a better one in its place.

    Another plan makes a conflict record, another canvas alone an alignment record.

    Args:
        trajectory: up to and with the step that was corrected.
        better: the step in its place, with its canvas.

    Raises:
        InputError: if a canvas is missing, nothing differs, or no record has such an order of stages.
    """
    worse = trajectory.steps[-1]
    if worse.image is None or better.image is None:
        raise InputError(
            "a correction is learned from two canvases; let the one that is missing be painted first"
        )
    replans = (worse.message.ins, worse.message.des) != (better.message.ins, better.message.des)
    try:
        message, verdict = _sprite_words(trajectory.prompt, worse, better, replans)
    except (LanguageError, SceneError):
        message, verdict = _plain_words(better, replans)
    if replans:
        message = replace(message, ins=better.message.ins, des=better.message.des)
    record = _excerpt(trajectory, Step(message, better.image, verdict))
    return Record("conflict", "wrong", record) if replans else Record("alignment", "negative", record)


def accepted(trajectory: Trajectory, subset: str) -> Record:
    """Return the record of a step that is right as it is, the last one of a trajectory.

    Args:
        trajectory: up to and with the step, which has a canvas.
        subset: conflict or alignment.

    Raises:
        InputError: if the canvas is missing, or no record has such an order of stages.
    """
    last = trajectory.steps[-1]
    if last.image is None:
        raise InputError("a right example needs a canvas; let it be painted first")
    text, verdict = "The plan fits the prompt. The sketch shows the plan.", Verdict(True, True)
    try:
        plan, seen, rng = _described(last), read_canvas(last.image), PlainWording(0)
        prompt = parse_prompt(trajectory.prompt)
        judged = replace(judge_plan(prompt, plan), plan=())
        text, verdict = word_inspection(with_sketch(prompt, judged, (), plan, seen, rng), rng)
    except (LanguageError, SceneError):
        pass  # another world: plain words say it
    label = "right" if subset == "conflict" else "positive"
    return Record(subset, label, _excerpt(trajectory, Step(Message(text), None, verdict)))


def inspected(trajectory: Trajectory) -> Record:
    """Return the record of an inspection that a person wrote, in the last step of a trajectory.

    Raises:
        InputError: if the canvas of a correction is missing, or no record has such an order of stages.
    """
    last, before = trajectory.steps[-1], replace(trajectory, steps=trajectory.steps[:-1])
    message, verdict = last.message, last.verdict
    if message.refine is None:
        ended = _excerpt(before, Step(Message(message.inspect), None, verdict))
        return Record("alignment", "positive", ended)
    if last.image is None:
        raise InputError("a correction is learned from its canvas; let it be painted first")
    record = _excerpt(before, Step(message, last.image, verdict))
    replans = message.ins is not None
    return Record("conflict", "wrong", record) if replans else Record("alignment", "negative", record)


def _excerpt(trajectory: Trajectory, last: Step) -> Trajectory:
    found = replace(trajectory, steps=(*trajectory.steps, last), stop=EXCERPT)
    try:
        found.check_protocol()
    except ProtocolError as error:
        raise InputError(f"no training record has this order of stages: {error}") from error
    return found


def _described(step: Step) -> Description:
    if step.message.des is None:
        raise LanguageError("there is no description of the scene")
    return parse_description(step.message.des)


def _sprite_words(prompt: str, worse: Step, better: Step, replans: bool) -> tuple[Message, Verdict]:
    """Return inspection and correction in the sprite world's language; LanguageError, SceneError
    elsewhere.
    """
    assert worse.image is not None, "it was checked"
    assert better.image is not None, "it was checked"
    plan, seen, rng = _described(worse), read_canvas(worse.image), PlainWording(0)
    if seen is None:
        raise LanguageError("the canvas is not recognized")
    graph = parse_prompt(prompt)
    judged = judge_plan(graph, plan)
    if replans:
        target = _described(better)
        # What the oracle accepts, a person may still want otherwise.
        judged = replace(judged, plan=judged.plan or compare(target, plan).faults)
        sketch = compare(plan, seen).faults
        wrong = judged.plan
    else:
        target = read_canvas(better.image) or plan
        judged, sketch = replace(judged, plan=()), compare(target, seen).faults
        wrong = sketch
    if not wrong:
        raise LanguageError("the oracle sees no difference")
    text, verdict = word_inspection(with_sketch(graph, judged, sketch, plan, seen, rng), rng)
    return Message(text, write_correction(repair(target, seen), rng)), verdict


def _plain_words(better: Step, replans: bool) -> tuple[Message, Verdict]:
    wanted = better.message.des or better.message.ins or better.message.refine or ""
    if not wanted.strip():
        raise InputError("a correction needs words: write what the canvas should show (des)")
    if replans:
        return Message("The plan does not fit the prompt.", f"The scene should be: {wanted}"), Verdict(
            False, None
        )
    return Message("The sketch does not show the plan.", f"It should show: {wanted}"), Verdict(True, False)
