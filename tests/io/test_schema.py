"""Stored values are checked against their types without coercion, and faults name the field."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import TypedDict

from strokewise.errors import CheckpointError, RecordError
from strokewise.io.schema import checked, checked_row


@dataclass(frozen=True)
class Inner:
    flag: bool | None


@dataclass(frozen=True)
class Outer:
    name: str
    count: int
    share: float = 0.5
    words: tuple[str, ...] = ()
    inner: list[Inner] = field(default_factory=list)


class Row(TypedDict):
    name: str
    images: list[bytes]


def test_objects_become_dataclasses_and_lists_tuples():
    value = {"name": "a", "count": 3, "share": 1, "words": ["b"], "inner": [{"flag": None}, {"flag": True}]}
    assert checked(Outer, value, "here") == Outer("a", 3, 1.0, ("b",), [Inner(None), Inner(True)])
    assert checked(Outer, {"name": "a", "count": 10**30}, "here") == Outer("a", 10**30)


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"name": 1}, "name: input should be a valid string, not 1"),
        ({"count": "1"}, "count: input should be a valid integer, not '1'"),
        ({"count": True}, "count: input should be a valid integer, not True"),
        ({"count": 1.0}, "count: "),
        ({"share": "0.5"}, "share: input should be a valid number, not '0.5'"),
        ({"share": True}, "share: "),
        ({"words": "abc"}, "words: "),
        ({"words": ["a", 2]}, "words.1: input should be a valid string, not 2"),
        ({"inner": [{"flag": 1}]}, "inner.0.flag: input should be a valid boolean, not 1"),
        ({"inner": [{"flag": True, "more": 1}]}, "inner.0.more: is unknown"),
        ({"inner": [{}]}, "inner.0.flag: is missing"),
        ({"more": 1}, "more: is unknown"),
        ({"name": "\ud800"}, "value: invalid JSON"),
        ({"name": b"a"}, "no plain value: "),
    ],
)
def test_faults_name_the_field_and_nothing_is_coerced(changed, fault):
    with pytest.raises(CheckpointError) as caught:
        checked(Outer, {"name": "a", "count": 3} | changed, "a.json", CheckpointError)
    assert str(caught.value).startswith(f"a.json: {fault}")


def test_many_faults_are_counted():
    with pytest.raises(RecordError, match=r"^here: (.*; ){3}and 7 more$"):
        checked(Outer, {"name": "a", "count": 3, "words": list(range(10))}, "here")


def test_long_values_are_cut():
    with pytest.raises(RecordError) as caught:
        checked(Outer, {"name": "a", "count": "9" * 10_000}, "here")
    assert len(str(caught.value)) < 150


def test_rows_hold_bytes_and_other_columns():
    assert checked_row(Row, {"name": "a", "images": [b"b"], "more": 3}, "row 1") == {
        "name": "a",
        "images": [b"b"],
    }
    for row, fault in (
        ({"name": "a"}, "images: is missing"),
        ({"name": "a", "images": ["b"]}, r"images\.0: "),
        ({"name": None, "images": []}, "name: input should be a valid string, not None"),
        ([], "value: "),
    ):
        with pytest.raises(RecordError, match=f"^row 1: {fault}"):
            checked_row(Row, row, "row 1")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["name", "count", "inner", "flag"]), x),
        max_leaves=6,
    )
)
def test_any_value_is_read_or_refused(value):
    try:
        assert isinstance(checked(Outer, value, "here"), Outer)
    except RecordError:
        return
