"""One picture scored: which colors are asked for, and what is kept."""

import json

import numpy as np
import pytest
from PIL import Image

from strokewise.critics.geneval_rules import Detection, FaultKind, find_faults
from strokewise.errors import InputError
from strokewise.evals.benchmarks.geneval.images import score_picture, write_results

PICTURE = Image.new("RGB", (64, 64))
METADATA = {
    "tag": "colors",
    "include": [{"class": "car", "count": 1, "color": "red"}],
    "prompt": "a photo of a red car",
}


class Query:
    """A detector that finds two cars and a dog, and names all colors red."""

    def __init__(self):
        self.asked = []

    def detect(self, image):
        mask = np.ones((64, 64), bool)
        box = (0.0, 0.0, 64.0, 64.0)
        return [
            Detection(name, score, box, mask=mask)
            for name, score in (("car", 0.5), ("car", 0.9), ("dog", 0.99), ("car", 0.1))
        ]

    def name_colors(self, image, detections):
        self.asked += [(one.name, one.score, one.mask is not None) for one in detections]
        return ["red" for _ in detections]


def test_only_the_colors_that_decide_are_asked_for():
    detector = Query()
    result = score_picture("a.png", PICTURE, METADATA, detector)
    assert result.correct
    assert detector.asked == [("car", 0.9, True)]
    assert [one.color for one in result.found["car"]] == ["red", None]
    assert {name: len(found) for name, found in result.found.items()} == {"car": 2, "dog": 1}
    assert all(one.mask is None for found in result.found.values() for one in found)


def test_results_are_written_whole_or_not_at_all(tmp_path):
    result = score_picture("a.png", PICTURE, METADATA, Query())

    def broken():
        yield result
        raise InputError("no picture")

    with pytest.raises(InputError):
        write_results(broken(), tmp_path / "results.jsonl")
    assert not (tmp_path / "results.jsonl").exists()
    write_results([result, result], tmp_path / "results.jsonl")
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    assert len(lines) == 2
    assert json.loads(json.loads(lines[0])["details"])["dog"] == [[0, 0, 64, 64, 0.99]]


def found(name, **more):
    return Detection(name, 0.95, more.pop("box", (0.0, 0.0, 10.0, 10.0)), **more)


BESIDE = [{"class": "dog", "count": 1}, {"class": "cat", "count": 1, "position": ["left of", 0]}]


@pytest.mark.parametrize(
    ("include", "detections", "kinds"),
    [
        ([{"class": "dog", "count": 1}], [found("dog")], []),
        ([{"class": "dog", "count": 1}], [], ["missing"]),
        ([{"class": "dog", "count": 2}], [found("dog")], ["too few"]),
        ([{"class": "dog", "count": 1, "color": "red"}], [found("dog", color="blue")], ["wrong color"]),
        ([{"class": "dog", "count": 1, "color": "red"}], [], ["missing"]),
        (BESIDE, [found("dog"), found("cat", box=(50.0, 0.0, 60.0, 10.0))], ["wrong relation"]),
        (BESIDE, [found("cat")], ["missing", "wrong relation"]),
    ],
)
def test_kinds_of_faults(include, detections, kinds):
    metadata = {"tag": "position", "include": include, "prompt": "x"}
    faults = find_faults(metadata, detections)
    assert [fault.kind for fault in faults] == kinds


def test_too_many_is_a_kind_of_fault():
    metadata = {
        "tag": "counting",
        "include": [{"class": "dog", "count": 1}],
        "exclude": [{"class": "dog", "count": 2}],
        "prompt": "x",
    }
    (fault,) = find_faults(metadata, [found("dog"), found("dog")])
    assert fault == (FaultKind.TOO_MANY, "expected dog<2, found 2")
