"""However a run is ended, it saves first, says so, and resumes to the bit; nobody else may train beside it.

Real processes, with processes that read, and signals to the whole group, as a terminal, systemd and
containers send them.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from strokewise.data.storage import Shard
from strokewise.datasets.mixture import Mixture
from strokewise.datasets.readers import Readers
from strokewise.datasets.records import ShardSource
from strokewise.errors import ConfigError, RecordError, StrokewiseError
from strokewise.io.locks import FolderLock
from strokewise.train.checkpoint import read_facts, read_tensors
from strokewise.train.distributed import World
from strokewise.train.trainer import Trainer

HERE = Path(__file__).parent
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
STEPS = 12


@pytest.fixture
def launch(forks, start, tmp_path):
    """Starts ``strokewise train run`` in a process group of its own."""
    (tmp_path / "mine.py").write_text(
        f"import toy\ndef tiny():\n    return toy.config({str(start)!r}, steps={STEPS})\n"
    )
    started = []

    def make(out, *changes):
        path = os.pathsep.join(map(str, (tmp_path, HERE, os.environ.get("PYTHONPATH", ""))))
        chosen = [part for change in changes for part in ("--set", change)]
        process = forks.start(
            *("-m", "strokewise", "train", "run", "mine:tiny", "--out", out, *chosen),
            cwd=tmp_path,
            env={"PYTHONPATH": path},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield make
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


def at_step(process, number):
    """Read its log until a step is done; what was read."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith(f"step {number}:"):
            return "".join(lines)
    raise AssertionError("".join(lines))


def state(folder):
    """The facts and tensors of the last checkpoint."""
    path = folder / (folder / "latest").read_text().strip()
    from torch.distributed.checkpoint import FileSystemReader

    stored = FileSystemReader(path).read_metadata().state_dict_metadata
    tensors = {name: torch.empty(entry.size) for name, entry in stored.items()}
    read_tensors(path, tensors, World(0, 1, torch.device("cpu")))
    return read_facts(path), tensors


def nobody_left(group):
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def assert_same(ours, wanted):
    assert ours[0]["step"] == wanted[0]["step"]
    assert ours[0]["lanes"] == wanted[0]["lanes"]
    for name, tensor in wanted[1].items():
        assert torch.equal(ours[1][name], tensor), name


def end(launch, tmp_path, number, *changes):
    """End a run by a signal to its group; the steps that it saved."""
    process = launch("cut", "running.workers=1", "running.save_every=100", *changes)
    at_step(process, 2)
    os.killpg(process.pid, number)
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == STATUS[number], errors
    *_, stopped, last = errors.splitlines()
    done = int((tmp_path / "cut" / "latest").read_text().strip().removeprefix("step_"))
    assert 2 <= done < STEPS
    assert stopped == f"stopped after step {done}; run the same command again to resume"
    assert last == "strokewise: interrupted; what was finished is kept"
    assert "Traceback" not in errors
    assert nobody_left(process.pid)


@pytest.mark.parametrize("changes", [(), ("running.async_save=true",)], ids=["waiting", "background"])
def test_a_run_that_is_ended_saves_first(launch, tmp_path, changes):
    end(launch, tmp_path, signal.SIGTERM, *changes)


@pytest.mark.slow
@pytest.mark.parametrize("number", STATUS)
def test_a_run_that_is_ended_and_resumed_is_unbroken(launch, tmp_path, number):
    end(launch, tmp_path, number, "running.workers=2")
    for out in ("cut", "whole"):
        resumed = launch(out, "running.save_every=100")
        assert "Traceback" not in resumed.communicate(timeout=300)[1]
        assert resumed.returncode == 0
    assert_same(state(tmp_path / "cut"), state(tmp_path / "whole"))


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_no_process(launch):
    process = launch("run", "running.workers=2")
    at_step(process, 1)
    process.kill()
    process.wait(timeout=30)
    assert nobody_left(process.pid)


def test_a_second_run_is_refused(launch, tmp_path):
    with FolderLock(tmp_path / "run", "trains in"):
        second = launch("run")
        errors = second.communicate(timeout=300)[1]
    assert second.returncode == 2
    assert "another process trains in run; wait for it" in errors.splitlines()[-1]


def test_a_lock_ends_with_its_process(tmp_path):
    code = (
        "import pathlib, time; from strokewise.io.locks import FolderLock;"
        f"lock = FolderLock(pathlib.Path({str(tmp_path)!r}), 'works in'); lock.acquire();"
        "print('held', flush=True); time.sleep(600)"
    )
    holder = [sys.executable, "-c", code]
    with subprocess.Popen(holder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match="another process works in"):
            FolderLock(tmp_path, "works in").acquire()
        process.kill()
    FolderLock(tmp_path, "works in").acquire()


def test_the_lock_ends_with_fit_and_with_what_fails(toy, start, tmp_path):
    run = Trainer(toy.config(start, steps=2), tmp_path / "run")
    with pytest.raises(ConfigError, match="another process trains in"):
        Trainer(toy.config(start, steps=2), tmp_path / "run")
    run.fit(max_steps=1)
    with pytest.raises(StrokewiseError):
        Trainer(toy.config(start, steps=3), tmp_path / "run")
    assert Trainer(toy.config(start, steps=2), tmp_path / "run").step == 1


def test_a_folder_that_cannot_be_locked(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be locked"):
        FolderLock(tmp_path / "file", "works in").acquire()


# --- the processes that read --------------------------------------------------------------------------------


@pytest.fixture
def readers():
    source = ShardSource([Shard(Path("nowhere"))], [9], "process", None)
    made = Readers(Mixture(["a"], [source], [1.0], 0), None, 2)
    yield made
    made.close()


def test_what_reading_raises_arrives(readers):
    with pytest.raises(RecordError, match="nowhere"):
        readers.request([3]).result(timeout=60)


def test_a_process_that_died_is_an_error(readers):
    asked = readers.request([3])
    readers._readers[0].process.kill()
    with pytest.raises(StrokewiseError, match="died"):
        asked.result(timeout=60)
    with pytest.raises(StrokewiseError, match="died"):
        readers.request([3])
