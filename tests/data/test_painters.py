"""Painters: the sprite painter is exact; the editor is called as it must be and edits what it is given."""

import random
import sys

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
def tokenizers():
    """A CLIP and a T5 tokenizer of single letters."""
    transformers = pytest.importorskip("transformers")
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)] + [".", ","]
    clip_words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    clip = transformers.CLIPTokenizer(
        vocab={word: i for i, word in enumerate(clip_words)}, merges=[], model_max_length=16
    )
    pieces = ["<pad>", "</s>", "<unk>", "▁", *letters]
    t5 = transformers.T5TokenizerFast(
        vocab=[(piece, -1.0) for piece in pieces], extra_ids=0, model_max_length=16
    )
    return clip, t5, len(clip_words), len(pieces)


@pytest.fixture(scope="module")
def pipeline(tokenizers):
    """A FluxKontextPipeline with random weights, small enough for a processor core."""
    import torch

    diffusers, transformers = pytest.importorskip("diffusers"), pytest.importorskip("transformers")
    clip, t5, clip_size, t5_size = tokenizers
    torch.manual_seed(0)
    vae = diffusers.AutoencoderKL(
        sample_size=SIZE,
        in_channels=3,
        out_channels=3,
        block_out_channels=(4,),
        layers_per_block=1,
        latent_channels=1,
        norm_num_groups=1,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.06,
        scaling_factor=1.5,
    )
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )
    clip_text = transformers.CLIPTextModel(
        transformers.CLIPTextConfig(
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
            hidden_size=32,
            intermediate_size=37,
            num_attention_heads=4,
            num_hidden_layers=2,
            vocab_size=clip_size,
            max_position_embeddings=16,
        )
    )
    t5_text = transformers.T5EncoderModel(
        transformers.T5Config(
            vocab_size=t5_size,
            d_model=32,
            d_kv=8,
            d_ff=37,
            num_layers=2,
            num_heads=4,
            decoder_start_token_id=0,
        )
    )
    made = diffusers.FluxKontextPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=vae.eval(),
        text_encoder=clip_text.eval(),
        tokenizer=clip,
        text_encoder_2=t5_text.eval(),
        tokenizer_2=t5,
        transformer=transformer.eval(),
    )
    made.set_progress_bar_config(disable=True)
    return made


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
