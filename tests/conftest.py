"""Shared fixtures: a tiny random model, its generator, and random inputs. Heavy imports wait until used."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Tiny tensors gain nothing from threads, and several busy processes lose much by them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")

GOLDEN = Path(__file__).parent / "golden" / "bagel_public"


@pytest.fixture(scope="session")
def repository():
    """The root of the checkout."""
    return Path(__file__).parent.parent


@pytest.fixture(scope="session")
def forks():
    """Starts real processes that begin at once."""
    from tests.forked import Forks

    made = Forks()
    yield made
    made.close()


@pytest.fixture(scope="session")
def golden():
    """The folder of recorded numbers."""
    return GOLDEN


@pytest.fixture(scope="session")
def special():
    """Special ids of the tiny models."""
    from strokewise.sequence import SpecialTokens

    return SpecialTokens(text_start=1, text_end=2, image_start=3, image_end=4, sequence_end=0)


@pytest.fixture(scope="session")
def tiny_config():
    """A BAGEL of two layers: stride 4 pixels, canvases up to 32 pixels, ViT patches of 4 pixels."""
    from strokewise.models.bagel import AutoencoderConfig, LanguageConfig, ModelConfig, VisionConfig

    return ModelConfig(
        language=LanguageConfig(
            vocab_size=64,
            hidden_size=64,
            intermediate_size=96,
            num_layers=2,
            num_heads=4,
            num_kv_heads=2,
            rope_theta=1e4,
            max_positions=512,
        ),
        vision=VisionConfig(
            hidden_size=32,
            intermediate_size=48,
            num_layers=2,
            num_heads=2,
            patch_size=4,
            image_size=32,
            side=8,
        ),
        autoencoder=AutoencoderConfig(
            channels=32, multipliers=(1, 2), num_res_blocks=1, latent_channels=4, scale=0.3611, shift=0.1159
        ),
        latent_side=8,
        canvas_min=8,
        vision_min=8,
        vision_max=32,
    )


@pytest.fixture(scope="session")
def make_model():
    """A model of a configuration with random weights that make every part matter."""
    import torch

    from strokewise.models.bagel import UnifiedModel

    def make(config, seed=0):
        draw = torch.Generator().manual_seed(seed)
        model = UnifiedModel(config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                value = torch.randn(parameter.shape, generator=draw)
                if "norm" in name and name.endswith("weight"):
                    parameter.copy_(1 + 0.2 * value)
                elif parameter.dim() == 1:
                    parameter.copy_(0.2 * value)
                elif "embed" in name:
                    parameter.copy_(value)
                else:
                    parameter.copy_(value * parameter[0].numel() ** -0.5)
        return model.requires_grad_(False).eval()

    return make


@pytest.fixture(scope="session")
def tiny_model(make_model, tiny_config):
    """One tiny random model, shared by all tests: do not change it."""
    return make_model(tiny_config)


@pytest.fixture(scope="session")
def generator(tiny_model, special):
    """The tiny model's generator (it keeps no state of its own)."""
    from strokewise.inference import Generator

    return Generator(tiny_model, special)


@pytest.fixture(scope="session")
def random_image():
    """A random picture of a size (width, height)."""
    import numpy as np
    from PIL import Image

    def make(width, height, seed=0):
        draw = np.random.default_rng(seed)
        return Image.fromarray(draw.integers(0, 256, (height, width, 3), dtype=np.uint8))

    return make


@pytest.fixture(scope="session")
def tiny_tokenizer():
    """A tokenizer of the tiny models: a token a character, and one for each tag."""
    from tokenizers import AddedToken, decoders, models
    from tokenizers import Tokenizer as RawTokenizer

    from strokewise.sequence import Tokenizer
    from strokewise.sequence.tokenizer import IMAGE_END, IMAGE_START, SEQUENCE_END, TEXT_END, TEXT_START
    from strokewise.trajectory.values import TAGS

    special = [SEQUENCE_END, TEXT_START, TEXT_END, IMAGE_START, IMAGE_END]
    characters = "abcdefghijklmnopqrstuvwxyz .,:;<>/0123456789_"
    vocabulary = {token: i for i, token in enumerate([*special, *characters])}
    raw = RawTokenizer(models.BPE(vocabulary, []))
    raw.decoder = decoders.Fuse()
    raw.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    raw.add_tokens([AddedToken(f"<{slash}{tag}>", normalized=False) for tag in TAGS for slash in ("", "/")])
    assert raw.get_vocab_size() <= 64
    return Tokenizer(raw)


@pytest.fixture(scope="session")
def tiny_folder(tiny_model, tiny_tokenizer, tmp_path_factory):
    """The tiny model as a checkpoint folder: do not change it."""
    from strokewise.models.bagel import save_model

    folder = tmp_path_factory.mktemp("tiny")
    save_model(tiny_model, folder)
    tiny_tokenizer.raw.save(str(folder / "tokenizer.json"))
    return folder
