"""Checkpoints: both layouts there and back, and every way they can be wrong."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from strokewise.errors import CheckpointError, ConfigError
from strokewise.models import find_checkpoint, load_model
from strokewise.models.bagel import export_bagel, save_model
from strokewise.models.bagel.checkpoint import autoencoder_names, bagel_names, read_header
from strokewise.models.bagel.layouts import IMAGE_SIDES

QKV = "language_model.model.layers.0.self_attn.{}_proj.weight"
PATCHES = "vit_model.vision_model.embeddings.patch_embedding.weight"


@pytest.fixture(scope="module")
def model(make_model, tiny_config):
    """A model whose sizes BAGEL's files can state (its autoencoder's scale is fixed there)."""
    return make_model(tiny_config, seed=4)


@pytest.fixture
def own(model, tmp_path):
    save_model(model, tmp_path / "own")
    return tmp_path / "own"


@pytest.fixture
def released(model, tmp_path):
    export_bagel(model, tmp_path / "released")
    return tmp_path / "released"


def rewrite(path, **changes):
    """Change tensors of a file by name: a function of the tensor, a new tensor, or None to leave it out."""
    tensors = load_file(str(path))
    for name, change in changes.items():
        if change is None:
            del tensors[name]
        else:
            tensors[name] = change(tensors[name]) if callable(change) else change
    save_file(tensors, str(path))


def assert_same(found, expected):
    """Equal in sizes and weights."""
    assert found.config == expected.config
    state = found.state_dict()
    assert state.keys() == expected.state_dict().keys()
    for name, tensor in expected.state_dict().items():
        assert torch.equal(state[name], tensor), name


# --- there and back ------------------------------------------------------------------------------------


def test_our_layout(own, model):
    assert {path.name for path in own.iterdir()} == {"strokewise.json", "model.safetensors"}
    loaded = load_model(own, dtype=torch.float32)
    assert_same(loaded, model)
    assert not loaded.training


def test_released_layout(released, model):
    names = {path.name for path in released.iterdir()}
    weights = {"ema.safetensors", "ae.safetensors", "model.safetensors.index.json"}
    assert names == weights | {"llm_config.json", "vit_config.json", "config.json"}
    assert_same(load_model(released, dtype=torch.float32), model)


def test_images_of_a_release_that_states_no_sides_fit_its_tables(released, model):
    path, largest = released / "vit_config.json", model.config.latent_side * model.config.latent_stride
    stated = json.loads(path.read_text())
    path.write_text(json.dumps({key: stated[key] for key in stated if key not in IMAGE_SIDES}))
    found = load_model(released).config
    assert found == replace(model.config, canvas_min=largest, vision_min=largest)


def test_the_released_vit_config_counts_one_layer_more(released, model):
    stated = json.loads((released / "vit_config.json").read_text())["num_hidden_layers"]
    assert stated == model.config.vision.num_layers + 1
    assert load_model(released).config.vision.num_layers == model.config.vision.num_layers


def test_released_names_are_bagels(released):
    """A sample of the keys of the released files, written out."""
    weights, coder = load_file(released / "ema.safetensors"), load_file(released / "ae.safetensors")
    layer = "language_model.model.layers.1"
    expected = {
        "language_model.model.embed_tokens.weight",
        "language_model.lm_head.weight",
        "language_model.model.norm.weight",
        "language_model.model.norm_moe_gen.weight",
        f"{layer}.self_attn.q_proj.bias",
        f"{layer}.self_attn.k_proj_moe_gen.weight",
        f"{layer}.self_attn.o_proj_moe_gen.weight",
        f"{layer}.self_attn.q_norm_moe_gen.weight",
        f"{layer}.mlp.gate_proj.weight",
        f"{layer}.mlp_moe_gen.down_proj.weight",
        f"{layer}.input_layernorm_moe_gen.weight",
        f"{layer}.post_attention_layernorm.weight",
        PATCHES,
        "vit_model.vision_model.embeddings.position_embedding.weight",
        "vit_model.vision_model.encoder.layers.1.self_attn.out_proj.bias",
        "vit_model.vision_model.post_layernorm.weight",
        "connector.fc1.weight",
        "time_embedder.mlp.2.bias",
        "vae2llm.weight",
        "llm2vae.bias",
        "latent_pos_embed.pos_embed",
        "vit_pos_embed.pos_embed",
    }
    assert expected <= weights.keys()
    assert not any(
        "bias" in name for name in weights if "o_proj" in name or (".mlp" in name and "llm" in name)
    )
    assert {
        "encoder.down.0.block.0.norm1.weight",
        "encoder.down.1.block.0.nin_shortcut.weight",
        "encoder.down.0.downsample.conv.weight",
        "decoder.up.1.upsample.conv.bias",
        "decoder.up.0.block.1.conv2.weight",
        "decoder.mid.attn_1.proj_out.weight",
    } <= coder.keys()


def test_loading_the_recorded_weights_is_a_released_layout(official, golden):
    loaded = load_model(official, dtype=torch.float32)
    stored = load_file(golden / "model.safetensors")
    parts = [stored[QKV.format(x)] for x in "qkv"]
    assert torch.equal(loaded.language.layers[0].understanding.qkv.weight, torch.cat(parts))


@pytest.fixture
def official(golden, tmp_path):
    """The official code's own files, with its configuration beside them."""
    folder = tmp_path / "official"
    folder.mkdir()
    meta = json.loads((golden / "meta.json").read_text())["config"]
    (folder / "ema.safetensors").symlink_to(golden / "model.safetensors")
    (folder / "ae.safetensors").symlink_to(golden / "vae.safetensors")
    (folder / "llm_config.json").write_text(json.dumps(meta["llm"]))
    (folder / "vit_config.json").write_text(json.dumps(meta["vit"]))
    return folder


def test_exports_hold_the_tensors_that_the_official_code_saved(official, golden, tmp_path):
    """Every name and every shape of the official code's state dicts, and no other; the values as well."""
    export_bagel(load_model(official, dtype=torch.float32), tmp_path / "again")
    for name, recorded in (("ema.safetensors", "model"), ("ae.safetensors", "vae")):
        ours = load_file(tmp_path / "again" / name)
        theirs = load_file(golden / f"{recorded}.safetensors")
        assert ours.keys() == theirs.keys()
        for key, tensor in theirs.items():
            assert torch.equal(ours[key].reshape(tensor.shape), tensor), key


def test_exports_state_their_configuration_for_vllm(released, model):
    """The entries that vLLM's BagelConfig reads, and an index of the main weights alone."""
    whole = json.loads((released / "config.json").read_text())
    assert (whole["model_type"], whole["architectures"]) == ("bagel", ["BagelForConditionalGeneration"])
    assert whole["llm_config"] == json.loads((released / "llm_config.json").read_text())
    assert whole["vit_config"] == json.loads((released / "vit_config.json").read_text())
    assert whole["max_latent_size"] == model.config.latent_side
    assert whole["vit_max_num_patch_per_side"] == model.config.vision.side
    assert whole["vae_config"]["downsample"] == model.config.autoencoder.downsample
    index = json.loads((released / "model.safetensors.index.json").read_text())
    weights = load_file(released / "ema.safetensors")
    assert index["weight_map"] == dict.fromkeys(weights, "ema.safetensors")
    stored = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
    assert index["metadata"]["total_size"] == stored


@pytest.mark.parametrize("layout", ["own", "released"])
@pytest.mark.parametrize("with_index", [True, False])
def test_shards(layout, with_index, request, model):
    folder = request.getfixturevalue(layout)
    whole = folder / ("model.safetensors" if layout == "own" else "ema.safetensors")
    tensors = load_file(str(whole))
    whole.unlink()
    (folder / "model.safetensors.index.json").unlink(missing_ok=True)
    names = sorted(tensors)
    shards = {f"model-0000{i + 1}-of-00003.safetensors": names[i::3] for i in range(3)}
    for file, part in shards.items():
        save_file({name: tensors[name] for name in part}, str(folder / file))
    if with_index:
        index = {"weight_map": {name: file for file, part in shards.items() for name in part}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        # A file the index does not name is not read.
        save_file({"stray": torch.zeros(1)}, str(folder / "optimizer.safetensors"))
    assert_same(load_model(folder, dtype=torch.float32), model)


def test_a_patch_convolution_is_a_linear_layer(released, model):
    patch, size = model.config.vision.patch_size, model.config.vision.hidden_size

    def to_convolution(weight):
        return weight.reshape(size, patch, patch, 3).permute(0, 3, 1, 2).contiguous()

    rewrite(released / "ema.safetensors", **{PATCHES: to_convolution})
    assert_same(load_model(released, dtype=torch.float32), model)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
def test_weights_are_converted_on_the_way(own, model, dtype, stored):
    tensors = load_file(str(own / "model.safetensors"))
    save_file({k: v.to(stored) for k, v in tensors.items()}, str(own / "model.safetensors"))
    loaded = load_model(own, dtype=dtype)
    assert loaded.dtype == dtype
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name].to(stored).to(dtype)), name


def test_loading_reads_in_pieces(own, model, monkeypatch):
    from strokewise.models.bagel import checkpoint

    monkeypatch.setattr(checkpoint, "PIECE", 1000)
    assert_same(load_model(own, dtype=torch.float32), model)


def test_saving_again_replaces_and_leaves_no_partial_files(own, make_model, tiny_config):
    other = make_model(tiny_config, seed=5)
    save_model(other, own)
    assert_same(load_model(own, dtype=torch.float32), other)
    assert not list(own.glob("*.partial"))


def test_a_loaded_model_computes_the_same(released, model):
    ids = torch.tensor([[1, 10, 11, 2]])
    positions = torch.arange(4)[None]
    loaded = load_model(released, dtype=torch.float32)
    embedded = model.language.embed(ids)
    nothing = embedded[:, :0]
    with torch.no_grad():
        results = [m.language(embedded, nothing, positions, None)[0] for m in (model, loaded)]
    assert torch.equal(*results)


def test_our_names_cover_the_whole_model_and_no_released_name_is_used_twice(model):
    names = bagel_names(model.config) | autoencoder_names(model.config.autoencoder)
    assert names.keys() == model.state_dict().keys()
    theirs = [name for parts in bagel_names(model.config).values() for name in parts]
    assert len(theirs) == len(set(theirs))


# --- what is wrong -------------------------------------------------------------------------------------


def test_missing_and_unexpected_weights_are_both_listed(released):
    changes = {
        "connector.fc1.bias": None,
        "vae2llm.weight": lambda weight: weight,
        "llm2vae.bias": None,
        "adapter.weight": torch.zeros(2),
    }
    rewrite(released / "ema.safetensors", **changes)
    with pytest.raises(CheckpointError) as caught:
        load_model(released)
    message = str(caught.value)
    assert "missing (2): connector.fc1.bias, llm2vae.bias" in message
    assert "unexpected (1): adapter.weight" in message
    assert "vae2llm" not in message


def test_long_lists_are_cut(own):
    rewrite(own / "model.safetensors", **{f"extra.{i}": torch.zeros(1) for i in range(20)})
    with pytest.raises(CheckpointError, match=r"unexpected \(20\): extra\.0, .*extra\.15, and 12 more"):
        load_model(own)


@pytest.mark.parametrize("count", [4, 100, -1])
def test_a_truncated_file(own, count):
    path = own / "model.safetensors"
    path.write_bytes(path.read_bytes()[:count])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is (truncated|not a safetensors file)"):
        load_model(own)


def test_a_file_cut_by_a_byte_says_how_much_is_there(own):
    path = own / "model.safetensors"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=rf"truncated: {size - 1} of {size} bytes.*download it again"):
        load_model(own)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>404</html>",
        b"\x80\x02}q\x00." * 40,
        b"\x02" + b"\0" * 7 + b"[]",
        b"\x04" + b"\0" * 7 + b"{,,}",
    ],
)
def test_a_file_that_is_not_safetensors(own, content):
    (own / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load_model(own)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2]},
        {"dtype": "F32", "shape": "x", "data_offsets": [0, 8]},
    ],
)
def test_a_header_that_contradicts_itself(tmp_path, entry):
    header = json.dumps({"weight": entry}).encode()
    path = tmp_path / "odd.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(CheckpointError, match=r"odd\.safetensors is not a safetensors file"):
        read_header(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer; download the file itself"),
        (b"<!DOCTYPE html><html></html>", "a web page; download the file itself"),
        (
            (lambda header: len(header).to_bytes(8, "little") + header + bytes(8))(
                b'{"weight": {"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]}}'
            ),
            "weights of type F8_E4M3; known are",
        ),
    ],
)
def test_files_that_hold_something_else_are_named(tmp_path, data, message):
    (tmp_path / "odd.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match=message):
        read_header(tmp_path / "odd.safetensors")


def stored(folder, header, data):
    """A safetensors file of some bytes, whatever its header says of them."""
    text = json.dumps(header).encode()
    (folder / "odd.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
    return folder / "odd.safetensors"


@pytest.mark.parametrize(
    "offsets",
    [((0, 8), (4, 12)), ((0, 8), (12, 20)), ((-8, 0), (0, 8)), ((0, 8), (8, 16), 24)],
    ids=["overlap", "gap", "before", "behind"],
)
def test_tensors_that_share_bytes_or_leave_some_are_refused(tmp_path, offsets):
    tensors = [one for one in offsets if isinstance(one, tuple)]
    size = next((one for one in offsets if isinstance(one, int)), max(stop for _, stop in tensors))
    header = {str(i): {"dtype": "F32", "shape": [2], "data_offsets": one} for i, one in enumerate(tensors)}
    with pytest.raises(CheckpointError, match="is not a safetensors file"):
        read_header(stored(tmp_path, header, bytes(size)))


def test_integers_are_no_weights(tmp_path):
    header = {"a": {"dtype": "I32", "shape": [2], "data_offsets": [0, 8]}}
    with pytest.raises(CheckpointError, match="weights of type I32; known are F64, F32, F16, BF16"):
        read_header(stored(tmp_path, header, bytes(8)))


def test_values_beyond_the_precision_are_refused(own):
    rewrite(own / "model.safetensors", **{"connector.fc1.bias": lambda bias: torch.full_like(bias, 7e4)})
    load_model(own, dtype=torch.bfloat16)
    with pytest.raises(CheckpointError, match=r"connector\.fc1\.bias .* beyond torch\.float16; load it as"):
        load_model(own, dtype=torch.float16)


def test_an_empty_folder_does_not_hide_a_built_in_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nano").mkdir()
    assert find_checkpoint("nano") != Path("nano")
    (tmp_path / "nano" / "file").write_text("")
    assert find_checkpoint("nano") == Path("nano")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_that_are_not_finite(own, value, dtype):
    def damage(weight):
        weight = weight.to(dtype)
        weight.view(-1)[7] = value
        return weight

    rewrite(own / "model.safetensors", **{"language.layers.1.generation.qkv.weight": damage})
    with pytest.raises(CheckpointError, match=r"layers\.1\.generation\.qkv\.weight in .*NaN or infinite"):
        load_model(own)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("connector.fc2.weight", lambda w: w[:-1]),
        ("connector.fc2.bias", lambda w: torch.cat([w, w])),
        ("connector.fc2.bias", lambda w: torch.tensor(1.0)),
        ("connector.fc2.weight", lambda w: w.flatten()),
        ("language_model.model.norm.weight", lambda w: w[:-1]),
        (QKV.format("q"), lambda w: w[:-1]),
        (QKV.format("k"), lambda w: w[:, :-1]),
        (QKV.format("v"), lambda w: torch.cat([w, w])),
        (PATCHES, lambda w: w[:, :-3]),
        (PATCHES, lambda w: w.reshape(32, 4, 4, 3).permute(0, 3, 1, 2)[:, :, :, 1:]),
        (PATCHES, lambda w: w.reshape(32, 4, 4, 3)),
    ],
)
def test_a_weight_of_another_shape_is_named_with_both_shapes(released, name, change):
    rewrite(released / "ema.safetensors", **{name: lambda weight: change(weight).contiguous()})
    with pytest.raises(CheckpointError, match=r"is \[.*\] in the file but .*\[.*\] in the model") as caught:
        load_model(released)
    assert name in str(caught.value)


def test_parts_that_only_add_up_are_of_another_shape(released):
    """A longer q with a shorter k has the right sum; it is still wrong."""
    q, k = QKV.format("q"), QKV.format("k")
    changes = {q: lambda w: torch.cat([w, w[:2]]), k: lambda w: w[2:].contiguous()}
    rewrite(released / "ema.safetensors", **changes)
    with pytest.raises(CheckpointError, match="in the file but"):
        load_model(released)


def test_missing_folder_and_unknown_name(tmp_path):
    for name in (tmp_path / "nowhere", "bagel-8b"):
        with pytest.raises(CheckpointError, match=r"not a folder, not a hub id.*bagel-7b") as caught:
            load_model(name)
        assert str(name) in str(caught.value)


def test_a_hub_that_cannot_be_reached(monkeypatch):
    import huggingface_hub

    def refuse(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(CheckpointError, match=r"cannot get some/model from the hub .*no route.*path of a"):
        load_model("some/model")


def test_hub_ids_and_built_in_names_are_fetched(own, model, monkeypatch):
    import huggingface_hub

    asked = []

    def fetch(name, **options):
        asked.append(name)
        return str(own)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    assert_same(load_model("some/model", dtype=torch.float32), model)
    find_checkpoint("bagel-7b")
    assert asked == ["some/model", "ByteDance-Seed/BAGEL-7B-MoT"]


def test_a_folder_of_neither_layout(tmp_path):
    with pytest.raises(CheckpointError, match=r"holds no model: expected .*llm_config\.json"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("ae.safetensors", r"ae\.safetensors cannot be read: .*No such file"),
        ("ema.safetensors", r"ema\.safetensors cannot be read: .*No such file"),
        ("vit_config.json", r"vit_config\.json cannot be read"),
    ],
)
def test_a_missing_file_is_named(released, file, message):
    (released / file).unlink()
    with pytest.raises(CheckpointError, match=message):
        load_model(released)


def test_a_missing_shard_is_named(own):
    (own / "model.safetensors").rename(own / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (own / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(
        CheckpointError, match=r"model-00002-of-00002\.safetensors cannot be read: .*No such file"
    ):
        load_model(own)


@pytest.mark.parametrize("layout", ["own", "released"])
@pytest.mark.parametrize(
    "content", ["{", "{}", "[]", '{"model": {"language": {"vocab": 3}}}', '{"model": 3}']
)
def test_damaged_configuration(layout, content, request):
    folder = request.getfixturevalue(layout)
    name = "strokewise.json" if layout == "own" else "llm_config.json"
    (folder / name).write_text(content)
    with pytest.raises(CheckpointError, match="configuration" if content[-1] == "}" else name):
        load_model(folder)


def test_weights_of_another_kind(released, own):
    """The main file of a released checkpoint replaced by one that is no BAGEL's."""
    (released / "ema.safetensors").write_bytes((own / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match=r"lack language_model\.model\.embed_tokens\.weight; is this"):
        load_model(released)


def test_an_autoencoder_of_another_kind(released):
    save_file({"encoder.down.0.weight": torch.zeros(2)}, str(released / "ae.safetensors"))
    with pytest.raises(CheckpointError, match="not the weights of a FLUX autoencoder"):
        load_model(released)


def test_unknown_quantization(own):
    with pytest.raises(CheckpointError, match=r"unknown quantization 'int3'; known are int8, nf4"):
        load_model(own, quantize="int3")


# --- quantized -----------------------------------------------------------------------------------------


def hidden_states(model):
    ids = torch.arange(5, 25)[None]
    embedded = model.language.embed(ids)
    positions = torch.arange(20)[None]
    with torch.no_grad():
        return model.language(embedded, embedded[:, :0], positions, None)[0].float()


@pytest.mark.parametrize(("scheme", "tolerance"), [("int8", 0.05), ("nf4", 0.3)])
def test_quantized_loading_is_near_the_weights(make_model, tiny_config, tmp_path, scheme, tolerance):
    pytest.importorskip("bitsandbytes")
    # Blocks of 64 weights share a scale.
    language = replace(tiny_config.language, hidden_size=128, intermediate_size=256)
    model = make_model(replace(tiny_config, language=language))
    save_model(model, tmp_path)
    loaded = load_model(tmp_path, dtype=torch.float32, quantize=scheme)
    linear = loaded.language.layers[0].understanding.qkv
    assert type(linear) is not torch.nn.Linear
    assert linear.weight.dtype in (torch.int8, torch.uint8)
    assert type(loaded.latent_in) is torch.nn.Linear
    expected, found = hidden_states(model), hidden_states(loaded)
    error = float((found - expected).norm() / expected.norm())
    assert 1e-4 < error < tolerance


def test_quantized_loading_without_the_library(own, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ConfigError, match=r"needs bitsandbytes: pip install 'strokewise\[quant\]'"):
        load_model(own, quantize="int8")


# --- memory --------------------------------------------------------------------------------------------

MEASURE = """
import sys, torch
from pathlib import Path
from strokewise.models import load_model
from strokewise.models.bagel import UnifiedModel, nano

def memory(name):
    line = next(l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith(name))
    return int(line.split()[1]) * 1024

with torch.device("meta"):  # imports what building a model imports
    UnifiedModel(nano())
before = memory("VmRSS")
model = load_model(sys.argv[1], dtype=torch.bfloat16)
weights = sum(tensor.nbytes for tensor in model.state_dict().values())
print(weights, memory("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peak_memory_of_loading_is_little_more_than_the_weights(tiny_config, tmp_path):
    """Stored in float32, loaded in bfloat16: no second copy, and never all of it in float32."""
    from strokewise.models.bagel import UnifiedModel

    sizes = replace(
        tiny_config.language, vocab_size=8192, hidden_size=1024, intermediate_size=2816, num_layers=4
    )
    with torch.device("meta"):
        model = UnifiedModel(replace(tiny_config, language=sizes))
    model = model.to_empty(device="cpu")
    for tensor in model.state_dict().values():
        tensor.zero_()
    save_model(model, tmp_path)
    try:
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, timeout=100
        )
    finally:
        (tmp_path / "model.safetensors").unlink()
    assert done.returncode == 0, done.stderr
    weights, peak = map(int, done.stdout.split())
    assert 200e6 < weights < 300e6
    assert peak <= 1.1 * weights, f"{peak / weights:.2f} x weights"
