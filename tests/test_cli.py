"""The command line: what it prints, and that a user's mistake is one line and exit status 2."""

import dataclasses
import gc
import importlib.metadata
import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import typer
import typer.testing

from strokewise.cli import main as cli
from strokewise.cli import starting
from strokewise.cli.arguments import fastest_dtype
from strokewise.cli.options import PAINTING_OPTIONS, documented_fields, options_of
from strokewise.errors import ConfigError
from strokewise.inference import PaintingOptions
from strokewise.models import products
from strokewise.models.bagel import export_bagel, save_model


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line in this process: exit status, stdout, stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["strokewise", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        captured = capsys.readouterr()
        return caught.value.code or 0, captured.out, captured.err

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


def test_version(run):
    status, out, _ = run("--version")
    assert (status, out.strip()) == (0, importlib.metadata.version("strokewise"))


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


HEAVY = {
    *("torch", "numpy", "PIL", "pydantic", "jinja2", "rich", "tokenizers", "safetensors"),
    *("transformers", "fastapi", "openai", "pyarrow", "ray", "huggingface_hub"),
}


def test_the_list_of_commands_imports_none_of_them():
    """Not even the commands' own files, let alone what they need."""
    new = imported("from strokewise.cli import main; main._run(['--help'])")
    assert not new & HEAVY
    assert {name for name in new if name.startswith("strokewise.cli.")} == {
        *("strokewise.cli.main", "strokewise.cli.lazy", "strokewise.cli.arguments"),
    }


def test_lines_of_the_list_are_those_of_the_commands():
    listed = typer.main.get_command(cli.app).commands
    loaded = typer.main.get_command(cli.app).load_all().commands
    lines = {name: command.help for name, command in listed.items()}
    assert lines == {name: command.help.splitlines()[0] for name, command in loaded.items()}


def test_help_and_mistakes_import_nothing_heavy():
    """Those of every command, at any depth."""
    new = imported(
        """
import contextlib, io, typer
from strokewise.cli import main

def words(command, path=()):
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from words(inner, (*path, name))

with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    for path in words(typer.main.get_command(main.app).load_all()):
        assert main._run([*path, "--help"]) == 0, path
        assert main._run([*path, "--no-such-option"]) == 2, path
"""
    )
    assert "strokewise.cli.probes" in new
    assert not new & (HEAVY - {"pydantic"})  # typer reads options with pydantic


@pytest.mark.parametrize(
    ("words", "used"),
    [
        (["events-schema"], {"pydantic", "PIL"}),
        (
            ["info", "bagel-7b", "--json"],
            {"torch", "numpy", "PIL", "pydantic", "tokenizers", "safetensors", "rich"},
        ),
        (
            ["data", "build", "multi-turn", "--n", "1", "--out", "built"],
            {"numpy", "PIL", "pydantic", "pyarrow", "rich"},
        ),
        (
            ["paint", "a dog", "--model", "TINY", "--single-pass", "--steps", "1", "--out", "painted"],
            {"torch", "numpy", "PIL", "pydantic", "tokenizers", "safetensors", "rich", "jinja2"},
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_commands_import_only_what_they_use(words, used, tiny_folder, tmp_path):
    words = [str(tiny_folder) if word == "TINY" else word for word in words]
    new = imported(
        f"""
import contextlib, io, os
from strokewise.cli import main
os.chdir({str(tmp_path)!r})
with contextlib.redirect_stdout(io.StringIO()):
    assert main._run({words!r}) == 0
"""
    )
    assert new & HEAVY <= used
    assert not new & {"torch._dynamo", "torch._inductor", "torch.distributed.fsdp"}


def test_the_collector_is_off_while_a_command_starts():
    with starting.uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(KeyboardInterrupt), starting.uncollected():
        raise KeyboardInterrupt
    assert gc.isenabled()
    gc.unfreeze()


def test_painting_imports_no_more_of_torch_than_it_computes_with(tiny_folder):
    """Neither the compiler nor sharding, which take longer to import than torch itself."""
    code = f"import strokewise; strokewise.Painter.load({str(tiny_folder)!r}, 'cpu')"
    plain = imported("import torch")
    new = imported(code) - plain
    assert "strokewise.models.bagel.unified" in new
    assert not new & {
        *("torch._dynamo", "torch._inductor", "torch.distributed.fsdp", "torch.distributed.tensor"),
        *("transformers", "diffusers", "huggingface_hub", "pyarrow", "peft", "openai", "fastapi", "jinja2"),
    }


def imported(code):
    """Names of the modules that a fresh process has imported after some code."""
    code = f"{code}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


# --- options of dataclasses -------------------------------------------------------------------------------


def help_of(*command):
    """Help text of each option of a command, by flag."""
    found = typer.main.get_command(cli.app).load_all()
    for name in command:
        found = found.commands[name]
    return {parameter.opts[0]: parameter.help for parameter in found.params if hasattr(parameter, "help")}


@pytest.mark.parametrize("field", documented_fields(PAINTING_OPTIONS), ids=lambda field: field.name)
def test_help_is_the_documented_attribute(field):
    if field.name == "previews":  # an evaluation shows none
        assert field.flag not in help_of("eval", "run")
        return
    assert help_of("eval", "run")[field.flag] == field.help
    words = inspect.getdoc(PaintingOptions).split("Attributes:")[1].split()
    said = " ".join(re.sub(r":\w+:`([^`]+)`", r"\1", " ".join(words)).split())
    assert f"{field.name}: {field.help[0].lower()}{field.help[1:]}" in said


def test_every_field_is_documented_and_typed():
    found = documented_fields(PAINTING_OPTIONS)
    assert [field.name for field in found] == [field.name for field in dataclasses.fields(PaintingOptions)]
    assert all(field.help for field in found)


def test_options_that_were_given_are_collected():
    app, seen = typer.Typer(), []

    @app.command()
    @options_of(PAINTING_OPTIONS, "chosen", without=("shift",))
    def command(*, prompt: str, chosen: dict):
        seen.append((prompt, chosen))

    arguments = ["cup", "--max-rounds", "3", "--size", "64x32", "--top-p", "0.5", "--feedback", "latents"]
    assert typer.testing.CliRunner().invoke(app, arguments).exit_code == 0
    given = {"max_rounds": 3, "size": (32, 64), "top_p": 0.5, "feedback": "latents"}
    assert seen == [("cup", given)]
    assert PaintingOptions().changed(given).max_rounds == 3
    assert typer.testing.CliRunner().invoke(app, ["cup", "--shift", "1"]).exit_code == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--stepz", "3"), "No such option: --stepz"),
        (("--steps", "x"), "Invalid value for '--steps'"),
        (("--steps", "9" * 30), "'--steps'"),
        (("--batch", "100000000"), "--batch is '100000000'; it is 1 to 4,096, or auto"),
        (("--temperature", "nan"), "Invalid value for '--temperature'"),
        (("--shift", "inf"), "Invalid value for '--shift'"),
        (("--feedback", "photons"), "--feedback is 'photons'; it is one of pixels, latents"),
        (("--size", "9" * 5000 + "x1"), "is not of the form WIDTHxHEIGHT"),
        (("--seeds", "0-99999999999"), "more than 100,000"),
        (("--seeds", "9" * 5000), "are not of a form"),
        (("--shard", "0/" + "9" * 5000), "is not i/n"),
    ],
)
def test_wrong_options_are_one_line(run, words, message):
    status, out, err = run("eval", "run", "nano", "--out", "never", *words)
    assert (status, out) == (2, "")
    assert message in err
    assert err.startswith("strokewise: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("words", [("data", "build", "conflict", "--out", "never"), ("train", "sample")])
def test_counts_have_an_upper_bound(run, words):
    status, _, err = run(*words, "--n", "100000000000")
    assert status == 2
    assert "'--n'" in err
    assert err.count("\n") == 1


# --- ways of ending ---------------------------------------------------------------------------------------


@pytest.fixture
def ending(run, monkeypatch):
    """Run a command that ends in a given way."""

    def call(end):
        monkeypatch.setattr("strokewise.models.bagel.describe.config_of", end)
        return run("info", "nano")

    return call


def raising(error):
    def end(_):
        raise error

    return end


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (ConfigError("a\nb"), 2, "a b"),
        (FileNotFoundError(2, "No such file", "some.png"), 1, "some.png: No such file"),
        (OSError("disk on fire"), 1, "disk on fire"),
        (MemoryError(), 1, "out of memory"),
        (RecursionError(), 1, "nested too deeply"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_ways_of_ending(ending, error, status, message):
    found, out, err = ending(raising(error))
    assert (found, out) == (status, "")
    assert message in err
    assert err.count("\n") == bool(message)
    assert "Traceback" not in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_finish_like_an_interrupt(ending, number):
    finished = []
    before = signal.getsignal(number)

    def end(_):
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        except KeyboardInterrupt:
            os.kill(os.getpid(), number)  # the second one does not disturb
            finished.append(True)
            raise

    status, _, err = ending(end)
    assert status == 128 + number
    assert finished == [True]
    assert "interrupted" in err
    assert err.count("\n") == 1
    assert signal.getsignal(number) is before


def test_an_ignored_hangup_stays_ignored(ending):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        seen = []
        ending(lambda _: seen.append(signal.getsignal(signal.SIGHUP)) or raising(MemoryError())(_))
        assert seen == [signal.SIG_IGN]
    finally:
        signal.signal(signal.SIGHUP, before)


def shell(command, **environment):
    """A shell command in which $SW is the command line: exit status of its pipeline, stdout, stderr."""
    words = {"SW": f"{sys.executable} -m strokewise", **environment}
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True,
        env={**os.environ, **words},
        timeout=100,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_closed_pipe_is_quiet():
    for words in ("info nano", "info nano --json"):
        status, _, err = shell(f"$SW {words} | true")
        assert (status, err) == (141, b"")


def test_a_full_disk_is_one_line():
    status, _, err = shell("$SW info nano --json > /dev/full")
    assert status == 1
    assert err.count(b"\n") == 1
    assert b"No space left" in err


def test_an_argument_that_is_no_text():
    status, _, err = shell("$SW info $'caf\\xe9'")
    assert status == 2
    assert err == b"strokewise: the argument 'caf\\\\udce9' is not valid UTF-8\n"


def test_what_the_terminal_cannot_encode_is_escaped(tiny_folder, tmp_path):
    shutil.copytree(tiny_folder, tmp_path / "é")
    status, out, err = shell(f"cd {tmp_path}; $SW info é", PYTHONIOENCODING="ascii")
    assert (status, err) == (0, b"")
    assert b"\\xe9: configuration" in out


def test_logs_hold_no_cursor_movements(tmp_path):
    command = f"$SW data build conflict --n 3 --size 64 --out {tmp_path}/a; $SW data stats {tmp_path}/a"
    _, out, err = shell(command, FORCE_COLOR="1", TERM="xterm")
    assert b"\x1b" not in out + err
    assert b"records" in out


def test_names_are_no_markup(run, tiny_folder, tmp_path):
    shutil.copytree(tiny_folder, tmp_path / "[red]model[/nothing]")
    status, out, err = run("info", tmp_path / "[red]model[/nothing]")
    assert status == 0, err
    assert "[/nothing]" in "".join(out.split())


@pytest.mark.parametrize(("gain", "chosen"), [(1.1, torch.float32), (1.3, torch.bfloat16)])
def test_bfloat16_is_chosen_where_it_gains(gain, chosen, monkeypatch, capsys):
    monkeypatch.setattr(products, "bfloat16_gain", lambda: gain)
    assert fastest_dtype("cpu") is chosen
    assert f"{gain} times as fast" in capsys.readouterr().err
    assert fastest_dtype("cuda") is None
