"""Dialects: what a message calls for in each family of models."""

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
def test_relatives_go_by_their_words(name, text, following, decision):
    assert PROTOCOL_FORMATS[name].decide(text, following) == decision


def test_umm_reflection_goes_by_the_token():
    protocol_format = PROTOCOL_FORMATS["umm-reflection"]
    assert protocol_format.decide("<think>[ACTION edit]</think>[EDIT]", "image") == "draw"
    assert protocol_format.decide("<think>[ACTION done]</think>", "end") == "end"
    assert protocol_format.decide("<think>", "text") == "protocol"


def test_names_are_unique_and_systems_of_derivatives_are_given_by_the_user():
    assert all(
        name == protocol_format.name and (protocol_format.system == "" or name == "bagel-think")
        for name, protocol_format in PROTOCOL_FORMATS.items()
    )
    changed = PROTOCOL_FORMATS["unicot"].with_system("be brief")
    assert changed.system == "be brief"
    assert changed.decide("No editing", "text") == "end"
    assert PROTOCOL_FORMATS["unicot"].system == ""


def test_messages():
    assert STROKEWISE.message("fine. " + PLAN) == Message("fine.", ins="add a cup", des="a cup")
    with pytest.raises(ProtocolError):
        STROKEWISE.message("<ins>")
    assert STROKEWISE.readable("so <ins>") == Message("so <ins>")
    assert PROTOCOL_FORMATS["unicot"].message("<think>x</think>") == Message("<think>x</think>")


def test_the_head_of_an_instructed_message_goes_on_to_a_whole_one():
    text = STROKEWISE.head("add a cup") + "a cup</des>"
    assert STROKEWISE.message(text) == Message(ins="add a cup", des="a cup")
