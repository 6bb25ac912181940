"""A build is the same to the byte however often it was killed, resumed, or shared among processes."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from strokewise.data import build as building
from strokewise.data import storage
from strokewise.data.build import Recipe, build, build_shard, records_of
from strokewise.data.conflict import ConflictMix
from strokewise.data.executor import Executor
from strokewise.data.multi_turn import MultiTurnMix
from strokewise.data.records import to_table_row
from strokewise.data.scenes import SceneMix
from strokewise.data.storage import MANIFEST, RECIPE, read
from strokewise.errors import ConfigError, RecordError
from strokewise.io import atomic

RECIPE_ARGS = ("alignment", 150, 7, 64)
SMALL_SHARD = 16
# A build in shards of 16, so that there is much to kill.
SCRIPT = f"""
import sys
from pathlib import Path
from strokewise.data import build as building
from strokewise.data import storage
building.SHARD = {SMALL_SHARD}
building.build(building.Recipe{RECIPE_ARGS!r}, Path(sys.argv[1]))
"""


def contents(folder):
    """Every file with its bytes, leftovers of killed builds too."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def named(folder):
    """The files that a reader sees."""
    return {name: data for name, data in contents(folder).items() if not name.startswith(".")}


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(building, "SHARD", SMALL_SHARD)


@pytest.fixture
def recipe():
    return Recipe(*RECIPE_ARGS)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A build that nothing happened to: do not change it."""
    folder = tmp_path_factory.mktemp("finished") / "built"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "SHARD", SMALL_SHARD)
        build(Recipe(*RECIPE_ARGS), folder)
    return folder


@pytest.fixture
def unbroken(small_shards, finished, tmp_path):
    """The files of a build that nothing happened to, a copy of which is in the temporary folder."""
    shutil.copytree(finished, tmp_path / "unbroken")
    return contents(finished)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Three shards of the usual size, built in this process."""
    folder = tmp_path_factory.mktemp("large") / "built"
    build(Recipe("conflict", 600, 7, 64), folder)
    return contents(folder)


@pytest.fixture
def start(forks):
    """Start a program in a process."""
    return partial(forks.start, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def kill(process):
    """At once, without a chance to clean up; whether it was still running."""
    running = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    return running


class TestKilled:
    def test_at_random_moments(self, start, unbroken, tmp_path):
        """A build is killed again and again until one comes through: it gives what an unbroken one gives."""
        folder, rng = tmp_path / "killed", random.Random(11)
        killed, seen, script = 0, [], tmp_path / "script.py"
        script.write_text(SCRIPT)
        while not (folder / MANIFEST).exists():
            process = start(script, folder)
            more = len(list(folder.glob("part-*"))) + rng.randrange(4)
            while process.poll() is None and len(list(folder.glob("part-*"))) < more:
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.05))
            killed += kill(process)
            if folder.exists():
                there = named(folder)
                assert MANIFEST not in there or there == unbroken
                # What has its name is whole, whenever the kill came.
                assert all(unbroken[name] == data for name, data in there.items())
                seen.append(len(there))
        assert killed >= 1
        assert min(seen) < len(unbroken)
        process = start(script, folder)
        output, _ = process.communicate()
        assert process.returncode == 0, output
        assert contents(folder) == unbroken

    def test_with_workers(self, start, large, tmp_path):
        """The workers of a killed build may still be writing while the next build runs."""
        folder = tmp_path / "killed"
        command = ("-m", "strokewise", "data", "build", "conflict", "--n", 600, "--seed", 7, "--size", 64)
        command = (*command, "--workers", 2, "--out", folder)
        process = start(*command)
        while process.poll() is None and not list(folder.glob("part-*")):
            time.sleep(0.01)
        kill(process)
        if not (folder / MANIFEST).exists():
            with pytest.raises(RecordError, match="its build was not finished: run it again"):
                list(read(folder))
        process = start(*command)
        output, _ = process.communicate()
        assert process.returncode == 0, output
        assert named(folder) == large

    @pytest.mark.parametrize("at", range(4))
    def test_while_writing(self, unbroken, recipe, tmp_path, monkeypatch, at):
        """Between the temporary name and the real one of the nth file."""
        real, done = os.replace, iter(range(100))

        def crash(one, other):
            if next(done) == at:
                raise KeyboardInterrupt
            real(one, other)

        with monkeypatch.context() as patch:
            patch.setattr(atomic.os, "replace", crash)
            patch.setattr(atomic.Path, "unlink", lambda *_, **__: None)  # a killed process cleans nothing
            with pytest.raises(KeyboardInterrupt):
                build(recipe, tmp_path / "killed")
        assert any(path.name.endswith(".partial") for path in (tmp_path / "killed").iterdir())
        build(recipe, tmp_path / "killed")
        assert contents(tmp_path / "killed") == unbroken


class TestSame:
    def test_any_number_of_workers(self, large, tmp_path):
        build(Recipe("conflict", 600, 7, 64), tmp_path / "two", Executor("processes", 2))
        assert contents(tmp_path / "two") == large

    def test_a_shard_is_a_pure_function(self, unbroken, recipe, tmp_path):
        """In any order, in another folder, alone."""
        for shard in (5, 0, recipe.num_shards - 1):
            size = build_shard(recipe, shard, tmp_path)
            name = storage.shard_name(shard)
            assert (tmp_path / name).read_bytes() == unbroken[name]
            assert size == (SMALL_SHARD if shard < recipe.num_shards - 1 else 150 % SMALL_SHARD)

    def test_a_longer_build_begins_with_the_shorter(self, unbroken, recipe, tmp_path):
        build(replace(recipe, count=2 * SMALL_SHARD), tmp_path / "short")
        for i in range(2):
            name = storage.shard_name(i)
            assert (tmp_path / "short" / name).read_bytes() == unbroken[name]

    @pytest.mark.parametrize("change", [{"seed": 8}, {"subset": "conflict", "mix": None}, {"size": 65}])
    def test_other_recipes_give_other_shards(self, unbroken, recipe, tmp_path, change):
        build_shard(replace(recipe, **change), 0, tmp_path)
        assert (tmp_path / storage.shard_name(0)).read_bytes() != unbroken[storage.shard_name(0)]

    def test_running_a_finished_build_again_changes_nothing(self, unbroken, recipe, tmp_path, monkeypatch):
        monkeypatch.setattr(building, "build_shard", lambda *_: pytest.fail("nothing is left to build"))
        build(recipe, tmp_path / "unbroken")
        assert contents(tmp_path / "unbroken") == unbroken


class TestReading:
    def test_records_come_back_in_order(self, unbroken, recipe, tmp_path):
        found = list(read(tmp_path / "unbroken"))
        wanted = [record for i in range(recipe.num_shards) for record in records_of(recipe, i)]
        assert len(found) == len(wanted) == 150
        for (where, record), other in zip(found, wanted, strict=True):
            assert to_table_row(record) == to_table_row(other)
            assert str(tmp_path / "unbroken" / "part-") in where
        np.testing.assert_array_equal(
            np.asarray(found[0][1].trajectory.images[0]), np.asarray(wanted[0].trajectory.images[0])
        )
        assert found[SMALL_SHARD + 1][0].endswith("part-00001.parquet, row 1")

    def test_the_manifest(self, unbroken, recipe):
        manifest = json.loads(unbroken[MANIFEST])
        shards = [storage.shard_name(i) for i in range(recipe.num_shards)]
        assert manifest == {
            "format": 1,
            "subset": "alignment",
            "count": 150,
            "shards": shards,
            "sha256": {name: hashlib.sha256(unbroken[name]).hexdigest() for name in shards},
        }
        assert set(unbroken) == {MANIFEST, RECIPE, *shards}

    def test_progress(self, small_shards, recipe, tmp_path):
        progress = []
        (tmp_path / "built").mkdir()
        build(recipe, tmp_path / "built", progress=lambda *state: progress.append(state))
        assert progress == [(min(150, SMALL_SHARD * i), 150) for i in range(recipe.num_shards + 1)]
        (tmp_path / "built" / "part-00002.parquet").unlink()
        progress.clear()
        build(recipe, tmp_path / "built", progress=lambda *state: progress.append(state))
        assert progress == [(150 - SMALL_SHARD, 150), (150, 150)]

    def test_unfinished_sets_are_refused(self, unbroken, tmp_path):
        (tmp_path / "unbroken" / MANIFEST).unlink()
        with pytest.raises(RecordError, match=r"no manifest\.json; its build was not finished: run it again"):
            list(read(tmp_path / "unbroken"))

    def test_other_folders_are_refused(self, tmp_path):
        for folder in (tmp_path, tmp_path / "none"):
            with pytest.raises(RecordError, match=r"is no data set: it has no manifest\.json$"):
                list(read(folder))

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{",
            "[]",
            "3",
            "{}",
            "[" * 100_000,
            '{"format": 2, "subset": "conflict", "count": 1, "shards": []}',
            '{"format": 1, "subset": "conflict", "count": 1, "shards": [1]}',
            '{"format": 1, "subset": "conflict", "count": 1, "shards": "part"}',
            '{"format": 1, "subset": "conflict", "count": "1", "shards": []}',
            '{"format": 1, "subset": "conflict", "shards": []}',
            '{"format": 1, "count": 1, "shards": []}',
        ],
    )
    def test_damaged_manifests_are_refused(self, tmp_path, text):
        (tmp_path / MANIFEST).write_text(text)
        with pytest.raises(RecordError, match=r"manifest\.json(: | cannot be read| holds no JSON object)"):
            list(read(tmp_path))

    def test_missing_and_damaged_shards_are_named(self, unbroken, tmp_path):
        path = tmp_path / "unbroken" / "part-00001.parquet"
        for damaged in (path.read_bytes()[:-50], b"", b"PAR1" * 9, None):
            path.unlink() if damaged is None else path.write_bytes(damaged)
            with pytest.raises(
                RecordError,
                match=r"part-00001\.parquet (is (not a readable parquet file|damaged)|cannot be read)",
            ):
                list(read(tmp_path / "unbroken"))

    def test_shards_outside_the_folder_are_not_read(self, unbroken, tmp_path):
        """A manifest from elsewhere cannot name other files of the machine."""
        folder = tmp_path / "unbroken"
        (folder / "part-00000.parquet").rename(tmp_path / "part-00000.parquet")
        manifest = json.loads(unbroken[MANIFEST]) | {"shards": ["../part-00000.parquet"], "sha256": {}}
        (folder / MANIFEST).write_text(json.dumps(manifest))
        with pytest.raises(RecordError, match=r"unbroken/part-00000\.parquet cannot be read: .*No such file"):
            list(read(folder))


class TestClaims:
    @pytest.mark.parametrize(
        "change",
        [
            {"seed": 8},
            {"count": 151},
            {"size": 128},
            {"subset": "conflict", "mix": None},
            {"subset": "multi-turn", "mix": MultiTurnMix(edit_share=0.1)},
        ],
    )
    def test_another_recipe_in_the_same_folder_is_refused(self, unbroken, recipe, tmp_path, change):
        with pytest.raises(ConfigError, match="holds a build of another recipe"):
            build(replace(recipe, **change), tmp_path / "unbroken")
        assert contents(tmp_path / "unbroken") == unbroken

    @pytest.mark.parametrize(
        "mix",
        [ConflictMix(right_share=0.5), ConflictMix(scenes=SceneMix(color_share=0.5))],
        ids=["share", "scenes"],
    )
    def test_another_mix_is_another_recipe(self, small_shards, tmp_path, mix):
        build(Recipe("conflict", 2, 0, 64), tmp_path / "built")
        with pytest.raises(ConfigError, match="another recipe"):
            build(Recipe("conflict", 2, 0, 64, mix), tmp_path / "built")

    def test_other_files_are_not_touched(self, recipe, tmp_path):
        (tmp_path / "thesis.txt").write_text("years of work")
        with pytest.raises(ConfigError, match="holds other files; give an empty folder"):
            build(recipe, tmp_path)
        assert contents(tmp_path) == {"thesis.txt": b"years of work"}

    def test_a_file_is_no_folder(self, recipe, tmp_path):
        (tmp_path / "file").write_text("")
        for place in (tmp_path / "file", tmp_path / "file" / "built"):
            with pytest.raises(ConfigError, match=r"cannot be a folder"):
                build(recipe, place)

    @pytest.mark.parametrize(
        ("given", "fault"),
        [
            (("another", 1), "unknown subset 'another'; known are multi-turn, conflict, alignment"),
            (("conflict", 0), "count is 0"),
            (("conflict", -1), "count is -1"),
            (("conflict", 1, 0, 63), "size is 63"),
            (("conflict", 1, 0, 1025), "size is 1025"),
        ],
    )
    def test_recipes_that_cannot_be_built(self, given, fault):
        with pytest.raises(ConfigError, match=fault):
            Recipe(*given)

    def test_workers(self, recipe, tmp_path):
        with pytest.raises(ConfigError, match="workers is 0"):
            build(recipe, tmp_path / "built", Executor("processes", 0))
        assert not (tmp_path / "built").exists()

    def test_a_full_disk_is_an_error(self, recipe, small_shards, tmp_path, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(atomic.os, "replace", full)
            with pytest.raises(ConfigError, match=r"recipe\.json cannot be written.*No space left"):
                build(recipe, tmp_path / "built")


def test_a_build_of_the_released_version_is_resumed(tmp_path):
    """Its recipe calls the layout jitter by another name."""
    recipe = Recipe("conflict", 5, 3, 64)
    build(recipe, tmp_path / "new")
    build(recipe, tmp_path / "old")
    values = json.loads((tmp_path / "old" / RECIPE).read_text())
    values["mix"]["scenes"]["freedom"] = values["mix"]["scenes"].pop("layout_jitter")
    (tmp_path / "old" / RECIPE).write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")
    (tmp_path / "old" / MANIFEST).unlink()
    build(recipe, tmp_path / "old")
    assert (tmp_path / "old" / MANIFEST).read_bytes() == (tmp_path / "new" / MANIFEST).read_bytes()
    with pytest.raises(ConfigError, match="another recipe"):
        build(replace(recipe, seed=4), tmp_path / "old")
