"""A backbone of another structure is loaded, trained, exported and painted with, by the same code."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from strokewise.errors import CheckpointError
from strokewise.inference import Generator, Painted, PaintOptions, WriteOptions, Written
from strokewise.models import architecture_of, load_model, read_config
from strokewise.sequence import Tokenizer
from strokewise.train.config import Lora
from strokewise.train.export import export
from strokewise.train.trainer import Trainer


@pytest.fixture
def single_start(single_stream, start, tmp_path):
    """A folder with such a model of random weights, and the toy world's tokenizer."""
    torch.manual_seed(0)
    folder = tmp_path / "single"
    single_stream.ARCHITECTURE.save(
        single_stream.SingleStream(single_stream.SingleConfig()), folder, "strokewise"
    )
    shutil.copyfile(start / "tokenizer.json", folder / "tokenizer.json")
    return folder


def test_it_is_loaded_by_what_its_folder_states(single_stream, single_start, start):
    assert architecture_of(single_start) is single_stream.ARCHITECTURE
    assert type(load_model(single_start)) is single_stream.SingleStream
    assert read_config(single_start) == single_stream.SingleConfig()
    assert architecture_of(start).name == "bagel"


def test_an_unknown_architecture_is_named(single_start):
    stated = json.loads((single_start / "strokewise.json").read_text())
    (single_start / "strokewise.json").write_text(json.dumps({**stated, "architecture": "other"}))
    with pytest.raises(CheckpointError, match=r"of the architecture 'other'; known are bagel, single-stream"):
        load_model(single_start)


@pytest.mark.parametrize("changes", [{}, {"muon": 0.01}, {"lora": Lora(2, 4)}], ids=["adamw", "muon", "lora"])
def test_it_is_trained_resumed_and_exported(toy, single_start, tmp_path, changes):
    config = toy.config(single_start, steps=4, **changes)
    running = replace(config.running, num_samples=2, sample_every=2, sample_steps=2)
    config = replace(config, running=running)
    run = Trainer(config, tmp_path / "run")
    before = {name: p.detach().clone() for name, p in run.parameters.items()}
    run.fit(max_steps=2)
    resumed = Trainer(config, tmp_path / "run")
    assert resumed.step == 2
    resumed.fit()
    assert sum(not torch.equal(p, before[n]) for n, p in resumed.parameters.items()) > len(before) / 2
    assert (tmp_path / "run" / "samples" / "step_00000004.png").exists()
    export(tmp_path / "run", tmp_path / "model", averaged=False)
    exported = load_model(tmp_path / "model", dtype=torch.float32)
    if not changes:
        name = "layers.0.qkv.weight"
        trained = resumed.parameters[name].detach()
        torch.testing.assert_close(exported.get_parameter(name), trained, rtol=1e-2, atol=1e-2)


def test_training_it_lowers_its_loss(toy, single_start, tmp_path):
    config = toy.config(single_start, steps=30, learning_rate=1e-2, packs_per_step=1)
    run = Trainer(replace(config, running=replace(config.running, save_every=100)), tmp_path / "run")
    losses = [run.train_step().loss for _ in range(30)]
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])


def test_it_writes_and_paints_in_a_batch_what_it_does_alone(single_start, random_image):
    generator = Generator(load_model(single_start, dtype=torch.float32), Tokenizer.load(single_start).special)
    contexts = [generator.context() for _ in range(2)]
    generator.read(contexts, [[10, 11], [12, 13, 14]])
    generator.see(contexts[1:], [random_image(16, 12)])
    alone = contexts[1].fork()
    written = [list(generator.write(c, WriteOptions(max_tokens=6)))[-1] for c in (contexts, [alone])]
    assert isinstance(written[0], Written)
    assert written[0].ids[1] == written[1].ids[0]
    options = PaintOptions(num_steps=4, previews=1)
    *_, both = generator.paint(contexts, [(16, 16), (8, 12)], options, seeds=[1, 2])
    *_, one = generator.paint([alone], [(8, 12)], options, seeds=[2])
    assert isinstance(both, Painted)
    assert [image.size for image in both.images] == [(16, 16), (12, 8)]
    torch.testing.assert_close(both.latents[1], one.latents[0], rtol=1e-4, atol=1e-4)
