"""Sampled scenes are valid and mixed as asked; a change changes what it says and nothing else."""

import copy
import random
import re
from collections import Counter
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strokewise.data import scenes
from strokewise.data.build import MAKERS
from strokewise.data.canvas_painters import SpritePainter
from strokewise.data.checking import faults_of
from strokewise.data.scenes import SceneMix, sample_graph, sample_scene
from strokewise.errors import SceneError
from strokewise.scene_graph import INVERSE, Relation, SceneGraph, SceneObject
from strokewise.world import atlas
from strokewise.world.language import parse_description, parse_prompt, write_prompt
from strokewise.world.layout import MAX_INSTANCES, Scene, apart, even_box, holds, place, region_of
from strokewise.world.recognize import recognize
from strokewise.world.vocabulary import BACKGROUNDS, CLASSES, COLORS, DEFAULT_BACKGROUND, REGIONS

CROWD = SceneMix(objects=(0, 0, 0, 0, 1), counts=(0, 0, 0, 1), relation_share=0)
CAT, DOG = SceneObject("o0", "cat", "red", 2), SceneObject("o1", "dog", None, 1)
PAIR = SceneGraph((CAT, DOG), (Relation("o1", "left of", "o0"),), "sky")
LOOSE = replace(PAIR, relations=())

seeds = st.integers(0, 10**6)


def boxes(scene, object_id):
    return [p.box for p in scene.placements if p.object_id == object_id]


def others(scene, object_id):
    return [p for p in scene.placements if p.object_id != object_id]


def assert_sound(scene):
    """Valid, every instance placed once, nothing overlaps, every relation holds."""
    scene.graph.validate()
    wanted = Counter((o.id, i) for o in scene.graph.objects for i in range(o.count))
    assert Counter((p.object_id, p.index) for p in scene.placements) == wanted
    for one, other in combinations(scene.placements, 2):
        assert apart(one.box, other.box)
    for placement in scene.placements:
        left, top, right, bottom = placement.box
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1
        assert placement.region == region_of(placement.box)
    for relation in scene.graph.relations:
        for subject in boxes(scene, relation.subject):
            for target in boxes(scene, relation.target):
                assert holds(relation.kind, subject, target)


class TestSampling:
    @settings(max_examples=100)
    @given(seeds)
    def test_scenes_are_sound(self, seed):
        scene = sample_scene(random.Random(seed), SceneMix())
        assert_sound(scene)
        names = [o.name for o in scene.graph.objects]
        assert len(set(names)) == len(names)
        assert scene == sample_scene(random.Random(seed), SceneMix())

    def test_seeds_differ(self):
        assert sample_scene(random.Random(1), SceneMix()) != sample_scene(random.Random(2), SceneMix())

    @pytest.mark.parametrize(
        "mix",
        [
            SceneMix(),
            SceneMix((0.5, 0.5), (0.5, 0.5), color_share=0.1, relation_share=0.9, background_share=0.2),
            SceneMix((0, 0, 1), (1,), color_share=1, relation_share=0, background_share=1),
        ],
    )
    def test_proportions_are_as_asked(self, mix):
        rng = random.Random(5)
        graphs = [sample_graph(rng, mix) for _ in range(3000)]
        objects = [o for graph in graphs for o in graph.objects]
        numbers = Counter(len(graph.objects) for graph in graphs)
        counts = Counter(o.count for o in objects)
        for weights, found, total in (
            (mix.objects, numbers, len(graphs)),
            (mix.counts, counts, len(objects)),
        ):
            for number, weight in enumerate(weights, 1):
                assert found[number] / total == pytest.approx(weight / sum(weights), abs=0.03)
            assert set(found) <= set(range(1, len(weights) + 1))
        assert sum(o.color is not None for o in objects) / len(objects) == pytest.approx(
            mix.color_share, abs=0.03
        )
        further = len(objects) - len(graphs)
        related = sum(len(graph.relations) for graph in graphs)
        assert related / further == pytest.approx(mix.relation_share, abs=0.03)
        stated = sum(graph.background is not None for graph in graphs)
        assert stated / len(graphs) == pytest.approx(mix.background_share, abs=0.03)

    def test_everything_of_the_vocabulary_occurs(self):
        rng = random.Random(6)
        graphs = [sample_graph(rng, SceneMix()) for _ in range(1500)]
        objects = [o for graph in graphs for o in graph.objects]
        assert {o.name for o in objects} == set(CLASSES)
        assert {o.color for o in objects} == {None, *COLORS}
        assert {graph.background for graph in graphs} == {None, *BACKGROUNDS}
        assert {r.kind for graph in graphs for r in graph.relations} == set(INVERSE)

    @settings(max_examples=30)
    @given(seeds)
    def test_no_more_instances_than_have_room(self, seed):
        graph = sample_graph(random.Random(seed), CROWD)
        assert sum(o.count for o in graph.objects) == MAX_INSTANCES
        assert_sound(sample_scene(random.Random(seed), CROWD))


class TestChanges:
    @pytest.fixture(params=range(5))
    def scene(self, request):
        return place(PAIR, request.param)

    @pytest.fixture
    def rng(self):
        return random.Random(3)

    def test_another_color_keeps_every_place(self, scene):
        changed = scenes.with_object(scene, replace(CAT, color="blue"))
        assert changed.placements == scene.placements
        assert changed.graph == replace(PAIR, objects=(replace(CAT, color="blue"), DOG))

    def test_fewer_keep_the_first_places(self, scene):
        changed = scenes.with_object(scene, replace(CAT, count=1))
        assert_sound(changed)
        assert boxes(changed, "o0") == boxes(scene, "o0")[:1]
        assert others(changed, "o0") == others(scene, "o0")

    @pytest.mark.parametrize("name", ["bus", "giraffe", "snowboard", "person"])
    def test_another_class_stands_in_the_old_boxes(self, scene, name):
        changed = scenes.with_object(scene, replace(CAT, name=name))
        assert_sound(changed)
        assert others(changed, "o0") == others(scene, "o0")
        for new, old in zip(boxes(changed, "o0"), boxes(scene, "o0"), strict=True):
            assert region_of(new) == region_of(old)
            assert new[0] >= old[0] - 1 / 128
            assert new[1] >= old[1] - 1 / 128
            assert new[2] <= old[2] + 1 / 128
            assert new[3] <= old[3] + 1 / 128

    def test_without(self, scene):
        changed = scenes.without(scene, "o0")
        assert_sound(changed)
        assert changed.graph == SceneGraph((DOG,), (), "sky")
        assert list(changed.placements) == others(scene, "o0")

    @pytest.mark.parametrize("more", [SceneObject("extra", "bus", "green", 3), replace(CAT, count=4)])
    def test_more_stand_in_free_places(self, more, rng):
        found = 0
        for seed in range(20):
            scene = place(LOOSE, seed)
            try:
                changed = scenes.with_more(scene, more, rng)
            except SceneError:
                continue  # what stands there leaves too little room
            found += 1
            assert_sound(changed)
            assert changed.graph[more.id] == more
            assert [o for o in changed.graph.objects if o != more] == [
                o for o in LOOSE.objects if o.id != more.id
            ]
            assert set(scene.placements) < set(changed.placements)
        assert found > 10

    def test_a_full_canvas_has_no_room(self, rng):
        full = sample_scene(rng, CROWD)
        with pytest.raises(SceneError, match="more than the 9"):
            scenes.with_more(full, SceneObject("extra", scenes.unused_class(full.graph, CLASSES, rng)), rng)
        with pytest.raises(SceneError, match="no other place is free"):
            scenes.moved(full, full.graph.objects[0].id, rng)

    def test_moved(self, scene, rng):
        changed = scenes.moved(scene, "o0", rng)
        assert_sound(changed)
        assert changed.graph == replace(PAIR, relations=())
        assert set(others(changed, "o0")) == set(others(scene, "o0"))
        assert not {region_of(b) for b in boxes(changed, "o0")} & {region_of(b) for b in boxes(scene, "o0")}

    def test_against_relation(self, rng):
        turned, one = 0, replace(PAIR, objects=(replace(CAT, count=1), DOG))
        for seed in range(40):
            scene = place(one, seed)
            try:
                changed = scenes.against_relation(scene, PAIR.relations[0], rng)
            except SceneError:
                continue
            turned += 1
            assert_sound(changed)
            (relation,) = changed.graph.relations
            assert (relation.subject, relation.target) == ("o1", "o0")
            assert relation.kind != PAIR.relations[0].kind
            for subject in boxes(changed, "o1"):
                for target in boxes(changed, "o0"):
                    assert not holds(PAIR.relations[0].kind, subject, target)
            assert set(others(changed, "o1")) == set(others(scene, "o1"))
            assert boxes(changed, "o1") != boxes(scene, "o1")
        assert turned > 30

    @given(st.sampled_from(CLASSES), st.lists(st.integers(0, 128), min_size=4, max_size=4, unique=True))
    def test_fitted(self, name, edges):
        (left, right), (top, bottom) = sorted(edges[:2]), sorted(edges[2:])
        box = scenes.fitted((left / 128, top / 128, right / 128, bottom / 128), name)
        steps = [edge * 128 for edge in box]
        assert all(step == int(step) for step in steps)
        width, height = steps[2] - steps[0], steps[3] - steps[1]
        assert 1 <= width <= right - left
        assert 1 <= height <= bottom - top
        assert abs(steps[0] + steps[2] - left - right) <= 1
        assert abs(steps[1] + steps[3] - top - bottom) <= 1
        # One side is filled, the other follows from the aspect, both rounded to whole steps.
        aspect = atlas.sprite(name).aspect
        full_width, full_height = right - left, bottom - top
        assert width == max(1, round(min(full_width, full_height * aspect)))
        assert height == max(1, round(min(full_height, full_width / aspect)))

    def test_unused_classes_are_all_others(self, rng):
        found = {scenes.unused_class(PAIR, CLASSES, rng) for _ in range(2000)}
        assert found == set(CLASSES) - {"cat", "dog"}

    def test_empty_scenes_keep_the_background(self, scene):
        assert scenes.empty_scene(scene).graph == SceneGraph((), (), "sky")
        plain = Scene(replace(PAIR, background=None), scene.placements, 0)
        assert scenes.empty_scene(plain).graph == SceneGraph((), (), DEFAULT_BACKGROUND)


class TestJson:
    @settings(max_examples=50)
    @given(seeds)
    def test_round_trip(self, seed):
        scene = sample_scene(random.Random(seed), SceneMix(layout_jitter=seed % 2))
        assert scenes.scene_from_json(scenes.scene_to_json(scene)) == scene

    @pytest.mark.parametrize(
        "change",
        [
            lambda value: value.pop("graph"),
            lambda value: value.pop("placements"),
            lambda value: value.pop("seed"),
            lambda value: value.update(seed="one"),
            lambda value: value.update(placements=3),
            lambda value: value.update(placements=[3]),
            lambda value: value.update(graph={}),
            lambda value: value["graph"]["objects"][0].update(name="unicorn"),
            lambda value: value["graph"]["objects"][0].update(color="mauve"),
            lambda value: value["graph"]["objects"][0].update(count=3),
            lambda value: value["graph"].update(background="moon"),
            lambda value: value["placements"].pop(),
            lambda value: value["placements"].append(value["placements"][0]),
            lambda value: value["placements"][0].pop(),
            lambda value: value["placements"][0].__setitem__(0, "nobody"),
            lambda value: value["placements"][0].__setitem__(0, []),
            lambda value: value["placements"][0].__setitem__(1, 7),
            lambda value: value["placements"][0].__setitem__(2, [0, 0, 1]),
            lambda value: value["placements"][0].__setitem__(2, [0.1, 0.1, "0.2", 0.2]),
            lambda value: value["placements"][0].__setitem__(2, [0.5, 0.5, 0.4, 0.6]),
            lambda value: value["placements"][0].__setitem__(2, [0.5, 0.5, 7, 7]),
            lambda value: value["placements"][0].__setitem__(2, [float("nan")] * 4),
        ],
    )
    def test_damage_is_refused(self, change):
        value = copy.deepcopy(scenes.scene_to_json(place(PAIR, 1)))
        change(value)
        with pytest.raises(SceneError):
            scenes.scene_from_json(value)

    @pytest.mark.parametrize("value", [None, 3, [], "scene", {}])
    def test_other_values_are_refused(self, value):
        with pytest.raises(SceneError, match="not a scene"):
            scenes.scene_from_json(value)


def test_boxes_beyond_all_numbers_are_refused():
    scene = scenes.scene_to_json(sample_scene(random.Random(1), SceneMix()))
    scene["placements"][0][2][0] = 1.2e308
    with pytest.raises(SceneError, match="not a scene"):
        scenes.scene_from_json(scene)


@pytest.mark.parametrize("subset", ["multi-turn", "conflict", "alignment"])
def test_without_jitter_every_canvas_has_sprites_of_one_size(subset):
    """Also where something is repainted, or is there by mistake."""
    make, mix = MAKERS[subset]
    off = []
    for number in range(20):
        record = make(random.Random(number), mix(scenes=SceneMix(layout_jitter=0.0)), SpritePainter(128))
        for step in record.trajectory.steps:
            scene = recognize(step.image).scene if step.image else Scene(SceneGraph(()), ())
            for p in scene.placements:
                even = even_box(scene.graph[p.object_id].name, REGIONS.index(p.region))
                off.append(max(abs(a - b) * 128 for a, b in zip(p.box, even, strict=True)))
    assert len(off) > 50
    assert max(off) <= 1  # the recognizer's own pixel


class TestOrder:
    @given(seeds)
    def test_a_scene_in_the_order_of_its_prompt_says_and_shows_the_same(self, seed):
        rng = random.Random(seed)
        scene = sample_scene(rng, SceneMix())
        prompt = parse_prompt(write_prompt(scene.graph, rng))
        ordered = scenes.in_prompt_order(prompt, scene)
        assert_sound(ordered)
        assert ordered.graph.isomorphic(scene.graph)
        assert [obj.thing for obj in ordered.graph.objects] == [obj.thing for obj in prompt.objects]
        assert Counter(ordered.placements) == Counter(scene.placements)
        assert ordered.graph.painting_order() == tuple(obj.id for obj in ordered.graph.objects)

    def test_relations_lead_back_to_what_comes_earlier(self):
        turned = replace(PAIR, relations=(Relation("o0", "right of", "o1"), Relation("o1", "left of", "o0")))
        assert scenes.later_to_earlier(turned).relations == (Relation("o1", "left of", "o0"),)


@pytest.mark.parametrize("subset", ["multi-turn", "conflict", "alignment"])
def test_plain_texts_have_one_wording_and_one_order(subset):
    make, mix = MAKERS[subset]
    for number in range(60):
        record = make(
            random.Random(number), mix(scenes=SceneMix(layout_jitter=0.0, plain=True)), SpritePainter(64)
        )
        assert list(faults_of(record)) == []
        asked = [obj.name for obj in parse_prompt(record.trajectory.prompt).objects]
        for step in record.trajectory.steps:
            text = step.message.text()
            assert not re.search(
                r"agrees|plan does not fit|draw|\bplace |erase|change|on a \w+ background:", text
            )
            if step.message.des is not None:
                described = parse_description(step.message.des)
                known = [obj.name for obj in described.graph.objects if obj.name in asked]
                if record.label != "wrong" and subset != "multi-turn":
                    assert known == asked[: len(known)]
                for regions in described.regions:
                    assert record.label == "wrong" or list(regions) == sorted(regions, key=REGIONS.index)


@pytest.mark.parametrize("subset", ["multi-turn", "conflict", "alignment"])
def test_few_classes_are_all_that_is_spoken_of(subset):
    """Also what only stands in for a while, and what is there by mistake."""
    few = ("apple", "bus", "cow", "dog", "laptop", "tv", "vase", "zebra", "carrot", "orange", "horse")
    make, mix = MAKERS[subset]
    for number in range(40):
        record = make(random.Random(number), mix(scenes=SceneMix(classes=few)), SpritePainter(64))
        spoken = " ".join([record.trajectory.prompt, *(s.message.text() for s in record.trajectory.steps)])
        graphs = [
            parse_description(step.message.des).graph
            for step in record.trajectory.steps
            if step.message.des is not None
        ]
        assert {obj.name for graph in graphs for obj in graph.objects} <= set(few)
        assert not re.search(r"\b(cats?|boats?|birds?|forks?|kites?)\b", spoken)
