"""What follows from a model's own words, whatever its canvas shows."""

import pytest

from strokewise.critics.conclusions import conclude
from strokewise.critics.verdicts import read_verdict
from strokewise.trajectory.values import Message

PROMPT = "a photo of a red cup left of a bus"
PLAN = "a red cup on the left; a bus on the right; a white background."


def concluded(seen, plan=PLAN, prompt=PROMPT):
    found = conclude(prompt, plan, seen)
    message = Message.parse(found.message.text())
    verdict = read_verdict(message)
    assert found.fits == verdict.accepted
    return message, verdict


def test_words_that_agree_are_accepted_and_nothing_is_corrected():
    message, verdict = concluded(PLAN)
    assert (verdict.plan, verdict.sketch, message.refine) == (True, True, None)
    assert (
        verdict.seen_text
        == "the sketch shows: a red cup on the left; a bus on the right; a white background."
    )


def test_what_is_pending_is_no_fault():
    plan = "a red cup on the left; a white background."
    message, verdict = concluded(plan, plan)
    assert (verdict.plan, verdict.sketch, message.refine) == (True, True, None)
    assert "still to come: a bus." in message.inspect


@pytest.mark.parametrize(
    ("seen", "correction"),
    [
        (
            "a blue cup on the left; a bus on the right; a white background.",
            "recolor the blue cup on the left to red.",
        ),
        ("a red cup on the left; a white background.", "add a bus on the right."),
        (
            "a red cup on the left; a bus on the right; a dog at the top; a white background.",
            "remove the dog at the top.",
        ),
    ],
)
def test_a_sketch_in_other_words_than_the_plan_is_at_fault_and_corrected(seen, correction):
    message, verdict = concluded(seen)
    assert (verdict.plan, verdict.sketch) == (True, False)
    assert message.refine == correction


def test_a_plan_that_contradicts_the_prompt_is_at_fault_and_another_is_left_to_the_model():
    wrong = "a red cup on the right; a bus on the left; a white background."
    message, verdict = concluded(wrong, wrong)
    assert (verdict.plan, verdict.sketch, message.refine) == (False, True, None)
    assert "should be" in message.inspect


@pytest.mark.parametrize(
    "texts", [("paint me something", PLAN, PLAN), (PROMPT, "", PLAN), (PROMPT, PLAN, "a cup: a cup")]
)
def test_nothing_follows_from_other_words(texts):
    assert conclude(*texts) is None


@pytest.mark.parametrize(
    ("more", "correction"),
    [
        ("; a cow in the center", "remove the cow in the center."),
        ("; a cow at the bottom; a cow at the bottom", "remove the two cows at the bottom."),
    ],
)
def test_more_of_a_thing_than_can_be_planned_is_seen_and_removed(more, correction):
    prompt, plan = (
        "a photo of four cows",
        "four cows in the upper left, top, left and right; a white background.",
    )
    four = "a cow in the upper left; a cow at the top; a cow on the left; a cow on the right"
    message, verdict = concluded(f"{four}{more}; a white background.", plan, prompt)
    assert (verdict.plan, verdict.sketch) == (True, False)
    assert "more than four cows instead of four" in message.inspect
    assert message.refine == correction
