"""What strokes do to a described scene, and how described scenes are compared and read from layouts."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strokewise.errors import SceneError
from strokewise.scene_graph import Fault, Relation, SceneGraph, SceneObject, Thing
from strokewise.world import language as lang
from strokewise.world.language import Beside, Description, Stroke
from strokewise.world.layout import Placement, Scene
from strokewise.world.vocabulary import BACKGROUNDS, DEFAULT_BACKGROUND

SCENE = Description(
    SceneGraph(
        (SceneObject("a", "apple", "red", 2), SceneObject("b", "bus"), SceneObject("c", "cat", "blue")),
        (Relation("a", "left of", "b"), Relation("c", "above", "b")),
        "white",
    ),
    (("upper left", "left"), ("right",), ("top",)),
)


def after(stroke: Stroke, scene: Description = SCENE) -> dict[tuple, tuple[str, ...]]:
    """Look and count of every object after a stroke, with its regions."""
    result = lang.apply_stroke(stroke, scene)
    result.validate()
    things = [(obj.name, obj.color, obj.count) for obj in result.graph.objects]
    return dict(zip(things, result.regions, strict=True))


BEFORE = {
    ("apple", "red", 2): ("upper left", "left"),
    ("bus", None, 1): ("right",),
    ("cat", "blue", 1): ("top",),
}


def changed(out: str, *new: tuple[tuple, tuple[str, ...]]) -> dict[tuple, tuple[str, ...]]:
    """BEFORE without one class, and with new objects."""
    return {key: value for key, value in BEFORE.items() if key[0] != out} | dict(new)


@pytest.mark.parametrize(
    ("stroke", "expected"),
    [
        (
            Stroke("add", Thing("dog", None, 2), regions=("bottom", "center")),
            changed("", (("dog", None, 2), ("bottom", "center"))),
        ),
        # More of a look that is there join its object.
        (
            Stroke("add", Thing("apple", "red"), regions=("bottom",)),
            changed("apple", (("apple", "red", 3), ("upper left", "left", "bottom"))),
        ),
        (
            Stroke("recolor", Thing("bus"), Thing("bus", "pink"), ("right",)),
            changed("bus", (("bus", "pink", 1), ("right",))),
        ),
        # A region picks one instance of several.
        (
            Stroke("recolor", Thing("apple", "red"), Thing("apple", "green"), ("left",)),
            changed("apple", (("apple", "red", 1), ("upper left",)), (("apple", "green", 1), ("left",))),
        ),
        (
            Stroke("remove", Thing("apple", "red"), regions=("upper left",)),
            changed("apple", (("apple", "red", 1), ("left",))),
        ),
        (Stroke("remove", Thing("cat", "blue")), changed("cat")),
        # Without a color in the words, the only cat is meant.
        (Stroke("remove", Thing("cat")), changed("cat")),
        (
            Stroke("swap", Thing("cat", "blue"), Thing("dog", "brown"), ("top",)),
            changed("cat", (("dog", "brown", 1), ("top",))),
        ),
        (
            Stroke("recount", Thing("bus"), Thing("bus", None, 3), ("right", "center", "bottom")),
            changed("bus", (("bus", None, 3), ("right", "center", "bottom"))),
        ),
        (
            Stroke("recount", Thing("apple", "red", 2), Thing("apple", "red"), ("center",)),
            changed("apple", (("apple", "red", 1), ("center",))),
        ),
    ],
)
def test_strokes_change_the_scene(stroke, expected):
    assert after(stroke) == expected


def test_a_background_stroke_changes_only_the_background():
    result = lang.apply_stroke(Stroke("background", background="sky"), SCENE)
    assert result.graph.background == "sky"
    assert (result.graph.objects, result.regions) == (SCENE.graph.objects, SCENE.regions)


def test_ids_and_relations_outlive_a_change_of_looks_but_not_a_removal():
    recolored = lang.apply_stroke(Stroke("recolor", Thing("bus"), Thing("bus", "pink")), SCENE).graph
    assert recolored["b"].color == "pink"
    assert recolored.relations == SCENE.graph.relations
    removed = lang.apply_stroke(Stroke("remove", Thing("bus")), SCENE).graph
    assert removed.relations == ()
    added = lang.apply_stroke(Stroke("add", Thing("dog"), regions=("center",)), SCENE).graph
    assert len({obj.id for obj in added.objects}) == 4


@pytest.mark.parametrize(
    ("stroke", "message"),
    [
        (
            Stroke("remove", Thing("dog")),
            "about 'dog', found 0; the scene has '2 x red apple', 'bus', 'blue cat'",
        ),
        (Stroke("remove", Thing("apple", "red")), "about 'red apple', found 2"),
        (Stroke("remove", Thing("apple", "red"), regions=("bottom",)), "found 0"),
        (Stroke("remove", Thing("cat", "red")), "found 0"),
        (Stroke("add", Thing("dog")), "does not say where"),
        (Stroke("recount", Thing("bus"), Thing("bus", None, 2)), "does not say where"),
        (Stroke("add", Thing("apple", "red", 3), regions=("top",) * 3), "must be 1 to 4, not 5"),
    ],
)
def test_strokes_that_do_not_fit_the_scene_are_refused(stroke, message):
    with pytest.raises(SceneError, match=message):
        lang.apply_stroke(stroke, SCENE)


def test_a_correction_in_the_papers_words_mends_the_scene():
    drawn = lang.parse_description("a skateboard in the center; a bird at the top, above the skateboard.")
    strokes = lang.parse_correction(
        "Remove the bird above the skateboard. Add a bird at the bottom, below it."
    )
    assert strokes[1].relation == Beside("below", Thing("skateboard"))
    for stroke in strokes:
        drawn = lang.apply_stroke(stroke, drawn)
    assert drawn.regions == (("center",), ("bottom",))


def test_compare_adds_places_to_the_faults_of_the_graph():
    seen = lang.parse_description(
        "on a white background: two red apples in the upper left and center; a bus on the right; "
        "two blue cats at the top."
    )
    faults = lang.compare(SCENE, seen)
    assert faults.of_kind("wrong place") == (
        Fault("wrong place", Thing("apple", "red", 2), None, "left", "center"),
    )
    assert faults.of_kind("wrong count") == (Fault("wrong count", Thing("cat", "blue"), None, 1, 2),)
    assert not lang.compare(SCENE, SCENE)


def test_compare_does_not_mind_the_order_of_places():
    swapped = Description(SCENE.graph, (("left", "upper left"), ("right",), ("top",)))
    assert not lang.compare(SCENE, swapped)


@st.composite
def crowded(draw: st.DrawFn) -> Description:
    """Scenes of few classes and colors, so that two of them have much in common."""
    looks = st.tuples(st.sampled_from(("cat", "dog")), st.sampled_from((None, "red", "blue")))
    objects, places = [], []
    for index, (name, color) in enumerate(draw(st.lists(looks, max_size=4, unique=True))):
        regions = draw(st.lists(st.sampled_from(("left", "right", "top")), min_size=1, max_size=4))
        objects.append(SceneObject(f"n{index}", name, color, len(regions)))
        places.append(tuple(regions))
    background = draw(st.sampled_from((None, *BACKGROUNDS[:2])))
    return Description(SceneGraph(tuple(objects), (), background), tuple(places))


@settings(max_examples=300, deadline=None)
@given(crowded(), crowded())
def test_mending_leaves_no_fault_and_changes_nothing_that_is_right(wanted, seen):
    strokes = lang.repair(wanted, seen)
    scene = seen
    for stroke in strokes:
        scene = lang.apply_stroke(stroke, scene)
    assert not lang.compare(wanted, scene)
    assert lang.repair(wanted, scene) == ()
    text = lang.write_correction(strokes, random.Random(0)) if strokes else ""
    assert not strokes or lang.parse_correction(text) == strokes


def test_mending_tells_relations_to_things_that_stay():
    wanted = lang.parse_description("a skateboard in the center; a bird at the bottom, below the skateboard.")
    seen = lang.parse_description("a skateboard in the center; a bird at the top; a red dog on the left.")
    assert lang.repair(wanted, seen) == (
        Stroke("remove", Thing("bird"), regions=("top",)),
        Stroke("remove", Thing("dog", "red"), regions=("left",)),
        Stroke("add", Thing("bird"), regions=("bottom",), relation=Beside("below", Thing("skateboard"))),
    )
    moved = lang.parse_description("a skateboard on the right; a bird at the top.")
    assert all(stroke.relation is None for stroke in lang.repair(wanted, moved))


def test_mending_recolors_in_place():
    wanted, seen = (
        lang.parse_description(f"two {color} cups at the top and left.") for color in ("red", "blue")
    )
    recolor = Stroke("recolor", Thing("cup", "blue", 2), Thing("cup", "red", 2), ("top", "left"))
    assert lang.repair(wanted, seen) == (recolor,)


def test_describe_takes_regions_by_index_and_the_real_background():
    graph = SceneGraph(SCENE.graph.objects[:2], SCENE.graph.relations[:1])
    box = (0.0, 0.0, 0.1, 0.1)
    placements = (
        Placement("b", 0, "right", box),
        Placement("a", 1, "left", box),
        Placement("a", 0, "upper left", box),
    )
    described = lang.describe(Scene(graph, placements))
    assert described.regions == (("upper left", "left"), ("right",))
    assert (described.graph.background, described.graph.relations) == (DEFAULT_BACKGROUND, ())
    description = lang.describe(Scene(replace(graph, background="sky"), placements), relations=True)
    text = lang.write_description(description, random.Random(1))
    assert text.count("left of the bus") == text.count("sky") == 1
    with pytest.raises(SceneError, match="needs 2 regions, not 1"):
        lang.describe(Scene(graph, placements[:2]))
