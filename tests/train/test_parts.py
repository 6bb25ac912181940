"""Latents, work, schedule, averages, configuration, estimate, export."""

import errno
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from strokewise.datasets.latents import LatentEncoder
from strokewise.datasets.prepare import Preparer
from strokewise.datasets.records import SUBSET_SIZES, Rendered
from strokewise.errors import CheckpointError, ConfigError
from strokewise.models import find_checkpoint, load_model
from strokewise.models.bagel import ARCHITECTURE, bagel_7b, fresh_model, nano
from strokewise.models.units import human
from strokewise.recipes.registry import RECIPES
from strokewise.sequence import Kind, Segment, Tokenizer, to_tensor
from strokewise.train import optim
from strokewise.train.config import Dropout, Lora, override
from strokewise.train.distributed import World
from strokewise.train.estimate import Speed, _probe, estimate, refuse_dropped, table
from strokewise.train.export import export
from strokewise.train.muon import Muon
from strokewise.train.run_data import RunData
from strokewise.train.trainer import Trainer
from strokewise.train.workload import Workload

ALONE = World(0, 1, torch.device("cpu"))
SPEED = Speed.stated(1e9)


# --- latents -----------------------------------------------------------------------------------------------


def canvas_of(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def test_latents_are_the_generators(tiny_model, random_image):
    encoder = LatentEncoder(tiny_model, 2**20)
    images = [random_image(16, size, seed) for seed, size in enumerate((16, 8, 16))]
    found = encoder.encode([canvas_of(image) for image in images])
    for tokens, image in zip(found, images, strict=True):
        assert torch.allclose(tokens, tiny_model.encode_image(to_tensor(image)), rtol=1e-4, atol=1e-5)


def test_latents_do_not_depend_on_the_company(tiny_model, random_image):
    """A resumed run has another cache, so other pictures are encoded together."""
    images = [canvas_of(random_image(16, 16, seed)) for seed in range(11)]
    together = LatentEncoder(tiny_model, 0).encode(images)
    for size in (1, 2, 3, 8):
        encoder = LatentEncoder(tiny_model, 0)
        apart = [tokens for at in range(0, 11, size) for tokens in encoder.encode(images[at : at + size])]
        assert all(torch.equal(one, other) for one, other in zip(together, apart, strict=True))


def test_pictures_that_come_again_are_not_encoded_again(tiny_model, random_image):
    encoder = LatentEncoder(tiny_model, 3 * 16 * 16 * 4)
    images = [canvas_of(random_image(16, 16, seed)) for seed in range(5)]
    encoder.encode([images[0], images[0], images[1]])
    assert encoder.encoded == 2
    encoder.encode(images[:2])
    assert encoder.encoded == 2
    encoder.encode(images[2:])
    encoder.encode(images[2:])
    assert encoder.encoded == 5
    encoder.encode(images[:1])
    assert encoder.encoded == 6


# --- counting ----------------------------------------------------------------------------------------------


def test_work_is_what_the_mask_and_the_losses_say(tiny_model, special):
    from strokewise.sequence import pack

    spec = tiny_model.pack_spec(special)
    tokens = torch.zeros(4, spec.latent_channels)
    sample = [
        Segment.text([5, 6]),
        Segment.text([7, 8, 9], loss=True, end_label=3),
        Segment(Kind.NOISED, tokens, grid=(2, 2), loss=True, noise=tokens, time=0.5),
        Segment(Kind.CLEAN, tokens, grid=(2, 2)),
        Segment(Kind.VIT, torch.zeros(6, spec.patch_channels), grid=(2, 3), end_label=0),
    ]
    packed, work = pack([[sample]], spec), Workload.of(sample)
    assert work.tokens == int(packed.layout.valid.sum())
    assert work.pairs == int(packed.layout.mask().sum())
    assert work.text_losses == len(packed.text_labels)
    assert work.velocity_losses == len(packed.latent_slots)
    assert (work.patches, work.patch_pairs) == (6, 36)


def test_operations_of_bagel_per_token():
    """Seven billion active weights: about 6 · 6.5e9 operations a token besides embedding and head."""
    costs = ARCHITECTURE.costs(bagel_7b())
    flops = Workload(tokens=1).flops(costs)
    assert 6 * 6.4e9 < flops < 6 * 6.7e9
    assert Workload(tokens=1).flops(costs, frozen=True) == pytest.approx(flops * 2 / 3)
    assert costs.encoding_flops(512, 512) > 1e11


# --- optimizer ---------------------------------------------------------------------------------------------


def test_the_rate_warms_up_and_falls(toy, start):
    config = replace(toy.config(start, steps=110), warmup_steps=10, learning_rate=1.0, final_lr=0.1)
    rates = [optim.learning_rate(config, step) for step in range(110)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1.0
    assert rates[60] == pytest.approx(0.55)
    assert rates[-1] == pytest.approx(0.1, abs=1e-3)
    assert rates[10:] == sorted(rates[10:], reverse=True)


@pytest.mark.parametrize("shape", [(8, 8), (24, 6), (6, 24)])
def test_muon_steps_like_torchs(shape):
    torch.manual_seed(1)
    ours, theirs = (torch.nn.Parameter(torch.ones(shape)) for _ in range(2))
    stepper, reference = Muon([ours], 0.01), torch.optim.Muon([theirs], lr=0.1, weight_decay=0.01)
    for _ in range(5):
        ours.grad = torch.randn(shape)
        theirs.grad = ours.grad.clone()
        stepper.step(0.1)
        reference.step()
    # Theirs rounds to the eight bits of bfloat16.
    assert torch.allclose(ours, theirs, atol=0.02)
    assert not torch.allclose(ours, torch.ones(shape), atol=0.1)


def test_muon_moves_matrices_by_nearly_orthogonal_steps(toy, start):
    config = replace(toy.config(start, steps=10), warmup_steps=0, learning_rate=1e-3, muon=0.5)
    torch.manual_seed(0)
    kernel, matrix, outer = (
        torch.nn.Parameter(torch.randn(*shape)) for shape in ((8, 4, 3, 3), (8, 8), (8, 8))
    )
    parameters = {"kernel": kernel, "matrix": matrix, "outer": outer}
    optimizer = optim.Optimizer(parameters, config, ["kernel", "matrix"])
    before = {name: p.detach().clone() for name, p in parameters.items()}
    for parameter in parameters.values():
        parameter.grad = torch.randn_like(parameter)
    assert optimizer.update(0) == 1e-3
    for name in ("kernel", "matrix"):
        moved = (parameters[name].detach() - before[name]).flatten(1)
        singular = torch.linalg.svdvals(moved) / 0.5
        assert float(singular.min()) > 0.3
        assert float(singular.max()) < 1.4
    assert torch.allclose((outer.detach() - before["outer"]).abs(), torch.full((8, 8), 1e-3), rtol=1e-3)
    assert all(parameter.grad is None for parameter in parameters.values())
    assert set(optimizer.tensors()) == {
        "momentum_buffer/kernel",
        "momentum_buffer/matrix",
        "step/outer",
        "exp_avg/outer",
        "exp_avg_sq/outer",
    }


@pytest.mark.parametrize("on_cpu", [False, True])
def test_averages_follow_and_are_lent(on_cpu):
    weight = torch.nn.Parameter(torch.zeros(3))
    averages = optim.AveragedWeights({"w": weight}, 0.9, on_cpu)
    wanted = 0.0
    for step in range(200):
        weight.data.fill_(step)
        averages.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        wanted = decay * wanted + (1 - decay) * step
    assert float(averages.averages["w"][0]) == pytest.approx(wanted, rel=1e-5)
    with averages.applied():
        assert float(weight[0]) == pytest.approx(wanted, rel=1e-5)
    assert float(weight[0]) == 199
    assert float(averages.averages["w"][0]) == pytest.approx(wanted, rel=1e-5)


# --- configuration -----------------------------------------------------------------------------------------


def test_values_are_set_by_name(toy, start):
    config = toy.config(start)
    assert override(config, "steps=7").steps == 7
    assert override(config, "learning_rate=1").learning_rate == 1.0
    assert override(config, "running.workers=3").running.workers == 3
    assert override(config, "dropout.text=0").dropout.text == 0.0
    assert override(config, "precision=bfloat16").precision == "bfloat16"
    assert override(config, "running.compile=true").running.compile is True
    assert override(config, "objective.text_weight=2").objective.text_weight == 2.0
    assert override(config, "muon=0.02").muon == 0.02
    assert override(override(config, "muon=1"), "muon=null").muon is None
    assert override(config, "betas=[0.8,0.99]").betas == (0.8, 0.99)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps", "expected name=value"),
        ("stepps=3", "expected name=value"),
        ("sources=3", "expected name=value"),
        ("running.workerz=3", "expected name=value"),
        ("steps=many", "steps is a int, such as 6"),
        ("steps=0", "must be at least 1"),
        ("precision=float8", "unknown precision"),
        ("dropout.vit=2", "must lie in 0..1"),
    ],
)
def test_values_that_cannot_be(toy, start, text, message):
    with pytest.raises(ConfigError, match=message):
        override(toy.config(start), text)


def test_lanes_are_shared_evenly():
    assert World(1, 2, torch.device("cpu")).lanes(6) == range(3, 6)
    with pytest.raises(ConfigError, match="4 processes cannot share evenly"):
        World(0, 4, torch.device("cpu")).lanes(6)


# --- estimate ----------------------------------------------------------------------------------------------


def test_the_estimate_is_close_to_the_run(toy, start, tmp_path):
    config = toy.config(start, steps=20)
    found = estimate(config, RunData.open(config), 1, SPEED)
    run = Trainer(config, tmp_path)
    reports = [run.train_step() for _ in range(20)]
    tokens = sum(r.work.tokens for r in reports) / 20
    assert found.work.tokens * found.samples == pytest.approx(tokens, rel=0.1)
    assert found.trainable == sum(p.numel() for p in run.parameters.values())
    assert found.trainable + found.frozen == sum(t.numel() for t in run.model.state_dict().values())
    bytes_held = 4 * found.trainable
    assert found.memory.gradients == found.memory.average == found.memory.optimizer / 2 == bytes_held
    assert "20 steps" in [*table(config, found, 1).columns[0].cells]


def test_averages_on_the_host_are_counted_there(toy, start):
    config = toy.config(start)
    config = replace(config, running=replace(config.running, ema_on_cpu=True))
    found = estimate(config, RunData.open(config), 1, SPEED)
    assert found.memory.average == 0
    assert "host memory of averages" in [*table(config, found, 1).columns[0].cells]


def test_adapters_are_counted(toy, start, tmp_path):
    config = replace(toy.config(start), lora=Lora(rank=3))
    run = Trainer(config, tmp_path)
    count = sum(p.numel() for p in run.parameters.values())
    assert count == run.data.costs.adapter_parameters(config.lora.rank)
    assert estimate(config, RunData.open(config), 1, SPEED).trainable == count


def test_sharding_divides_what_it_can(toy, start):
    config = replace(toy.config(start), packs_per_step=8)
    one, eight = (estimate(config, RunData.open(config), n, SPEED).memory for n in (1, 8))
    assert eight.optimizer == one.optimizer / 8
    assert eight.gathered > one.gathered == 0


# --- weights -----------------------------------------------------------------------------------------------


def test_fresh_weights_are_sane_and_follow_from_the_seed():
    config = nano()
    one, again, other = fresh_model(config, 1), fresh_model(config, 1), fresh_model(config, 2)
    name = "language.layers.3.generation.gate_up.weight"
    assert torch.equal(one.get_parameter(name), again.get_parameter(name))
    assert not torch.equal(one.get_parameter(name), other.get_parameter(name))
    assert one.latent_out.weight.count_nonzero() == 0
    assert float(one.get_parameter(name).std()) == pytest.approx(config.language.hidden_size**-0.5, rel=0.02)


@pytest.mark.parametrize("lora", [None, Lora(rank=2, alpha=8)], ids=["whole", "lora"])
def test_exported_weights_are_those_of_the_run(toy, start, tmp_path, lora):
    config = replace(toy.config(start), lora=lora, dropout=Dropout(0, 0, 0, 0))
    run = Trainer(config, tmp_path / "run")
    run.fit(max_steps=2)
    export(tmp_path / "run", tmp_path / "model")
    export(tmp_path / "run", tmp_path / "last", averaged=False)
    averaged, last = (load_model(tmp_path / name, dtype=torch.float32) for name in ("model", "last"))
    assert (tmp_path / "model" / "tokenizer.json").exists()
    packed = run._load().packs[0]
    mask = packed.layout.mask()
    with torch.no_grad():
        wanted = run.model(packed, mask).understanding
        torch.testing.assert_close(last(packed, mask).understanding, wanted, rtol=0.1, atol=0.05)
        with run.averages.applied():
            mean = run.model(packed, mask).understanding
        torch.testing.assert_close(averaged(packed, mask).understanding, mean, rtol=0.1, atol=0.05)


def test_weights_are_exported_in_bagels_layout(toy, start, tmp_path):
    run = Trainer(toy.config(start), tmp_path / "run")
    run.fit(max_steps=1)
    export(tmp_path / "run", tmp_path / "own")
    export(tmp_path / "run", tmp_path / "bagel", layout="bagel")
    assert {"ema.safetensors", "ae.safetensors", "llm_config.json"} <= {
        path.name for path in (tmp_path / "bagel").iterdir()
    }
    own, bagel = (load_model(tmp_path / name).state_dict() for name in ("own", "bagel"))
    assert own.keys() == bagel.keys()
    assert all(torch.equal(own[name], bagel[name]) for name in own)
    with pytest.raises(ConfigError, match="unknown layout 'flux'; known are strokewise, bagel"):
        export(tmp_path / "run", tmp_path / "other", layout="flux")


@pytest.fixture
def trained(toy, start, tmp_path):
    Trainer(toy.config(start), tmp_path / "run").fit(max_steps=1)
    return tmp_path / "run"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_export_replaces_a_model_alone_and_only_if_it_is_told_to(trained, start, tmp_path):
    out = tmp_path / "model"
    out.mkdir()
    export(trained, out)
    averaged = contents(out)
    with pytest.raises(ConfigError, match=r"model is there already.*--replace"):
        export(trained, out, averaged=False)
    assert contents(out) == averaged
    export(trained, out, averaged=False, layout="bagel", replace=True)
    assert "ema.safetensors" in contents(out)
    assert "strokewise.json" not in contents(out)
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.txt").write_text("a")
    for kept, reason in ((notes, "only a model is replaced"), (start, "what the run started from")):
        with pytest.raises(ConfigError, match=reason):
            export(trained, kept, replace=True)
    assert contents(notes) == {"a.txt": b"a"}


def test_an_export_that_fails_leaves_what_was_there(trained, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    export(trained, tmp_path / "model")
    before = contents(tmp_path / "model")
    monkeypatch.setattr(shutil, "copyfile", full)
    for out in ("model", "new"):
        with pytest.raises(CheckpointError, match="No space left"):
            export(trained, tmp_path / out, averaged=False, replace=True)
    assert contents(tmp_path / "model") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "run"]


def test_nothing_to_export(tmp_path):
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        export(tmp_path, tmp_path / "out")


def test_pictures_of_every_size_are_counted(tiny_config):
    small, large = (ARCHITECTURE.costs(tiny_config).encoding_flops(n, n) for n in (16, 32))
    assert 4 <= large / small < 5
    assert not math.isnan(small)
    assert np.isfinite(large)


# --- sizes of images ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["strokewise", "bagel"])
def test_image_sides_are_trained_with_stored_and_used(toy, start, tmp_path, layout):
    config = replace(toy.config(start), canvas_side=8, view_side=8)
    run = Trainer(config, tmp_path / "run")
    assert run.model.config.canvas_limits.largest == run.model.config.vision_limits.largest == 8
    load = run._load()
    assert {*load.packs[0].patch_lengths} == {4}
    run.fit(max_steps=1)
    export(tmp_path / "run", tmp_path / "model", layout=layout)
    sizes = load_model(tmp_path / "model").config
    assert (sizes.canvas_limits.largest, sizes.vision_limits.largest) == (8, 8)
    assert sizes.canvas_limits.fit(16, 16) == (8, 8)


@pytest.mark.parametrize("side", [10, 10_000])
def test_image_sides_that_cannot_be(toy, start, side):
    with pytest.raises(ConfigError, match="a largest side of"):
        RunData.open(replace(toy.config(start), canvas_side=side))


def test_samples_that_do_not_fit_are_named_and_refused(toy, start):
    config = toy.config(start)
    lengths = [p.length for p in _probe(RunData.open(config), 10**6, 48)[0]]
    config = replace(config, pack_tokens=sorted(lengths)[24])
    found = estimate(config, RunData.open(config), 1, SPEED)
    assert found.dropped == sum(n > config.pack_tokens for n in lengths) > 0
    assert 0 < found.dropped_images < found.images
    assert any("too long" in cell for cell in table(config, found, 1).columns[1].cells)
    with pytest.raises(ConfigError, match="do not fit a pack"):
        refuse_dropped(config, found)
    refuse_dropped(config, replace(found, dropped=0))


def test_trajectories_fit_the_packs_of_the_7b_recipes():
    """Also if BAGEL's tokenizer takes twice as many tokens for the same texts as nano's."""
    tokenizer = Tokenizer.load(find_checkpoint("nano"))
    process, lora = (RECIPES[name]("start", None) for name in ("bagel-7b-process", "bagel-7b-lora"))
    sizes = bagel_7b().limited(process.canvas_side, process.view_side)
    preparer = Preparer(sizes, tokenizer.special, Dropout(0, 0, 0, 0), process.time_shift)
    longest = 0
    for subset in SUBSET_SIZES:
        source = Rendered(subset).open(tokenizer)
        for index in range(12):
            segments = preparer.prepare(source.sample(index), 0).segments
            longest = max(longest, sum(s.length * (1 + s.is_text) for s in segments))
    assert 5_000 < longest <= lora.pack_tokens <= process.pack_tokens


def test_the_memory_of_views_is_counted_and_checkpointing_lowers_it(toy, start):
    config = toy.config(start)
    plain = estimate(config, RunData.open(config), 1, SPEED).memory.activations
    checkpointed = replace(config, running=replace(config.running, checkpointing=True))
    assert estimate(checkpointed, RunData.open(config), 1, SPEED).memory.activations < plain
    sizes = ARCHITECTURE.costs(bagel_7b()).sizes
    # A pack of 33,000 tokens holds up to 13,000 patches at 518 pixels: 1 GB with checkpointing, 8 without.
    assert 13_000 * 2 * sizes.kept_patch_checkpointing < 1.5e9 < 6e9 < 13_000 * 2 * sizes.kept_patch


def test_large_packs_have_no_mask(toy, start):
    config = replace(toy.config(start), pack_tokens=33_000, row_tokens=33_000)
    costs = RunData.open(config).costs.sizes
    found = estimate(config, RunData.open(config), 1, SPEED).memory.activations
    assert found < 33_000 * (costs.kept + costs.kept_patch) * 4 + 33_000**2


def test_the_table_tells_bytes_of_checkpoints_and_of_export(toy, start):
    config = toy.config(start)
    shown = table(config, estimate(config, RunData.open(config), 1, SPEED), 1)
    assert {"a checkpoint", "host memory of export", "left out"} <= {*shown.columns[0].cells}
    assert "host memory of saving" not in {*shown.columns[0].cells}


def test_the_copy_that_is_written_in_the_background_is_counted(toy, start):
    config = override(toy.config(start), "running.async_save=true")
    found = estimate(config, RunData.open(config), 1, SPEED)
    names, values = (list(column.cells) for column in table(config, found, 1).columns)
    copied = values[names.index("host memory of saving")]
    assert copied == f"{human(16 * found.trainable, 'B')} in all, the copy that is being written"
    full, adapters = (RECIPES[name]("start", None) for name in ("bagel-7b-process", "bagel-7b-lora"))
    assert full.running.async_save
    assert not adapters.running.async_save
