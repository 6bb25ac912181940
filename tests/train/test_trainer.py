"""The run as a whole."""

import pytest


@pytest.fixture
def trainer(toy, start, tmp_path):
    from strokewise.train.trainer import Trainer

    return Trainer(toy.config(start), tmp_path / "run")


def test_run_writes_checkpoints_and_scalars(trainer):
    import json

    trainer.fit()
    lines = [json.loads(x) for x in (trainer.folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert trainer.checkpoints.latest().name == "step_00000006"
    assert sorted(p.name for p in trainer.folder.glob("step_*")) == ["step_00000004", "step_00000006"]
