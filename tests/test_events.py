"""Events come back from plain values as they were; anything else is refused with what was expected."""

import json
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strokewise.errors import RecordError
from strokewise.trajectory.events import KINDS, ImageFinished, TextDelta, from_dict

VALUES = {
    int: st.integers(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: st.text(),
    bytes: st.binary(),
}
WRONG = {
    int: [None, "1", 1.5, True, [1]],
    float: [None, "1", True],
    str: [None, 1, b"a", ["a"]],
    bytes: [None, 1, "é"],
}
ILL_TYPED = [
    pytest.param(kind, field.name, value, id=f"{kind.type}-{field.name}-{value!r}")
    for kind in KINDS.values()
    for field in fields(kind)
    for value in WRONG[field.type]
]


def events_of(kind):
    """Any events of a class."""
    return st.builds(kind, **{field.name: VALUES[field.type] for field in fields(kind)})


def sample(kind):
    """The plain values of some event of a class."""
    plain = {int: 1, float: 0.5, str: "a", bytes: b"a"}
    return kind(**{field.name: plain[field.type] for field in fields(kind)}).to_dict()


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@given(data=st.data())
def test_round_trip_through_json(kind, data):
    event = data.draw(events_of(kind))
    value = event.to_dict()
    assert value["type"] == kind.type
    again = from_dict(json.loads(json.dumps(value)))
    assert type(again) is kind
    assert again == event


def test_types_are_the_documented_ones():
    assert list(KINDS) == [
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
    assert ImageFinished(1, "sketch", b"\x89PNG", 2.0).to_dict() == {
        "type": "image_finished",
        "step": 1,
        "stage": "sketch",
        "png": "iVBORw==",
        "seconds": 2.0,
    }


def test_whole_seconds_are_numbers_too():
    assert from_dict(sample(ImageFinished) | {"seconds": 2}).seconds == 2


@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        "text_started",
        [],
        {},
        {"step": 1},
        {"type": "unknown", "step": 1},
        {"type": None, "step": 1},
        {"type": 1},
        {"type": ["text_started"], "step": 1},
        {"type": {}, "step": 1},
    ],
)
def test_unknown_types_are_refused(value):
    with pytest.raises(RecordError, match=r"not an event.*text_started, text_delta"):
        from_dict(value)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_missing_and_unknown_entries_are_refused(kind):
    value = sample(kind)
    for name in value:
        if name != "type":
            with pytest.raises(RecordError, match=f"a {kind.type} event has the entries"):
                from_dict({key: entry for key, entry in value.items() if key != name})
    for more in ("other", 1):
        with pytest.raises(RecordError, match=f"a {kind.type} event has the entries .*not .*{more}"):
            from_dict(value | {more: 1})


@pytest.mark.parametrize(("kind", "name", "value"), ILL_TYPED)
def test_ill_typed_entries_are_refused(kind, name, value):
    with pytest.raises(RecordError, match=f"{kind.type}: {name} is"):
        from_dict(sample(kind) | {name: value})


@pytest.mark.parametrize("text", ["a", "iVBORw=", "iVBO Rw==", "iVBORw==!"])
def test_damaged_base64_is_refused(text):
    with pytest.raises(RecordError, match="png is not base64"):
        from_dict(sample(ImageFinished) | {"png": text})


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=4))
def test_any_entry_is_taken_or_refused(entry):
    try:
        event = from_dict({"type": "text_delta", "step": 1, "text": entry})
    except RecordError:
        assert not isinstance(entry, str)
    else:
        assert event == TextDelta(1, entry)
