"""Attention, positions, norms and time, each against its definition written out."""

import math

import numpy as np
import pytest
import torch

from strokewise.errors import ConfigError
from strokewise.models.attention import attend
from strokewise.models.bagel.config import LanguageConfig, ModelConfig, bagel_7b, nano
from strokewise.models.bagel.layers import PositionTable, RMSNorm, TimeEmbedding, rotary, rotate, sincos_table


def explicit(query, keys, values, mask):
    """Attention from its definition, one head at a time."""
    rows, queries, heads, size = query.shape
    groups = heads // keys.shape[1]
    result = torch.zeros(rows, queries, heads, size)
    for row in range(rows):
        for head in range(heads):
            scores = query[row, :, head] @ keys[row, head // groups].T / math.sqrt(size)
            if mask is not None:
                scores = scores.masked_fill(~mask[row], -math.inf)
            result[row, :, head] = scores.softmax(-1) @ values[row, head // groups]
    return result.flatten(2)


@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (4, 2), (6, 1)])
@pytest.mark.parametrize("masked", ["none", "row", "query"])
@pytest.mark.parametrize("queries", [1, 5])
def test_attention_is_its_definition(heads, kv_heads, masked, queries):
    draw = torch.Generator().manual_seed(0)
    query = torch.randn(3, queries, heads, 8, generator=draw)
    keys, values = (torch.randn(3, kv_heads, 7, 8, generator=draw) for _ in range(2))
    mask = None
    if masked != "none":
        shape = (3, 1 if masked == "row" else queries, 7)
        mask = torch.rand(shape, generator=draw) < 0.5
        mask[:, :, 0] = True
    found = attend(query, keys, values, mask)
    torch.testing.assert_close(found, explicit(query, keys, values, mask), atol=1e-5, rtol=1e-5)


def test_a_range_of_keys_for_each_row_is_its_mask():
    draw = torch.Generator().manual_seed(0)
    query = torch.randn(3, 5, 4, 8, generator=draw)
    keys, values = (torch.randn(3, 2, 7, 8, generator=draw) for _ in range(2))
    ranges = (slice(0, 7), slice(2, 7), slice(6, 7))
    mask = torch.tensor([[at.start <= i < at.stop for i in range(7)] for at in ranges])[:, None]
    found = attend(query, keys, values, ranges)
    torch.testing.assert_close(found, explicit(query, keys, values, mask), atol=1e-5, rtol=1e-5)


def test_attention_takes_views():
    """Keys are views into a larger workspace, queries slices of a projection."""
    draw = torch.Generator().manual_seed(0)
    query = torch.randn(2, 3, 8, 8, generator=draw)[:, :, 2:6]
    keys = torch.randn(2, 2, 20, 8, generator=draw)[:, :, :9]
    values = torch.randn(2, 2, 20, 8, generator=draw)[:, :, :9]
    found = attend(query, keys, values)
    torch.testing.assert_close(found, explicit(query, keys, values, None), atol=1e-5, rtol=1e-5)


def numpy_table(side, size):
    """2-D sin-cos positions: columns in the first half, rows in the second."""
    table = np.zeros((side * side, size))
    quarter = size // 4
    for row in range(side):
        for column in range(side):
            for half, at in enumerate((column, row)):
                for i in range(quarter):
                    angle = at / 10000 ** (i / quarter)
                    table[row * side + column, half * 2 * quarter + i] = np.sin(angle)
                    table[row * side + column, half * 2 * quarter + quarter + i] = np.cos(angle)
    return table


@pytest.mark.parametrize(("side", "size"), [(1, 4), (3, 16), (5, 32)])
def test_sincos_table_against_numpy(side, size):
    np.testing.assert_allclose(sincos_table(side, size).numpy(), numpy_table(side, size), atol=1e-6)


def test_position_table_looks_up_and_is_stored():
    table = PositionTable(3, 8)
    assert set(table.state_dict()) == {"table"}
    assert not list(table.parameters())
    torch.testing.assert_close(table(torch.tensor([[4, 0]]))[0, 0], sincos_table(3, 8)[4])


def test_rotation_keeps_norms_and_makes_scores_relative():
    draw = torch.Generator().manual_seed(0)
    query, key = (torch.randn(1, 1, 1, 16, generator=draw) for _ in range(2))

    def score(one, other):
        turned = [
            rotate(x, *rotary(torch.tensor([[at]]), 16, 1e4, torch.float32))
            for x, at in ((query, one), (key, other))
        ]
        torch.testing.assert_close(turned[0].norm(), query.norm())
        return float((turned[0] * turned[1]).sum())

    assert score(3, 1) == pytest.approx(score(103, 101), abs=1e-4)
    assert score(5, 5) == pytest.approx(score(0, 0), abs=1e-5)
    assert abs(score(3, 1) - score(1, 3)) > 1e-2


def test_rotation_by_hand():
    """With two channels a rotation is one by the position in radians."""
    x = torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2)
    turned = rotate(x, *rotary(torch.tensor([[2]]), 2, 1e4, torch.float32)).flatten()
    torch.testing.assert_close(turned, torch.tensor([math.cos(2), math.sin(2)]))


def test_rms_norm():
    norm = RMSNorm(4, 1e-6)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    x = torch.tensor([[1.0, -2.0, 3.0, -4.0]])
    torch.testing.assert_close(norm(x), x / math.sqrt(30 / 4) * norm.weight)


def test_time_embedding_is_its_formula():
    module = TimeEmbedding(8)
    times = torch.tensor([[0.0, 0.3, 1.0]])
    frequencies = torch.tensor([10000 ** (-i / 128) for i in range(128)])
    angles = times[..., None] * frequencies
    waves = torch.cat([angles.cos(), angles.sin()], -1)
    hidden = waves @ module.fc1.weight.T + module.fc1.bias
    hidden = hidden * torch.sigmoid(hidden)
    torch.testing.assert_close(module(times), hidden @ module.fc2.weight.T + module.fc2.bias)


@pytest.mark.parametrize("config", [bagel_7b(), nano()], ids=["bagel-7b", "nano"])
def test_a_configuration_survives_its_dictionary(config):
    assert ModelConfig.from_dict(config.to_dict()) == config


def test_an_unknown_entry_of_a_configuration_is_named():
    values = nano().to_dict()
    values["language"]["num_layer"] = 3
    with pytest.raises(ConfigError, match=r"the sizes of a model: language\.num_layer: is unknown"):
        ModelConfig.from_dict(values)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"hidden_size": 65, "num_heads": 4}, "65 over 4 heads"),
        ({"hidden_size": 12, "num_heads": 4}, "no even head size"),
        ({"hidden_size": 64, "num_heads": 8, "num_kv_heads": 3}, "8 heads cannot share 3"),
    ],
)
def test_head_sizes_that_do_not_divide_are_refused(sizes, message):
    with pytest.raises(ConfigError, match=message):
        LanguageConfig(**{"num_kv_heads": 4, **sizes})


def test_sizes_of_bagel():
    config = bagel_7b()
    assert (config.latent_stride, config.token_channels, config.language.head_dim) == (16, 64, 128)
    assert (config.vision.patch_channels, config.vision.learned_side) == (588, 70)
