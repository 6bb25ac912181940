"""Pictures are the same bytes every time, show distinguishable colors, and things that can be seen."""

import hashlib
import itertools

import numpy as np
import pytest
from PIL import Image

from strokewise.errors import ConfigError, SceneError
from strokewise.scene_graph import SceneGraph, SceneObject
from strokewise.world import atlas, recolor
from strokewise.world.layout import Placement, Scene, place
from strokewise.world.oklab import oklab_to_srgb, srgb_to_oklab
from strokewise.world.render import GRADES, background_array, render, render_array, resized
from strokewise.world.vocabulary import BACKGROUNDS, CLASSES, COLORS

LOOKS = [(name, color) for name in CLASSES for color in (None, *COLORS)]


def scene_of(name, color, background=None, box=(0.25, 0.25, 0.75, 0.75)):
    graph = SceneGraph((SceneObject("a", name, color),), (), background)
    return Scene(graph, (Placement("a", 0, "center", box),))


@pytest.fixture(scope="module")
def busy():
    objects = (
        SceneObject("a", "car", "green", 3),
        SceneObject("b", "banana", None, 3),
        SceneObject("c", "person", "white", 3),
    )
    return place(SceneGraph(objects, (), "sand"), 11)


def test_bytes_are_the_same_in_every_run(busy):
    first = render_array(busy)
    render_array(busy)[:] = 0  # what a caller does with a picture must not reach the next one
    assert np.array_equal(render_array(busy), first)
    digest = hashlib.sha256(first.tobytes()).hexdigest()
    assert digest == "26fc36e7c02263763c80909df73892c21d131e09743b5ef865b048be62b29ef7", (
        "a change of looks or layout: weights trained on the old ones will not fit"
    )


@pytest.mark.parametrize("size", [64, 100, 128, 512, 1024])
def test_sizes(busy, size):
    picture = render(busy, size)
    assert (picture.size, picture.mode) == ((size, size), "RGB")
    small = np.asarray(picture.resize((64, 64), Image.Resampling.BOX), np.float32)
    reference = np.asarray(render(busy, 1024).resize((64, 64), Image.Resampling.BOX), np.float32)
    assert np.abs(small - reference).mean() < 7


@pytest.mark.parametrize("size", [63, 1025])
def test_sizes_out_of_range(busy, size):
    with pytest.raises(ConfigError, match=str(size)):
        render(busy, size)


def test_only_boxes_are_painted(busy):
    changed = np.abs(render_array(busy).astype(int) - background_array("sand", 128)).max(axis=-1) > 0
    for placement in busy.placements:
        x0, y0, x1, y1 = (round(edge * 128) for edge in placement.box)
        inside = changed[y0:y1, x0:x1]
        # The box is tight: the sprite reaches all four of its edges.
        assert inside[:2].any()
        assert inside[-2:].any()
        assert inside[:, :2].any()
        assert inside[:, -2:].any()
        inside[:] = False
    assert not changed.any()


def test_sprites_are_cut_at_the_edge_of_the_canvas():
    picture = render_array(scene_of("apple", "red", "white", (-0.2, 0.7, 0.3, 1.2)))
    changed = np.abs(picture.astype(int) - background_array("white", 128)).max(axis=-1) > 20
    assert changed[100:, :20].any()
    assert not changed[:80].any()


def test_a_stated_background_is_painted():
    corners = {name: tuple(render_array(scene_of("cat", None, name))[0, 0]) for name in BACKGROUNDS}
    assert len(set(corners.values())) == len(BACKGROUNDS)
    for name, corner in corners.items():
        assert np.abs(np.subtract(corner, GRADES[name][0], dtype=int)).max() <= 1
    with pytest.raises(SceneError, match="'lava'"):
        render(scene_of("cat", None, "lava"))


def test_the_largest_paint_is_the_color_asked_for():
    for name, color in LOOKS:
        if color is not None:
            look = recolor.appearance(name, color)
            body = look[look[..., 3] == 255][:, :3].astype(int)
            exact = (np.abs(body - recolor.PAINTS[color]).max(axis=1) <= 2).mean()
            assert exact > 0.1, (name, color, exact)


def test_colors_are_apart_in_every_class():
    for name in CLASSES:
        means = []
        for color in COLORS:
            look = recolor.appearance(name, color).astype(float)
            means.append(np.average(look[..., :3], axis=(0, 1), weights=look[..., 3]))
        lab = srgb_to_oklab(np.array(means))
        for (a, first), (b, second) in itertools.combinations(zip(COLORS, lab, strict=True), 2):
            assert np.linalg.norm(first - second) > 0.07, (name, a, b)


def test_every_look_can_be_seen_on_every_background():
    for name, color in LOOKS:
        look = np.asarray(resized(name, color, 32, 32), float)
        for background in BACKGROUNDS:
            ground = background_array(background, 128)[64, 64]
            differs = np.abs(look[..., :3] - ground).max(axis=-1) * look[..., 3] / 255 > 40
            assert differs.mean() > 0.05, (name, color, background)


def test_unknown_words():
    with pytest.raises(SceneError, match="'dragon'"):
        recolor.appearance("dragon", None)
    with pytest.raises(SceneError, match="'mauve'"):
        recolor.appearance("cat", "mauve")


def test_oklab():
    assert np.allclose(srgb_to_oklab(np.array([255, 255, 255])), [1, 0, 0], atol=1e-4)
    # Ottosson's own example: red.
    assert np.allclose(srgb_to_oklab(np.array([255, 0, 0])), [0.62796, 0.22486, 0.12585], atol=1e-4)
    colors = np.random.default_rng(0).integers(0, 256, (100, 3))
    assert np.allclose(oklab_to_srgb(srgb_to_oklab(colors)), colors, atol=1e-6)


def test_every_glyph_has_its_license_beside_it():
    notice = (atlas.FOLDER / "NOTICE.txt").read_text(encoding="utf-8")
    for name, entry in atlas.glyph_table().items():
        text = (atlas.FOLDER / "licenses" / f"{entry['set']}.txt").read_text(encoding="utf-8")
        assert len(text) > 700
        assert f"{entry['glyph']} ({name})" in " ".join(notice.split())
        assert f"{entry['set']} {entry['version']} by {entry['author']}" in notice
        assert entry["license"] in {"MIT", "Apache-2.0", "CC0-1.0", "ISC", "CC-BY-3.0"}


def test_the_atlas_is_small():
    assert sum(len((atlas.FOLDER / file).read_bytes()) for file in ("natural.png", "tones.png")) < 2_000_000
