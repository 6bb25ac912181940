"""Every command with every number that makes no sense: one line that names the option, exit status 2."""

import pytest
import typer

from strokewise.cli import main

WRONG = ("nan", "inf", "-inf", "1e999", "-1e30", "1e30", "9" * 5000, "x", "", "0x10", "\u00b2", "1,5")


def commands(command, path=()):
    """Every command below one, with the words that call it."""
    below = getattr(command, "commands", {})
    if not below:
        yield path, command
    for name, inner in below.items():
        yield from commands(inner, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(main.app)))


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
    tree = typer.main.get_command(main.app)
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
