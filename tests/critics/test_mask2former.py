"""The detector for real pictures at a tiny size with random weights: its processing is what is tested."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from strokewise.critics import clip_colors, mask2former
from strokewise.critics.clip_colors import ClipColors, crop
from strokewise.critics.geneval_rules import Detection
from strokewise.critics.mask2former import Mask2FormerDetector, preprocess
from strokewise.errors import CheckpointError, ConfigError
from strokewise.models.hub import pretrained
from strokewise.world.vocabulary import CLASSES, COLORS

transformers = pytest.importorskip("transformers")


class Words:
    """A tokenizer that numbers characters; the end token is the largest."""

    END = 127

    def __call__(self, texts, padding, return_tensors):
        assert (padding, return_tensors) == (True, "pt")
        length = max(map(len, texts)) + 1
        rows = [[ord(letter) for letter in text] + [self.END] * (length - len(text)) for text in texts]
        return transformers.BatchEncoding({"input_ids": torch.tensor(rows)})


@pytest.fixture(scope="module")
def segmenter():
    torch.manual_seed(0)
    backbone = transformers.SwinConfig(
        image_size=32,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 1, 1],
        window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = transformers.Mask2FormerConfig(
        backbone_config=backbone,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=32,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        dim_feedforward=32,
        num_queries=6,
        num_labels=80,
    )
    return transformers.Mask2FormerForUniversalSegmentation(config).eval()


@pytest.fixture(scope="module")
def colors():
    torch.manual_seed(0)
    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = size | {"vocab_size": 128, "max_position_embeddings": 64, "eos_token_id": Words.END}
    vision = size | {"image_size": 16, "patch_size": 8}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
    return ClipColors(transformers.CLIPModel(config).eval(), Words())


@pytest.fixture(scope="module")
def picture():
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    return Image.fromarray(pixels)


def test_a_picture_is_brought_to_the_harnesss_size():
    for (height, width), seen, padded in (
        ((512, 512), (800, 800), (800, 800)),
        ((768, 1344), (762, 1333), (768, 1344)),
        ((1024, 768), (1067, 800), (1088, 800)),
    ):
        batch, size = preprocess(torch.zeros(3, height, width, dtype=torch.uint8))
        assert size == seen
        assert batch.shape == (1, 3, *padded)


def test_pixels_are_normalized_and_padded_with_gray():
    batch, size = preprocess(torch.full((3, 60, 50), 255, dtype=torch.uint8), 60, 60)
    assert size == (60, 50)
    assert batch.shape == (1, 3, 64, 64)
    white = torch.tensor([(255 - 123.675) / 58.395, (255 - 116.28) / 57.12, (255 - 103.53) / 57.375])
    gray = torch.tensor([(128 - 123.675) / 58.395, (128 - 116.28) / 57.12, (128 - 103.53) / 57.375])
    torch.testing.assert_close(batch[0, :, 59, 49], white)
    torch.testing.assert_close(batch[0, :, 60, 10], gray)
    torch.testing.assert_close(batch[0, :, 10, 50], gray)


def test_resizing_is_bilinear_without_smoothing():
    """Halving takes the mean of the two middle pixels of four, as OpenCV does, not of all four."""
    pixels = torch.tensor([0, 100, 0, 0, 0, 0, 0, 100], dtype=torch.uint8).view(1, 1, 8).expand(3, 2, 8)
    batch, _ = preprocess(pixels, 4, 4)
    row = batch[0, 0, 0, :4] * 58.395 + 123.675
    torch.testing.assert_close(row, torch.tensor([50.0, 0, 0, 50]), atol=1e-3, rtol=0)
    batch, _ = preprocess(pixels, 2, 4)
    row = batch[0, 0, 0, :2] * 58.395 + 123.675
    torch.testing.assert_close(row, torch.tensor([50.0, 0]), atol=1e-3, rtol=0)


class FixedSegmenter:
    """A segmenter with fixed outputs, for a picture of 64 x 64 brought to 32 x 32."""

    device = torch.device("cpu")
    config = transformers.Mask2FormerConfig(num_labels=80)

    def __init__(self, classes, masks):
        self.output = SimpleNamespace(class_queries_logits=classes, masks_queries_logits=masks)

    def __call__(self, pixel_values):
        assert pixel_values.shape == (1, 3, 32, 32)
        return self.output


def test_scores_boxes_and_masks_are_the_harnesss(colors):
    classes = torch.full((3, 81), -50.0)
    classes[0, CLASSES.index("dog")] = 0.0  # one query, two classes: 0.6 and 0.4
    classes[0, CLASSES.index("cat")] = float(np.log(0.4 / 0.6))
    classes[1, 80] = 0.0  # nothing
    classes[2, CLASSES.index("car")] = 0.0  # sure, but its mask is empty
    masks = torch.full((3, 8, 8), -20.0)
    masks[0, 2:4, 4:7] = 20.0
    detector = Mask2FormerDetector(FixedSegmenter(classes[None], masks[None]), colors, 32, 32)
    found = detector.detect(Image.new("RGB", (64, 64)))
    assert [one.name for one in found] == ["dog", "cat"]
    # A cell of the mask is 8 pixels; bilinear steps move the border by less than a pixel.
    assert found[0].box == found[1].box
    assert np.abs(np.subtract(found[0].box, (32, 16, 56, 32))).max() <= 1
    mask = found[0].mask
    assert mask.shape == (64, 64)
    assert mask[24, 40]
    assert not mask[24, 20]
    # The share of the class times how sure the mask is within itself: not quite 1, for its soft border.
    assert 0.55 < found[0].score < 0.6
    assert found[1].score / found[0].score == pytest.approx(2 / 3, rel=1e-4)


def test_nothing_sure_is_nothing(segmenter, colors, picture):
    detector = Mask2FormerDetector(segmenter, colors, 96, 64)
    assert detector.detect(picture) == []


def test_the_whole_way_with_random_weights(segmenter, colors, picture, monkeypatch):
    monkeypatch.setattr(mask2former, "SCORE", 0.0)
    found = Mask2FormerDetector(segmenter, colors, 96, 64).detect(picture)
    assert found
    scores = [one.score for one in found]
    assert len(found) <= 100
    assert all(0 < score < 1 for score in scores)
    for one in found:
        x0, y0, x1, y1 = (int(edge) for edge in one.box)
        assert one.mask.shape == (50, 70)
        inside = one.mask[y0:y1, x0:x1]
        assert inside.sum() == one.mask.sum() > 0
        assert inside[0].any()
        assert inside[-1].any()
        assert inside[:, 0].any()
        assert inside[:, -1].any()
    named = Mask2FormerDetector(segmenter, colors).name_colors(picture, found[:3])
    assert len(named) == 3
    assert set(named) <= set(COLORS)


def test_other_classes_than_cocos_are_refused(colors):
    segmenter = FixedSegmenter(None, None)
    segmenter.config = transformers.Mask2FormerConfig(num_labels=133)
    with pytest.raises(CheckpointError, match="80 classes, not 133"):
        Mask2FormerDetector(segmenter, colors)


def test_weights_that_are_not_there_are_a_users_error(tmp_path):
    for load in (Mask2FormerDetector.load, ClipColors.load):
        with pytest.raises((CheckpointError, ConfigError), match="cannot be loaded"):
            load(str(tmp_path))


def test_saved_weights_are_loaded(segmenter, colors, picture, tmp_path):
    segmenter.save_pretrained(tmp_path / "segmenter")
    colors.clip.save_pretrained(tmp_path / "clip")
    letters = "abcdefghijklmnopqrstuvwxyz-"
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)} | {"<|endoftext|>": Words.END}
    (tmp_path / "clip" / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "clip" / "merges.txt").write_text("#version: 0.2\n")
    detector = Mask2FormerDetector.load(str(tmp_path / "segmenter"), str(tmp_path / "clip"))
    box = Detection("dog", 1.0, (10.0, 10.0, 40.0, 40.0))
    assert set(detector.name_colors(picture, [box])) <= set(COLORS)
    pixels = torch.zeros(1, 3, 64, 64)
    with torch.inference_mode():
        theirs, ours = segmenter(pixels), detector.segmenter(pixels)
    torch.testing.assert_close(ours.masks_queries_logits, theirs.masks_queries_logits)
    weights = tmp_path / "clip" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        ClipColors.load(str(tmp_path / "clip"))


def test_a_thing_is_cut_out_on_gray(picture):
    mask = np.zeros((50, 70), bool)
    mask[10:20, 30:35] = True
    cut = np.asarray(crop(picture, Detection("dog", 1.0, (28.4, 9.6, 35.2, 20.0), mask=mask)))
    assert cut.shape == (10, 7, 3)
    assert (cut[:, :2] == 0x99).all()
    assert (cut[:, 2:] == np.asarray(picture)[10:20, 30:35]).all()
    whole = crop(picture, Detection("dog", 1.0, (0, 0, 70, 50)))
    assert whole.tobytes() == picture.tobytes()


def test_clips_pixels_are_the_middle_of_the_shorter_edge():
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:, 16:48] = 255
    square = clip_colors.preprocess(Image.fromarray(pixels), 16)
    assert square.shape == (3, 16, 16)
    white = (1 - np.array(clip_colors._MEAN)) / np.array(clip_colors._STD)
    np.testing.assert_allclose(square[:, 8, 8], white, rtol=1e-5)
    assert (square[:, :, 4:12] == square[:, :1, 4:5]).all()


def test_clips_classifier_is_of_unit_vectors_and_by_class(colors):
    dog, cat = colors._classifier("dog"), colors._classifier("cat")
    assert dog.shape == (10, 8)
    torch.testing.assert_close(dog.norm(dim=1), torch.ones(10))
    assert not torch.equal(dog, cat)
    assert colors._classifier("dog") is dog


def test_clips_features_are_transformers_own(colors, picture):
    """The same numbers as the model's own comparison of a text and a picture."""
    pixels = clip_colors.preprocess(picture, 16)[None]
    phrases = [f"a photo of a {color} object" for color in COLORS]
    tokens = Words()(phrases, True, "pt")
    with torch.inference_mode():
        theirs = colors.clip(input_ids=tokens["input_ids"], pixel_values=pixels)
        text_features = colors.clip.text_projection(colors.clip.text_model(**tokens).pooler_output)
        seen = colors.clip.visual_projection(colors.clip.vision_model(pixel_values=pixels).pooler_output)
    cosine = torch.nn.functional.cosine_similarity(seen, text_features)
    torch.testing.assert_close(cosine * colors.clip.logit_scale.exp(), theirs.logits_per_image[0])


def test_weights_in_a_pickle_are_not_read(segmenter, tmp_path):
    segmenter.config.save_pretrained(tmp_path)
    torch.save(segmenter.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        Mask2FormerDetector.load(str(tmp_path))


def test_a_hub_id_may_state_a_revision(tmp_path):
    assert pretrained("owner/name@v1") == {
        "pretrained_model_name_or_path": "owner/name",
        "revision": "v1",
        "use_safetensors": True,
    }
    folder = tmp_path / "a@b"
    folder.mkdir()
    assert pretrained(str(folder))["pretrained_model_name_or_path"] == str(folder)
