"""Layouts keep what a graph states, by GenEval's rule as written here once more, with room between things."""

import random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from strokewise.errors import SceneError
from strokewise.scene_graph import RELATIONS, Relation, SceneGraph, SceneObject
from strokewise.world import layout
from strokewise.world.language import describe, geneval_prompts, parse_prompt
from strokewise.world.layout import EVEN, Placement, Scene, even_box, place, place_in, region_of
from strokewise.world.vocabulary import CLASSES, COLORS, DEFAULT_BACKGROUND, REGIONS

EXAMPLES = settings(max_examples=120, deadline=None)


def geneval_relations(a, b):
    """What GenEval's evaluate_images.py says of two boxes, rewritten from its description."""
    boxes = np.array([a, b]).reshape(2, 2, 2)
    centers, sizes = boxes.mean(axis=-2), np.abs(np.diff(boxes, axis=-2))[..., 0, :]
    offset = centers[0] - centers[1]
    revised = np.maximum(np.abs(offset) - 0.1 * (sizes[0] + sizes[1]), 0) * np.sign(offset)
    if np.all(np.abs(revised) < 1e-3):
        return set()
    dx, dy = revised / np.linalg.norm(offset)
    found = {"left of": dx < -0.5, "right of": dx > 0.5, "below": dy > 0.5, "above": dy < -0.5}
    return {kind for kind, true in found.items() if true}


@st.composite
def graphs(draw):
    looks = draw(
        st.lists(
            st.tuples(st.sampled_from(CLASSES), st.none() | st.sampled_from(COLORS)),
            min_size=1,
            max_size=5,
            unique=True,
        )
    )
    objects = tuple(SceneObject(f"n{i}", n, c, draw(st.integers(1, 3))) for i, (n, c) in enumerate(looks))
    assume(sum(obj.count for obj in objects) <= layout.MAX_INSTANCES)
    ids = [obj.id for obj in objects]
    pairs = [(a, b) for i, a in enumerate(ids) for b in ids[i + 1 :]]
    chosen = draw(st.lists(st.sampled_from(pairs), max_size=2, unique=True)) if pairs else []
    return SceneGraph(objects, tuple(Relation(a, draw(st.sampled_from(RELATIONS)), b) for a, b in chosen))


def check(scene):
    """All that must be true of any layout."""
    graph, placements = scene.graph, scene.placements
    assert [(p.object_id, p.index) for p in placements] == [
        (o.id, i) for o in graph.objects for i in range(o.count)
    ]
    assert len({p.region for p in placements}) == len(placements)
    for p in placements:
        x0, y0, x1, y1 = p.box
        assert 0 < x0 < x1 < 1
        assert 0 < y0 < y1 < 1
        assert p.region == region_of(p.box)
        assert all(float(edge * 128).is_integer() for edge in p.box)
        assert max(x1 - x0, y1 - y0) > 0.2
    for i, a in enumerate(placements):
        for b in placements[i + 1 :]:
            gaps = [max(a.box[k] - b.box[k + 2], b.box[k] - a.box[k + 2]) for k in (0, 1)]
            assert max(gaps) > 0.02
    for relation in graph.relations:
        for a in placements:
            for b in placements:
                if (a.object_id, b.object_id) == (relation.subject, relation.target):
                    assert relation.kind in geneval_relations(a.box, b.box)


@EXAMPLES
@given(graphs(), st.integers(0, 2**32))
def test_layouts_keep_what_is_stated(graph, seed):
    try:
        scene = place(graph, seed)
    except SceneError:
        # Without relations there is always room for nine.
        graph = SceneGraph(graph.objects)
        scene = place(graph, seed)
    check(scene)
    assert scene == place(graph, seed)


@EXAMPLES
@given(st.tuples(*[st.floats(0, 1) for _ in range(8)]))
def test_the_rule_is_genevals(numbers):
    a = (min(numbers[0], numbers[1]), min(numbers[2:4]), max(numbers[:2]), max(numbers[2:4]))
    b = (min(numbers[4:6]), min(numbers[6:8]), max(numbers[4:6]), max(numbers[6:8]))
    assert {kind for kind in RELATIONS if layout.holds(kind, a, b)} == geneval_relations(a, b)


def test_every_geneval_prompt_has_a_layout():
    for number, prompt in enumerate(geneval_prompts()):
        check(place(parse_prompt(prompt.text), number))


def test_seeds_differ():
    graph = SceneGraph((SceneObject("a", "cat"), SceneObject("b", "dog")))
    assert len({place(graph, seed).placements for seed in range(20)}) == 20


def test_every_region_is_used_and_a_lone_thing_is_large():
    scenes = [place(SceneGraph((SceneObject("a", "apple"),)), seed) for seed in range(200)]
    assert {p.region for s in scenes for p in s.placements} == set(REGIONS)
    assert all(s.placements[0].box[3] - s.placements[0].box[1] > 0.33 for s in scenes)


def test_every_geneval_prompt_has_a_layout_without_jitter():
    for number, prompt in enumerate(geneval_prompts()):
        scene = place(parse_prompt(prompt.text), number, layout_jitter=0.0)
        check(scene)
        for p in scene.placements:
            assert p.box == even_box(scene.graph[p.object_id].name, REGIONS.index(p.region))
        places = [
            [REGIONS.index(p.region) for p in scene.placements if p.object_id == o.id]
            for o in scene.graph.objects
        ]
        assert all(regions == sorted(regions) for regions in places)


@pytest.mark.parametrize("name", ["bus", "giraffe", "apple"])
def test_without_jitter_a_sprite_lies_alike_in_the_patches_of_every_cell(name):
    boxes = [even_box(name, cell) for cell in range(9)]
    assert len({tuple(round(edge * 128) % 16 for edge in box) for box in boxes}) == 1
    assert [region_of(box) for box in boxes] == list(REGIONS)
    for left, top, right, bottom in boxes:
        assert max(right - left, bottom - top) == EVEN
        assert 16 * (left * 8 // 1) <= left * 128 < right * 128 <= 16 * (left * 8 // 1) + 32
        assert 16 * (top * 8 // 1) <= top * 128 < bottom * 128 <= 16 * (top * 8 // 1) + 32


def test_three_left_of_three():
    objects = (SceneObject("a", "cup", "red", 3), SceneObject("b", "fork", None, 3))
    scene = place(SceneGraph(objects, (Relation("a", "left of", "b"),)), 3)
    check(scene)


def test_impossible_layouts_say_why():
    four = (SceneObject("a", "cup", "red", 4), SceneObject("b", "fork", None, 4))
    with pytest.raises(SceneError, match="'4 x red cup' left of '4 x fork'"):
        place(SceneGraph(four, (Relation("a", "left of", "b"),)))
    with pytest.raises(SceneError, match="12 instances"):
        place(SceneGraph((*four, SceneObject("c", "dog", None, 4))))
    with pytest.raises(SceneError, match="no sprite"):
        place(SceneGraph((SceneObject("a", "dragon"),)))


def test_fixed_placements_stay():
    graph = SceneGraph(
        (SceneObject("a", "cat"), SceneObject("b", "dog", "red", 2), SceneObject("c", "cup")),
        (Relation("c", "right of", "b"), Relation("a", "above", "c")),
    )
    kept = 0
    for seed in range(30):
        first = place(graph.subgraph(["b"]), seed)
        try:
            scene = place(graph, seed + 1, fixed=first.placements)
        except SceneError:
            continue
        check(scene)
        assert set(first.placements) <= set(scene.placements)
        kept += 1
    assert kept > 5


def test_fixed_placements_of_what_is_gone_are_dropped():
    both = SceneGraph((SceneObject("a", "cat", None, 2), SceneObject("b", "dog")))
    scene = place(both, 1)
    less = SceneGraph((SceneObject("a", "cat", None, 1),))
    assert place(less, 2, fixed=scene.placements).placements == scene.placements[:1]


def test_a_fixed_placement_needs_its_region():
    graph = SceneGraph((SceneObject("a", "cat"),))
    with pytest.raises(SceneError, match="'a'"):
        place(graph, fixed=[Placement("a", 0, "top", (0.1, 0.1, 0.3, 0.3))])


def test_subsets_stand_where_the_whole_stands():
    graph = SceneGraph(
        (SceneObject("a", "cat", None, 2), SceneObject("b", "dog")), (Relation("a", "left of", "b"),), "sky"
    )
    scene = place(graph, 5)
    for part in graph.nested_subgraphs(random.Random(0)):
        subset = scene.subset(part)
        assert set(subset.placements) <= set(scene.placements)
        assert subset.background == "sky"
    assert scene.subset(graph) == scene
    with pytest.raises(SceneError, match="has 1 places in the scene, not 2"):
        scene.subset(SceneGraph((SceneObject("b", "dog", None, 2),)))


@EXAMPLES
@given(st.permutations(REGIONS), st.integers(0, 1000), st.integers(1, 4), st.integers(1, 4))
def test_stated_regions_are_kept(order, seed, first, second):
    graph = SceneGraph((SceneObject("a", "person", None, first), SceneObject("b", "couch", "red", second)))
    regions = {"a": order[:first], "b": order[first : first + second]}
    scene = place_in(graph, regions, seed)
    check(scene)
    assert describe(scene).regions == (tuple(regions["a"]), tuple(regions["b"]))


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        ({"a": ["top"]}, "'dog' needs 1 regions, not 0"),
        ({"a": ["top"], "b": ["top"]}, "both stand in the region 'top'"),
        ({"a": ["top"], "b": ["middle"]}, "'middle'"),
        ({"a": ["right"], "b": ["left"]}, "contradict the relations: 'cat' left of 'dog'"),
    ],
)
def test_stated_regions_that_cannot_be(regions, message):
    graph = SceneGraph((SceneObject("a", "cat"), SceneObject("b", "dog")), (Relation("a", "left of", "b"),))
    with pytest.raises(SceneError, match=message):
        place_in(graph, regions)


def test_background_of_a_scene():
    assert Scene(SceneGraph((), (), "night"), ()).background == "night"
    assert Scene(SceneGraph(), ()).background == DEFAULT_BACKGROUND
