"""The command line: what it prints, and that a user's mistake is one line and exit status 2."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from strokewise.cli import main as cli
from strokewise.errors import ConfigError
from strokewise.models.bagel import export_bagel, save_model


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line in this process: exit status, stdout, stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["strokewise", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        told = capsys.readouterr()
        return caught.value.code or 0, told.out, told.err

    return call


@pytest.fixture
def info(run):
    def call(*arguments):
        status, out, err = run("info", *arguments, "--json")
        assert status == 0, err
        return json.loads(out)

    return call


def test_info_of_bagel_needs_no_weights(info):
    values = info("bagel-7b")
    assert values["total_parameters"] == 14_691_079_811
    parts = values["parameters"]
    assert sum(parts.values()) == 14_691_079_811
    assert values["total_parameters"] - parts["autoencoder"] == 14_607_260_128
    assert values["weight_bytes"] == 2 * 14_691_079_811
    assert values["config"]["language"]["num_layers"] == 28
    assert values["images"]["1024x1024"]["latents"] == 4098
    assert values["cache_bytes"]["1024"] == 1024 * 56 * 1024


def test_info_of_nano(info):
    values = info("nano")
    assert values["config"]["language"]["hidden_size"] == 256
    assert values["total_parameters"] < 50e6


def test_sizes_contexts_and_precision_are_taken(info):
    arguments = ("--size", "256x64", "--size", "128x128", "--context", "10", "--dtype", "float32")
    values = info("nano", *arguments)
    assert set(values["images"]) == {"256x64", "128x128"}
    assert values["images"]["256x64"]["latents"] == 16 * 4 + 2
    assert set(values["cache_bytes"]) == set(values["text_token"]) == {"10"}
    assert values["weight_bytes"] == 4 * values["total_parameters"]
    assert set(values["velocity"]["128x128"]["10"]) == {"flops", "bytes"}


@pytest.mark.parametrize("save", [save_model, export_bagel])
def test_info_of_a_folder(info, tiny_model, tmp_path, save):
    save(tiny_model, tmp_path)
    values = info(tmp_path)
    assert values["total_parameters"] == sum(t.numel() for t in tiny_model.state_dict().values())
    assert values["config"]["latent_side"] == 8


def test_tables(run):
    status, out, err = run("info", "nano")
    assert (status, err) == (0, "")
    for word in ("configuration", "parameters", "total", "KV cache", "shown: ViT", "FLOP"):
        assert word in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bagel-8b",), r"no model 'bagel-8b': not a folder, not a hub id"),
        (("nano", "--size", "1024"), "size '1024' is not of the form WIDTHxHEIGHT, such as"),
        (("nano", "--size", "0x512"), "size '0x512' is not of the form"),
        (("nano", "--size", "ax512"), "size 'ax512' is not of the form"),
        (("nano", "--size", "16x-16"), "size '16x-16' is not of the form"),
        (("nano", "--dtype", "fp8"), "unknown dtype 'fp8'; known are float32, bfloat16, float16"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(run, arguments, message):
    status, out, err = run("info", *arguments)
    assert status == 2
    assert out == ""
    assert err.startswith(f"strokewise: {message}")
    assert err.count("\n") == 1


def test_a_damaged_checkpoint_is_named(run, tmp_path):
    (tmp_path / "strokewise.json").write_text("{")
    status, _, err = run("info", tmp_path)
    assert status == 2
    assert f"{tmp_path / 'strokewise.json'} cannot be read" in err


@pytest.mark.parametrize(
    "arguments", [("--nonsense",), ("paintt",), ("info",), ("info", "nano", "--context", "x")]
)
def test_wrong_usage_is_status_2(run, arguments):
    status, _, err = run(*arguments)
    assert status == 2
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [("--help",), ("info", "--help")])
def test_help(run, arguments):
    status, out, _ = run(*arguments)
    assert status == 0
    assert "info" in out


def test_parse_size_gives_height_and_width():
    assert cli.parse_size("640x480") == (480, 640)
    assert cli.parse_size("8X16") == (16, 8)
    with pytest.raises(ConfigError):
        cli.parse_size("8x16x3")


@pytest.mark.parametrize("arguments", [["info", "nano", "--size", "1x"], ["info", "bagel-7b", "--json"]])
def test_as_a_process(arguments):
    script = Path(sys.executable).with_name("strokewise")
    done = subprocess.run([script, *arguments], capture_output=True, text=True, timeout=100)
    assert "Traceback" not in done.stderr
    if "--json" in arguments:
        assert done.returncode == 0
        assert json.loads(done.stdout)["total_parameters"] == 14_691_079_811
    else:
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1


def test_the_command_line_imports_nothing_heavy():
    """Help and mistakes must not wait for torch."""
    code = "import sys, strokewise.cli.main; print([*{'torch', 'transformers', 'fastapi'} & {*sys.modules}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
