"""The run as a whole: it learns, it writes what it should, and it fails cleanly."""

import errno
import json
import resource
import shutil
from dataclasses import replace

import pytest
import torch
from torch.distributed.checkpoint.filesystem import FileSystemWriter

from strokewise.errors import CheckpointError, ContextLengthError, RecordError, StrokewiseError
from strokewise.train.config import Dropout, Lora, WeightedSource
from strokewise.train.trainer import Trainer


@pytest.fixture
def trainer(toy, start, tmp_path):
    def make(folder="run", running=None, **changes):
        config = toy.config(start, **changes)
        config = replace(config, running=replace(config.running, **(running or {})))
        return Trainer(config, tmp_path / folder)

    return make


def whole_checkpoint(folder):
    """The step of the last checkpoint, which is complete."""
    path = folder / (folder / "latest").read_text().strip()
    assert json.loads((path / "run.json").read_text())["step"] == int(path.name.removeprefix("step_"))
    assert not list(folder.glob("*.partial"))
    return int(path.name.removeprefix("step_"))


def test_a_run_leaves_checkpoints_scalars_and_pictures(trainer):
    run = trainer(running={"num_samples": 2, "sample_every": 3, "sample_steps": 2, "tensorboard": True})
    run.fit()
    lines = [json.loads(x) for x in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert all(line["tokens_per_second"] > 0 and line["flops_per_second"] > 0 for line in lines)
    assert whole_checkpoint(run.folder) == 6
    assert sorted(p.name for p in run.folder.glob("step_*")) == ["step_00000004", "step_00000006"]
    assert [p.name for p in sorted((run.folder / "samples").iterdir())] == [
        "step_00000003.png",
        "step_00000006.png",
    ]
    assert list((run.folder / "tensorboard").iterdir())


def test_a_run_on_words_alone_paints_no_samples(trainer, toy):
    running = {"num_samples": 2, "sample_every": 1, "sample_steps": 2}
    run = trainer(running=running, steps=2, sources=(WeightedSource("words", 1.0, toy.Words()),))
    run.fit()
    assert whole_checkpoint(run.folder) == 2
    assert not (run.folder / "samples").exists()


def test_the_autoencoder_and_the_tables_stay(trainer):
    run = trainer(steps=2)
    before = {k: v.clone() for k, v in run.model.state_dict().items()}
    run.fit()
    for name, value in run.model.state_dict().items():
        frozen = name.startswith("autoencoder.") or name.endswith("_places.table")
        assert torch.equal(value, before[name]) == frozen, name


@pytest.mark.parametrize("changes", [{}, {"ema_every": 2}], ids=["plain", "averages_seldom"])
def test_a_run_may_be_done_in_parts(trainer, changes):
    """The parts hold their averages elsewhere, which changes nothing."""
    whole, on_cpu = trainer("whole", **changes), {"ema_on_cpu": True}
    whole.fit()
    trainer("parts", on_cpu, **changes).fit(max_steps=3)
    rest = trainer("parts", on_cpu, **changes)
    assert rest.step == 3
    rest.fit()
    for name, tensor in whole._tensors().items():
        assert torch.equal(tensor, rest._tensors()[name]), name


def test_minutes_end_a_run_with_a_checkpoint(trainer):
    run = trainer(running={"save_every": 100})
    run.fit(minutes=1e-9)
    assert run.step == 0
    train_step, run.train_step = run.train_step, lambda: (run.checkpoints, train_step())[1]
    run.fit(max_steps=1)
    assert whole_checkpoint(run.folder) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bfloat16"},
        {"running": {"checkpointing": True}},
        {"lora": Lora(rank=2, alpha=4)},
        {"dropout": Dropout(0.5, 0.5, 0.5, 1.0)},
    ],
    ids=["bfloat16", "checkpointing", "lora", "dropout"],
)
def test_ways_to_run(trainer, changes):
    run = trainer(steps=2, **changes)
    before = {name: p.detach().clone() for name, p in run.parameters.items()}
    run.fit()
    assert all(p.dtype is torch.float32 for p in run.parameters.values())
    assert sum(not torch.equal(p, before[name]) for name, p in run.parameters.items()) > len(before) / 2


def test_checkpointing_changes_no_bit(trainer):
    plain, saving = trainer("plain", steps=2), trainer("saving", {"checkpointing": True}, steps=2)
    plain.fit(), saving.fit()
    for name, tensor in plain._tensors().items():
        assert torch.equal(tensor, saving._tensors()[name]), name


# --- failures ----------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite(trainer):
    run = trainer()
    run.fit(max_steps=3)
    run.model.latent_in.weight.data[0, 0] = torch.nan
    weights = run.model.language.head.weight.clone()
    with pytest.raises(StrokewiseError, match=r"step 4 gave a loss of nan.*diverged"):
        run.fit()
    assert torch.equal(run.model.language.head.weight, weights)
    assert whole_checkpoint(run.folder) == 3
    assert trainer().step == 3


def test_a_disk_that_is_full(trainer, monkeypatch):
    run = trainer()
    run.fit(max_steps=2)

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(FileSystemWriter, "write_data", refuse)
    with pytest.raises(CheckpointError, match=r"step 4 could not.*No space left.*last whole one is step_0*2"):
        run.fit()
    monkeypatch.undo()
    assert whole_checkpoint(run.folder) == 2
    again = trainer()
    assert again.step == 2
    again.fit()
    assert whole_checkpoint(again.folder) == 6


def test_a_quota_that_is_too_small(trainer):
    run = trainer()
    run.fit(max_steps=2)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(CheckpointError, match="could not be written"):
            run.fit()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert whole_checkpoint(run.folder) == 2


def test_a_sample_that_cannot_be_read(trainer, toy):
    sources = (WeightedSource("strokes", 1.0, toy.Toy(None, broken=100)),)
    run = trainer(sources=sources, steps=50, running={"save_every": 1})
    with pytest.raises(RecordError, match="sample 100 of 'strokes': the shard is cut off"):
        run.fit()
    assert whole_checkpoint(run.folder) == run.step


def test_another_configuration(trainer):
    trainer().fit(max_steps=1)
    with pytest.raises(CheckpointError, match=r"learning_rate: 0.003 in the checkpoint, 0.1 now"):
        trainer(learning_rate=0.1)
    with pytest.raises(CheckpointError, match="sources"):
        trainer(sources=trainer("other").config.sources[:1])
    assert trainer(running={"log_every": 7}).step == 1


def test_weights_of_another_shape(trainer, start, tmp_path, tiny_config, make_model):
    from strokewise.models.bagel import save_model

    wider = replace(tiny_config, language=replace(tiny_config.language, intermediate_size=112))
    base = tmp_path / "base"
    shutil.copytree(start, base)
    trainer(model=str(base)).fit(max_steps=1)
    save_model(make_model(wider), base)
    with pytest.raises(CheckpointError, match=r"(?s)does not fit.*of another shape.*down"):
        trainer(model=str(base))


@pytest.mark.parametrize("name", ["__0_0.distcp", ".metadata", "run.json"])
def test_a_damaged_checkpoint(trainer, name):
    run = trainer()
    run.fit(max_steps=1)
    path = run.checkpoints.latest() / name
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"damaged|cannot be read"):
        trainer()


def test_a_checkpoint_that_went(trainer):
    run = trainer()
    run.fit(max_steps=1)
    shutil.rmtree(run.checkpoints.latest())
    with pytest.raises(CheckpointError, match="names step_00000001, which is not there"):
        trainer()


def test_samples_longer_than_packs(trainer):
    run = trainer(pack_tokens=60)
    run.fit(max_steps=1)
    assert run.loader.skipped > 0
    with pytest.raises(ContextLengthError, match="raise pack_tokens"):
        trainer("none", pack_tokens=8).fit(max_steps=1)


# --- learning ----------------------------------------------------------------------------------------------


def test_a_handful_of_samples_is_memorized(trainer, toy):
    sources = (WeightedSource("strokes", 1.0, toy.Toy(4)),)
    run = trainer(
        sources=sources,
        steps=150,
        pack_tokens=200,
        packs_per_step=1,
        dropout=Dropout(0, 0, 0, 0),
        running={"save_every": 1000},
    )
    reports = [run.train_step() for _ in range(150)]
    first, last = reports[:5], reports[-20:]

    def mean(reports, name):
        return sum(r.terms[name] for r in reports) / len(reports)

    assert mean(last, "text") < mean(first, "text") / 20
    assert mean(last, "velocity") < mean(first, "velocity") / 3


@pytest.mark.slow
def test_compiled_layers_do_the_same(trainer):
    plain, compiled = trainer("plain", steps=2), trainer("compiled", {"compile": True}, steps=2)
    plain.fit(), compiled.fit()
    for name, tensor in plain._tensors().items():
        torch.testing.assert_close(compiled._tensors()[name], tensor, rtol=1e-3, atol=1e-4)
