"""Counted costs against what the modules really hold and compute."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from strokewise.errors import InputError
from strokewise.models.bagel import bagel_7b, costs, describe, nano

BAGEL_TOTAL = 14_691_079_811
BAGEL_WITHOUT_AUTOENCODER = 14_607_260_128


def test_parameters_of_bagel_are_those_of_the_released_files():
    parts = costs.parameters(bagel_7b())
    assert sum(parts.values()) == BAGEL_TOTAL
    without = BAGEL_TOTAL - parts["autoencoder"]
    assert without == BAGEL_WITHOUT_AUTOENCODER
    assert round(without * 2 / 2**30, 2) == 27.21  # ema.safetensors, GiB in bfloat16
    assert parts["understanding expert"] == parts["generation expert"]
    assert parts["embedding"] == parts["head"] == 152064 * 3584


def test_parameters_of_a_model_in_memory(tiny_model):
    parts = costs.parameters(tiny_model.config)
    assert sum(parts.values()) == sum(tensor.numel() for tensor in tiny_model.state_dict().values())
    assert parts["autoencoder"] == sum(p.numel() for p in tiny_model.autoencoder.parameters())
    expert = sum(
        p.numel()
        for name, p in tiny_model.language.named_parameters()
        if name.split(".")[2:3] == ["generation"]
    )
    assert parts["generation expert"] == expert + tiny_model.config.language.hidden_size


def test_counting_takes_no_memory():
    with torch.device("cpu"):
        assert costs.parameters(bagel_7b())["autoencoder"] < 1e8


def test_cache_bytes_are_those_of_a_context(generator):
    context = generator.context()
    generator.read([context], [[10] * 9])
    block = context.blocks[0]
    expected = costs.cache_bytes(generator.model.config.language, 11, 4)
    assert block.keys.nbytes + block.values.nbytes == expected
    assert costs.cache_bytes(bagel_7b().language, 1, 2) == 56 * 1024


@pytest.mark.parametrize("size", [(8, 12), (32, 32), (16, 8), (32, 8)])
def test_image_tokens_are_those_an_image_takes(generator, random_image, size):
    height, width = size
    segments = generator.image_segments(random_image(width, height))
    counts = costs.image_tokens(generator.model.config, height, width)
    stride = generator.canvas.stride
    painted = height // stride * (width // stride) + 2
    assert counts == {"painted": painted, "latents": segments[0].length, "vit": segments[1].length}


@pytest.mark.parametrize(
    ("height", "width", "painted", "latents", "vit"),
    [
        (1024, 1024, 4096, 4096, 70 * 70),
        (512, 512, 1024, 1024, 37 * 37),
        (768, 1024, 48 * 64, 48 * 64, 52 * 70),
        (64, 64, 16, 1024, 37 * 37),  # enlarged to the smallest side before it is shown
    ],
)
def test_image_tokens_of_bagel(height, width, painted, latents, vit):
    counts = costs.image_tokens(bagel_7b(), height, width)
    assert counts == {"painted": painted + 2, "latents": latents + 2, "vit": vit + 2}


@pytest.mark.parametrize("size", [(1000, 700), (2048, 1024)])
def test_sizes_that_cannot_be_painted_are_refused(size):
    with pytest.raises(InputError, match="image"):
        costs.image_tokens(bagel_7b(), *size)


def counted(work):
    """Operations of the linear layers, as torch counts them."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        work()
    return sum(n for op, n in counter.get_flop_counts()["Global"].items() if "attention" not in str(op))


def test_operations_of_a_text_token(tiny_model):
    language = tiny_model.config.language
    embedded = torch.zeros(3, 1, language.hidden_size)
    positions = torch.zeros(3, 1, dtype=torch.long)

    def work():
        hidden, _ = tiny_model.language(embedded, embedded[:, :0], positions, None)
        tiny_model.text_logits(hidden)

    stated = costs.text_token(tiny_model.config, 0, 4, rows=3).flops - 3 * costs.attention_flops(
        language, 1, 1
    )
    assert counted(work) == stated


def test_operations_of_a_velocity(tiny_model):
    config = tiny_model.config
    ends = torch.zeros(1, 2, config.language.hidden_size)
    latents = torch.zeros(1, 6, config.token_channels)
    positions = torch.zeros(1, 8, dtype=torch.long)

    def work():
        hidden = tiny_model.language(ends, tiny_model.latent_in(latents), positions, None)[1]
        tiny_model.velocity(hidden)

    stated = costs.velocity(config, 8, 12, 0, 4).flops - costs.attention_flops(config.language, 8, 8)
    assert counted(work) == stated


def test_attention_is_counted_over_context_and_canvas():
    config = bagel_7b()
    empty, behind = (costs.velocity(config, 1024, 1024, n, 2) for n in (0, 1000))
    more = 4 * 28 * 3584 * 4098 * 1000
    assert behind.flops - empty.flops == more
    assert behind.bytes - empty.bytes == 1000 * 56 * 1024
    assert empty.flops == pytest.approx(60e12, rel=0.1)
    assert costs.text_token(config, 0, 2).bytes == pytest.approx(14.1e9, rel=0.1)


def test_rows_share_weights_but_not_work():
    config = nano()
    one, four = (costs.text_token(config, 100, 2, rows=n) for n in (1, 4))
    assert four.flops == 4 * one.flops
    assert one.bytes < four.bytes < 4 * one.bytes
    one, four = (costs.velocity(config, 128, 128, 100, 2, rows=n) for n in (1, 4))
    assert four.flops == 4 * one.flops
    assert one.bytes < four.bytes < 4 * one.bytes


def test_the_roofline_is_the_slower_of_both():
    cost = costs.StepCost(flops=100.0, bytes=10.0) + costs.StepCost(flops=100.0, bytes=30.0)
    assert cost.seconds(100.0, 100.0) == 2.0
    assert cost.seconds(100.0, 10.0) == 4.0


def test_facts_are_consistent():
    values = describe.facts(bagel_7b(), [(512, 1024)], [0, 100], torch.bfloat16)
    assert values["total_parameters"] == BAGEL_TOTAL
    assert values["weight_bytes"] == 2 * BAGEL_TOTAL
    assert values["images"]["1024x512"]["latents"] == 32 * 64 + 2
    assert values["cache_bytes"] == {0: 0, 100: 100 * 56 * 1024}
    assert values["velocity"]["1024x512"][100]["flops"] > values["velocity"]["1024x512"][0]["flops"]


@pytest.mark.parametrize(
    ("count", "unit", "text"),
    [
        (0, "", "0"),
        (999, "", "999"),
        (1500, "", "1.5 k"),
        (2.94e10, "B", "29.4 GB"),
        (6e13, "FLOP", "60 TFLOP"),
    ],
)
def test_human(count, unit, text):
    assert describe.human(count, unit) == text
