"""A model's own trajectories become records whose every claim is true, whatever the model did."""

import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from PIL import Image

from strokewise.data.alignment import judge_sketches
from strokewise.data.canvas_painters import SpritePainter
from strokewise.data.checking import faults_of
from strokewise.data.conflict import judge_sampled
from strokewise.data.multi_turn import adding, strokes
from strokewise.data.sampled_plans import Sampler, plans_of
from strokewise.data.scenes import SceneMix, sample_scene, unused_class, with_more, with_object
from strokewise.data.self_sampling import PainterSampler
from strokewise.data.wording import Canvas, truth_of, write_steps
from strokewise.errors import SceneError
from strokewise.inference.painter import Painter
from strokewise.inference.prompt_check import Vocabulary
from strokewise.scene_graph import SceneObject
from strokewise.trajectory.values import Message, Step, Trajectory
from strokewise.world.language import (
    describe,
    parse_description,
    parse_prompt,
    write_description,
    write_prompt,
)
from strokewise.world.layout import place
from strokewise.world.vocabulary import CLASSES, COLORS

WAYS = (
    "right",
    "wrong plan",
    "wrong sketch",
    "both wrong",
    "noise",
    "nonsense",
    "ends early",
    "does not end",
)
FEW = SceneMix(objects=(0, 0.4, 0.4, 0.2), counts=(0.8, 0.2), background_share=0.5)


class Remembering(SpritePainter):
    """Renders, and knows afterwards which scene each picture shows."""

    def __init__(self, size=128):
        super().__init__(size)
        self.shown = []

    def paint(self, canvas, instruction, description, scene, seed):
        image = super().paint(canvas, instruction, description, scene, seed)
        self.shown.append((image, scene))
        return image

    def scene_of(self, image):
        return next(scene for known, scene in self.shown if known is image)


class Careless:
    """Stands for a model: paints what is asked, but for one mistake, which its seed decides."""

    def __init__(self, painter):
        self.painter = painter

    def sample(self, prompts, seeds):
        return [self._paint(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]

    def _paint(self, prompt, seed):
        rng, way = random.Random(seed), WAYS[seed % len(WAYS)]
        graph = parse_prompt(prompt)
        canvases = strokes(place(graph, seed), rng)
        at = rng.randrange(len(canvases))
        if way in ("wrong plan", "both wrong"):
            canvases[at] = misplanned(canvases[at], rng)
            canvases = canvases[: at + 1]
        if way in ("wrong sketch", "both wrong"):
            canvases[at] = replace(canvases[at], shown=with_extra(canvases[at].shown, rng))
            canvases = canvases[: at + 1]
        if way == "ends early":
            canvases = canvases[:-1]
        if way == "does not end":
            more = with_extra(canvases[-1].plan, rng)
            canvases.append(Canvas(adding(more, "extra"), more, more))
        steps = write_steps(graph, canvases, self.painter, rng)
        if way == "noise":
            steps[at] = replace(steps[at], image=Image.effect_noise((128, 128), 90).convert("RGB"))
        if way == "nonsense":
            steps[at] = replace(steps[at], message=replace(steps[at].message, des="colorless green ideas"))
        return Trajectory(prompt, tuple(steps), model="careless")


def misplanned(canvas, rng):
    """A plan whose thing has another color than asked, or is another thing."""
    obj = next(o for o in canvas.plan.graph.objects if o.thing == canvas.stroke.thing)
    if rng.random() < 0.5 and obj.color is not None:
        wrong = replace(obj, color=rng.choice([c for c in COLORS if c != obj.color]))
    else:
        wrong = replace(obj, name=unused_class(canvas.plan.graph, CLASSES, rng))
    scene = with_object(canvas.plan, wrong)
    kept = tuple(r for r in scene.graph.relations if obj.id not in (r.subject, r.target))
    scene = replace(scene, graph=replace(scene.graph, relations=kept))
    return Canvas(adding(scene, obj.id), scene, scene)


def with_extra(scene, rng):
    """The scene with a thing nobody asked for."""
    while True:
        try:
            return with_more(scene, SceneObject("extra", unused_class(scene.graph, CLASSES, rng)), rng)
        except SceneError:
            scene = replace(scene, graph=replace(scene.graph, relations=()))


@pytest.fixture(scope="module")
def painter():
    return Remembering()


@pytest.fixture(scope="module")
def sampled(painter):
    """Trajectories of the stand-in, with the way of each."""
    sampler: Sampler = Careless(painter)
    rng = random.Random(4)
    prompts, seeds = [], list(range(8 * len(WAYS)))
    while len(prompts) < len(seeds):
        graph = sample_scene(rng, FEW).graph
        try:
            place(graph, len(prompts))
        except SceneError:
            continue
        prompts.append(write_prompt(graph, rng))
    found = sampler.sample(prompts, seeds)
    assert [t.prompt for t in found] == prompts
    return [(WAYS[seed % len(WAYS)], t) for seed, t in zip(seeds, found, strict=True)]


@pytest.fixture(scope="module")
def plans(sampled):
    """The plans of each trajectory, recognized once."""
    return [(way, trajectory, list(plans_of([trajectory]))) for way, trajectory in sampled]


@pytest.fixture(scope="module", params=[judge_sampled, judge_sketches])
def judged(request, plans, painter):
    """Way, trajectory, and the records of one judge."""
    rng = random.Random(5)
    return request.param, [
        (way, t, list(request.param(iter(found), painter, rng))) for way, t, found in plans
    ]


def test_every_plan_is_taken_apart(plans):
    for way, trajectory, found in plans:
        painted = [step for step in trajectory.steps if step.image is not None]
        if way == "nonsense":
            assert len(found) < len(painted)
            painted = painted[: len(found)]
        assert [plan.steps[-1] for plan in found] == painted
        for i, plan in enumerate(found):
            assert plan.steps == trajectory.steps[: i + 1]
            assert plan.text == trajectory.prompt
            assert plan.prompt.isomorphic(parse_prompt(trajectory.prompt))
            assert plan.described == parse_description(plan.steps[-1].message.des)
            if i:
                assert plan.before == found[i - 1].described
            else:
                assert plan.before.graph.objects == ()


def test_what_follows_is_right_or_left_out(plans):
    seen = Counter()
    for way, trajectory, found in plans:
        for plan, later in pairwise(found):
            right = plan.following is not None
            assert right == later.right
            assert plan.following in (None, trajectory.steps[len(plan.steps)])
            seen[way, right] += 1
        for plan in found[-1:]:
            assert plan.following is None
    assert seen["right", True] >= 5
    assert seen["right", False] == 0
    assert seen["does not end", False] >= 5


def test_canvases_are_recognized_unless_they_are_noise(plans):
    faults = Counter()
    for way, _, found in plans:
        for plan in found:
            faults[way, "unknown" if plan.sketch_faults is None else len(plan.sketch_faults) > 0] += 1
    assert faults["right", True] == faults["right", "unknown"] == 0
    assert faults["wrong sketch", True] == faults["both wrong", True] == 8
    assert faults["noise", "unknown"] + faults["noise", True] == 8


def test_every_claim_of_every_record_is_true(judged, painter):
    """With the scenes that were painted as the truth, the checker finds no fault."""
    _, found = judged
    checked = 0
    for way, _, records in found:
        if way == "noise":
            continue  # its picture shows no scene
        for record in records:
            images = record.trajectory.images
            truth = truth_of(
                parse_prompt(record.trajectory.prompt), [painter.scene_of(image) for image in images]
            )
            assert list(faults_of(record)) == []
            assert list(faults_of(replace(record, truth=truth))) == []
            checked += 1
    assert checked > 80


def test_plans_are_labeled_by_what_the_model_did(plans, painter):
    for way, _, found in plans:
        labels = [r.label for r in judge_sampled(iter(found), painter, random.Random(1))]
        if way in ("wrong plan", "both wrong"):
            # A wrong plan ends these; now and then no layout repairs it.
            assert labels in (["right"] * (len(found) - 1) + ["wrong"], ["right"] * (len(found) - 1))
        elif way == "does not end":
            assert labels == ["right"] * (len(found) - 1)  # nothing is left to be asked for in its place
        elif way == "wrong sketch":
            assert labels == ["right"] * (len(found) - 1)  # the business of the other subset
        elif way != "noise":
            assert labels == ["right"] * len(found)


def test_sketches_are_labeled_by_what_the_model_did(plans, painter):
    for way, _, found in plans:
        labels = [r.label for r in judge_sketches(iter(found), painter, random.Random(1))]
        if way == "wrong sketch":
            assert labels in (
                ["positive"] * (len(found) - 1) + ["negative"],
                ["positive"] * (len(found) - 1),  # no layout obeys the plan
            )
        elif way in ("wrong plan", "both wrong", "does not end"):
            assert labels == ["positive"] * (len(found) - 1)  # the business of the other subset
        elif way != "noise":
            assert labels == ["positive"] * len(found)


def test_wrong_ones_are_not_all_dropped(judged):
    judge, found = judged
    labels = Counter(record.label for _, _, records in found for record in records)
    wrong = labels["wrong" if judge is judge_sampled else "negative"]
    assert wrong >= 5
    for _, _, records in found:
        for record in records:
            assert bool(record.fault) == (record.label in ("wrong", "negative"))


def test_only_what_is_all_there_ends(judged):
    """Stopping early is not supervised, though the model did so."""
    ended = Counter()
    for way, trajectory, records in judged[1]:
        for record in records:
            if record.trajectory.stop == "end":
                assert record.trajectory.steps[-1].image is None
                ended[way] += 1
        if way == "ends early":
            assert trajectory.stop == "end"
    assert ended["right"] == 8
    assert ended["ends early"] == ended["wrong plan"] == ended["wrong sketch"] == 0


def test_the_same_seed_gives_the_same_records(plans, painter):
    def texts(seed):
        return [
            [step.message for step in record.trajectory.steps]
            for _, _, found in plans[:16]
            for record in judge_sampled(iter(found), painter, random.Random(seed))
        ]

    assert texts(1) == texts(1)
    assert texts(1) != texts(2)


def test_prompts_outside_the_language_are_left_out(sampled):
    strange = replace(sampled[0][1], prompt="colorless green ideas sleep furiously")
    assert list(plans_of([strange])) == []


def test_an_empty_plan_is_a_plan(painter):
    """A model may plan nothing at all; what its sketch then shows is too much."""
    scene = place(parse_prompt("a cat on a white background"), 1)
    image = painter.paint(None, "", "", scene, 0)
    message = Message(ins="remove a cat at the center.", des="an empty white background.")
    trajectory = Trajectory("a cat on a white background", (Step(message, image),), stop="rounds")
    (record,) = judge_sketches(plans_of([trajectory]), painter, random.Random(1))
    assert (record.label, record.fault) == ("negative", "extra")
    assert painter.scene_of(record.trajectory.images[-1]).placements == ()


def test_a_plan_that_revises_is_for_the_canvas_before(records_of):
    revised = [r.trajectory for r in records_of("conflict", 60, size=128) if r.label == "wrong"][:5]
    for trajectory in revised:
        *_, wrong, repaired = plans_of([trajectory])
        assert repaired.before == wrong.before
        assert wrong.following is None
        assert not repaired.right


def test_a_canvas_that_is_right_by_chance_needs_no_correction():
    """The plan is wrong, what was painted is not, and the revised plan may be just that."""
    red = place(parse_prompt("a red cup"), 1)
    (region,) = (p.region for p in red.placements)
    where = write_description(describe(red), random.Random(0)).replace("red", "blue")
    step = Step(Message(ins="add a blue cup.", des=where), SpritePainter().paint(None, "", "", red, 0))
    refines = []
    for seed in range(60):
        trajectory = Trajectory("a red cup", (step,))
        for record in judge_sampled(plans_of([trajectory]), SpritePainter(), random.Random(seed)):
            refines.append(record.trajectory.steps[-1].message.refine)
    assert 30 < len(refines) < 60
    assert all(region in refine for refine in refines)


def test_a_painter_samples_what_its_model_knows(tiny_folder):
    painter = Painter.load(tiny_folder)
    painter.vocabulary = Vocabulary(("bus",), ("red",))
    lines = []
    sampler = PainterSampler(painter, {"steps": 2, "max_tokens": 4, "max_rounds": 1}, lines.append)
    sampled = sampler.sample(["a Red bus", "a cat", "a blue bus"], [1, 2, 3])
    assert [(one.prompt, one.original_prompt, one.seed) for one in sampled] == [("a red bus", "a Red bus", 1)]
    assert [line.partition(": not trained")[0] for line in lines] == [
        "left out: 'a cat'",
        "left out: 'a blue bus'",
    ]
