"""Data sets at URLs: built there, continued elsewhere, read from there, through file systems of fsspec."""

import random

import fsspec
import pytest
from typer.testing import CliRunner

from strokewise.cli.main import app
from strokewise.data import build as building
from strokewise.data.build import Recipe, build
from strokewise.data.destination import Destination, beside
from strokewise.data.executor import Executor
from strokewise.data.storage import MANIFEST
from strokewise.errors import ConfigError, ServiceError, StrokewiseError
from strokewise.io.remote import RemoteFolder, is_url, local

RECIPE = ("conflict", 20, 7, 64)


@pytest.fixture(params=["memory", "file"])
def url(request, tmp_path):
    """An empty place."""
    if request.param == "file":
        yield f"file://{tmp_path}/bucket/data"
        return
    name = f"memory://bucket-{random.getrandbits(64):x}/data"
    yield name
    fsspec.filesystem("memory").rm(name.rpartition("/")[0], recursive=True)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setattr(building, "SHARD", 4)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def contents(url):
    remote = RemoteFolder(url)
    return {name: remote.read(name) for name in remote.names()}


def run(*given):
    result = CliRunner().invoke(app, ["data", *map(str, given)])
    assert result.exception is None, result.output
    return result.output


def test_a_build_at_a_url_is_that_in_a_folder(url, tmp_path):
    build(Recipe(*RECIPE), tmp_path / "plain")
    build(Recipe(*RECIPE), Destination(tmp_path / "one", RemoteFolder(url)))
    assert contents(url) == files_of(tmp_path / "plain")


def test_a_build_is_continued_elsewhere(url, tmp_path, monkeypatch):
    build(Recipe(*RECIPE), tmp_path / "plain")
    made = []

    def few(recipe, shard, folder, painter):
        if len(made) in (2, 4):
            made.append(None)
            raise ConfigError("the machine is lost")
        made.append(shard)
        return whole(recipe, shard, folder, painter)

    whole = building.build_shard
    monkeypatch.setattr(building, "build_shard", few)
    for machine in ("one", "two"):
        with pytest.raises(ConfigError, match="is lost"):
            build(Recipe(*RECIPE), Destination(tmp_path / machine, RemoteFolder(url)))
        assert MANIFEST not in contents(url)
    build(Recipe(*RECIPE), Destination(tmp_path / "three", RemoteFolder(url)))
    assert sorted(shard for shard in made if shard is not None) == [0, 1, 2, 3, 4]
    assert contents(url) == files_of(tmp_path / "plain")


def test_another_recipe_there_is_refused(url, tmp_path):
    build(Recipe(*RECIPE), Destination(tmp_path / "one", RemoteFolder(url)))
    with pytest.raises(ConfigError, match="another recipe"):
        build(Recipe("conflict", 20, 8, 64), Destination(tmp_path / "two", RemoteFolder(url)))


def test_commands_build_read_and_check_there(url, tmp_path):
    run("build", "conflict", "--n", 6, "--size", 64, "--out", url)
    assert "6 records checked, 0 with faults" in run("check", url)
    assert "conflict" in run("stats", url)
    # A data set that was built anew is not taken for the old one.
    fsspec.filesystem(url.partition(":")[0]).rm(url, recursive=True)
    for path in (beside(url) / "out").iterdir():
        path.unlink()
    run("build", "conflict", "--n", 7, "--size", 64, "--out", url)
    assert "7 records checked" in run("check", url)


def test_processes_fill_it(tmp_path):
    url = f"file://{tmp_path}/bucket"
    build(Recipe("conflict", 300, 7, 64), tmp_path / "plain")
    build(
        Recipe("conflict", 300, 7, 64),
        Destination(tmp_path / "one", RemoteFolder(url)),
        Executor("processes", 2),
    )
    assert set(contents(url)) >= {MANIFEST, "part-00000.parquet", "part-00001.parquet"}


def test_what_was_cut_off_is_not_there(url, tmp_path, monkeypatch):
    """A file appears when it is whole."""
    (tmp_path / "a").write_bytes(b"whole")
    remote = RemoteFolder(url)
    system = remote._place[0]
    opened = type(system).open

    def broken(self, *args, **kwargs):
        file = opened(self, *args, **kwargs)
        monkeypatch.setattr(file, "write", lambda data: (_ for _ in ()).throw(OSError("connection lost")))
        return file

    with monkeypatch.context() as patch:
        patch.setattr(type(system), "open", broken)
        with pytest.raises(ServiceError, match="cannot be reached: connection lost; run it again"):
            remote.put(tmp_path, ["a"])
    assert remote.names() == []
    remote.put(tmp_path, ["a"])
    assert contents(url) == {"a": b"whole"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("nowhere://bucket/data", "is no place for data"),
        ("memory://empty/place", "there is no finished data set"),
    ],
)
def test_places_that_cannot_be(text, fault):
    with pytest.raises(StrokewiseError, match=fault):
        local(text)


def test_paths_stay_paths(tmp_path):
    assert not is_url("C:/data")
    assert local(str(tmp_path)) == tmp_path
    assert Destination.of(str(tmp_path)) == Destination(tmp_path)
    assert Destination.of("s3://bucket/photos/").folder.parts == ("photos.cache", "out")
