"""Adapters beside a base in four bits: bytes, gradients, training, resumption, export."""

import sys
from dataclasses import replace

import pytest
import torch

from strokewise.errors import ConfigError
from strokewise.models import load_model
from strokewise.models.bagel import ARCHITECTURE, bagel_7b
from strokewise.recipes.registry import RECIPES
from strokewise.train.config import Dropout, Lora, override
from strokewise.train.distributed import World
from strokewise.train.estimate import NF4, Speed, _memory, estimate, table
from strokewise.train.export import export
from strokewise.train.model import build_model
from strokewise.train.run_data import RunData
from strokewise.train.trainer import Trainer

SPEED = Speed.stated(1e9)


@pytest.fixture
def config(toy, start):
    pytest.importorskip("bitsandbytes")
    lora = Lora(rank=4, alpha=8, quantize="nf4")
    return replace(toy.config(start), lora=lora, dropout=Dropout(0, 0, 0, 0), learning_rate=1e-2)


def packed_layers(model):
    return {n: m for n, m in model.named_modules() if n.endswith("base_layer") and hasattr(m, "quant_state")}


def test_adapters_alone_are_trained_and_stored_and_the_loss_falls(config, tmp_path):
    run = Trainer(replace(config, steps=20), tmp_path)
    assert len(packed_layers(run.model)) == 16  # two layers, two experts, four matrices
    assert all(".lora_" in name for name in run.parameters)
    assert all(".lora_" in name for name in run._tensors())
    losses = [run.train_step().loss for _ in range(20)]
    assert sum(losses[-4:]) < 0.9 * sum(losses[:4])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_gradients_are_those_beside_the_dequantized_base(config, tmp_path, precision):
    from bitsandbytes.functional import dequantize_4bit

    config = replace(config, precision=precision)
    run = Trainer(config, tmp_path / "packed")
    plain = Trainer(replace(config, lora=replace(config.lora, quantize=None)), tmp_path / "plain")
    for name, layer in packed_layers(run.model).items():
        whole = plain.model.get_submodule(name)
        assert layer.weight.dtype is torch.uint8
        whole.weight.data = dequantize_4bit(layer.weight.data, layer.weight.quant_state).to(
            whole.weight.dtype
        )
    for one, other in zip(run.parameters.values(), plain.parameters.values(), strict=True):
        one.data.normal_(0, 0.05)
        other.data.copy_(one)
    for trainer in (run, plain):
        load = trainer._load()
        trainer._backward(load.packs[0], trainer._totals(load)[1])
    tolerance = 1e-5 if precision == "float32" else 0.05
    for name, parameter in run.parameters.items():
        found, wanted = parameter.grad, plain.parameters[name].grad
        assert float(wanted.norm()) > 0
        assert float((found - wanted).norm()) < tolerance * float(wanted.norm()), name


def test_a_resumed_run_is_the_unbroken_one(config, tmp_path):
    unbroken = Trainer(config, tmp_path / "unbroken")
    unbroken.fit(max_steps=4)
    Trainer(config, tmp_path / "broken").fit(max_steps=2)
    resumed = Trainer(config, tmp_path / "broken")
    assert resumed.step == 2
    resumed.fit(max_steps=2)
    for name, tensor in unbroken._tensors().items():
        assert torch.equal(tensor, resumed._tensors()[name]), name


def test_painting_between_steps_changes_nothing(config, tmp_path):
    config = replace(config, running=replace(config.running, num_samples=1, sample_steps=2))
    plain, painted = Trainer(config, tmp_path / "plain"), Trainer(config, tmp_path / "painted")
    plain.train_step(), painted.train_step()
    painted.paint()
    assert plain.train_step().loss == painted.train_step().loss


def test_adapters_are_exported_into_the_released_weights(config, start, tmp_path):
    run = Trainer(config, tmp_path / "run")
    run.fit(max_steps=3)
    export(tmp_path / "run", tmp_path / "model", averaged=False)
    released = load_model(start, dtype=torch.float32).state_dict()
    exported = load_model(tmp_path / "model", dtype=torch.float32).state_dict()
    weights = {name: p.detach() for name, p in run.parameters.items()}
    changed = 0
    for name, weight in exported.items():
        wanted, layer = released[name], name.removesuffix(".weight")
        if f"{layer}.lora_A.default.weight" in weights:
            a, b = (weights[f"{layer}.lora_{side}.default.weight"] for side in "AB")
            wanted, changed = wanted + config.lora.alpha / config.lora.rank * b @ a, changed + 1
        assert torch.equal(weight, wanted.bfloat16().float()), name
    assert changed == 16


def test_bytes_of_packed_weights_are_those_of_the_estimate():
    bnb = pytest.importorskip("bitsandbytes")
    weight = torch.randn(256, 1024)
    state = bnb.nn.Params4bit(weight, requires_grad=False, quant_type="nf4").to("cpu")
    scales = state.quant_state
    found = state.nbytes + scales.absmax.nbytes + scales.state2.absmax.nbytes
    assert found == NF4 * weight.numel()


def test_the_estimate_counts_four_bits(config):
    config = override(config, "precision=bfloat16")
    found = estimate(config, RunData.open(config), 1, SPEED)
    plain = override(config, "lora.quantize=null")
    whole = estimate(plain, RunData.open(plain), 1, SPEED)
    sizes = RunData.open(config).costs.sizes
    assert whole.memory.weights - found.memory.weights == pytest.approx((2 - NF4) * sizes.quantized)
    names, values = (list(column.cells) for column in table(config, found, 1).columns)
    assert "in nf4, 0.516 bytes" in values[names.index("base of the adapters")]
    assert "base of the adapters" not in [*table(plain, whole, 1).columns[0].cells]


def test_bagel_7b_fits_a_card_of_48_gb():
    config = override(RECIPES["bagel-7b-lora"]("start", None), "lora.quantize=nf4")
    costs = ARCHITECTURE.costs(bagel_7b())
    trained = costs.adapter_parameters(config.lora.rank)
    # As many patches of views as an image of 512 pixels has beside the tokens of its canvas.
    total = _memory(config, costs.sizes, trained, 1, 0.4).total
    assert 27e9 < total < 30e9


def test_several_processes_are_refused(toy, start):
    config = replace(toy.config(start), lora=Lora(quantize="nf4"))
    message = "a base in nf4 cannot be sharded over 2 processes"
    with pytest.raises(ConfigError, match=message):
        build_model(config, World(0, 2, torch.device("cpu")))
    with pytest.raises(ConfigError, match=message):
        estimate(config, RunData.open(config), 2, SPEED)


def test_only_nf4_is_trained_beside(toy, start):
    config = replace(toy.config(start), lora=Lora())
    assert override(config, "lora.quantize=nf4").lora.quantize == "nf4"
    with pytest.raises(ConfigError, match="in nf4 or none, not 'int8'"):
        override(config, "lora.quantize=int8")


def test_without_the_library(toy, start, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    config = replace(toy.config(start), lora=Lora(quantize="nf4"))
    with pytest.raises(ConfigError, match=r"needs bitsandbytes: pip install 'strokewise\[quant\]'"):
        Trainer(config, tmp_path)
