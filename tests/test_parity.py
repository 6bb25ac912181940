"""The recorded numbers of the official code are ours, and a model that is off is noticed."""

import importlib.util
import json
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file


@pytest.fixture(scope="module")
def parity(repository):
    spec = importlib.util.spec_from_file_location("parity", repository / "benchmarks" / "parity.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["parity"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["parity"]


@pytest.fixture
def changed(golden, tmp_path):
    """A copy of the recorded folder with one stored tensor changed."""

    def make(file, name, change):
        folder = tmp_path / "changed"
        shutil.copytree(golden, folder)
        tensors = load_file(str(folder / file))
        tensors[name] = change(tensors[name])
        save_file(tensors, str(folder / file))
        return folder

    return make


def failures(report):
    return {name for name, _, ok in report.rows if not ok}


def test_every_recorded_number_is_reproduced(parity, golden):
    report = parity.compare(golden)
    assert failures(report) == set()
    assert report.passed
    names = " ".join(name for name, _, _ in report.rows)
    for part in (
        "vae encode",
        "vae decode",
        "vit + connector",
        "training hidden states",
        "CE of each token",
        "MSE of each element",
        "grad ",
        "token order",
        "position ids",
        "attention mask",
        "layer keys",
        "first logits",
        "greedy tokens",
        "decoded image",
    ):
        assert part in names
    settings = json.loads((golden / "meta.json").read_text())["infer.settings"]
    assert len(settings) >= 5
    assert all(f"latents {i}: " in names for i in range(len(settings)))


@pytest.mark.parametrize(
    ("name", "failing"),
    [
        ("connector.fc1.bias", "vit + connector"),
        ("language_model.model.layers.1.mlp_moe_gen.down_proj.weight", "MSE of each element, dense"),
        ("language_model.model.layers.0.self_attn.k_norm.weight", "first logits"),
        ("latent_pos_embed.pos_embed", "training hidden states, dense"),
    ],
)
def test_a_changed_weight_is_noticed(parity, changed, name, failing):
    def change(weight):
        weight = weight.clone()
        weight.view(-1)[::3] += 0.05 * weight.abs().max()
        return weight

    report = parity.compare(changed("model.safetensors", name, change))
    assert not report.passed
    assert failing in failures(report)


def test_a_changed_whole_number_is_noticed(parity, changed):
    report = parity.compare(changed("tensors.safetensors", "train.packed_position_ids", lambda x: x + 1))
    assert failures(report) == {"position ids"}


def test_report_tells_shapes_and_nan_from_agreement(parity):
    report = parity.Report()
    assert not report.passed
    report.close("same", torch.ones(3), torch.ones(3))
    assert report.passed
    report.close("shape", torch.ones(3), torch.ones(2))
    report.close("nan", torch.tensor([float("nan")]), torch.ones(1))
    report.equal("length", [1, 2], [1, 2, 3])
    report.close("just over", torch.tensor([1.0, 1.0002]), torch.ones(2))
    assert {name.split()[0] for name in failures(report)} == {"shape", "nan", "length", "just"}


def test_exit_status_0_when_all_agrees(repository, golden, forks):
    done = forks.run(repository / "benchmarks" / "parity.py", golden, text=True)
    assert done.returncode == 0, done.stderr
    assert "FAILS" not in done.stdout


def test_exit_status_1_when_a_number_differs(repository, changed, forks):
    folder = changed("vae.safetensors", "decoder.conv_out.bias", lambda bias: bias + 0.1)
    done = forks.run(repository / "benchmarks" / "parity.py", folder, text=True)
    assert done.returncode == 1, done.stderr
    assert "FAILS" in done.stdout


def test_exit_status_2_without_a_folder(repository):
    script = str(repository / "benchmarks" / "parity.py")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith("usage:")


@pytest.mark.parametrize("arguments", [["/no/such/folder"], ["a", "b"]])
def test_wrong_arguments_print_the_usage(parity, arguments, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["parity.py", *arguments])
    assert parity.main() == 2
    assert capsys.readouterr().err.startswith("usage:")
