"""Events and envelopes come back from plain values as they were; anything else is refused by name."""

import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strokewise.errors import RecordError
from strokewise.io.schema import checked
from strokewise.trajectory.events import (
    AnyEvent,
    Envelope,
    ImageFinished,
    Png,
    Stamp,
    TextDelta,
    TextFinished,
    TextStarted,
    events_schema,
)
from strokewise.trajectory.values import Message, Stage, StopReason, Verdict


def event_from_json(value, where="event"):
    return checked(AnyEvent, value, where)


KINDS = get_args(get_args(AnyEvent)[0])
NAMES = [kind.type for kind in KINDS]
texts = st.text(st.characters(exclude_categories=["Cs"]))
parts = st.none() | texts
judged = st.none() | st.booleans()
VALUES = {
    int: st.integers(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: texts,
    Stage: st.sampled_from(Stage),
    StopReason: st.sampled_from(StopReason),
    Png: st.binary(),
    Message | None: st.none() | st.builds(Message, texts, parts, parts, parts),
    Verdict | None: st.none() | st.builds(Verdict, judged, judged),
}
WRONG = {
    int: [None, "1", 1.5, True, [1]],
    float: [None, "1", True],
    str: [None, 1, b"a", ["a"]],
    Stage: [None, 1, "paint", ["plan"]],
    StopReason: [None, 1, "tired", ["end"]],
    Png: [None, 1, "é"],
    Message | None: [1, "a", [], {"inspect": 1}, {"ins": ["a"]}, {"other": "a"}],
    Verdict | None: [1, True, [], {"plan": 1}, {"sketch": "true"}, {"other": True}],
}


def own_fields(kind):
    """The fields of an event but its type."""
    return [field for field in fields(kind) if field.name != "type"]


ILL_TYPED = [
    pytest.param(kind, field.name, value, id=f"{kind.type}-{field.name}-{value!r}")
    for kind in KINDS
    for field in own_fields(kind)
    for value in WRONG[field.type]
]


def events_of(kind):
    """Any events of a class."""
    return st.builds(kind, **{field.name: VALUES[field.type] for field in own_fields(kind)})


def sample(kind):
    """The plain values of some event of a class."""
    plain = {
        int: 1,
        float: 0.5,
        str: "a",
        Stage: Stage.PLAN,
        StopReason: StopReason.END,
        Png: b"a",
        Message | None: Message(),
        Verdict | None: Verdict(),
    }
    return kind(**{field.name: plain[field.type] for field in own_fields(kind)}).to_json()


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
@given(data=st.data())
def test_round_trip_through_json(kind, data):
    event = data.draw(events_of(kind))
    value = event.to_json()
    assert value["type"] == kind.type
    again = event_from_json(json.loads(json.dumps(value)))
    assert type(again) is kind
    assert again == event


def test_types_are_the_documented_ones():
    assert NAMES == [
        "text_started",
        "text_delta",
        "text_finished",
        "image_started",
        "image_preview",
        "image_finished",
        "finished",
        "error",
    ]


def test_pngs_become_base64_text():
    assert ImageFinished(1, "sketch", b"\x89PNG", 2.0).to_json() == {
        "type": "image_finished",
        "step": 1,
        "stage": "sketch",
        "png": "iVBORw==",
        "seconds": 2.0,
    }


def test_a_finished_text_carries_its_parts_and_verdict():
    event = TextFinished(
        1, "it is red. <ins>Add.</ins>", 0.5, Message("it is red.", ins="Add."), Verdict(True)
    )
    assert event.to_json() == {
        "type": "text_finished",
        "step": 1,
        "text": "it is red. <ins>Add.</ins>",
        "seconds": 0.5,
        "message": {"inspect": "it is red.", "refine": None, "ins": "Add.", "des": None},
        "verdict": {"plan": True, "sketch": None, "plan_text": None, "seen_text": None},
    }


def test_events_of_the_first_version_are_read():
    value = {"type": "text_finished", "step": 0, "text": "a", "seconds": 1.5}
    assert event_from_json(value) == TextFinished(0, "a", 1.5)


def test_whole_seconds_are_numbers_too():
    assert event_from_json(sample(ImageFinished) | {"seconds": 2}).seconds == 2


@pytest.mark.parametrize(
    "value",
    [
        {"type": "unknown", "step": 1},
        {"type": 1},
        {"type": ["text_started"], "step": 1},
        {"type": {}, "step": 1},
    ],
)
def test_unknown_types_are_refused(value):
    with pytest.raises(RecordError, match=r"^here: .*'type'"):
        event_from_json(value, "here")


@pytest.mark.parametrize("value", [None, 3, "text_started", [], {}, {"step": 1}, {"type": None, "step": 1}])
def test_what_is_no_event_is_refused(value):
    with pytest.raises(RecordError, match=r"^here: "):
        event_from_json(value, "here")


def test_the_known_types_are_named():
    with pytest.raises(RecordError, match=r"'text_started', 'text_delta', .*'error'"):
        event_from_json({"type": "unknown", "step": 1})


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_missing_and_unknown_entries_are_refused(kind):
    value = sample(kind)
    required = [field.name for field in own_fields(kind) if field.default is MISSING]
    assert "step" in required
    for name in required:
        with pytest.raises(RecordError, match=rf"^here: {kind.type}\.{name}: is missing$"):
            event_from_json({key: entry for key, entry in value.items() if key != name}, "here")
    for more in ("other", 1):
        with pytest.raises(RecordError, match=rf"^here: {kind.type}\.{more}: is unknown$"):
            event_from_json(value | {more: 1}, "here")


@pytest.mark.parametrize(("kind", "name", "value"), ILL_TYPED)
def test_ill_typed_entries_are_refused(kind, name, value):
    with pytest.raises(RecordError, match=rf"^here: ({kind.type}\.{name}[.:]|no plain value)"):
        event_from_json(sample(kind) | {name: value}, "here")


@pytest.mark.parametrize("text", ["a", "iVBORw=", "iVBO Rw==", "iVBORw==!"])
def test_damaged_base64_is_refused(text):
    with pytest.raises(RecordError, match=r"image_finished\.png: is not base64"):
        event_from_json(sample(ImageFinished) | {"png": text})


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=4))
def test_any_entry_is_taken_or_refused(entry):
    try:
        event = event_from_json({"type": "text_delta", "step": 1, "text": entry})
    except RecordError:
        assert not isinstance(entry, str) or any("\ud800" <= c <= "\udfff" for c in entry)
    else:
        assert event == TextDelta(1, entry)


class TestEnvelopes:
    def test_one_shape_for_all(self):
        assert Envelope("7", 3, 1.5, TextStarted(2)).to_json() == {
            "painting": "7",
            "sequence": 3,
            "time": 1.5,
            "event": {"type": "text_started", "step": 2, "stage": "plan"},
        }

    def test_stamps_count_and_tell_the_time(self):
        times = iter([1.5, 2.5, 9.0])
        stamp = Stamp("a", clock=lambda: next(times))
        assert [stamp(TextStarted(0)), stamp(TextDelta(0, "b"))] == [
            Envelope("a", 0, 1.5, TextStarted(0)),
            Envelope("a", 1, 2.5, TextDelta(0, "b")),
        ]
        assert Stamp("a", first=7, clock=lambda: next(times))(TextStarted(0)).sequence == 7

    @given(st.data())
    def test_round_trip_through_json(self, data):
        event = data.draw(st.one_of(*map(events_of, KINDS)))
        envelope = data.draw(st.builds(Envelope, texts, st.integers(), VALUES[float], st.just(event)))
        assert Envelope.from_json(json.loads(json.dumps(envelope.to_json()))) == envelope

    @pytest.mark.parametrize(
        ("changed", "fault"),
        [
            ({"painting": 3}, "painting: input should be a valid string, not 3"),
            ({"sequence": "3"}, "sequence: input should be a valid integer, not '3'"),
            ({"time": None}, "time: input should be a valid number, not None"),
            ({"event": None}, "event: "),
            ({"event": {"type": "text_delta", "step": 1}}, "event.text_delta.text: is missing"),
            ({"other": 1}, "other: is unknown"),
        ],
    )
    def test_faults_name_the_field(self, changed, fault):
        value = Stamp("a")(TextStarted(0)).to_json() | changed
        with pytest.raises(RecordError) as caught:
            Envelope.from_json(value, "line 3")
        assert str(caught.value).startswith(f"line 3: {fault}")


class TestSchema:
    def test_the_documented_one_is_the_generated_one(self):
        """Otherwise: strokewise events-schema > docs/events.schema.json."""
        stored = Path(__file__).parents[1] / "docs" / "events.schema.json"
        assert json.loads(stored.read_text()) == events_schema()

    def test_it_states_what_is_written(self):
        schema = events_schema()
        assert schema["required"] == ["painting", "sequence", "time", "event"]
        for kind in KINDS:
            assert sorted(schema["$defs"][kind.__name__]["properties"]) == sorted(sample(kind))
            assert schema["properties"]["event"]["discriminator"]["mapping"][kind.type].endswith(
                kind.__name__
            )
