"""GenEval's rules on cases written by hand, and on recorded ones."""

from typing import NamedTuple

import pytest
from benchmarks.geneval_scoring import read_cases
from hypothesis import assume, given
from hypothesis import strategies as st

from strokewise.critics import geneval_rules as geneval
from strokewise.critics.geneval_rules import (
    Detection,
    find_faults,
    keep,
    needing_color,
    relations,
)
from strokewise.errors import InputError, RecordError
from strokewise.world.language import geneval_metadata, geneval_prompts
from strokewise.world.layout import holds


class Verdict(NamedTuple):
    correct: bool
    reason: str


RIGHT = Verdict(True, "")


def evaluate(metadata, detections):
    """The verdict in the form of the official scorer."""
    faults = find_faults(metadata, detections)
    return Verdict(not faults, "\n".join(fault.text for fault in faults))


def asked(text):
    """The official metadata of an official prompt."""
    return geneval_metadata(next(prompt for prompt in geneval_prompts() if prompt.text == text))


def thing(name, score=0.95, box=(0, 0, 10, 10), color=None):
    return Detection(name, score, box, color)


def at(name, x, y, side=10):
    """A square thing by its center."""
    return thing(name, box=(x - side / 2, y - side / 2, x + side / 2, y + side / 2))


def test_every_recorded_verdict_is_ours(repository):
    cases = list(read_cases(repository / "tests" / "golden" / "geneval" / "cases.jsonl.gz"))
    assert len(cases) == 240
    assert {case.metadata["tag"] for case in cases} == {prompt.tag for prompt in geneval_prompts()}
    assert {case.correct for case in cases} == {True, False}
    assert [evaluate(case.metadata, case.detections).correct for case in cases] == [
        case.correct for case in cases
    ]


def test_single_object():
    metadata = asked("a photo of a bench")
    assert evaluate(metadata, [thing("bench")]) == RIGHT
    assert evaluate(metadata, [thing("bench"), thing("bench", box=(50, 50, 60, 60)), thing("cow")]) == RIGHT
    assert evaluate(metadata, [thing("cow")]) == (False, "expected bench>=1, found 0")
    assert not evaluate(metadata, []).correct


def test_scores_must_be_above_the_bound():
    metadata = asked("a photo of a bench")
    assert evaluate(metadata, [thing("bench", 0.3001)]).correct
    assert not evaluate(metadata, [thing("bench", 0.3)]).correct


def test_two_object_names_every_missing_thing():
    metadata = {"tag": "two_object", "include": [{"class": "dog", "count": 1}, {"class": "cat", "count": 1}]}
    assert evaluate(metadata, [thing("dog"), thing("cat")]).correct
    assert evaluate(metadata, [thing("dog")]) == (False, "expected cat>=1, found 0")
    assert evaluate(metadata, []).reason == "expected dog>=1, found 0\nexpected cat>=1, found 0"


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        ([0.99, 0.95, 0.91], RIGHT),
        ([0.99, 0.95, 0.91, 0.9, 0.5], RIGHT),
        ([0.99, 0.95, 0.9], (False, "expected sports ball>=3, found 2")),
        ([0.99, 0.95, 0.91, 0.9001], (False, "expected sports ball<4, found 4")),
    ],
)
def test_counting_is_exact_above_its_own_bound(scores, verdict):
    assert (
        evaluate(asked("a photo of three sports balls"), [thing("sports ball", score) for score in scores])
        == verdict
    )


def test_colors():
    metadata = {"tag": "colors", "include": [{"class": "car", "count": 1, "color": "red"}]}
    assert evaluate(metadata, [thing("car", color="red")]).correct
    verdict = evaluate(metadata, [thing("car", color="pink")])
    assert verdict == (False, "expected red car>=1, found 0 red; and 1 pink")
    assert not evaluate(metadata, [thing("car")]).correct


def test_only_the_surest_things_have_a_color():
    metadata = {"tag": "colors", "include": [{"class": "car", "count": 1, "color": "red"}]}
    other, wanted = thing("car", 0.9, color="blue"), thing("car", 0.8, color="red")
    assert not evaluate(metadata, [wanted, other]).correct
    assert needing_color(metadata, [wanted, other]) == [other]


def test_colors_need_no_naming_where_things_are_missing():
    metadata = {"tag": "colors", "include": [{"class": "car", "count": 2, "color": "red"}]}
    assert needing_color(metadata, [thing("car"), thing("dog")]) == []
    assert needing_color(asked("a photo of a bench"), [thing("bench")]) == []


def test_color_attr():
    metadata = {
        "tag": "color_attr",
        "include": [
            {"class": "car", "count": 1, "color": "red"},
            {"class": "dog", "count": 1, "color": "blue"},
        ],
    }
    assert evaluate(metadata, [thing("car", color="red"), thing("dog", color="blue")]).correct
    swapped = evaluate(metadata, [thing("car", color="blue"), thing("dog", color="red")])
    assert not swapped.correct
    assert len(swapped.reason.splitlines()) == 2


def beside(relation, count=1):
    return {
        "tag": "position",
        "include": [
            {"class": "dog", "count": 1},
            {"class": "cat", "count": count, "position": [relation, 0]},
        ],
    }


@pytest.mark.parametrize(
    ("relation", "x", "y"), [("left of", 20, 50), ("right of", 80, 50), ("above", 50, 20), ("below", 50, 80)]
)
def test_position(relation, x, y):
    dog = at("dog", 50, 50)
    assert evaluate(beside(relation), [dog, at("cat", x, y)]).correct
    mirrored = evaluate(beside(relation), [dog, at("cat", 100 - x, 100 - y)])
    assert not mirrored.correct
    assert mirrored.reason.startswith(f"expected cat {relation} target, found ")


def test_position_of_every_pair_counts():
    dog, left, right = at("dog", 50, 50), at("cat", 20, 50), at("cat", 80, 50)
    assert evaluate(beside("left of", 2), [dog, left, at("cat", 10, 50)]).correct
    assert not evaluate(beside("left of", 2), [dog, left, right]).correct


def test_position_needs_its_target():
    verdict = evaluate(beside("left of"), [at("cat", 20, 50)])
    assert verdict.reason == "expected dog>=1, found 0\nno target for cat to be left of"


def test_a_margin_of_a_tenth_of_both_sizes_is_no_relation():
    here = (0, 0, 10, 10)
    assert relations(here, here) == []
    assert relations((2, 0, 12, 10), here) == []  # the margin is 0.1 * (10 + 10) on each axis
    assert relations((2.0009, 0, 12.0009, 10), here) == []
    # Beyond the margin the offset is shortened but its length is not: 2 of 4, then just above half.
    assert relations((4, 0, 14, 10), here) == []
    assert relations((4.001, 0, 14.001, 10), here) == ["right of"]


def test_a_diagonal_is_two_relations_and_beyond_sixty_degrees_one():
    point = (50, 50, 50, 50)
    assert relations((40, 40, 40, 40), point) == ["left of", "above"]
    assert relations((50, 40, 50, 40), point) == ["above"]
    assert relations((53, 54, 53, 54), point) == ["right of", "below"]
    assert relations((54, 60, 54, 60), point) == ["below"]


boxes = st.tuples(*[st.floats(0, 100, allow_subnormal=False)] * 4).map(
    lambda box: (min(box[::2]), min(box[1::2]), max(box[::2]), max(box[1::2]))
)


@given(boxes, boxes)
def test_the_sprite_world_is_laid_out_by_the_same_rule(first, second):
    names = ("left of", "right of", "above", "below")
    # Apart from the bounds, where the last digit of the arithmetic decides.
    near = [
        holds(name, first, second, 0.5 - 1e-9) != holds(name, first, second, 0.5 + 1e-9) for name in names
    ]
    assume(not any(near))
    assert set(relations(first, second)) == {name for name in names if holds(name, first, second)}


def test_of_a_class_the_surest_sixteen_are_kept():
    clocks = [thing("clock", 0.9 - number / 100) for number in range(20)]
    assert keep("single_object", [*clocks[::-1], thing("dog", 0.2)]) == {"clock": clocks[:16]}


def test_excluded_classes():
    metadata = {
        "tag": "single_object",
        "include": [{"class": "dog", "count": 1}],
        "exclude": [{"class": "cat", "count": 1}],
    }
    assert evaluate(metadata, [thing("dog")]).correct
    assert evaluate(metadata, [thing("dog"), thing("cat")]) == (False, "expected cat<1, found 1")


def test_the_order_of_detections_and_what_else_is_there_change_nothing(repository):
    for case in read_cases(repository / "tests" / "golden" / "geneval" / "cases.jsonl.gz"):
        more = [thing("no class of anything"), *case.detections[::-1]]
        assert evaluate(case.metadata, more) == evaluate(case.metadata, case.detections)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {},
        {"tag": "colors"},
        {"tag": 1, "include": []},
        {"tag": "colors", "include": {}},
        {"tag": "colors", "include": [], "exclude": None},
        {"tag": "colors", "include": ["dog"]},
        {"tag": "colors", "include": [{"class": "dog"}]},
        {"tag": "colors", "include": [{"class": "dog", "count": True}]},
        {"tag": "colors", "include": [{"class": "dog", "count": -1}]},
        {"tag": "colors", "include": [{"class": "dog", "count": 1, "color": None}]},
        {"tag": "position", "include": [{"class": "dog", "count": 1, "position": ["left of", 0]}]},
        {"tag": "position", "include": [{"class": "dog", "count": 1, "position": "left of"}]},
    ],
)
def test_other_metadata_are_refused(metadata):
    with pytest.raises(RecordError):
        evaluate(metadata, [])


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"tag": "my_objects"}, "no task .tag. 'my_objects'"),
        ({"include": [{"class": "sofa", "count": 1}]}, "no class 'sofa'; known are person, "),
        ({"include": [{"class": "appel", "count": 1}]}, "no class 'appel'; did you mean 'apple'"),
        ({"include": [{"class": "Apple", "count": 1}]}, "no class 'Apple'"),
        (
            {"include": [{"class": "apple", "count": 1, "color": "grey"}]},
            "no color 'grey'; did you mean 'green'",
        ),
        ({"exclude": [{"class": "sofa", "count": 1}]}, "no class 'sofa'"),
        (
            {
                "include": [
                    {"class": "apple", "count": 1},
                    {"class": "dog", "count": 1, "position": ["on", 0]},
                ]
            },
            "no relation 'on'; ",
        ),
    ],
)
def test_words_that_nothing_can_be_judged_by_are_refused(change, fault):
    metadata = {"tag": "single_object", "include": [{"class": "apple", "count": 1}]} | change
    with pytest.raises(RecordError, match=f"GenEval's rules know {fault}"):
        geneval.check_metadata(metadata)
    with pytest.raises(RecordError):
        evaluate(metadata, [])


def test_all_official_metadata_are_accepted():
    for prompt in geneval_prompts():
        geneval.check_metadata(geneval_metadata(prompt))


def test_recorded_cases_are_read_plain_too_and_faults_are_placed(tmp_path):
    good = '{"metadata": {"tag": "colors", "include": []}, "detections": [], "correct": true}\n'
    path = tmp_path / "cases.jsonl"
    path.write_text(good + "\n" + good)
    assert len(list(read_cases(path))) == 2
    for bad in ("[]", "{", good.replace("true", "1"), good.replace("[],", '[{"class": "dog"}],', 2)):
        path.write_text(good + bad)
        with pytest.raises(InputError, match="line 2"):
            list(read_cases(path))
    with pytest.raises(InputError, match="cannot be read"):
        list(read_cases(tmp_path / "none.jsonl"))
    broken = tmp_path / "cases.jsonl.gz"
    broken.write_bytes(b"not gzipped")
    with pytest.raises(InputError, match="cannot be read"):
        list(read_cases(broken))
