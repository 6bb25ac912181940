"""The loss is the one recorded of the official code; it does not depend on rows, chunks or dummies."""

import importlib.util
import sys

import pytest
import torch

from strokewise.sequence import Kind, Segment, pack
from strokewise.train.objectives import outputs as module
from strokewise.train.objectives.sft import SupervisedFineTuning

OBJECTIVE = SupervisedFineTuning()


@pytest.fixture(scope="module")
def recorded(repository, golden):
    spec = importlib.util.spec_from_file_location("parity", repository / "benchmarks" / "parity.py")
    parity = importlib.util.module_from_spec(spec)
    sys.modules["parity"] = parity
    spec.loader.exec_module(parity)
    found = parity.Recorded(golden)
    yield found, parity.training_samples(found)
    del sys.modules["parity"]


def means(recorded):
    return recorded["train.ce"].mean(), recorded["train.mse"].mean()


@pytest.mark.parametrize("rows", ["one", "each"])
def test_recorded_losses(recorded, rows):
    found, samples = recorded
    arranged = [samples] if rows == "one" else [[sample] for sample in samples]
    packed = pack(arranged, found.spec)
    with torch.no_grad():
        sums = OBJECTIVE.sums(found.model, packed)
    text, velocity = means(found)
    torch.testing.assert_close(sums["text"] / len(packed.text_labels), text, rtol=1e-4, atol=0)
    torch.testing.assert_close(sums["velocity"] / len(packed.latent_slots), velocity, rtol=1e-4, atol=0)


def test_recorded_gradients(recorded):
    found, samples = recorded
    model = found.model
    model.requires_grad_(True)
    packed = pack([[sample] for sample in samples], found.spec)
    sums = OBJECTIVE.sums(model, packed)
    (sums["text"] / len(packed.text_labels) + sums["velocity"] / len(packed.latent_slots)).backward()
    for ours, theirs in (("latent_in", "vae2llm"), ("connector.fc1", "connector.fc1")):
        found_gradient = model.get_parameter(f"{ours}.weight").grad
        wanted = found[f"train.grad.{theirs}.weight"]
        torch.testing.assert_close(found_gradient, wanted, rtol=1e-3, atol=1e-6)
    model.zero_grad()
    model.requires_grad_(False)


def test_large_vocabularies_in_pieces(recorded, monkeypatch):
    found, samples = recorded
    packed = pack([samples], found.spec)
    whole = OBJECTIVE.sums(found.model, packed)["text"]
    monkeypatch.setattr(module, "TEXTS_AT_ONCE", 7)
    torch.testing.assert_close(OBJECTIVE.sums(found.model, packed)["text"], whole)


def test_a_sample_of_other_kinds_changes_nothing(tiny_model, special):
    spec = tiny_model.pack_spec(special)
    sample = [Segment.text([5, 6, 7], loss=True, end_label=3)]
    other = [
        Segment(Kind.VIT, torch.zeros(1, spec.patch_channels), grid=(1, 1)),
        Segment(Kind.CLEAN, torch.zeros(1, spec.latent_channels), grid=(1, 1)),
    ]
    alone = OBJECTIVE.sums(tiny_model, pack([[sample]], spec))
    beside = OBJECTIVE.sums(tiny_model, pack([[sample, other]], spec))
    torch.testing.assert_close(alone["text"], beside["text"])
    assert beside["velocity"] == 0
