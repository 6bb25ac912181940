"""The checker can fail: each kind of claim, made false in an otherwise sound record, is reported."""

import copy
import json
import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from strokewise.critics.verdicts import word_inspection
from strokewise.data.checking import faults_of
from strokewise.data.records import Record, from_table_row, to_table_row
from strokewise.data.scenes import scene_from_json
from strokewise.errors import RecordError
from strokewise.scene_graph import SceneGraph, Thing
from strokewise.trajectory.values import Message, Step, Trajectory
from strokewise.world.language import (
    Inspection,
    parse_correction,
    parse_description,
    parse_inspection,
    parse_instruction,
    write_correction,
    write_description,
    write_instruction,
    write_prompt,
)
from strokewise.world.render import render
from strokewise.world.vocabulary import BACKGROUNDS, CLASSES, COLORS, REGIONS

RNG = random.Random(0)
SUBSETS = ("multi-turn", "conflict", "alignment")


@pytest.fixture(scope="module")
def sound(records_of):
    """Sound records of all subsets, with at least two canvases."""
    found = [r for subset in SUBSETS for r in records_of(subset, 48) if len(r.trajectory.images) > 1]
    assert not any(list(faults_of(record)) for record in found)
    return found


def with_step(record, at, **changes):
    """The record with parts of one step's message, or of the step, changed."""
    steps = list(record.trajectory.steps)
    step, parts = steps[at], {"inspect", "refine", "ins", "des"}
    said = {key: value for key, value in changes.items() if key in parts}
    other = {key: value for key, value in changes.items() if key not in parts}
    steps[at] = replace(step, message=replace(step.message, **said), **other)
    return replace(record, trajectory=replace(record.trajectory, steps=tuple(steps)))


def with_truth(record, change):
    truth = copy.deepcopy(record.truth)
    change(truth)
    return replace(record, truth=truth)


def steps_where(record, fits):
    return [i for i, step in enumerate(record.trajectory.steps) if fits(step)]


def another(value, values):
    return next(v for v in values if v != value)


# --- corruptions: each gives corrupted records, as many as it can ---------------------------


def verdict_flipped(record):
    for at in steps_where(record, lambda step: step.verdict is not None):
        verdict = record.trajectory.steps[at].verdict
        for name in ("plan", "sketch"):
            for wrong in {None, True, False} - {getattr(verdict, name)}:
                yield with_step(record, at, verdict=replace(verdict, **{name: wrong}))
        yield with_step(record, at, verdict=None)


def inspection_reversed(record):
    """What was accepted is found at fault and the other way round, text and verdict alike."""
    for at in steps_where(record, lambda step: step.message.inspect):
        found = parse_inspection(record.trajectory.steps[at].message.inspect)
        blamed = parse_inspection("the plan fits the prompt. the sketch lacks a bus.").sketch
        wrong = replace(found, sketch=() if found.sketch else blamed)
        yield reworded(record, at, wrong)


def reworded(record, at, inspection):
    """Another inspection, text and verdict alike."""
    text, verdict = word_inspection(inspection, RNG)
    return with_step(record, at, inspect=text, verdict=verdict)


def plan_text_changed(record):
    """What is stored of the plan alone is not what the inspection says of it."""
    for at in steps_where(record, lambda step: step.message.inspect):
        verdict = record.trajectory.steps[at].verdict
        yield with_step(record, at, verdict=replace(verdict, plan_text=f"{verdict.plan_text} a bus."))


def nothing_to_come(record):
    """Things still to come are left out, or invented."""
    for at in steps_where(record, lambda step: step.message.inspect):
        found = parse_inspection(record.trajectory.steps[at].message.inspect)
        if found.plan is None:
            continue
        if found.pending:
            yield reworded(record, at, replace(found, pending=()))
        else:
            yield reworded(record, at, replace(found, pending=(Thing("bus", "purple", 1),)))


def background_to_come(record):
    """A background that is still to come is invented."""
    for at in steps_where(record, lambda step: step.message.inspect):
        found = parse_inspection(record.trajectory.steps[at].message.inspect)
        if found.plan is not None:
            yield reworded(record, at, replace(found, pending_background="night"))


def another_description(record):
    for at in steps_where(record, lambda step: step.message.des is not None):
        described = parse_description(record.trajectory.steps[at].message.des)
        first = described.graph.objects[0]
        for changed in (
            replace(first, color=another(first.color, COLORS)),
            replace(
                first, name=next(n for n in CLASSES if n not in {o.name for o in described.graph.objects})
            ),
        ):
            graph = replace(described.graph, objects=(changed, *described.graph.objects[1:]))
            yield with_step(record, at, des=write_description(replace(described, graph=graph), RNG))
        moved = (another(described.regions[0][0], REGIONS), *described.regions[0][1:])
        elsewhere = replace(described, regions=(moved, *described.regions[1:]))
        yield with_step(record, at, des=write_description(elsewhere, RNG))
        ground = replace(described.graph, background=another(described.graph.background, BACKGROUNDS))
        yield with_step(record, at, des=write_description(replace(described, graph=ground), RNG))


def another_stroke(record):
    for at in steps_where(record, lambda step: step.message.ins is not None):
        stroke = parse_instruction(record.trajectory.steps[at].message.ins)
        named = {stroke.thing.name, stroke.becomes.name if stroke.becomes else None}
        thing = replace(stroke.thing, name=next(name for name in CLASSES if name not in named))
        if stroke.kind == "add":
            moved = (another(stroke.regions[0], REGIONS), *stroke.regions[1:])
            recolored = replace(stroke.thing, color=another(stroke.thing.color, COLORS))
            for wrong in (
                replace(stroke, regions=moved),
                replace(stroke, thing=thing, relation=None),
                replace(stroke, thing=recolored, relation=None),
            ):
                yield with_step(record, at, ins=write_instruction(wrong, RNG))
        else:
            wrong = replace(stroke, thing=thing)
            if stroke.kind in ("recolor", "recount"):
                wrong = replace(wrong, becomes=replace(stroke.becomes, name=thing.name))
            yield with_step(record, at, ins=write_instruction(wrong, RNG))


def another_relation(record):
    """The stroke says that it stands on the other side of what it stands beside."""
    turned = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
    for at in steps_where(record, lambda step: step.message.ins is not None):
        stroke = parse_instruction(record.trajectory.steps[at].message.ins)
        if stroke.relation is not None:
            relation = replace(stroke.relation, kind=turned[stroke.relation.kind])
            yield with_step(record, at, ins=write_instruction(replace(stroke, relation=relation), RNG))


def another_correction(record):
    for at in steps_where(record, lambda step: step.message.refine is not None):
        strokes = parse_correction(record.trajectory.steps[at].message.refine)
        for i, stroke in enumerate(strokes):
            if len(strokes) > 1:
                yield with_step(record, at, refine=write_correction(strokes[:i] + strokes[i + 1 :], RNG))
            if stroke.kind == "add":
                moved = replace(stroke, regions=(another(stroke.regions[0], REGIONS), *stroke.regions[1:]))
                yield with_step(
                    record, at, refine=write_correction((*strokes[:i], moved, *strokes[i + 1 :]), RNG)
                )


def missing_refine(record):
    """The revised plan stands, the correction before it is lost."""
    for at in steps_where(record, lambda step: None not in (step.message.refine, step.message.ins)):
        yield with_step(record, at, refine=None)


def needless_refine(record):
    for at in steps_where(record, lambda step: step.message.refine is None and step.message.inspect):
        if record.trajectory.steps[at].image is not None:
            yield with_step(record, at, refine="add a bus at the top.")


def another_canvas(record):
    for at in steps_where(record, lambda step: step.image is not None):
        image = record.trajectory.steps[at].image
        dotted = image.copy()
        dotted.putpixel((5, 5), tuple(255 - value for value in image.getpixel((5, 5))))
        for wrong in (dotted, image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), image.convert("L")):
            if wrong.tobytes() != image.tobytes():
                yield with_step(record, at, image=wrong)
        yield with_step(record, at, image=image.resize((65, 64)))
        yield with_step(record, at, image=image.resize((8, 8)))


def swapped_canvases(record):
    steps = record.trajectory.steps
    one, other = steps_where(record, lambda step: step.image is not None)[-2:]
    swapped = with_step(record, one, image=steps[other].image)
    yield with_step(swapped, other, image=steps[one].image)


def swapped_scenes_and_canvases(record):
    """Pictures and truth agree, but the texts tell another order."""

    def swap(truth):
        truth["scenes"][-2:] = truth["scenes"][:-3:-1]

    for swapped in swapped_canvases(record):
        yield with_truth(swapped, swap)


def another_prompt(record):
    prompt = SceneGraph.from_json(record.truth["prompt"])
    first = prompt.objects[0]
    changes = [
        replace(prompt, objects=(replace(first, color=another(first.color, COLORS)), *prompt.objects[1:])),
        replace(prompt, objects=(replace(first, count=first.count % 4 + 1), *prompt.objects[1:])),
        replace(prompt, background=another(prompt.background, BACKGROUNDS)),
    ]
    if prompt.relations:
        changes.append(replace(prompt, relations=()))
    for graph in changes:
        text = write_prompt(graph, RNG)
        yield replace(record, trajectory=replace(record.trajectory, prompt=text))


def another_goal(record):
    """The truth asks for what the text of the prompt does not."""
    yield with_truth(record, lambda truth: truth["prompt"].update(background="no such"))
    yield with_truth(record, lambda truth: truth["prompt"]["objects"].pop())
    yield with_truth(record, lambda truth: truth["prompt"]["objects"][0].update(color="no such"))


def unfinished(record):
    """It ends before all that was asked for is there, prompt and texts aside."""
    if record.trajectory.stop == "end":
        steps = record.trajectory.steps
        cut = (*steps[:-2], replace(steps[-2], message=Message(steps[-2].message.inspect), image=None))
        yield with_truth(
            replace(record, trajectory=replace(record.trajectory, steps=cut)),
            lambda truth: truth["scenes"].pop(),
        )


def lost_scene(record):
    yield with_truth(record, lambda truth: truth["scenes"].pop())
    yield with_truth(record, lambda truth: truth["scenes"].append(truth["scenes"][0]))
    yield with_truth(record, lambda truth: truth["scenes"].clear())


def damaged_truth(record):
    yield with_truth(record, lambda truth: truth.pop("prompt"))
    yield with_truth(record, lambda truth: truth.update(prompt=None))
    yield with_truth(record, lambda truth: truth.update(scenes=None))
    yield with_truth(record, lambda truth: truth.update(scenes=3))
    yield with_truth(record, lambda truth: truth["scenes"].__setitem__(0, None))
    if record.truth["scenes"][0]["placements"]:  # a faulty first sketch may show nothing at all
        yield with_truth(record, lambda truth: truth["scenes"][0].update(placements=[]))
    yield with_truth(record, lambda truth: truth["scenes"][0]["graph"].update(background="moon"))


def outside_the_language(record):
    for key in ("inspect", "ins", "des", "refine"):
        for at in steps_where(record, lambda step, key=key: getattr(step.message, key)):
            yield with_step(record, at, **{key: "colorless green ideas sleep furiously."})
    yield replace(record, trajectory=replace(record.trajectory, prompt="colorless green ideas"))


def broken_protocol(record):
    steps = record.trajectory.steps
    for broken in (steps[1:], steps[:1], (*steps, steps[0]), ()):
        if broken[:1] != steps[:1] or record.trajectory.stop == "end" or len(broken) > 1:
            yield replace(record, trajectory=replace(record.trajectory, steps=broken))
    yield with_step(record, 0, des="<ins>a</ins>")
    yield with_step(record, 0, image=None)


CORRUPTIONS = [
    verdict_flipped,
    plan_text_changed,
    inspection_reversed,
    nothing_to_come,
    background_to_come,
    another_description,
    another_stroke,
    another_relation,
    another_correction,
    missing_refine,
    needless_refine,
    another_canvas,
    swapped_canvases,
    swapped_scenes_and_canvases,
    another_prompt,
    another_goal,
    unfinished,
    lost_scene,
    damaged_truth,
    outside_the_language,
    broken_protocol,
]


@pytest.mark.parametrize("corrupt", CORRUPTIONS)
def test_every_false_claim_is_reported(sound, corrupt):
    corrupted = [wrong for record in sound for wrong in corrupt(record)]
    chosen = random.Random(1).sample(corrupted, min(50, len(corrupted)))
    assert len(chosen) >= 20
    unseen = [wrong for wrong in chosen if not list(faults_of(wrong))]
    assert unseen == []


@pytest.mark.parametrize(
    ("corrupt", "words"),
    [
        (verdict_flipped, "the verdict is not what the inspection says"),
        (nothing_to_come, "is still to come, but it is"),
        (another_stroke, "the stroke"),
        (another_correction, "the correction"),
        (missing_refine, "a correction stands if and only if a fault was found"),
        (swapped_canvases, "does not show its scene"),
        (another_prompt, "does not state its graph"),
        (lost_scene, "but the truth of"),
        (unfinished, "the last picture does not fulfil the prompt"),
    ],
)
def test_the_fault_is_named(sound, corrupt, words):
    corrupted = [wrong for record in sound for wrong in corrupt(record)]
    for wrong in random.Random(2).sample(corrupted, 20):
        assert any(words in fault for fault in faults_of(wrong))


def test_records_without_truth_are_only_validated(sound):
    for record in sound[:10]:
        plain = replace(record, truth={})
        assert list(faults_of(plain)) == []
        assert list(faults_of(with_step(plain, 0, des="whatever"))) == []
        assert list(faults_of(with_step(plain, 0, des=None)))


def test_looking_finds_what_the_pixels_agree_on(sound):
    """The picture and its scene both lose a thing; then the texts and the recognizer tell."""
    record = next(r for r in sound if r.subset == "multi-turn")
    big = replace(
        record,
        trajectory=replace(
            record.trajectory,
            steps=tuple(
                replace(step, image=render(scene_from_json(record.truth["scenes"][i]), 128))
                if step.image
                else step
                for i, step in enumerate(record.trajectory.steps)
            ),
        ),
    )
    assert list(faults_of(big, look=True)) == []
    empty = with_step(big, 0, image=Image.new("RGB", (128, 128), "white"))
    assert any("picture 0 is recognized otherwise: missing" in fault for fault in faults_of(empty, look=True))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_truth_is_checked_without_a_crash(sound, data):
    record = data.draw(st.sampled_from(sound[:5]))
    truth = copy.deepcopy(record.truth)
    place, key = None, None
    value = truth
    while isinstance(value, dict | list) and value and data.draw(st.booleans() | st.just(True)):
        place, key = (
            value,
            data.draw(st.sampled_from(list(value) if isinstance(value, dict) else range(len(value)))),
        )
        value = place[key]
    if place is not None:
        place[key] = data.draw(
            st.none() | st.integers(-3, 9) | st.floats() | st.text(max_size=3) | st.just([])
        )
    assert all(isinstance(fault, str) for fault in faults_of(replace(record, truth=truth)))


class TestRows:
    def test_round_trip(self, sound):
        for record in sound[:20]:
            again = from_table_row(to_table_row(record), "here")
            assert to_table_row(again) == to_table_row(record)
            assert (again.truth, again.label, again.fault) == (record.truth, record.label, record.fault)
            assert list(faults_of(again)) == []

    def test_without_truth(self, sound):
        row = to_table_row(replace(sound[0], truth={}))
        assert row["truth"] == ""
        assert from_table_row(row, "here").truth == {}

    @pytest.mark.parametrize(
        "changed",
        [
            {"subset": "another"},
            {"subset": None},
            {"subset": ["conflict"]},
            {"label": "wrong"},
            {"label": None},
            {"fault": None},
            {"fault": 3},
            {"truth": "{"},
            {"truth": "[" * 100_000},
            {"truth": 3},
            {"truth": "[1]"},
            {"truth": "null"},
            {"images": None},
            {"trajectory": "{}"},
        ],
    )
    def test_damage_is_refused(self, records_of, changed):
        row = to_table_row(records_of("multi-turn", 120)[0])
        with pytest.raises(RecordError, match=r"^here"):
            from_table_row(row | changed, "here")

    def test_missing_columns_are_refused(self, records_of):
        row = to_table_row(records_of("multi-turn", 120)[0])
        for key in ("subset", "label", "fault", "images", "trajectory"):
            with pytest.raises(RecordError, match=r"^here"):
                from_table_row({name: value for name, value in row.items() if name != key}, "here")

    def test_truth_is_sorted_json(self, sound):
        text = to_table_row(sound[0])["truth"]
        assert text == json.dumps(json.loads(text), sort_keys=True)


def test_the_example_of_a_hand_made_record():
    """A record by hand, so that the checker does not only agree with what the builder makes."""
    scene = {
        "graph": {"objects": [{"id": "a", "name": "cat", "color": "red", "count": 1}], "relations": []},
        "placements": [["a", 0, [0.375, 0.375, 0.625, 0.625]]],
        "seed": 0,
    }
    image = render(scene_from_json(scene), 64)
    text, verdict = word_inspection(Inspection(), RNG)
    steps = (
        Step(
            Message(ins="add a red cat at the center.", des="a red cat at the center; a white background."),
            image,
        ),
        Step(Message(text), None, verdict),
    )
    record = Record(
        "multi-turn",
        "complete",
        Trajectory("a red cat", steps),
        truth={"prompt": scene["graph"], "scenes": [scene]},
    )
    assert list(faults_of(record)) == []
    assert list(faults_of(with_step(record, 0, ins="add a blue cat at the center.")))
