"""What was painted is what is recognized; what is ambiguous is unknown; noise is not named."""

import io
import random

import numpy as np
import pytest
from PIL import Image, ImageFilter

from strokewise.errors import InputError
from strokewise.scene_graph import Relation, SceneGraph, SceneObject, diff
from strokewise.world.language import compare, describe
from strokewise.world.layout import Placement, Scene, place
from strokewise.world.recognize import detect, recognize
from strokewise.world.recognize.segments import components, tighten
from strokewise.world.render import background_array, render, render_array
from strokewise.world.vocabulary import BACKGROUNDS, CLASSES, COLORS

LOOKS = [(name, color) for name in CLASSES for color in (None, *COLORS)]


def graph_of(*looks, relations=(), background=None):
    return SceneGraph(
        tuple(SceneObject(f"o{i}", *look) for i, look in enumerate(looks)), relations, background
    )


def crowds():
    """Scenes of nine things each that together hold every look."""
    looks = list(LOOKS)
    random.Random(3).shuffle(looks)
    for start in range(0, len(looks), 9):
        background = BACKGROUNDS[start // 9 % len(BACKGROUNDS)]
        yield place(graph_of(*looks[start : start + 9], background=background), start)


def assert_exact(scene, found):
    assert not found.unknown
    assert not compare(describe(scene), describe(found.scene)).messages
    assert not compare(describe(found.scene), describe(scene)).messages


def test_every_look_is_recognized():
    for scene in crowds():
        assert_exact(scene, recognize(render(scene)))


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_counts(count):
    for seed in range(12):
        name, color = LOOKS[(seed * 97 + count) % len(LOOKS)]
        scene = place(graph_of((name, color, count), background=BACKGROUNDS[seed % 6]), seed)
        found = recognize(render(scene))
        assert_exact(scene, found)
        for placement, seen in zip(
            sorted(scene.placements, key=key), sorted(found.placements, key=key), strict=True
        ):
            assert np.abs(np.subtract(placement.box, seen.box)).max() < 0.02


def key(placement):
    return placement.region


@pytest.mark.parametrize("size", [64, 96, 256, 512])
def test_sizes(size):
    for scene in list(crowds())[:8]:
        assert_exact(scene, recognize(render(scene, size)))


def spoiled(picture, way):
    if way == "blur":
        return picture.filter(ImageFilter.GaussianBlur(1.5))
    if way == "noise":
        noise = np.random.default_rng(0).normal(0, 12, (128, 128, 3))
        return Image.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8))
    if way == "jpeg":
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=40)
        return Image.open(stream)
    if way == "autoencoder":
        return picture.resize((48, 48), Image.Resampling.BOX).resize((128, 128), Image.Resampling.BICUBIC)
    assert way == "turned"
    return picture.rotate(2.5, Image.Resampling.BICUBIC, fillcolor=picture.getpixel((2, 2)))


@pytest.mark.parametrize("way", ["blur", "noise", "jpeg", "autoencoder", "turned"])
def test_spoiled_pictures_are_mostly_right_and_rarely_wrong(way):
    right = wrong = things = 0
    for scene in list(crowds())[::4]:
        wanted = {
            p.region: (scene.graph[p.object_id].name, scene.graph[p.object_id].color)
            for p in scene.placements
        }
        things += len(wanted)
        for one in recognize(spoiled(render(scene), way)).instances:
            good = wanted.get(one.region) == (one.name, one.color)
            right, wrong = right + good, wrong + (not good)
    assert right > 0.93 * things
    assert wrong < 0.02 * things


def test_strong_blur_makes_things_unknown_rather_than_wrong():
    shares = []
    for deviation in (0, 4, 6):
        wrong = right = things = 0
        for scene in list(crowds())[::8]:
            wanted = {p.region: scene.graph[p.object_id].name for p in scene.placements}
            found = recognize(render(scene).filter(ImageFilter.GaussianBlur(deviation)))
            names = [one.name == wanted.get(one.region) for one in found.instances]
            right, wrong = right + sum(names), wrong + len(names) - sum(names)
            things += len(wanted)
        shares.append(right)
        assert wrong < 0.06 * things
    assert shares[0] > shares[1] > shares[2]


def test_empty_canvases():
    for name in BACKGROUNDS:
        found = recognize(background_array(name, 128))
        assert (found.instances, found.unknown, found.background) == ((), (), name)
        assert found.graph == SceneGraph((), (), name)


def test_rubbish_is_not_named():
    rng = np.random.default_rng(4)
    for cells in (8, 16, 32, 128):
        for _ in range(4):
            coarse = rng.integers(0, 256, (cells, cells, 3)).astype(np.uint8)
            found = recognize(Image.fromarray(coarse).resize((128, 128), Image.Resampling.BICUBIC))
            assert found.instances == ()
            assert found.graph.background is None


def test_things_of_no_class_are_unknown():
    canvas = background_array("sky", 128).copy()
    y, x = np.mgrid[:128, :128]
    canvas[(np.abs(x - 30) + np.abs(y - 90) < 18) & ((x + y) % 9 < 6)] = (200, 30, 160)
    found = recognize(canvas)
    assert found.instances == ()
    assert [one.region for one in found.unknown] == ["lower left"]
    assert found.graph == SceneGraph((), (), "sky")


def test_faults_are_seen():
    wanted = graph_of(
        ("cat", "red", 2), ("dog", None), relations=(Relation("o0", "left of", "o1"),), background="sky"
    )
    scene = place(wanted, 4)
    assert not diff(wanted, recognize(render(scene)).graph)

    recolored = graph_of(("cat", "blue", 2), ("dog", None), background="sky")
    assert diff(wanted, recognize(render(Scene(recolored, scene.placements))).graph).of_kind("wrong color")
    swapped = graph_of(("cat", "red", 2), ("bus", None), background="sky")
    seen = diff(wanted, recognize(render(Scene(swapped, scene.placements))).graph)
    assert (len(seen.missing), len(seen.extra)) == (1, 1)
    fewer = graph_of(("cat", "red", 1), ("dog", None), background="sky")
    assert diff(wanted, recognize(render(scene.subset(fewer))).graph).of_kind("wrong count")
    other = graph_of(("cat", "red", 2), ("dog", None), background="grass")
    assert diff(wanted, recognize(render(Scene(other, scene.placements))).graph).of_kind("wrong background")
    mirrored = [
        Placement(p.object_id, p.index, p.region, (1 - p.box[2], p.box[1], 1 - p.box[0], p.box[3]))
        for p in scene.placements
    ]
    assert diff(wanted, recognize(render(Scene(wanted, tuple(mirrored)))).graph).of_kind("wrong relation")


def test_relations_between_all_instances():
    graph = graph_of(("cup", "red", 2), ("fork", "blue"), relations=(Relation("o0", "above", "o1"),))
    found = recognize(render(place(graph, 2))).graph
    ids = {obj.name: obj.id for obj in found.objects}
    assert Relation(ids["cup"], "above", ids["fork"]) in found.relations


def test_more_than_can_be_asked_for_is_counted():
    spots = [(x, y) for x in (0.05, 0.38, 0.71) for y in (0.1, 0.6)]
    graph = graph_of(("apple", "green", 4), ("banana", None, 2))
    boxes = [(x, y, x + 0.25, y + 0.27) for x, y in spots]
    places = [Placement(f"o{i // 4}", i % 4, "top", box) for i, box in enumerate(boxes)]
    apples = SceneGraph((SceneObject("o0", "apple", "green", 4), SceneObject("o1", "apple", "green", 2)))
    found = recognize(render(Scene(apples, tuple(places)))).graph
    assert [(o.name, o.color, o.count) for o in found.objects] == [("apple", "green", 6)]
    assert [o.count for o in recognize(render(Scene(graph, tuple(places)))).graph.objects] == [4, 2]


@pytest.mark.parametrize("size", [(128, 128), (256, 256)])
def test_detections_are_boxes_in_pixels(size):
    scene = place(graph_of(("bus", "yellow", 2), ("clock", None), background="gray"), 8)
    found = detect(render_array(scene, size[0]))
    assert [d.name for d in found].count("bus") == 2
    assert {(d.name, d.color) for d in found} == {("bus", "yellow"), ("clock", None)}
    scores = [d.score for d in found]
    assert scores == sorted(scores, reverse=True)
    assert min(scores) > 0.9  # GenEval counts from here
    for placement in scene.placements:
        wanted = np.array(placement.box) * size[0]
        assert min(np.abs(np.array(d.box) - wanted).max() for d in found) < 0.02 * size[0]


def test_detect_can_tell_unsure_things():
    picture = render(place(graph_of(("laptop", "blue", 3), background="white"), 1)).filter(
        ImageFilter.GaussianBlur(5)
    )
    assert len(detect(picture, 0.0)) > len(detect(picture, 0.9))


@pytest.mark.parametrize(
    "picture",
    [
        Image.new("RGB", (31, 200)),
        np.zeros((128, 128), np.uint8),
        np.zeros((128, 128, 3), np.float32),
        np.zeros((128, 128, 4), np.uint8),
    ],
)
def test_what_is_no_picture(picture):
    with pytest.raises(InputError, match="picture"):
        recognize(picture)


def test_components_are_connected_diagonally_too():
    mask = np.zeros((6, 8), bool)
    for y, x in [(0, 0), (1, 1), (2, 0), (3, 3), (3, 4), (4, 5), (5, 7)]:
        mask[y, x] = True
    assert sorted(components(mask)) == [((0, 0, 2, 3), 3), ((3, 3, 6, 5), 3), ((7, 5, 8, 6), 1)]
    u = np.zeros((4, 5), bool)
    u[:, [0, 4]] = u[3] = True
    assert components(u) == [((0, 0, 5, 4), 11)]
    assert components(np.zeros((3, 3), bool)) == []


def test_blur_does_not_widen_tightened_boxes():
    canvas = np.zeros((64, 64), np.uint8)
    canvas[20:44, 16:40] = 200
    blurred = np.asarray(Image.fromarray(canvas).filter(ImageFilter.BoxBlur(2)), np.float32)
    ys, xs = np.nonzero(blurred > 16)
    loose = (int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)
    assert loose != (16, 20, 40, 44)
    assert np.allclose(tighten(blurred, loose), (16, 20, 40, 44), atol=0.6)
