"""Messages read back as they were written; sequences and orders of stages are taken or refused."""

import string
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from strokewise.errors import ProtocolError
from strokewise.trajectory.values import (
    TAG,
    Message,
    Stage,
    Step,
    Trajectory,
    Verdict,
    from_parts,
    to_parts,
)

PICTURE = Image.new("RGB", (4, 4), "red")
TAGS = ("<refine>", "</refine>", "<ins>", "</ins>", "<des>", "</des>")

plain = st.text(max_size=30).map(str.strip).filter(lambda text: not TAG.search(text))
# What comes near a tag without being one.
nearly = st.lists(
    st.sampled_from(["<", ">", "/", "ins", "des", "refine", " ", "<ins", "des>", "é\n"]), max_size=6
)
plain_texts = plain | nearly.map("".join).map(str.strip).filter(lambda text: not TAG.search(text))
messages = st.builds(
    Message, plain_texts, st.none() | plain_texts, st.none() | plain_texts, st.none() | plain_texts
)
soups = st.lists(st.sampled_from(TAGS) | st.text(string.ascii_letters + "<>/ \n", max_size=4), max_size=9)
pictures = st.integers(0, 255).map(lambda value: Image.new("RGB", (2, 2), (value, 0, 0)))

PLAN = Message(ins="Add a cat.", des="a cat")
NEXT = Message("fine.", ins="Add a dog.", des="a cat and a dog")
MEND = Message("the cat is red.", "Make it blue.")
LAST = Message("all is there.")


def painted(*said: Message, stop: str = "end") -> Trajectory:
    """A trajectory of messages, with a canvas after each that announces one."""
    steps = tuple(Step(message, PICTURE if message.paints else None) for message in said)
    return Trajectory("a cat and a dog", steps, stop=stop)


class TestMessage:
    @given(messages)
    @example(Message())
    @example(Message("", "", "", ""))
    def test_reads_back_as_written(self, message):
        assert Message.parse(message.text()) == message

    def test_is_written_in_the_order_of_the_grammar(self):
        message = Message("it is red.", "Make it blue.", "Add it.", "a cat")
        assert (
            message.text() == "it is red. <refine>Make it blue.</refine> <ins>Add it.</ins> <des>a cat</des>"
        )

    def test_surrounding_space_is_dropped(self):
        assert Message.parse("\n seen. <ins> a </ins>\n\n<des>b\nc </des> ") == Message(
            "seen.", None, "a", "b\nc"
        )

    @given(st.sampled_from(TAGS), st.sampled_from(["inspect", "refine", "ins", "des"]), plain_texts)
    def test_a_tag_inside_a_part_is_not_written(self, tag, part, text):
        with pytest.raises(ProtocolError, match=f"the {part} part holds a tag"):
            Message(**{part: f"{text}{tag}"}).text()

    @settings(max_examples=300)
    @given(st.text() | soups.map("".join))
    def test_parsing_is_total(self, text):
        try:
            message = Message.parse(text)
        except ProtocolError:
            return
        assert Message.parse(message.text()) == message
        # Nothing was lost: what was read holds every letter of what was written.
        assert "".join(message.text().split()) == "".join(text.split())

    @pytest.mark.parametrize(
        "text",
        [
            "<ins>",
            "</ins>",
            "<ins>a",
            "<ins>a</des>",
            "<ins>a<des>b</des></ins>",
            "<ins>a</ins><ins>b</ins>",
            "<des>b</des><ins>a</ins>",
            "<ins>a</ins><refine>b</refine>",
            "<ins>a</ins> and more",
            "<ins>a</ins> and more <des>b</des>",
            "x </refine> <refine>a</refine>",
        ],
    )
    def test_broken_tags_are_refused(self, text):
        with pytest.raises(ProtocolError, match="expected <refine>…</refine> <ins>…</ins> <des>…</des>"):
            Message.parse(text)

    @pytest.mark.parametrize(
        ("message", "paints"),
        [(PLAN, True), (MEND, True), (NEXT, True), (LAST, False), (Message(des="a"), False)],
    )
    def test_a_plan_or_a_correction_announces_a_canvas(self, message, paints):
        assert message.paints is paints


class TestValues:
    @pytest.mark.parametrize(
        ("plan", "sketch", "accepted"),
        [
            (None, None, True),
            (True, True, True),
            (True, None, True),
            (False, True, False),
            (True, False, False),
            (None, False, False),
            (False, None, False),
        ],
    )
    def test_a_verdict_accepts_what_is_not_found_wrong(self, plan, sketch, accepted):
        assert Verdict(plan, sketch).accepted is accepted

    @pytest.mark.parametrize(
        ("message", "stages"),
        [
            (PLAN, (Stage.PLAN, Stage.SKETCH)),
            (NEXT, (Stage.INSPECT, Stage.PLAN, Stage.SKETCH)),
            (MEND, (Stage.INSPECT, Stage.REFINE)),
            (replace(NEXT, refine="Make it blue."), (Stage.INSPECT, Stage.PLAN, Stage.REFINE)),
            (LAST, (Stage.INSPECT,)),
        ],
    )
    def test_stages_of_a_step(self, message, stages):
        assert Step(message, PICTURE if message.paints else None).stages == stages

    def test_images_are_the_canvases_without_the_source(self):
        trajectory = replace(painted(PLAN, NEXT, LAST), source=Image.new("RGB", (2, 2)))
        assert len(trajectory.images) == 2
        assert all(image is PICTURE for image in trajectory.images)


class TestProtocol:
    @pytest.mark.parametrize(
        "trajectory",
        [
            painted(PLAN, LAST),
            painted(PLAN, NEXT, MEND, LAST),
            painted(PLAN, replace(NEXT, refine="Make it blue."), LAST),
            painted(PLAN, stop="rounds"),
            painted(PLAN, MEND, stop="excerpt"),
        ],
    )
    def test_complete_orders_are_taken(self, trajectory):
        trajectory.check_protocol()

    @pytest.mark.parametrize(
        ("trajectory", "fault"),
        [
            (painted(), "at least one step"),
            (painted(LAST), "step 0: the first step plans"),
            (painted(Message(), LAST), "step 0: the first step plans"),
            (painted(MEND, LAST), "step 0: the first step plans"),
            (painted(NEXT, LAST), "step 0: the first step plans"),
            (painted(replace(PLAN, refine="Make it blue."), LAST), "step 0: the first step plans"),
            (painted(Message(ins="Add a cat."), LAST), "step 0: <ins> and <des> come together"),
            (painted(PLAN, Message("fine.", des="a cat"), LAST), "step 1: <ins> and <des> come together"),
            (painted(PLAN, Message("fine.", ins="a cat"), LAST), "step 1: <ins> and <des> come together"),
            (painted(PLAN, PLAN, LAST), "step 1: a canvas is inspected before"),
            (painted(PLAN, NEXT, Message()), "step 2: a canvas is inspected before"),
            (painted(PLAN, Message(refine="Make it blue."), LAST), "step 1: a canvas is inspected before"),
            (painted(PLAN, LAST, NEXT, LAST), "step 1 announces no canvas but is not the last"),
            (painted(PLAN), "step 0 paints a canvas that is never inspected"),
            (painted(PLAN, NEXT), "step 1 paints a canvas that is never inspected"),
            (painted(PLAN, MEND), "step 1 paints a canvas that is never inspected"),
            (Trajectory("a cat", (Step(PLAN), Step(LAST))), "step 0 lacks the canvas it announces"),
            (Trajectory("a cat", (Step(PLAN, PICTURE), Step(MEND), Step(LAST))), "step 1 lacks the canvas"),
            (
                Trajectory("a cat", (Step(PLAN, PICTURE), Step(LAST, PICTURE))),
                "step 1 paints without a plan",
            ),
        ],
    )
    def test_every_other_order_is_refused(self, trajectory, fault):
        with pytest.raises(ProtocolError) as caught:
            trajectory.check_protocol()
        assert fault in str(caught.value)


class TestParts:
    @given(
        st.text(),
        st.lists(st.tuples(messages, pictures), max_size=4),
        st.none() | messages,
        st.none() | pictures,
    )
    def test_round_trip(self, prompt, steps, last, source):
        all_steps = [Step(message, image) for message, image in steps] + (
            [] if last is None else [Step(last)]
        )
        trajectory = Trajectory(prompt, tuple(all_steps), source)
        again = from_parts(to_parts(trajectory))
        assert again == trajectory
        assert again.source is source

    def test_order(self):
        source = Image.new("RGB", (2, 2))
        parts = to_parts(replace(painted(PLAN, LAST), source=source))
        assert parts == [source, "a cat and a dog", PLAN.text(), PICTURE, LAST.text()]

    @settings(max_examples=300)
    @given(st.lists(pictures | st.text(max_size=5) | soups.map("".join), max_size=7))
    def test_reading_is_total(self, parts):
        try:
            trajectory = from_parts(parts)
        except ProtocolError:
            return
        kinds = [isinstance(part, str) for part in to_parts(trajectory)]
        assert kinds == [isinstance(part, str) for part in parts]

    @pytest.mark.parametrize(
        ("parts", "fault"),
        [
            ([], "begins with a prompt"),
            ([PICTURE], "begins with a prompt"),
            ([PICTURE, PICTURE, "a cat"], "begins with a prompt"),
            (["a cat", PICTURE], "step 0: two images follow each other"),
            (["a cat", "<ins>a</ins>", PICTURE, PICTURE], "step 1: two images follow each other"),
            (["a cat", "<ins>a</ins>", "fine."], "step 0: two texts follow each other"),
            (["a cat", "<ins>a</ins>", PICTURE, "fine.", "fine."], "step 1: two texts follow each other"),
            (["a cat", "<ins>a", PICTURE], "not a message"),
        ],
    )
    def test_what_takes_no_turns_is_refused(self, parts, fault):
        with pytest.raises(ProtocolError, match=fault):
            from_parts(parts)
