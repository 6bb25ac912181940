"""A second backbone: one plain transformer for all tokens, learned positions, pixels as latents.

Nothing of BAGEL's is in it: no experts, no rotary embedding, no ViT and no trained autoencoder. It stands for
the folder that a further architecture would have under ``models/``.
"""

import json
from dataclasses import asdict, dataclass, replace

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from strokewise.models import Hidden, KVBlock, ModelSizes
from strokewise.models.attention import additive, attend
from strokewise.sequence import ImageLimits, PackSpec, patchify, unpatchify

PATCH = 4


@dataclass(frozen=True)
class SingleConfig:
    """Sizes."""

    vocabulary: int = 64
    width: int = 32
    layers: int = 2
    heads: int = 2
    side: int = 8
    max_positions: int = 512

    @property
    def token_channels(self):
        return 3 * PATCH**2

    @property
    def canvas_limits(self):
        return ImageLimits(PATCH, 2 * PATCH, self.side * PATCH)

    vision_limits = canvas_limits

    def limited(self, canvas, view):
        return self if canvas is None else replace(self, side=canvas // PATCH)

    def to_dict(self):
        return asdict(self)


class Layer(nn.Module):
    """Attention and MLP."""

    def __init__(self, config, index):
        super().__init__()
        self.index, self.heads = index, config.heads
        self.norm1, self.norm2 = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.mlp = nn.Sequential(nn.Linear(config.width, 64), nn.ReLU(), nn.Linear(64, config.width))

    def forward(self, x, mask, cache):
        query, key, value = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).unbind(2)
        if cache is None:
            keys, values = key.transpose(1, 2), value.transpose(1, 2)
        else:
            keys, values = cache.write(self.index, [key], [value])
        x = x + self.out(attend(query, keys, values, mask))
        return x + self.mlp(self.norm2(x))


class SingleStream(nn.Module):
    """The network."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.words = nn.Embedding(config.vocabulary, config.width)
        self.positions = nn.Embedding(config.max_positions, config.width)
        self.places = nn.Embedding(config.side**2, config.width)
        self.read = nn.Linear(config.token_channels, config.width)
        self.latents = nn.Linear(config.token_channels, config.width)
        self.time = nn.Linear(1, config.width)
        self.layers = nn.ModuleList(Layer(config, i) for i in range(config.layers))
        self.head = nn.Linear(config.width, config.vocabulary)
        self.out = nn.Linear(config.width, config.token_channels)
        self.autoencoder = nn.Identity()

    def limit(self, canvas, view):
        self.config = self.config.limited(canvas, view)

    @property
    def device(self):
        return self.words.weight.device

    @property
    def dtype(self):
        return self.words.weight.dtype

    def pack_spec(self, special):
        return PackSpec(special, self.config.token_channels, self.config.side, 3 * PATCH**2, self.config.side)

    def empty_block(self):
        shape = (self.config.layers, self.config.heads, 0, self.config.width // self.config.heads)
        nothing = self.words.weight.new_empty(shape)
        return KVBlock(nothing, nothing)

    def forward(self, packed, mask=None, cache=None):
        words = self.words(packed.ids)
        if packed.patch_lengths:
            read = self.read(packed.patches) + self.places(packed.patch_places)
            words = words.flatten(0, 1).index_copy(0, packed.patch_slots, read).view_as(words)
        painted = self.latents(packed.latents) + self.time(packed.times[..., None])
        x = torch.cat([words, painted + self.places(packed.latent_places)], dim=1)
        x = self.run(x + self.positions(packed.positions), mask, cache)
        return Hidden(x[:, : words.shape[1]], x[:, words.shape[1] :])

    def read_ids(self, ids, positions, mask, cache):
        return self.run(self.words(ids) + self.positions(positions), mask, cache)

    def run(self, x, mask, cache):
        mask = additive(mask, x.dtype)
        for layer in self.layers:
            x = layer(x, mask, cache)
        return x

    def text_logits(self, hidden):
        return self.head(hidden)

    def velocity(self, hidden):
        return self.out(hidden).float()

    def encode_image(self, pixels):
        return patchify(pixels, PATCH)

    def encode_images(self, pixels):
        return torch.stack([self.encode_image(image) for image in pixels])

    def decode_image(self, tokens, rows, columns):
        return unpatchify(tokens, PATCH, rows, columns)


@dataclass
class SingleCosts:
    """Counts of its linear layers."""

    config: SingleConfig

    @property
    def sizes(self):
        with torch.device("meta"):
            trained = sum(p.numel() for p in SingleStream(self.config).parameters())
        width = self.config.width
        kept = 10 * width * self.config.layers
        return ModelSizes(trained, 0, 0, 0, 8 * width**2, 0, kept, kept, 0, 0, self.config.vocabulary)

    def linear_flops(self, tokens, predicted, patches):
        width = self.config.width
        return 2.0 * width * (8 * width * self.config.layers * tokens + self.config.vocabulary * predicted)

    def attention_flops(self, pairs, patch_pairs):
        return 4.0 * self.config.width * self.config.layers * pairs

    def encoding_flops(self, height, width):
        return 0.0

    def adapter_parameters(self, rank):
        width = self.config.width
        return rank * self.config.layers * (4 * width + 2 * width)


class SingleArchitecture:
    """What the registry knows of it."""

    name = "single-stream"
    hub_ids = {}  # noqa: RUF012
    adapter_targets = r"layers\.\d+\.(qkv|out)"
    layer_weights = r"layers\."
    layouts = ("strokewise",)

    def recognizes(self, folder):
        return False

    def read_config(self, folder):
        return SingleConfig(**json.loads((folder / "strokewise.json").read_text())["model"])

    def build(self, config):
        return SingleStream(config)

    def load(self, folder, device, dtype, quantize):
        model = SingleStream(self.read_config(folder))
        model.load_state_dict(load_file(folder / "model.safetensors"))
        return model.to(device, dtype).eval()

    def read_weights(self, folder, wanted, dtype):
        stored = load_file(folder / "model.safetensors")
        return ((name, stored[name].to(dtype)) for name in wanted)

    def save(self, model, folder, layout):
        folder.mkdir(parents=True, exist_ok=True)
        save_file(model.state_dict(), folder / "model.safetensors")
        stated = {"format": 1, "architecture": self.name, "model": model.config.to_dict()}
        (folder / "strokewise.json").write_text(json.dumps(stated))

    def parallelize(self, model, parallelism):
        pass

    def costs(self, config):
        return SingleCosts(config)


ARCHITECTURE = SingleArchitecture()
