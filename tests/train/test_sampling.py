"""Self-sampling: what a sampler paints becomes two data sets, once, whatever interrupts it."""

import os
from dataclasses import replace

import pytest
from tests.train.careless import Careless

from strokewise.data import self_sampling as module
from strokewise.data.checking import faults_of
from strokewise.data.executor import Executor
from strokewise.data.scenes import SceneMix
from strokewise.data.self_sampling import SelfSampling, self_sample
from strokewise.data.storage import read
from strokewise.datasets.records import Shards
from strokewise.errors import ConfigError
from strokewise.trajectory.values import Message, Trajectory
from strokewise.world.language import parse_prompt

KNOWN = ("apple", "bus", "cow", "dog", "laptop", "tv", "vase", "zebra", "carrot", "orange", "horse", "chair")


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 4)


@pytest.fixture
def asked():
    return SelfSampling("careless", 10, seed=3, scenes=SceneMix(classes=KNOWN), right_share=0.5)


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_what_was_painted_becomes_two_data_sets(asked, careless, tmp_path):
    sampler, progress = careless(), []
    self_sample(asked, sampler, tmp_path, lambda done, all: progress.append((done, all)))
    assert progress == [(4, 10), (8, 10), (10, 10)]
    assert len(sampler.prompts) == 10
    assert all(o.name in KNOWN for prompt in sampler.prompts for o in parse_prompt(prompt).objects)
    for subset, wrong in (("conflict", "wrong"), ("alignment", "negative")):
        records = [record for _, record in read(tmp_path / subset)]
        assert {record.subset for record in records} == {subset}
        assert not [fault for record in records for fault in faults_of(record)]
        labels = [record.label for record in records]
        if subset == "alignment":
            assert labels.count(wrong) >= 3
            assert len(labels) - labels.count(wrong) <= labels.count(wrong) + 3  # one a chunk at least


def test_a_resumed_build_paints_the_rest_only(asked, careless, tmp_path):
    self_sample(asked, careless(), tmp_path / "whole")
    self_sample(asked, careless(), tmp_path / "again")
    for subset in ("conflict", "alignment"):
        (tmp_path / "again" / subset / "manifest.json").unlink()
    (tmp_path / "again" / "alignment" / "part-00001.parquet").unlink()
    sampler = careless()
    self_sample(asked, sampler, tmp_path / "again")
    assert sampler.calls == 1
    assert contents(tmp_path / "again") == contents(tmp_path / "whole")


class Fresh:
    """Gives a worker its sampler, and notes which process that was."""

    def __init__(self, log):
        self.log = log

    def __call__(self):
        (self.log / f"{os.getpid()}").touch()
        return Careless()


@pytest.mark.parametrize("kind", ["processes", pytest.param("ray", marks=pytest.mark.slow)])
def test_executors_sample_what_one_process_samples(asked, careless, tmp_path, kind):
    if kind == "ray":
        ray = pytest.importorskip("ray")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    (log := tmp_path / "log").mkdir()
    self_sample(asked, careless(), tmp_path / "here")
    progress = []
    try:
        self_sample(
            asked,
            careless(),
            tmp_path / "there",
            lambda done, _: progress.append(done),
            Executor(kind, 2),
            Fresh(log),
        )
    finally:
        if kind == "ray":
            ray.shutdown()
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    assert (len(progress), progress[-1]) == (3, 10)
    workers = {int(path.name) for path in log.iterdir()}
    assert 1 <= len(workers) <= 2
    assert os.getpid() not in workers


def test_they_can_be_trained_on(asked, careless, tmp_path, tiny_tokenizer):
    self_sample(asked, careless(), tmp_path)
    source = Shards(str(tmp_path / "alignment")).open(tiny_tokenizer)
    assert source.sample(source.size - 1).parts


def test_another_model_needs_another_folder(asked, careless, tmp_path):
    self_sample(asked, careless(), tmp_path)
    with pytest.raises(ConfigError, match="another recipe"):
        self_sample(replace(asked, model="other"), careless(), tmp_path)


def test_a_model_that_says_nothing_of_sense(asked, careless, tmp_path):
    class Silent(careless):
        def paint(self, prompt, seed):
            return Trajectory(prompt, (replace(super().paint(prompt, seed).steps[0], message=Message("uh")),))

    with pytest.raises(ConfigError, match="painted nothing"):
        self_sample(asked, Silent(), tmp_path)


@pytest.mark.parametrize("change", [{"prompts": 0}, {"right_share": 1.0}, {"right_share": -0.1}])
def test_what_cannot_be_sampled(asked, change):
    with pytest.raises(ConfigError):
        replace(asked, **change)
