"""Protocol formats: what a message calls for in each family of models."""

import pytest

from strokewise.errors import ProtocolError
from strokewise.inference import PROTOCOL_FORMATS, STROKEWISE
from strokewise.trajectory.values import Message

PLAN = "<ins>add a cup</ins> <des>a cup</des>"


@pytest.mark.parametrize(
    ("text", "following", "decision"),
    [
        (PLAN, "image", "draw"),
        (f"fine. <refine>x</refine> {PLAN}", "image", "draw"),
        ("all is there.", "end", "end"),
        ("all is there.", "image", "draw"),
        ("all is there.", "text", "protocol"),
        (PLAN, "end", "protocol"),
        (PLAN, "text", "protocol"),
        ("<ins>add", "image", "protocol"),
        ("<des>x</des> <ins>y</ins>", "end", "protocol"),
    ],
)
def test_ours_draws_at_the_models_token_and_ends_at_its_end(text, following, decision):
    assert STROKEWISE.decide(text, following) == decision


@pytest.mark.parametrize("following", ["text", "image", "end"])
@pytest.mark.parametrize(
    ("name", "text", "decision"),
    [
        ("thinkmorph", "<think>I draw it</think><image_start>", "draw"),
        ("thinkmorph", "<think>done</think> image_start", "end"),
        ("bagel-zebra-cot", "THOUGHT 1: a line", "draw"),
        ("bagel-zebra-cot", "Final Answer: 3", "end"),
        ("bagel-zebra-cot", "so <answer>3</answer>", "end"),
        ("unicot", "<think>a cat</think>", "draw"),
        ("unicot", "<sugg>No editing is needed</sugg>", "end"),
        ("unicot", "<sr>Everything is good</sr>", "end"),
    ],
)
def test_derivatives_decide_by_their_words(name, text, following, decision):
    assert PROTOCOL_FORMATS[name].decide(text, following) == decision


@pytest.mark.parametrize(
    ("text", "decision"),
    [
        ("4/10\n[ACTION] edit\n[THINKING] no cup\n</think>\n[EDIT] add a cup", "draw"),
        ("10/10\n[ACTION] done\n[THINKING] all is there\n</think>\n[EDIT] None", "end"),
        ("9/10\n[ACTION] edit\n[THINKING] nothing\n</think>\n[EDIT] None", "end"),
        ("9/10\n[THINKING] nothing", "end"),
    ],
)
def test_umm_reflection_goes_by_its_action(text, decision):
    protocol_format = PROTOCOL_FORMATS["umm-reflection"]
    begun = protocol_format.begin(2)
    assert begun == "<think>\n[CURRENT_ROUND] Round#1\n[SCORE] "
    assert protocol_format.decide(begun + text, "text") == decision


def test_names_are_unique_and_system_prompts_can_be_changed():
    assert all(name == protocol_format.name for name, protocol_format in PROTOCOL_FORMATS.items())
    assert {name for name, one in PROTOCOL_FORMATS.items() if not one.system} == {"strokewise"}
    changed = PROTOCOL_FORMATS["unicot"].with_system("be brief")
    assert changed.system == "be brief"
    assert changed.decide("No editing", "text") == "end"
    assert PROTOCOL_FORMATS["unicot"].system != "be brief"


def test_messages():
    assert STROKEWISE.message("fine. " + PLAN) == Message("fine.", ins="add a cup", des="a cup")
    with pytest.raises(ProtocolError):
        STROKEWISE.message("<ins>")
    assert STROKEWISE.readable("so <ins>") == Message("so <ins>")
    assert PROTOCOL_FORMATS["unicot"].message("<think>x</think>") == Message("<think>x</think>")


def test_the_head_of_an_instructed_message_goes_on_to_a_whole_one():
    text = STROKEWISE.head("add a cup") + "a cup</des>"
    assert STROKEWISE.message(text) == Message(ins="add a cup", des="a cup")
