"""BAGEL's settings by name, and the image scale where there is no image."""

import pytest
import torch

from strokewise.errors import ConfigError
from strokewise.flow import Guidance, combine
from strokewise.inference import Painted, PaintOptions
from strokewise.inference.options import PaintingOptions
from strokewise.inference.presets import PRESETS, set_up
from strokewise.sequence import Segment


def painting(name, after_image=False):
    return PaintingOptions().changed(PRESETS[name].options).painting(after_image)


def test_without_an_image_there_is_no_image_scale():
    options = PaintingOptions(image_guidance=2.0)
    assert not options.painting(False).guidance.uses_image_branch
    assert options.painting(True).guidance.image_scale == 2.0


def test_an_image_scale_changes_nothing_without_an_image(generator, build, naive, random_image):
    """Whatever is requested of the generator itself; next to a context with an image, too."""
    text = [Segment.text([31, 32]), Segment.text([33])]
    seen = [text[0], *naive.segments_of(random_image(24, 20)), text[1]]
    noise = [torch.randn(6, generator.spec.latent_channels) for _ in range(2)]

    def paint(contexts, scale):
        guidance = Guidance(4.0, scale, interval=(0, 1))
        options = PaintOptions(num_steps=2, guidance=guidance, feedback="none")
        start = noise[: len(contexts)]
        *_, painted = generator.paint(contexts, [(8, 12)] * len(contexts), options, noise=start)
        assert isinstance(painted, Painted)
        return painted.latents

    plain, guided = (paint([build(text)], scale)[0] for scale in (1.0, 2.0))
    assert torch.equal(plain, guided)
    together = paint([build(text), build(seen)], 2.0)
    torch.testing.assert_close(together[0], plain, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(together[1], paint([build(text), build(seen)], 1.0)[1])


def test_the_apps_effective_text_scale_without_an_image():
    """Its third branch is then the full context, so both scales act on the same difference."""
    v, without_text = torch.randn(2, 3, 5, 4)
    official = combine(v, without_text, v, Guidance(4.0, 1.5))
    ours = combine(v, without_text, None, painting("bagel-app").guidance)
    torch.testing.assert_close(ours, official)
    torch.testing.assert_close(
        combine(v, without_text, v, Guidance(4.0, 2.0)), combine(v, without_text, None, Guidance(7.0, 1.0))
    )


@pytest.mark.parametrize(
    ("name", "scales", "interval", "renorm"),
    [
        ("bagel-app", (5.5, 1.0), (0.4, 1.0), "global"),
        ("bagel-geneval", (4.0, 1.0), (0.0, 1.0), "global"),
        ("bagel-wise", (4.0, 1.0), (0.4, 1.0), "global"),
        ("bagel-think", (4.0, 1.0), (0.4, 1.0), "global"),
    ],
)
def test_presets_are_the_released_settings(name, scales, interval, renorm):
    options = painting(name)
    found = options.guidance
    assert (found.text_scale, found.image_scale) == scales
    assert (found.interval, found.renorm, found.renorm_min) == (interval, renorm, 0.0)
    assert (options.num_steps, options.shift) == (49, 3.0)


def test_the_editing_preset_sees_the_image():
    found = painting("bagel-edit", after_image=True).guidance
    assert (found.text_scale, found.image_scale, found.interval) == (4.0, 2.0, (0.0, 1.0))
    assert found.renorm == "text_channel"


def test_what_is_given_beside_a_preset_comes_first():
    setup = set_up("bagel-think", None, "", {"shift": 1.0})
    assert (setup.options["shift"], setup.options["max_tokens"]) == (1.0, 2048)
    assert setup.strategy == "think"
    assert "<think>" in setup.protocol_format.system
    assert set_up("bagel-think", None, "be brief", {}).protocol_format.system == "be brief"
    plain = set_up(None, None, "", {})
    assert (plain.options, plain.strategy, plain.protocol_format.name) == ({}, "process", "strokewise")


@pytest.mark.parametrize(("preset", "name"), [("bagel", None), (None, "bagel")])
def test_unknown_names_are_errors(preset, name):
    with pytest.raises(ConfigError, match="known are"):
        set_up(preset, name, "", {})
