"""Guidance against a naive loop over samples and tokens, its borders, and its errors."""

import pytest
import torch

from strokewise.errors import ConfigError
from strokewise.flow import RENORMS, Guidance, combine, timesteps


def naive(v, without_text, without_image, guidance):
    """One sample at a time, one token at a time, from the formulas."""

    def clamp(factor):
        return min(1.0, max(guidance.renorm_min, float(factor)))

    result = []
    for sample in range(len(v)):
        tokens = []
        for token in range(v.shape[1]):
            full, cut = v[sample, token], without_text[sample, token]
            guided = cut + guidance.text_scale * (full - cut)
            if guidance.renorm == "text_channel":
                guided = guided * clamp(full.norm() / (guided.norm() + 1e-8))
            if without_image is not None:
                alone = without_image[sample, token]
                guided = alone + guidance.image_scale * (guided - alone)
            if guidance.renorm == "channel":
                guided = guided * clamp(full.norm() / (guided.norm() + 1e-8))
            tokens.append(guided)
        image = torch.stack(tokens)
        if guidance.renorm == "global":
            image = image * clamp(v[sample].norm() / (image.norm() + 1e-8))
        result.append(image)
    return torch.stack(result)


@pytest.fixture
def velocities():
    draw = torch.Generator().manual_seed(3)
    # Samples of very different norms, so that a norm over the batch would be noticed.
    size = torch.tensor([1.0, 10.0, 0.1])[:, None, None]
    return [torch.randn(3, 5, 4, generator=draw) * size for _ in range(3)]


@pytest.mark.parametrize("renorm", RENORMS)
@pytest.mark.parametrize("renorm_min", [0.0, 0.4])
@pytest.mark.parametrize("with_image", [True, False])
def test_combine_is_the_naive_loop(velocities, renorm, renorm_min, with_image):
    v, without_text, without_image = velocities
    guidance = Guidance(3.0, 1.7, renorm=renorm, renorm_min=renorm_min)
    third = without_image if with_image else None
    expected = naive(v, without_text, third, guidance)
    torch.testing.assert_close(combine(v, without_text, third, guidance), expected)


@pytest.mark.parametrize("renorm", RENORMS)
def test_a_sample_is_guided_alike_alone_and_in_a_batch(velocities, renorm):
    guidance = Guidance(renorm=renorm)
    together = combine(*velocities, guidance)
    for i in range(3):
        alone = combine(*(velocity[i : i + 1] for velocity in velocities), guidance)
        torch.testing.assert_close(together[i : i + 1], alone)


@pytest.mark.parametrize("renorm", RENORMS)
def test_zero_padding_changes_nothing(velocities, renorm):
    guidance = Guidance(renorm=renorm)
    padded = [torch.cat([v, torch.zeros(3, 2, 4)], dim=1) for v in velocities]
    result = combine(*padded, guidance)
    torch.testing.assert_close(result[:, :5], combine(*velocities, guidance))
    assert not result[:, 5:].any()


def test_renorms_differ(velocities):
    results = [combine(*velocities, Guidance(renorm=renorm)) for renorm in RENORMS]
    for i in range(3):
        assert not torch.allclose(results[i], results[i - 1])


@pytest.mark.parametrize("renorm", ["global", "channel"])
def test_the_guided_norm_never_passes_the_conditional_one(velocities, renorm):
    dims = (1, 2) if renorm == "global" else (2,)
    guided = combine(*velocities, Guidance(8.0, 2.0, renorm=renorm))
    wanted = torch.linalg.vector_norm(velocities[0], dim=dims)
    assert bool((torch.linalg.vector_norm(guided, dim=dims) <= wanted * 1.0001).all())


@pytest.mark.parametrize("renorm", RENORMS)
def test_a_guided_velocity_that_is_shorter_is_not_made_longer(velocities, renorm):
    v = velocities[0]
    guided = combine(v, 1.2 * v, None, Guidance(3.0, renorm=renorm))
    torch.testing.assert_close(guided, 0.6 * v)


def test_renorm_min_1_switches_renorm_off(velocities):
    v, without_text, _ = velocities
    guided = combine(v, without_text, None, Guidance(3.0, renorm_min=1.0))
    torch.testing.assert_close(guided, without_text + 3.0 * (v - without_text))


def test_equal_branches_are_left_alone(velocities):
    v = velocities[0]
    for renorm in RENORMS:
        torch.testing.assert_close(combine(v, v, v, Guidance(renorm=renorm)), v)


def test_a_zero_velocity_gives_no_nan():
    zero = torch.zeros(1, 2, 3)
    assert not combine(zero, zero, zero, Guidance()).any()


def test_the_interval_excludes_its_low_end_and_includes_its_high_end():
    """Times come as float32 from the schedule, borders as Python writes them."""
    guidance = Guidance(interval=(0.4, 0.8))
    times = torch.tensor([0.0, 0.2, 0.4, 0.401, 0.6, 0.8, 0.801, 1.0]).tolist()
    assert [guidance.acts_at(time) for time in times] == [False] * 3 + [True] * 3 + [False] * 2
    assert [guidance.acts_at(time) for time in timesteps(5)] == [False, True, True, False, False, False]
    assert not Guidance(interval=(0.0, 1.0)).acts_at(0.0)
    assert Guidance(interval=(0.0, 1.0)).acts_at(1.0)


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.0])
def test_a_text_scale_up_to_1_is_no_guidance(scale):
    guidance = Guidance(text_scale=scale, image_scale=2.0)
    assert not guidance.acts_at(1.0)
    assert not guidance.uses_image_branch


def test_the_image_branch_is_used_above_scale_1_only():
    assert Guidance(4.0, 1.5).uses_image_branch
    assert not Guidance(4.0, 1.0).uses_image_branch


def test_defaults_for_editing_and_for_none():
    editing = Guidance.editing(text_scale=3.0)
    assert editing == Guidance(3.0, 2.0, (0.0, 1.0), "text_channel")
    assert not Guidance.off().acts_at(1.0)


def test_an_unknown_renorm_is_named_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"'globl'.*global, channel, text_channel"):
        Guidance(renorm="globl")


@pytest.mark.parametrize("interval", [(0.9, 0.4), (-0.1, 1.0), (0.0, 1.1), (float("nan"), 1.0)])
def test_an_impossible_interval_is_refused(interval):
    with pytest.raises(ConfigError, match="interval"):
        Guidance(interval=interval)


@pytest.mark.parametrize("minimum", [-0.1, 1.1])
def test_an_impossible_renorm_min_is_refused(minimum):
    with pytest.raises(ConfigError, match="renorm_min"):
        Guidance(renorm_min=minimum)
