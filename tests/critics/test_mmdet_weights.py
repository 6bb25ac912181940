"""GenEval's own detector weights: every tensor finds its place; what could run code is refused."""

import os
import pickle

import pytest
import torch
from torch import nn

from strokewise.cli.main import _run
from strokewise.critics import detectors
from strokewise.critics.mmdet_weights import convert_detector, read_pickle
from strokewise.errors import CheckpointError

transformers = pytest.importorskip("transformers")
HIDDEN, QUERIES, CLASSES = 32, 6, 80


def norm(name, size):
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def linear(name, inputs, outputs):
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def convolution(name, inputs, outputs, side, bias=True):
    shapes = {f"{name}.conv.weight": (outputs, inputs, side, side), **norm(f"{name}.gn", outputs)}
    return shapes | ({f"{name}.conv.bias": (outputs,)} if bias else {})


def feed_forward(name):
    return linear(f"{name}.ffns.0.layers.0.0", HIDDEN, 48) | linear(f"{name}.ffns.0.layers.1", 48, HIDDEN)


def attention(name):
    whole = {f"{name}.in_proj_weight": (3 * HIDDEN, HIDDEN), f"{name}.in_proj_bias": (3 * HIDDEN,)}
    return whole | linear(f"{name}.out_proj", HIDDEN, HIDDEN)


def shapes_of_mmdetection():
    """Names and shapes as mmdetection 2.x gives them to its ``Mask2Former`` with a Swin backbone."""
    shapes = {"backbone.patch_embed.projection.weight": (8, 3, 4, 4)}
    shapes |= {"backbone.patch_embed.projection.bias": (8,)} | norm("backbone.patch_embed.norm", 8)
    for stage in range(4):
        size, block = 8 * 2**stage, f"backbone.stages.{stage}.blocks.0"
        shapes |= norm(f"{block}.norm1", size) | norm(f"{block}.norm2", size)
        shapes |= linear(f"{block}.attn.w_msa.qkv", size, 3 * size)
        shapes |= linear(f"{block}.attn.w_msa.proj", size, size)
        shapes |= {f"{block}.attn.w_msa.relative_position_bias_table": (49, 2)}
        shapes |= {f"{block}.attn.w_msa.relative_position_index": (16, 16)}
        shapes |= linear(f"{block}.ffn.layers.0.0", size, 4 * size)
        shapes |= linear(f"{block}.ffn.layers.1", 4 * size, size)
        shapes |= norm(f"backbone.norm{stage}", size)
        if stage < 3:
            down = f"backbone.stages.{stage}.downsample"
            shapes |= norm(f"{down}.norm", 4 * size) | {f"{down}.reduction.weight": (2 * size, 4 * size)}
    pixels, head = "panoptic_head.pixel_decoder", "panoptic_head.transformer_decoder"
    for i, size in enumerate((64, 32, 16)):
        shapes |= convolution(f"{pixels}.input_convs.{i}", size, HIDDEN, 1)
    shapes |= convolution(f"{pixels}.lateral_convs.0", 8, HIDDEN, 1, bias=False)
    shapes |= convolution(f"{pixels}.output_convs.0", HIDDEN, HIDDEN, 3, bias=False)
    shapes |= {
        f"{pixels}.mask_feature.weight": (HIDDEN, HIDDEN, 1, 1),
        f"{pixels}.mask_feature.bias": (HIDDEN,),
    }
    shapes |= {f"{pixels}.level_encoding.weight": (3, HIDDEN)}
    layer = f"{pixels}.encoder.layers.0"
    for part, outputs in (
        ("sampling_offsets", 48),
        ("attention_weights", 24),
        ("value_proj", 32),
        ("output_proj", 32),
    ):
        shapes |= linear(f"{layer}.attentions.0.{part}", HIDDEN, outputs)
    shapes |= norm(f"{layer}.norms.0", HIDDEN) | norm(f"{layer}.norms.1", HIDDEN) | feed_forward(layer)
    for i in range(2):
        layer = f"{head}.layers.{i}"
        shapes |= attention(f"{layer}.attentions.0.attn") | attention(f"{layer}.attentions.1.attn")
        shapes |= {k: v for j in range(3) for k, v in norm(f"{layer}.norms.{j}", HIDDEN).items()}
        shapes |= feed_forward(layer)
    shapes |= norm(f"{head}.post_norm", HIDDEN)
    for name in ("query_embed", "query_feat"):
        shapes |= {f"panoptic_head.{name}.weight": (QUERIES, HIDDEN)}
    shapes |= {"panoptic_head.level_embed.weight": (3, HIDDEN)}
    shapes |= linear("panoptic_head.cls_embed", HIDDEN, CLASSES + 1)
    for i in (0, 2, 4):
        shapes |= linear(f"panoptic_head.mask_embed.{i}", HIDDEN, HIDDEN)
    return shapes


@pytest.fixture(scope="module")
def state():
    draw = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=draw) for name, shape in shapes_of_mmdetection().items()}


@pytest.fixture(scope="module")
def converted(state, tmp_path_factory):
    """The folder, through the command, and the model in it."""
    folder = tmp_path_factory.mktemp("weights")
    meta = {"mmdet_version": "2.23.0", "CLASSES": ("person", "bicycle"), "epoch": 50}
    torch.save({"meta": meta, "state_dict": state}, folder / "detector.pth")
    assert _run(["eval", "convert-detector", str(folder / "detector.pth"), str(folder / "out")]) == 0
    loaded = transformers.Mask2FormerForUniversalSegmentation.from_pretrained(folder / "out")
    return folder / "out", loaded.eval()


def test_sizes_are_read_off_the_weights(converted):
    config = converted[1].config
    assert config.backbone_config.depths == [1, 1, 1, 1]
    assert config.backbone_config.num_heads == [2, 2, 2, 2]
    assert (config.backbone_config.window_size, config.num_attention_heads) == (4, 2)
    assert (config.num_queries, config.num_labels, config.decoder_layers - 1) == (QUERIES, CLASSES, 2)


def test_every_tensor_is_in_its_place(converted, state):
    """As many numbers as mmdetection's, and samples of those that are split or renamed."""
    loaded = converted[1].state_dict()
    kept = [tensor for name, tensor in state.items() if not name.endswith("relative_position_index")]
    unused = {k for k in loaded if ".swin.layernorm." in k or "criterion" in k or "index" in k}
    assert sum(t.numel() for t in kept) == sum(t.numel() for k, t in loaded.items() if k not in unused)
    model = converted[1].model
    first = model.transformer_module.decoder.layers[0]
    query, key, value = state[
        "panoptic_head.transformer_decoder.layers.0.attentions.1.attn.in_proj_weight"
    ].chunk(3)
    assert torch.equal(first.self_attn.q_proj.weight, query)
    assert torch.equal(first.self_attn.k_proj.weight, key)
    assert torch.equal(first.self_attn.v_proj.weight, value)
    crossing = state["panoptic_head.transformer_decoder.layers.0.attentions.0.attn.in_proj_weight"]
    assert torch.equal(first.cross_attn.in_proj_weight, crossing)
    norms = (first.cross_attn_layer_norm, first.self_attn_layer_norm, first.final_layer_norm)
    for i, one in enumerate(norms):
        assert torch.equal(one.weight, state[f"panoptic_head.transformer_decoder.layers.0.norms.{i}.weight"])
    pixels = model.pixel_level_module.decoder
    assert torch.equal(pixels.level_embed, state["panoptic_head.pixel_decoder.level_encoding.weight"])
    assert torch.equal(
        pixels.input_projections[2][0].weight, state["panoptic_head.pixel_decoder.input_convs.2.conv.weight"]
    )
    assert torch.equal(
        model.transformer_module.queries_features.weight, state["panoptic_head.query_feat.weight"]
    )


def test_patches_are_merged_as_in_mmdetection(converted, state):
    """mmdetection unfolds 2 x 2 neighborhoods, which orders the inputs by channel; the original by patch."""
    swin = converted[1].model.pixel_level_module.encoder
    merge = next(m for m in swin.modules() if type(m).__name__ == "SwinPatchMerging")
    picture = torch.randn(1, 8, 6, 10, generator=torch.Generator().manual_seed(1))
    columns = nn.functional.unfold(picture, 2, stride=2).transpose(1, 2)
    down = "backbone.stages.0.downsample"
    normal = nn.functional.layer_norm(
        columns, (32,), state[f"{down}.norm.weight"], state[f"{down}.norm.bias"]
    )
    expected = normal @ state[f"{down}.reduction.weight"].T
    found = merge(picture.flatten(2).transpose(1, 2), (6, 10))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_detector_takes_the_folder(converted, monkeypatch):
    taken = []
    monkeypatch.setattr(
        "strokewise.critics.mask2former.Mask2FormerDetector.load",
        classmethod(lambda cls, segmenter, device: taken.append(segmenter)),
    )
    detectors.load_detector(f"mask2former:{converted[0]}")
    detectors.load_detector("mask2former")
    assert taken == [str(converted[0]), detectors.RELEASED]


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_code_in_a_pickle_is_refused_and_not_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {}, "meta": Harmful()}, tmp_path / "bad.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Harmful()))
    for name in ("bad.pth", "plain.pth"):
        assert _run(["eval", "convert-detector", name, "out"]) == 2
        assert "refused" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"bad.pth", "plain.pth"}


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": {"weight": "none"}}, {"state_dict": {}}])
def test_other_files_are_named(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"other\.pth"):
        convert_detector(tmp_path / "other.pth", tmp_path / "out")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "other.pth").read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"cut\.pth"):
        read_pickle(tmp_path / "cut.pth")


def test_a_missing_or_foreign_tensor_is_an_error(tmp_path, state):
    for change in ({"panoptic_head.cls_embed.weight": None}, {"rpn_head.weight": torch.zeros(1)}):
        changed = {k: v for k, v in (state | change).items() if v is not None}
        torch.save({"state_dict": changed}, tmp_path / "other.pth")
        with pytest.raises(CheckpointError, match="Mask2Former"):
            convert_detector(tmp_path / "other.pth", tmp_path / "out")
        assert not (tmp_path / "out").exists()
