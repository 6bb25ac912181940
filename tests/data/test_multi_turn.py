"""Multi-turn trajectories: every claim true, mixed as asked, and edits that end in the same scene."""

import random
from collections import Counter
from itertools import pairwise

import pytest

from strokewise.data.checking import faults_of
from strokewise.data.multi_turn import EDITS, MAX_IMAGES, MultiTurnMix, strokes
from strokewise.data.records import to_table_row
from strokewise.data.scenes import SceneMix, sample_scene
from strokewise.world.language import parse_inspection, parse_instruction

CHANGES = {"recolor", "recount", "swap", "remove"}


def ways(seed, share):
    """A scene and the canvases on the way to it."""
    rng = random.Random(seed)
    scene = sample_scene(rng, SceneMix())
    return scene, strokes(scene, rng, share)


def changes_of(canvases):
    return [canvas.stroke.kind for canvas in canvases if canvas.stroke.kind != "add"]


def kinds(record):
    """The kinds of the strokes, as the texts tell them."""
    instructions = (step.message.ins for step in record.trajectory.steps)
    return [parse_instruction(text).kind for text in instructions if text is not None]


def test_every_claim_is_true(records_of):
    for record in records_of("multi-turn"):
        assert list(faults_of(record)) == []


def test_every_record_is_a_complete_trajectory(records_of):
    for record in records_of("multi-turn"):
        assert (record.subset, record.label, record.fault) == ("multi-turn", "complete", "")
        trajectory = record.trajectory
        assert trajectory.stop == "end"
        assert trajectory.steps[-1].image is None
        assert len(record.truth["scenes"]) == len(trajectory.images) == len(trajectory.steps) - 1
        assert all(step.message.refine is None for step in trajectory.steps)
        assert all(step.verdict is not None and step.verdict.accepted for step in trajectory.steps[1:])
        assert {image.size for image in trajectory.images} == {(64, 64)}


def test_from_one_to_five_images(records_of):
    lengths = Counter(len(record.trajectory.images) for record in records_of("multi-turn"))
    assert set(lengths) == {1, 2, 3, 4, 5}


def test_as_many_images_as_documented():
    lengths = [len(ways(seed, MultiTurnMix().edit_share)[1]) for seed in range(1000)]
    assert sum(lengths) / len(lengths) == pytest.approx(3.51, abs=0.08)


def test_the_seed_decides_everything(records_of):
    one, again, other = (
        [to_table_row(record) for record in records_of("multi-turn", 8 + extra, seed)]
        for extra, seed in ((0, 3), (1, 3), (0, 4))
    )
    assert one == again[:8]
    assert all(a["trajectory"] != b["trajectory"] for a, b in zip(one, other, strict=True))


def test_without_edits_everything_is_added_once(records_of):
    for record in records_of("multi-turn", 60, mix=MultiTurnMix(edit_share=0)):
        assert set(kinds(record)) == {"add"}
        assert len(record.trajectory.images) == len(record.truth["prompt"]["objects"])
    for seed in range(200):
        _, canvases = ways(seed, 0)
        for before, after in pairwise(canvases):
            assert set(before.shown.placements) < set(after.shown.placements)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 1.0])
def test_share_of_edits(share):
    found = [ways(seed, share) for seed in range(500)]
    roomy = [canvases for scene, canvases in found if len(scene.graph.objects) < MAX_IMAGES]
    edited = [canvases for canvases in roomy if changes_of(canvases)]
    assert len(edited) / len(roomy) == pytest.approx(share, abs=0.05)
    full = [canvases for scene, canvases in found if len(scene.graph.objects) == MAX_IMAGES]
    assert full
    assert not any(map(changes_of, full))


def test_edits_end_in_the_same_scene_one_or_two_steps_later():
    seen = Counter()
    for seed in range(600):
        scene, canvases = ways(seed, 1.0)
        assert canvases[-1].plan.graph.isomorphic(canvases[-1].shown.graph)
        assert set(canvases[-1].shown.placements) == set(scene.placements)
        assert set(canvases[-1].shown.graph.objects) == set(scene.graph.objects)
        assert len(canvases) <= MAX_IMAGES
        if changes := changes_of(canvases):
            assert len(changes) == 1
            assert canvases[-1].stroke.kind == changes[0]
            seen[changes[0]] += 1
            more = len(canvases) - len(scene.graph.objects)
            assert more == (2 if changes == ["remove"] and _extra_alone(canvases, scene) else 1)
    assert set(seen) == CHANGES
    assert len(EDITS) == len(CHANGES)
    assert min(seen.values()) > 30


def _extra_alone(canvases, scene):
    """Whether the thing that is removed came in a step of its own."""
    return sum(canvas.stroke.kind == "add" for canvas in canvases) == len(scene.graph.objects) + 1


def test_edits_are_named(records_of):
    records = records_of("multi-turn", 100, mix=MultiTurnMix(edit_share=1))
    assert {kind for record in records for kind in kinds(record)} == {"add", *CHANGES}
    for record in records:
        assert list(faults_of(record)) == []


def test_the_plan_is_not_judged_while_something_stands_in(records_of):
    judged = Counter()
    for record in records_of("multi-turn", mix=MultiTurnMix(edit_share=1)):
        steps, last = record.trajectory.steps, kinds(record)[-1]
        for step in steps[1:-1]:
            found = parse_inspection(step.message.inspect)
            assert (found.plan is None) == (step.verdict.plan is None)
            judged[last, found.plan is None] += 1
        assert parse_inspection(steps[-1].message.inspect).plan == ()
    for kind in CHANGES:
        assert (judged[kind, True] > 0) == (kind in ("swap", "remove"))


def test_wordings_vary(records_of):
    records = records_of("multi-turn")
    prompts = [record.trajectory.prompt for record in records]
    assert len(set(prompts)) > 0.95 * len(prompts)
    openings = Counter(step.message.ins.split()[0] for r in records for step in r.trajectory.steps[:1])
    assert len(openings) > 1
