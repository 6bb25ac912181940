"""Every command with every number that makes no sense: one line that names the option, exit status 2."""

from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import pytest
import typer

from strokewise.cli import main
from strokewise.data.scenes import SceneMix
from strokewise.errors import ConfigError
from strokewise.recipes.registry import recipe_config, reinforcement_config
from strokewise.train.config import Lora, override

WRONG = ("nan", "inf", "-inf", "1e999", "-1e30", "1e30", "9" * 5000, "x", "", "0x10", "\u00b2", "1,5")


def commands(command, path=()):
    """Every command below one, with the words that call it."""
    below = getattr(command, "commands", {})
    if not below:
        yield path, command
    for name, inner in below.items():
        yield from commands(inner, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(main.app).load_all()))


def is_number(option):
    return any(kind in str(option.type_descriptor.annotation) for kind in ("int", "float"))


NUMBERS = {
    f"{' '.join(path)} {option.opts[0]}": (path, option)
    for path, command in COMMANDS.items()
    for option in command.params
    if is_number(option)
}


def needed(command):
    """What a command needs beside the option that is tested."""
    words = []
    for option in command.params:
        if option.required:
            words += [option.opts[0], "x"] if option.opts[0].startswith("-") else ["x"]
    return words


@pytest.fixture(scope="module", autouse=True)
def one_command_tree():
    """Building the tree of commands takes longer than all else here."""
    tree = typer.main.get_command(main.app).load_all()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", lambda app: tree)
        yield


def test_there_are_numbers_to_try():
    assert len(NUMBERS) > 50


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_has_stated_bounds_and_others_are_refused(name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, option = NUMBERS[name]
    assert option.min is not None
    assert option.max is not None
    for wrong in (*WRONG, str(option.min - 1), str(option.max + 1)):
        status = main._run([*path, *needed(COMMANDS[path]), f"{option.opts[0]}={wrong}"])
        captured = capsys.readouterr()
        assert (status, captured.out) == (2, ""), wrong
        assert captured.err.startswith(f"strokewise: Invalid value for '{option.opts[0]}'"), wrong
        assert captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("words", [["--no-such-option"], ["a", "b", "c", "--", "--d"], ["--out"], ["\ud800"]])
def test_wrong_words_are_reported_in_one_line(path, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    status = main._run([*path, *words])
    captured = capsys.readouterr()
    assert (status, captured.err.count("\n")) == (2, 1), captured.err
    assert "Traceback" not in captured.err


def numbers(config, path=()):
    """The paths of all numbers in a configuration."""
    for entry in fields(config):
        value = getattr(config, entry.name)
        if is_dataclass(value):
            yield from numbers(value, (*path, entry.name))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield ".".join((*path, entry.name))


CONFIGS = {
    "training": recipe_config("bagel-7b-process", "nano", Path("data")),
    "reinforcement": reinforcement_config("nano-rl", "nano", "raft"),
    "adapters": replace(recipe_config("bagel-7b-process", "nano", Path("data")), lora=Lora()),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_every_number_of_a_configuration_has_bounds(name):
    config = CONFIGS[name]
    found = list(numbers(config))
    assert len(found) > 20
    for path in found:
        for wrong in (
            "NaN",
            "Infinity",
            "-Infinity",
            "-1e30",
            "1e30",
            "1e999",
            "9" * 50,
            "9" * 5000,
            "[" * 3000,
        ):
            with pytest.raises(ConfigError):
                override(config, f"{path}={wrong}")


@pytest.mark.parametrize(
    "assignment",
    ["time_shift=-1", "time_shift=0", "final_lr=-1", "running.log_every=0", "running.keep=0", "seed=-1"],
)
def test_numbers_that_mean_nothing_are_refused(assignment):
    with pytest.raises(ConfigError, match="it must lie in"):
        override(CONFIGS["training"], assignment)


def test_shares_of_scenes_are_shares():
    with pytest.raises(ConfigError, match=r"layout_jitter is -0\.1; it must lie in 0 to 1"):
        SceneMix(layout_jitter=-0.1)
