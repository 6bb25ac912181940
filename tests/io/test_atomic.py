"""Files and folders appear whole or not at all, and whatever fails leaves no temporary ones."""

import os
from threading import Thread

import pytest

from strokewise.errors import CheckpointError, ConfigError, InputError
from strokewise.io import atomic
from strokewise.io.atomic import write_bytes, write_text, writing, writing_folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def fill(path, text):
    with writing_folder(path, replace=True) as partial:
        (partial / "inner").mkdir()
        (partial / "inner" / "a.txt").write_text(text)


def test_files_are_made_and_replaced(tmp_path):
    path = tmp_path / "new" / "a.bin"
    write_bytes(path, b"one")
    write_bytes(path, b"two")
    assert (path.read_bytes(), names(path.parent)) == (b"two", ["a.bin"])
    write_text(path, "half \ud800")
    assert path.read_text() == "half ?"


@pytest.mark.parametrize(
    "failure", [OSError(28, "No space left"), KeyboardInterrupt(), RuntimeError("a bug")]
)
@pytest.mark.parametrize("at", ["replace", "fsync"])
def test_a_failure_keeps_the_old_file_and_nothing_else(tmp_path, monkeypatch, failure, at):
    def fail(*_):
        raise failure

    write_bytes(tmp_path / "a", b"old")
    fill(tmp_path / "b", "old")
    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, at, fail)
        expected = ConfigError if isinstance(failure, OSError) else type(failure)
        with pytest.raises(expected) as caught:
            write_bytes(tmp_path / "a", b"new", ConfigError)
        with pytest.raises(InputError if expected is ConfigError else expected):
            fill(tmp_path / "b", "new")
    if expected is ConfigError:
        assert str(caught.value).startswith(f"{tmp_path / 'a'} cannot be written: ")
    assert names(tmp_path) == ["a", "b"]
    assert (tmp_path / "a").read_bytes() == b"old"
    assert (tmp_path / "b" / "inner" / "a.txt").read_text() == "old"


def test_the_old_folder_comes_back_where_the_second_rename_fails(tmp_path, monkeypatch):
    fill(tmp_path / "a", "old")
    real, calls = os.replace, iter(range(9))

    def fail_second(one, other):
        if next(calls) == 1:
            raise OSError(5, "Input/output error")
        real(one, other)

    monkeypatch.setattr(atomic.os, "replace", fail_second)
    with pytest.raises(InputError, match="Input/output error"):
        fill(tmp_path / "a", "new")
    assert (tmp_path / "a" / "inner" / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_folders_are_not_replaced_unless_stated(tmp_path):
    fill(tmp_path / "a", "old")
    with (
        pytest.raises(CheckpointError, match="a cannot be written"),
        writing_folder(tmp_path / "a", CheckpointError),
    ):
        pass
    (tmp_path / "empty").mkdir()
    with writing_folder(tmp_path / "empty") as partial:
        (partial / "b").write_text("b")
    assert names(tmp_path / "empty") == ["b"]
    assert names(tmp_path) == ["a", "empty"]


def test_long_names(tmp_path):
    for name in ("a" * 255, "ä" * 127, "🐕" * 63):
        write_bytes(tmp_path / name, b"a")
        with writing_folder(tmp_path / f"{name[:-1]}b"):
            pass
    with pytest.raises(InputError, match="cannot be written"):
        write_bytes(tmp_path / ("a" * 256), b"a")
    assert len(names(tmp_path)) == 6


def test_threads_do_not_meet(tmp_path):
    texts = [str(i) * 10_000 for i in range(8)]
    threads = [Thread(target=write_text, args=(tmp_path / "a", text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a").read_text() in texts
    assert names(tmp_path) == ["a"]


def test_a_library_may_write_the_file(tmp_path):
    with writing(tmp_path / "a") as partial:
        assert (partial.parent, names(tmp_path)) == (tmp_path, [])
        partial.write_bytes(b"whole")
    assert names(tmp_path) == ["a"]
