"""Alignment records: faulty sketches are faulty as labeled and corrected, good ones left as they are."""

from collections import Counter

import numpy as np
import pytest

from strokewise.critics.oracle import judge_plan, judge_sketch
from strokewise.data.alignment import SPOILS, AlignmentMix
from strokewise.data.checking import faults_of
from strokewise.data.records import to_table_row
from strokewise.data.scenes import scene_from_json
from strokewise.scene_graph import SceneGraph
from strokewise.trajectory.values import Stage, Verdict
from strokewise.world.language import (
    apply_stroke,
    describe,
    parse_correction,
    parse_description,
    parse_inspection,
)

# What the oracle may call each fault that is put in.
FAULTS_OF_SPOIL = {
    "wrong color": {"wrong color"},
    "wrong class": {"missing", "extra"},
    "too many": {"wrong count"},
    "too few": {"wrong count"},
    "missing": {"missing"},
    "extra": {"extra"},
    "wrong place": {"wrong place"},
}


def negatives(records_of):
    return [record for record in records_of("alignment") if record.label == "negative"]


def test_every_claim_is_true(records_of):
    for record in records_of("alignment"):
        assert list(faults_of(record)) == []


@pytest.mark.parametrize("share", [0.0, 0.6, None, 1.0])
def test_share_of_positives(records_of, share):
    mix = AlignmentMix() if share is None else AlignmentMix(right_share=share)
    labels = Counter(record.label for record in records_of("alignment", 256, mix=mix))
    assert set(labels) <= {"positive", "negative"}
    assert labels["positive"] / 256 == pytest.approx(1 / 3 if share is None else share, abs=0.06)


def test_the_seed_decides_everything(records_of):
    one, again, other = (
        [to_table_row(record) for record in records_of("alignment", 8 + extra, seed)]
        for extra, seed in ((0, 3), (1, 3), (0, 4))
    )
    assert one == again[:8]
    assert all(a["trajectory"] != b["trajectory"] for a, b in zip(one, other, strict=True))


def test_lengths(records_of):
    records = records_of("alignment")
    positive, negative = (
        {len(r.trajectory.images) for r in records if r.label == label} for label in ("positive", "negative")
    )
    assert positive == {1, 2, 3, 4, 5}
    assert negative == {2, 3, 4, 5, 6}  # up to five strokes, the last of them painted again


def test_every_kind_of_fault_occurs(records_of):
    faults = Counter(record.fault for record in negatives(records_of))
    assert set(faults) == set(SPOILS) == set(FAULTS_OF_SPOIL)
    assert min(faults.values()) > 5


def test_faulty_sketches_are_found_and_corrected(records_of):
    for record in negatives(records_of):
        prompt = SceneGraph.from_json(record.truth["prompt"])
        *before, sketched, corrected = record.trajectory.steps
        assert all(step.verdict.accepted for step in [*before, sketched][1:])
        plan = parse_description(sketched.message.des)
        *_, wrong, right = (describe(scene_from_json(value)) for value in record.truth["scenes"])
        found = judge_sketch(plan, wrong)
        assert FAULTS_OF_SPOIL[record.fault] <= {fault.kind for fault in found}
        assert corrected.verdict == Verdict(plan=True, sketch=False)
        assert corrected.stages == (Stage.INSPECT, Stage.REFINE)
        assert set(parse_inspection(corrected.message.inspect).sketch) == set(found)
        assert not judge_plan(prompt, plan).plan
        assert judge_sketch(plan, right) == ()
        assert not np.array_equal(np.asarray(sketched.image), np.asarray(corrected.image))
        assert record.trajectory.stop == "excerpt"


def test_corrections_lead_from_the_sketch_to_its_plan(records_of):
    for record in negatives(records_of):
        seen = describe(scene_from_json(record.truth["scenes"][-2]))
        for stroke in parse_correction(record.trajectory.steps[-1].message.refine):
            seen = apply_stroke(stroke, seen)
        assert judge_sketch(parse_description(record.trajectory.steps[-2].message.des), seen) == ()


def test_good_sketches_are_accepted(records_of):
    ends = Counter()
    for record in records_of("alignment"):
        if record.label == "negative":
            continue
        assert record.fault == ""
        assert all(step.message.refine is None for step in record.trajectory.steps)
        assert all(step.verdict == Verdict(True, True) for step in record.trajectory.steps[1:])
        assert (record.trajectory.stop == "end") == (record.trajectory.steps[-1].image is None)
        ends[record.trajectory.stop] += 1
    assert min(ends["end"], ends["excerpt"]) > 20
