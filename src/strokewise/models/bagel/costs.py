"""What a model costs: parameters, memory, and the operations and bytes of one step. Counting only.

A multiplication with an addition is two operations. Bytes are the fewest that must move through memory: each
weight that is used and each cached key and value, once. Norms and activations are not counted.
"""

from collections import Counter
from dataclasses import dataclass
from functools import cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from strokewise.models.bagel.config import AutoencoderConfig, LanguageConfig, ModelConfig
from strokewise.models.bagel.unified import UnifiedModel
from strokewise.models.bagel.vae import ImageEncoder

PARTS = {
    "language.embed": "embedding",
    "language.head": "head",
    "understanding": "understanding expert",
    "generation": "generation expert",
    "vision": "ViT and connector",
    "connector": "ViT and connector",
    "autoencoder": "autoencoder",
    "time": "latent projections and time",
    "latent_in": "latent projections and time",
    "latent_out": "latent projections and time",
    "latent_places": "position tables",
    "vision_places": "position tables",
}


@dataclass(frozen=True)
class StepCost:
    """Operations and bytes moved of one step."""

    flops: float
    bytes: float

    def __add__(self, other: "StepCost") -> "StepCost":
        return StepCost(self.flops + other.flops, self.bytes + other.bytes)

    def seconds(self, flops_per_second: float, bytes_per_second: float) -> float:
        """Return the least time such a step can take on a machine of these rates (the roofline)."""
        return max(self.flops / flops_per_second, self.bytes / bytes_per_second)


def parameters(config: ModelConfig) -> dict[str, int]:
    """Return parameters of each part, the stored position tables included; no memory is used."""
    with torch.device("meta"):
        state = UnifiedModel(config).state_dict()
    counts: Counter[str] = Counter()
    for name, tensor in state.items():
        counts[_part(name)] += tensor.numel()
    return dict(counts)


def image_tokens(config: ModelConfig, height: int, width: int) -> dict[str, int]:
    """Return tokens of an image in the sequence, delimiters included.

    ``painted`` while it is painted at that size; ``latents`` and ``vit`` when it is shown to the model, which
    enlarges small images first.

    Raises:
        InputError: if the model cannot paint that size.
    """
    canvas, vision = config.canvas_limits, config.vision_limits
    canvas.check(height, width)
    shown = canvas.fit(width, height)
    seen = vision.fit(*shown)
    counts = {"painted": (width, height), "latents": shown}
    tokens = {name: w // canvas.stride * (h // canvas.stride) + 2 for name, (w, h) in counts.items()}
    return tokens | {"vit": seen[0] // vision.stride * (seen[1] // vision.stride) + 2}


def cache_bytes(config: LanguageConfig, tokens: int, itemsize: int) -> int:
    """Return memory of the keys and values of that many tokens."""
    return 2 * config.num_layers * config.num_kv_heads * config.head_dim * tokens * itemsize


def text_token(config: ModelConfig, context: int, itemsize: int, rows: int = 1) -> StepCost:
    """Return the cost of writing one token in each of ``rows`` contexts of that many tokens."""
    language = config.language
    weights = expert_weights(language) + language.vocab_size * language.hidden_size
    flops = 2.0 * weights * rows + attention_flops(language, 1, context + 1) * rows
    return StepCost(flops, weights * itemsize + rows * cache_bytes(language, context, itemsize))


def velocity(
    config: ModelConfig, height: int, width: int, context: int, itemsize: int, rows: int = 1
) -> StepCost:
    """Return one velocity evaluation of ``rows`` images, each behind a context of that many tokens.

    The two delimiters of an image go through the understanding expert, so its weights move as well.
    """
    language = config.language
    latents = height // config.latent_stride * (width // config.latent_stride)
    expert = expert_weights(language)
    ends = 2 * config.token_channels * language.hidden_size
    flops = 2.0 * (expert * (latents + 2) + ends * latents)
    flops += attention_flops(language, latents + 2, context + latents + 2)
    moved = (2 * expert + ends) * itemsize + rows * cache_bytes(language, context, itemsize)
    return StepCost(flops * rows, moved)


def expert_weights(config: LanguageConfig) -> int:
    """Return linear weights of one expert over all layers."""
    heads = config.num_heads + 2 * config.num_kv_heads
    attention = config.hidden_size * config.head_dim * (heads + config.num_heads)
    return config.num_layers * (attention + 3 * config.hidden_size * config.intermediate_size)


def attention_flops(config: LanguageConfig, queries: int, keys: int) -> float:
    """Return scores and weighted sums of all layers."""
    return 4.0 * config.num_layers * config.num_heads * config.head_dim * queries * keys


@cache
def encoding_flops(config: AutoencoderConfig, height: int, width: int) -> float:
    """Return operations of encoding one image of that size in pixels; no memory is used."""
    with torch.device("meta"):
        encoder, pixels = ImageEncoder(config), torch.empty(1, 3, height, width)
    with FlopCounterMode(display=False) as counter:
        encoder(pixels)
    return float(counter.get_total_flops())


def _part(name: str) -> str:
    for marker, part in PARTS.items():
        if name.startswith(f"{marker}.") or (name.startswith("language.") and f".{marker}" in name):
            return part
    raise AssertionError(f"{name} belongs to no part")
