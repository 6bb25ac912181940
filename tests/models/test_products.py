"""Products by oneDNN: the same numbers as torch's own, and only where they can win."""

import copy

import pytest
import torch
from torch import nn

from strokewise.models import products
from strokewise.models.products import ROWS, OneDNNLinear, choose_products


@pytest.fixture
def used(monkeypatch):
    """A list that receives the shape of every product by oneDNN."""
    shapes, product = [], products._onednn

    def record(x, weight, bias):
        shapes.append(tuple(x.shape))
        return product(x, weight, bias)

    monkeypatch.setattr(products, "_onednn", record)
    return shapes


def faster(monkeypatch, answer):
    monkeypatch.setattr(products, "onednn_is_faster", lambda: answer)


@pytest.mark.parametrize("bias", [False, True])
@torch.inference_mode()
def test_both_libraries_give_the_same_numbers(bias, used):
    layer, x = nn.Linear(96, 40, bias), torch.randn(2, ROWS, 96)
    expected = layer(x)
    layer.__class__ = OneDNNLinear
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)
    assert used == [(2, ROWS, 96)]


def test_few_rows_and_gradients_are_left_to_torch(used):
    layer = OneDNNLinear(8, 8)
    layer(torch.randn(ROWS, 8)).sum().backward()
    assert layer.weight.grad is not None
    with torch.no_grad():
        layer(torch.randn(ROWS - 1, 8))
        assert not used
        layer(torch.randn(ROWS, 8))
    assert used


@pytest.mark.parametrize("wins", [False, True])
def test_a_model_is_changed_only_where_it_gains(wins, monkeypatch, tiny_model):
    faster(monkeypatch, wins)
    model = choose_products(copy.deepcopy(tiny_model))
    kinds = {type(module) for module in model.modules() if isinstance(module, nn.Linear)}
    assert kinds == {OneDNNLinear if wins else nn.Linear}
    assert model.state_dict().keys() == tiny_model.state_dict().keys()


def test_low_precision_is_left_to_torch(monkeypatch):
    faster(monkeypatch, True)
    assert type(choose_products(nn.Linear(4, 4).bfloat16())) is nn.Linear


def test_the_choice_is_measured_once():
    assert products.onednn_is_faster() is products.onednn_is_faster()
    assert products.onednn_is_faster.cache_info().misses <= 1


def test_an_operation_that_torch_no_longer_has_is_not_missed(monkeypatch):
    monkeypatch.setattr(products.torch.ops, "mkldnn", object())
    assert products.onednn_is_faster.__wrapped__() is False


def test_what_bfloat16_gains_is_measured_once():
    assert products.bfloat16_gain() is products.bfloat16_gain() > 0
