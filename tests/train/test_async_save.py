"""Checkpoints written in the background: the state they began with, one at a time, whole or not at all."""

import errno
import threading
from dataclasses import replace

import pytest
import torch
import torch.distributed.checkpoint as dcp

from strokewise.errors import CheckpointError, StrokewiseError
from strokewise.train.checkpoint import read_facts, read_tensors
from strokewise.train.trainer import Trainer


@pytest.fixture
def trainer(toy, start, tmp_path):
    def make(folder="run", **running):
        config = toy.config(start)
        return Trainer(replace(config, running=replace(config.running, **running)), tmp_path / folder)

    return make


@pytest.fixture
def held(monkeypatch):
    """Writing that waits until it is let go."""
    let_go, save = threading.Event(), dcp.save

    def late(*arguments, **options):
        assert let_go.wait(60)
        return save(*arguments, **options)

    monkeypatch.setattr(dcp, "save", late)
    yield let_go
    let_go.set()


def copies(run):
    return {name: tensor.clone() for name, tensor in run._tensors().items()}


def stored(run):
    tensors = {name: torch.empty_like(tensor) for name, tensor in run._tensors().items()}
    path = run.checkpoints.latest()
    read_tensors(path, tensors, run.world)
    return read_facts(path)["step"], tensors


def names(run):
    return sorted(path.name for path in run.folder.iterdir() if path.name.startswith(("step_", "latest")))


def test_training_goes_on_and_changes_nothing_that_is_written(trainer, held):
    run = trainer(async_save=True, ema_on_cpu=True)
    run.train_step()
    wanted = copies(run)
    run.save()
    run.train_step()
    assert run.checkpoints.latest() is None
    with run.averages.applied():  # as for painting
        held.set()
        run.checkpoints.finish()
    assert names(run) == ["latest", "step_00000001"]
    step, found = stored(run)
    assert step == 1
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())
    assert any(not torch.equal(tensor, run._tensors()[name]) for name, tensor in wanted.items())


def test_files_are_those_of_a_run_that_waits(trainer):
    runs = [trainer("waiting"), trainer("background", async_save=True)]
    for run in runs:
        run.train_to(5)
        assert names(run) == ["latest", "step_00000004", "step_00000005"]
    files = [run.checkpoints.latest() / "__0_0.distcp" for run in runs]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert runs[0].checkpoints._writer is None


def test_the_next_one_waits(trainer, held):
    run = trainer(async_save=True)
    run.train_step()
    run.save()
    first = run.checkpoints._under_way
    run.train_step()
    threading.Timer(0.3, held.set).start()
    run.save()
    assert first.done()
    run.checkpoints.finish()
    assert run.checkpoints.latest().name == "step_00000002"


def test_a_disk_that_is_full(trainer, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    run = trainer(async_save=True)
    run.train_to(2)
    monkeypatch.setattr(dcp, "save", refuse)
    with pytest.raises(CheckpointError, match=r"step 4 could not.*No space left.*last whole one is step_0*2"):
        run.train_to(6)
    assert run.step in (5, 6)  # at the next step, if it has failed by then, at the next save at the latest
    with pytest.raises(CheckpointError, match=r"step [56] could not"):
        run.train_to(run.step)  # at the end
    assert names(run) == ["latest", "step_00000002"]
    monkeypatch.undo()
    run.lock.release()
    again = trainer(async_save=True)
    again.train_to(3)
    assert stored(again)[0] == 3


def test_what_ends_a_run_waits_for_what_is_written(trainer, held):
    run = trainer(async_save=True)
    train_step = run.train_step

    def diverging():
        if run.step == 2:
            threading.Timer(0.3, held.set).start()
            run.model.latent_in.weight.data[0, 0] = torch.nan
        return train_step()

    run.train_step = diverging
    with pytest.raises(StrokewiseError, match=r"step 3 gave a loss of nan.*diverged"):
        run.train_to(6)
    assert names(run) == ["latest", "step_00000002"]
    assert all(tensor.isfinite().all() for tensor in stored(run)[1].values())
