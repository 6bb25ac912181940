"""Scene graphs: contradictions are refused, equality ignores ids, and every difference is named."""

import json
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strokewise.errors import SceneError
from strokewise.scene_graph import INVERSE, Fault, Relation, SceneGraph, SceneObject, Thing, diff

CLASSES = ("apple", "bus", "cat", "dog", "cup")
COLORS = ("red", "green", "blue")


@st.composite
def graphs(draw: st.DrawFn) -> SceneGraph:
    """Valid graphs of up to five objects."""
    looks = st.tuples(st.sampled_from(CLASSES), st.sampled_from((None, *COLORS)))
    chosen = draw(st.lists(looks, max_size=5, unique=True))
    objects = tuple(SceneObject(f"n{i}", n, c, draw(st.integers(1, 4))) for i, (n, c) in enumerate(chosen))
    ids = [obj.id for obj in objects]
    relations = []
    for word in ("left of", "above"):
        # Relations along one hidden order of the ids cannot contradict each other.
        order = draw(st.permutations(ids))
        pairs = [(a, b) for i, a in enumerate(order) for b in order[i + 1 :]]
        picked = draw(st.lists(st.sampled_from(pairs), max_size=3, unique=True)) if pairs else []
        for a, b in picked:
            flip = draw(st.booleans())
            relations.append(Relation(b, INVERSE[word], a) if flip else Relation(a, word, b))
    return SceneGraph(objects, tuple(relations), draw(st.sampled_from((None, "sky", "grass"))))


def scramble(graph: SceneGraph, rng: random.Random) -> SceneGraph:
    """The same scene under other ids, in another order, with some relations turned round."""
    names = rng.sample([f"x{i}" for i in range(9)], len(graph.objects))
    ids = {obj.id: name for obj, name in zip(graph.objects, names, strict=True)}
    objects = [SceneObject(ids[o.id], o.name, o.color, o.count) for o in graph.objects]
    relations = [Relation(ids[r.subject], r.kind, ids[r.target]) for r in graph.relations]
    relations = [
        Relation(r.target, INVERSE[r.kind], r.subject) if rng.random() < 0.5 else r for r in relations
    ]
    rng.shuffle(objects)
    rng.shuffle(relations)
    return SceneGraph(tuple(objects), tuple(relations), graph.background)


@settings(max_examples=60, deadline=None)
@given(graphs(), st.randoms(use_true_random=False))
def test_a_scrambled_graph_is_the_same_scene(graph, rng):
    other = scramble(graph, rng)
    graph.validate()
    other.validate()
    assert graph.isomorphic(other)
    assert other.isomorphic(graph)
    assert not diff(graph, other)


@settings(max_examples=60, deadline=None)
@given(graphs(), st.randoms(use_true_random=False))
def test_json_is_the_same_bytes_and_comes_back(graph, rng):
    text = json.dumps(graph.to_json())
    back = SceneGraph.from_json(json.loads(text))
    assert back == graph
    assert json.dumps(back.to_json()) == text


@settings(max_examples=60, deadline=None)
@given(graphs(), st.randoms(use_true_random=False))
def test_nested_subgraphs_grow_by_one_valid_object(graph, rng):
    nested = graph.nested_subgraphs(rng)
    assert [len(part.objects) for part in nested] == list(range(1, len(graph.objects) + 1))
    for smaller, larger in pairwise(nested):
        larger.validate()
        assert set(smaller.objects) < set(larger.objects)
        assert set(smaller.relations) <= set(larger.relations)
    assert not nested or nested[-1] == graph


def test_targets_are_painted_before_their_subjects_and_ties_follow_the_seed():
    objects = tuple(SceneObject(i, i) for i in ("cat", "dog", "bus", "cup"))
    graph = SceneGraph(objects, (Relation("cat", "left of", "bus"), Relation("bus", "above", "cup")))
    assert graph.painting_order() == ("dog", "cup", "bus", "cat")
    orders = {graph.painting_order(random.Random(seed)) for seed in range(30)}
    assert len(orders) > 1
    assert all(o.index("cup") < o.index("bus") < o.index("cat") for o in orders)
    assert graph.painting_order(random.Random(5)) == graph.painting_order(random.Random(5))


def test_painting_order_exists_when_relations_on_two_axes_name_each_other():
    graph = SceneGraph(
        (SceneObject("a", "cat"), SceneObject("b", "dog")),
        (Relation("a", "left of", "b"), Relation("b", "above", "a")),
    )
    graph.validate()
    assert sorted(graph.painting_order()) == ["a", "b"]


@pytest.mark.parametrize(
    ("objects", "relations", "message"),
    [
        ("ab", [("a", "left of", "c")], "unknown object id 'c'"),
        ("ab", [("a", "left of", "a")], "'a' cannot stand left of itself"),
        ("ab", [("a", "beside", "b")], "unknown relation 'beside'"),
        ("ab", [("a", "left of", "b"), ("b", "left of", "a")], "contradictory horizontal"),
        ("ab", [("a", "above", "b"), ("a", "below", "b")], "contradictory vertical"),
        ("abc", [("a", "left of", "b"), ("b", "left of", "c"), ("a", "right of", "c")], "'a' left of"),
        ("aa", [], "two objects have the id 'a'"),
    ],
)
def test_contradictions_are_refused(objects, relations, message):
    graph = SceneGraph(tuple(SceneObject(i, i) for i in objects), tuple(Relation(*r) for r in relations))
    with pytest.raises(SceneError, match=message):
        graph.validate()


@pytest.mark.parametrize("count", [0, 5, -1])
def test_counts_go_from_one_to_four(count):
    with pytest.raises(SceneError, match=f"must be 1 to 4, not {count}"):
        SceneGraph((SceneObject("a", "cat", None, count),)).validate()


def test_equal_looks_must_be_one_object():
    graph = SceneGraph((SceneObject("a", "cat", "red"), SceneObject("b", "cat", "red", 2)))
    with pytest.raises(SceneError, match="both 'red cat'"):
        graph.validate()


def test_vocabulary_is_checked_against_what_is_handed_in():
    graph = SceneGraph((SceneObject("a", "cat", "red"),), (), "sky")
    graph.check_vocabulary(CLASSES, COLORS, ("sky",))
    for classes, colors, backgrounds, message in (
        (("dog",), COLORS, ("sky",), "unknown class 'cat'"),
        (CLASSES, ("blue",), ("sky",), "unknown color 'red'"),
        (CLASSES, COLORS, ("grass",), "unknown background 'sky'"),
    ):
        with pytest.raises(SceneError, match=message):
            graph.check_vocabulary(classes, colors, backgrounds)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (SceneGraph((SceneObject("a", "cat", "red"), SceneObject("b", "dog")), (), "sky"), False),
        (
            SceneGraph(
                (SceneObject("a", "dog"), SceneObject("b", "cat", "red")),
                (Relation("a", "right of", "b"),),
                "sky",
            ),
            True,
        ),
        (
            SceneGraph(
                (SceneObject("a", "dog"), SceneObject("b", "cat", "red")),
                (Relation("b", "above", "a"),),
                "sky",
            ),
            False,
        ),
        (
            SceneGraph(
                (SceneObject("a", "dog"), SceneObject("b", "cat", "red")),
                (Relation("b", "left of", "a"),),
                None,
            ),
            False,
        ),
        (
            SceneGraph(
                (SceneObject("a", "dog"), SceneObject("b", "cat", "red", 2)),
                (Relation("b", "left of", "a"),),
                "sky",
            ),
            False,
        ),
    ],
)
def test_isomorphism_sees_every_part(change, same):
    graph = SceneGraph(
        (SceneObject("p", "cat", "red"), SceneObject("q", "dog")), (Relation("p", "left of", "q"),), "sky"
    )
    assert graph.isomorphic(change) is same


def scene(*things: tuple, relations: tuple = (), background: str | None = None) -> SceneGraph:
    """A graph whose ids are the places of its things: 0, 1, ..."""
    objects = tuple(SceneObject(str(i), *thing) for i, thing in enumerate(things))
    return SceneGraph(objects, tuple(Relation(*r) for r in relations), background)


@pytest.mark.parametrize(
    ("wanted", "seen", "faults"),
    [
        # A wanted object without color takes any color; a colored one does not.
        (scene(("cat",)), scene(("cat", "red")), []),
        (scene(("cat", None, 2)), scene(("cat", "red"), ("cat", "blue")), []),
        (
            scene(("cat", "red")),
            scene(("cat",)),
            [Fault("wrong color", Thing("cat", "red"), None, "red", None)],
        ),
        (scene(("cat",), ("dog",)), scene(("dog",)), [Fault("missing", Thing("cat"))]),
        (scene(("cat",)), scene(("cat",), ("dog", "red", 2)), [Fault("extra", Thing("dog", "red", 2))]),
        (scene(("cat", None, 3)), scene(("cat",)), [Fault("wrong count", Thing("cat", None, 3), None, 3, 1)]),
        (
            scene(("cat", "red")),
            scene(("cat", "red", 2)),
            [Fault("wrong count", Thing("cat", "red"), None, 1, 2)],
        ),
        # The best matching: the red one is right, the other is the one in the wrong color.
        (
            scene(("cat", "blue"), ("cat", "red")),
            scene(("cat", "red"), ("cat", "green")),
            [Fault("wrong color", Thing("cat", "blue"), None, "blue", "green")],
        ),
        # One of three in another color is one fault about one instance.
        (
            scene(("cat", "red", 3)),
            scene(("cat", "red", 2), ("cat", "blue")),
            [Fault("wrong color", Thing("cat", "red", 1), None, "red", "blue")],
        ),
        # The colored one takes its color before the one that takes any.
        (
            scene(("cat",), ("cat", "red")),
            scene(("cat", "red"), ("cat", "blue")),
            [],
        ),
        (
            scene(("cat",), background="sky"),
            scene(("cat",), background="grass"),
            [Fault("wrong background", wanted="sky", seen="grass")],
        ),
        (scene(("cat",)), scene(("cat",), background="grass"), []),
    ],
)
def test_diff_names_the_faults(wanted, seen, faults):
    assert list(diff(wanted, seen).faults) == faults


@pytest.mark.parametrize(
    ("relation", "seen", "instead"),
    [
        (("0", "left of", "1"), [("0", "left of", "1")], "fine"),
        (("0", "left of", "1"), [("1", "right of", "0")], "fine"),
        (("0", "left of", "1"), [("0", "left of", "2"), ("2", "left of", "1")], "fine"),
        (("0", "left of", "1"), [("1", "left of", "0")], "right of"),
        (("0", "left of", "1"), [("0", "below", "1")], "below"),
        (("0", "left of", "1"), [("0", "left of", "2")], None),
    ],
)
def test_diff_judges_relations(relation, seen, instead):
    things = (("cat",), ("dog",), ("bus",))
    found = diff(scene(*things, relations=(relation,)), scene(*things, relations=tuple(seen)))
    wanted = Fault("wrong relation", Thing("cat"), Thing("dog"), "left of", instead)
    assert found.of_kind("wrong relation") == (() if instead == "fine" else (wanted,))


def test_a_relation_holds_for_every_instance():
    wanted = scene(("cat", None, 2), ("dog",), relations=(("0", "left of", "1"),))
    seen = scene(("cat", "red"), ("cat", "blue"), ("dog",), relations=(("0", "left of", "2"),))
    assert diff(wanted, seen).of_kind("wrong relation")
    seen = scene(
        ("cat", "red"), ("cat", "blue"), ("dog",), relations=(("0", "left of", "2"), ("1", "left of", "2"))
    )
    assert not diff(wanted, seen)


def test_a_relation_to_a_missing_thing_is_no_fault_of_its_own():
    wanted = scene(("cat",), ("dog",), relations=(("0", "left of", "1"),))
    assert diff(wanted, scene(("cat",))).faults == (Fault("missing", Thing("dog")),)


def test_messages_are_readable():
    wanted = scene(("cat", "red", 2), ("dog",), relations=(("0", "left of", "1"),), background="sky")
    seen = scene(("cat", "red"), ("dog",), ("bus",), relations=(("0", "above", "1"),))
    assert diff(wanted, seen).messages == (
        "extra: bus",
        "wrong count of 2 x red cat: wanted 2, seen 1",
        "wrong relation: wanted 2 x red cat left of dog, seen above",
        "wrong background: wanted sky, seen none",
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "should be an object"),
        ({}, "objects: is missing"),
        ({"objects": [], "extra": 1}, "extra: is unknown"),
        ({"objects": "cat"}, "objects: input should be a valid array, not 'cat'"),
        ({"objects": [{"id": "a"}]}, "objects.0.name: is missing"),
        ({"objects": [{"id": "a", "name": 3}]}, "objects.0.name: input should be a valid string, not 3"),
        (
            {"objects": [{"id": "a", "name": "cat", "count": True}]},
            "objects.0.count: input should be a valid",
        ),
        ({"objects": [{"id": "a", "name": "cat", "count": 9}]}, "must be 1 to 4"),
        ({"objects": [], "relations": [{"subject": "a", "kind": "above"}]}, "relations.0.target: is missing"),
        ({"objects": [], "background": 1}, "background: input should be a valid string, not 1"),
    ],
)
def test_bad_json_is_refused(value, message):
    with pytest.raises(SceneError, match=message):
        SceneGraph.from_json(value)


def test_unknown_ids_are_named():
    graph = scene(("cat",))
    with pytest.raises(SceneError, match="no object with id 'z'; its ids: 0"):
        graph.subgraph(["z"])
