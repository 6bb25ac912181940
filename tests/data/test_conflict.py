"""Conflict records: wrong plans are wrong as labeled, are repaired, and right ones are left as they are."""

from collections import Counter

import pytest

from strokewise.critics.oracle import judge_plan, judge_sketch
from strokewise.data.checking import faults_of
from strokewise.data.conflict import BREAKS, ConflictMix
from strokewise.data.records import to_table_row
from strokewise.data.scenes import scene_from_json
from strokewise.scene_graph import RELATIONS, SceneGraph
from strokewise.trajectory.values import Stage, Verdict
from strokewise.world.language import describe, parse_description, parse_inspection

# What the oracle calls each fault that is put in; a thing of another class is one that nobody asked for.
FAULT_OF_BREAK = {name: name for name in BREAKS} | {"wrong class": "extra"}


def wrong_ones(records_of):
    return [record for record in records_of("conflict") if record.label == "wrong"]


def test_every_claim_is_true(records_of):
    for record in records_of("conflict"):
        assert list(faults_of(record)) == []


@pytest.mark.parametrize("share", [0.0, 0.2, None, 1.0])
def test_share_of_right_plans(records_of, share):
    mix = ConflictMix() if share is None else ConflictMix(right_share=share)
    labels = Counter(record.label for record in records_of("conflict", 256, mix=mix))
    assert set(labels) <= {"right", "wrong"}
    assert labels["right"] / 256 == pytest.approx(0.454 if share is None else share, abs=0.06)


def test_the_seed_decides_everything(records_of):
    one, again, other = (
        [to_table_row(record) for record in records_of("conflict", 8 + extra, seed)]
        for extra, seed in ((0, 3), (1, 3), (0, 4))
    )
    assert one == again[:8]
    assert all(a["trajectory"] != b["trajectory"] for a, b in zip(one, other, strict=True))


def test_lengths(records_of):
    records = records_of("conflict")
    right, wrong = (
        {len(r.trajectory.images) for r in records if r.label == label} for label in ("right", "wrong")
    )
    assert right == {1, 2, 3, 4, 5}
    assert wrong == {2, 3, 4, 5, 6}  # up to five strokes, the last of them painted again


def test_every_kind_of_fault_occurs(records_of):
    faults = Counter(record.fault for record in wrong_ones(records_of))
    assert set(faults) == set(BREAKS)
    assert min(faults.values()) > 8


def test_a_plan_with_a_wrong_relation_states_one(records_of):
    """Else a model could tell it only by the places of the canvas."""
    for record in wrong_ones(records_of):
        if record.fault == "wrong relation":
            wrong = record.trajectory.steps[-2].message.ins
            assert any(f" {relation} the " in wrong for relation in RELATIONS), wrong


def test_wrong_plans_are_found_and_mended(records_of):
    for record in wrong_ones(records_of):
        prompt = SceneGraph.from_json(record.truth["prompt"])
        *before, planned, repaired = record.trajectory.steps
        assert all(step.verdict.accepted for step in [*before, planned][1:])
        found = judge_plan(prompt, parse_description(planned.message.des)).plan
        assert FAULT_OF_BREAK[record.fault] in {fault.kind for fault in found}
        assert repaired.verdict == Verdict(plan=False, sketch=True)
        assert repaired.stages == (Stage.INSPECT, Stage.PLAN, Stage.REFINE)
        assert set(parse_inspection(repaired.message.inspect).plan) == set(found)
        assert not judge_plan(prompt, parse_description(repaired.message.des)).plan
        assert record.trajectory.stop == "excerpt"


def test_canvases_show_what_their_plans_describe(records_of):
    """The wrong canvas shows the wrong plan: the plan is at fault, not the sketch."""
    for record in records_of("conflict"):
        scenes = [scene_from_json(value) for value in record.truth["scenes"]]
        painted = [step for step in record.trajectory.steps if step.image is not None]
        for step, scene in zip(painted, scenes, strict=True):
            assert judge_sketch(parse_description(step.message.des), describe(scene)) == ()


def test_right_plans_say_what_is_to_come(records_of):
    ends = Counter()
    for record in records_of("conflict"):
        if record.label == "wrong":
            continue
        prompt, trajectory = SceneGraph.from_json(record.truth["prompt"]), record.trajectory
        assert record.fault == ""
        assert all(step.message.refine is None for step in trajectory.steps)
        assert all(step.verdict.accepted for step in trajectory.steps[1:])
        *_, judged, last = trajectory.steps
        found = parse_inspection(last.message.inspect)
        assert set(found.pending) == set(judge_plan(prompt, parse_description(judged.message.des)).pending)
        assert (trajectory.stop == "end") == (last.image is None) == (not found.pending)
        ends[trajectory.stop] += 1
    assert min(ends["end"], ends["excerpt"]) > 20
