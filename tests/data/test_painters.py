"""Painters: the sprite painter is exact; the editor is called as it must be and edits what it is given."""

import importlib.util
import random
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from strokewise.data.canvas_painters import KontextPainter, SpritePainter
from strokewise.data.scenes import SceneMix, sample_scene
from strokewise.errors import ConfigError
from strokewise.world.render import render

SCENE = sample_scene(random.Random(1), SceneMix())
SIZE = 32


class Recorder:
    """Stands for a pipeline: remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, **given):
        self.asked.append(given)
        return type("Output", (), {"images": [Image.new("RGB", (8, 8), "teal")]})


class TestSpritePainter:
    @pytest.mark.parametrize("size", [64, 128, 200])
    def test_renders_the_scene(self, size):
        image = SpritePainter(size).paint(None, "add a cat.", "a cat", SCENE, 0)
        assert image.size == (size, size)
        np.testing.assert_array_equal(np.asarray(image), np.asarray(render(SCENE, size)))

    def test_words_canvas_and_seed_do_not_matter(self):
        painter = SpritePainter(64)
        other = painter.paint(Image.new("RGB", (9, 9)), "something", "else", SCENE, 7)
        np.testing.assert_array_equal(np.asarray(painter.paint(None, "", "", SCENE, 0)), np.asarray(other))


class TestKontextPainter:
    def test_the_first_canvas_is_painted_from_its_description(self):
        pipeline = Recorder()
        image = KontextPainter(pipeline, 512, 20, 3.0).paint(None, "add a cat.", "a cat", None, 11)
        (asked,) = pipeline.asked
        assert image.getpixel((0, 0)) == (0, 128, 128)
        assert asked.pop("generator").initial_seed() == 11
        assert asked == {
            "image": None,
            "prompt": "a cat",
            "height": 512,
            "width": 512,
            "max_area": 512**2,
            "_auto_resize": False,
            "num_inference_steps": 20,
            "guidance_scale": 3.0,
        }

    def test_later_canvases_are_edited_by_the_instruction(self):
        pipeline, canvas = Recorder(), Image.new("RGB", (8, 8), "red")
        KontextPainter(pipeline).paint(canvas, "add a cat.", "a cat and a dog", SCENE, 0)
        assert pipeline.asked[0]["image"] is canvas
        assert pipeline.asked[0]["prompt"] == "add a cat."

    def test_without_diffusers(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "diffusers", None)
        with pytest.raises(ConfigError, match=r"needs diffusers: pip install 'strokewise\[data\]'"):
            KontextPainter.load()

    def test_weights_that_are_not_there(self, tmp_path, monkeypatch):
        pytest.importorskip("diffusers")
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        with pytest.raises(ConfigError, match="nothing cannot be loaded on cpu"):
            KontextPainter.load(str(tmp_path / "nothing"), "cpu")


@pytest.fixture(scope="module")
def pipeline():
    """A FluxKontextPipeline with random weights."""
    pytest.importorskip("diffusers"), pytest.importorskip("transformers")
    path = Path(__file__).with_name("tiny_kontext.py")
    spec = importlib.util.spec_from_file_location("tiny_kontext", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.tiny_pipeline()


class TestTinyPipeline:
    """The real pipeline's code, so that a changed signature is noticed."""

    @pytest.fixture
    def paint(self, pipeline):
        painter = KontextPainter(pipeline, SIZE, num_steps=2)

        def make(canvas=None, instruction="add a cat.", description="a cat.", seed=1):
            return np.asarray(painter.paint(canvas, instruction, description, None, seed))

        return make

    def test_first_canvas(self, paint):
        image = paint()
        assert image.shape == (SIZE, SIZE, 3)
        assert image.dtype == np.uint8
        assert image.std() > 0

    def test_the_seed_decides(self, paint):
        np.testing.assert_array_equal(paint(seed=1), paint(seed=1))
        assert (paint(seed=1) != paint(seed=2)).any()

    def test_the_words_that_count(self, paint):
        canvas = Image.new("RGB", (SIZE, SIZE), "red")
        assert (paint(description="a cat.") != paint(description="a dog, a bus.")).any()
        np.testing.assert_array_equal(paint(instruction="add a cat."), paint(instruction="add a bus."))
        assert (paint(canvas, "add a cat.") != paint(canvas, "add a bus, a dog.")).any()
        np.testing.assert_array_equal(paint(canvas, description="a"), paint(canvas, description="b"))

    def test_the_canvas_counts(self, paint):
        red, noise = (
            Image.new("RGB", (SIZE, SIZE), "red"),
            Image.effect_noise((SIZE, SIZE), 90).convert("RGB"),
        )
        assert (paint(red) != paint(noise)).any()
        assert paint(red).shape == (SIZE, SIZE, 3)
