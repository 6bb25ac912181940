"""Our parts against independent implementations, with the same random weights."""

import pytest
import torch

from strokewise.models.bagel.config import AutoencoderConfig, LanguageConfig, VisionConfig
from strokewise.models.bagel.transformer import Decoder
from strokewise.models.bagel.vae import Autoencoder
from strokewise.models.bagel.vit import VisionEncoder
from strokewise.sequence import grid_positions, patchify

transformers = pytest.importorskip("transformers")


def randomize(module, seed=0):
    """Weights and biases that all matter."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            value = torch.randn(parameter.shape, generator=draw)
            scale = parameter[0].numel() ** -0.5 if parameter.dim() > 1 else 0.3
            parameter.copy_(value * scale + (parameter.dim() == 1) * parameter)
    return module.requires_grad_(False).eval()


def copy(target, source):
    """Fill one of our modules from (name, tensor) pairs; every weight must be given."""
    target.load_state_dict(dict(source), strict=True)
    return target.requires_grad_(False).eval()


# --- the decoder against Qwen3 (q/k norms) with Qwen2's biases -------------------------------------------


@pytest.fixture(scope="module", params=[2, 4], ids=["grouped heads", "as many kv heads"])
def decoders(request):
    config = LanguageConfig(
        vocab_size=50,
        hidden_size=64,
        intermediate_size=96,
        num_layers=2,
        num_heads=4,
        num_kv_heads=request.param,
        rope_theta=5e4,
    )
    theirs = transformers.Qwen3ForCausalLM(
        transformers.Qwen3Config(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            num_key_value_heads=config.num_kv_heads,
            head_dim=config.head_dim,
            rms_norm_eps=config.norm_eps,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
            attention_bias=True,
            tie_word_embeddings=False,
            attn_implementation="eager",
        )
    )
    randomize(theirs)
    state = theirs.state_dict()
    for i in range(config.num_layers):
        state[f"model.layers.{i}.self_attn.o_proj.bias"].zero_()  # BAGEL has none there
    ours = Decoder(config)
    weights = dict(randomize(Decoder(config), seed=1).state_dict())  # the generation expert stays random
    weights |= {
        "embed.weight": state["model.embed_tokens.weight"],
        "head.weight": state["lm_head.weight"],
        "understanding_norm.weight": state["model.norm.weight"],
    }
    for i in range(config.num_layers):
        source, expert = f"model.layers.{i}", f"layers.{i}.understanding"
        attention = f"{source}.self_attn"
        for part in ("weight", "bias"):
            parts = [state[f"{attention}.{x}_proj.{part}"] for x in "qkv"]
            weights[f"{expert}.qkv.{part}"] = torch.cat(parts)
        gate_up = [state[f"{source}.mlp.{x}_proj.weight"] for x in ("gate", "up")]
        weights |= {
            f"{expert}.attention_norm.weight": state[f"{source}.input_layernorm.weight"],
            f"{expert}.q_norm.weight": state[f"{attention}.q_norm.weight"],
            f"{expert}.k_norm.weight": state[f"{attention}.k_norm.weight"],
            f"{expert}.out.weight": state[f"{attention}.o_proj.weight"],
            f"{expert}.mlp_norm.weight": state[f"{source}.post_attention_layernorm.weight"],
            f"{expert}.gate_up.weight": torch.cat(gate_up),
            f"{expert}.down.weight": state[f"{source}.mlp.down_proj.weight"],
        }
    return copy(ours, weights), theirs


def run_text(decoder, ids, positions):
    length = ids.shape[1]
    embedded = decoder.embed(ids)
    causal = torch.ones(length, length, dtype=torch.bool).tril().expand(len(ids), -1, -1)
    hidden, _ = decoder(embedded, embedded[:, :0], positions, causal)
    return decoder.head(hidden)


def test_text_is_qwen3s(decoders):
    ours, theirs = decoders
    ids = torch.randint(50, (2, 17), generator=torch.Generator().manual_seed(0))
    positions = torch.arange(17).expand(2, -1)
    expected = theirs(ids).logits
    torch.testing.assert_close(run_text(ours, ids, positions), expected, atol=2e-5, rtol=1e-5)


def test_rotary_positions_are_qwen3s(decoders):
    ours, theirs = decoders
    ids = torch.randint(50, (1, 6), generator=torch.Generator().manual_seed(0))
    positions = torch.tensor([[3, 4, 10, 11, 200, 1000]])
    expected = theirs(ids, position_ids=positions).logits
    torch.testing.assert_close(run_text(ours, ids, positions), expected, atol=5e-5, rtol=1e-5)
    plain = run_text(ours, ids, torch.arange(6)[None])
    assert not torch.allclose(plain, expected, atol=1e-2)


# --- the ViT against SigLIP ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def encoders():
    config = VisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_layers=2,
        num_heads=2,
        patch_size=4,
        image_size=20,
        side=5,
    )
    theirs = transformers.SiglipVisionModel(
        transformers.SiglipVisionConfig(
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            patch_size=config.patch_size,
            image_size=config.image_size,
            layer_norm_eps=config.norm_eps,
            hidden_act="gelu_pytorch_tanh",
            vision_use_head=False,
            attn_implementation="eager",
        )
    )
    randomize(theirs)
    state = {name.removeprefix("vision_model."): value for name, value in theirs.state_dict().items()}
    kernel = state["embeddings.patch_embedding.weight"]
    weights = {
        "patch_embed.weight": kernel.permute(0, 2, 3, 1).flatten(1),
        "patch_embed.bias": state["embeddings.patch_embedding.bias"],
        "place_embed.weight": state["embeddings.position_embedding.weight"],
    }
    for part in ("weight", "bias"):
        weights[f"norm.{part}"] = state[f"post_layernorm.{part}"]
        for i in range(config.num_layers):
            source, layer = f"encoder.layers.{i}", f"layers.{i}"
            parts = [state[f"{source}.self_attn.{x}_proj.{part}"] for x in "qkv"]
            weights |= {
                f"{layer}.qkv.{part}": torch.cat(parts),
                f"{layer}.out.{part}": state[f"{source}.self_attn.out_proj.{part}"],
                f"{layer}.attention_norm.{part}": state[f"{source}.layer_norm1.{part}"],
                f"{layer}.mlp_norm.{part}": state[f"{source}.layer_norm2.{part}"],
                f"{layer}.fc1.{part}": state[f"{source}.mlp.fc1.{part}"],
                f"{layer}.fc2.{part}": state[f"{source}.mlp.fc2.{part}"],
            }
    return copy(VisionEncoder(config), weights), theirs


def test_the_vit_is_siglips(encoders):
    ours, theirs = encoders
    images = torch.randn(3, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    expected = theirs(images).last_hidden_state
    patches = torch.cat([patchify(image, 4) for image in images])
    places = grid_positions(5, 5, 5).repeat(3)
    found = ours(patches, places, (25, 25, 25))
    torch.testing.assert_close(found, expected.flatten(0, 1), atol=1e-5, rtol=1e-5)


def test_images_of_different_sizes_are_encoded_as_alone(encoders):
    ours, _ = encoders
    grids = [(5, 5), (2, 3), (1, 4)]
    draw = torch.Generator().manual_seed(0)
    patches = [torch.randn(rows * columns, 48, generator=draw) for rows, columns in grids]
    places = [grid_positions(rows, columns, 5) for rows, columns in grids]
    lengths = [len(p) for p in patches]
    together = ours(torch.cat(patches), torch.cat(places), lengths).split(lengths)
    for found, patch, place in zip(together, patches, places, strict=True):
        torch.testing.assert_close(found, ours(patch, place, (len(patch),)), atol=1e-5, rtol=1e-5)


# --- the autoencoder against diffusers' of FLUX's kind ---------------------------------------------------


def diffusers_names(levels, blocks):
    """Our names and theirs."""

    def block(ours, theirs):
        for name in ("norm1", "conv1", "norm2", "conv2"):
            yield f"{ours}.{name}", f"{theirs}.{name}"
        yield f"{ours}.shortcut", f"{theirs}.conv_shortcut"

    for side in ("encoder", "decoder"):
        yield f"{side}.conv_in", f"{side}.conv_in"
        yield f"{side}.norm_out", f"{side}.conv_norm_out"
        yield f"{side}.conv_out", f"{side}.conv_out"
        yield from block(f"{side}.middle.0", f"{side}.mid_block.resnets.0")
        yield from block(f"{side}.middle.2", f"{side}.mid_block.resnets.1")
        names = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "out": "to_out.0"}
        for ours, theirs in names.items():
            yield f"{side}.middle.1.{ours}", f"{side}.mid_block.attentions.0.{theirs}"
        word, count, step = (
            ("down", blocks, "downsamplers") if side == "encoder" else ("up", blocks + 1, "upsamplers")
        )
        for i in range(levels):
            for j in range(count):
                yield from block(f"{side}.levels.{i}.{j}", f"{side}.{word}_blocks.{i}.resnets.{j}")
            yield f"{side}.levels.{i}.{count}.conv", f"{side}.{word}_blocks.{i}.{step}.0.conv"


@pytest.fixture(scope="module")
def autoencoders():
    diffusers = pytest.importorskip("diffusers")
    config = AutoencoderConfig(channels=32, multipliers=(1, 2, 2), num_res_blocks=2, latent_channels=4)
    theirs = diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(32, 64, 64),
        layers_per_block=2,
        latent_channels=4,
        norm_num_groups=32,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    randomize(theirs)
    state = theirs.state_dict()
    ours = Autoencoder(config)
    wanted = ours.state_dict()
    weights = {
        f"{mine}.{part}": state[f"{name}.{part}"].view_as(wanted[f"{mine}.{part}"])
        for mine, name in diffusers_names(3, 2)
        for part in ("weight", "bias")
        if f"{name}.{part}" in state
    }
    assert len(weights) == len(state)
    return copy(ours, weights), theirs


def test_the_autoencoder_is_diffusers(autoencoders):
    ours, theirs = autoencoders
    draw = torch.Generator().manual_seed(0)
    pixels = torch.rand(2, 3, 24, 16, generator=draw) * 2 - 1
    posterior = theirs.encode(pixels).latent_dist
    mean, log_variance = ours.moments(pixels)
    torch.testing.assert_close(mean, posterior.mean, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(log_variance, posterior.logvar, atol=1e-5, rtol=1e-5)
    latents = torch.randn(2, 4, 6, 4, generator=draw)
    scaled = ours.config.scale * (latents - ours.config.shift)
    torch.testing.assert_close(ours.decode(scaled), theirs.decode(latents).sample, atol=1e-4, rtol=1e-4)


def test_encoding_scales_the_mean_or_a_sample(autoencoders):
    ours, _ = autoencoders
    pixels = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    mean, log_variance = ours.moments(pixels)
    scale, shift = ours.config.scale, ours.config.shift
    torch.testing.assert_close(ours.encode(pixels), scale * (mean - shift))
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(1))
    sample = mean + (log_variance / 2).exp() * noise
    torch.testing.assert_close(ours.encode(pixels, noise), scale * (sample - shift))
