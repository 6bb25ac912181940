"""The unified model: one network that reads text and images, writes text and predicts velocities.

Joins the parts and embeds packed sequences. Knows no tokenizer, no prompts and no sampling.

Shape legend: rows of the batch, U understanding and G generation columns, keys = cached and new columns,
size = hidden size, n latent tokens of an image.
"""

import torch
from torch import Tensor, nn

from strokewise.models.attention import Visible
from strokewise.models.backbone import Hidden
from strokewise.models.bagel.config import ModelConfig
from strokewise.models.bagel.layers import Connector, PositionTable, TimeEmbedding
from strokewise.models.bagel.transformer import Decoder
from strokewise.models.bagel.vae import Autoencoder
from strokewise.models.bagel.vit import VisionEncoder
from strokewise.models.kv_cache import KVBlock, KVCache
from strokewise.sequence import Packed, PackSpec, SpecialTokens, patchify, unpatchify


class UnifiedModel(nn.Module):
    """BAGEL's architecture at any size."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        size, channels = config.language.hidden_size, config.token_channels
        self.language = Decoder(config.language)
        self.vision = VisionEncoder(config.vision)
        self.connector = Connector(config.vision.hidden_size, size)
        self.vision_places = PositionTable(config.vision.side, size)
        self.time = TimeEmbedding(size)
        self.latent_in = nn.Linear(channels, size)
        self.latent_out = nn.Linear(size, channels)
        self.latent_places = PositionTable(config.latent_side, size)
        self.autoencoder = Autoencoder(config.autoencoder)

    def limit(self, canvas: int | None, view: int | None) -> None:
        """Paint and read images of at most these sides from now on; see ``BackboneConfig.limited``."""
        self.config = self.config.limited(canvas, view)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.language.embed.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.language.embed.weight.dtype

    def pack_spec(self, special: SpecialTokens) -> PackSpec:
        """State what packing must know of this model."""
        return PackSpec(
            special,
            latent_channels=self.config.token_channels,
            latent_side=self.config.latent_side,
            patch_channels=self.config.vision.patch_channels,
            patch_side=self.config.vision.side,
        )

    def read_patches(self, patches: Tensor, places: Tensor, lengths: tuple[int, ...]) -> Tensor:
        """Return ViT tokens as they enter the decoder, (patches, size): encoder, connector, position."""
        features = self.vision(patches.to(self.dtype), places, lengths)
        return self.connector(features) + self.vision_places(places).to(self.dtype)

    def embed(self, packed: Packed) -> tuple[Tensor, Tensor]:
        """Return both blocks of a batch as the decoder's input, (rows, U, size) and (rows, G, size)."""
        understanding = self.language.embed(packed.ids)
        if packed.patch_lengths:
            read = self.read_patches(packed.patches, packed.patch_places, packed.patch_lengths)
            flat = understanding.flatten(0, 1).index_copy(0, packed.patch_slots, read)
            understanding = flat.view_as(understanding)
        if not packed.latents.shape[1]:
            return understanding, understanding.new_zeros(len(packed.ids), 0, understanding.shape[-1])
        generation = self.latent_in(packed.latents.to(self.dtype)) + self.time(packed.times)
        return understanding, generation + self.latent_places(packed.latent_places).to(self.dtype)

    def forward(self, packed: Packed, mask: Visible = None, cache: KVCache | None = None) -> Hidden:
        """Return hidden states of a batch.

        Args:
            packed: the batch.
            mask: what is seen of cached and new tokens, see ``Backbone.__call__``.
            cache: what the rows have read before; new keys are written behind it, not kept.
        """
        understanding, generation = self.embed(packed)
        return Hidden(*self.language(understanding, generation, packed.positions, mask, cache))

    def read_ids(self, ids: Tensor, positions: Tensor, mask: Tensor | None, cache: KVCache) -> Tensor:
        """Return hidden states (rows, n, size) of text ids (rows, n): what ``forward`` does, without
        packing.
        """
        embedded = self.language.embed(ids)
        none = embedded.new_zeros(len(ids), 0, embedded.shape[-1])
        return self.language(embedded, none, positions, mask, cache)[0]

    def empty_block(self) -> KVBlock:
        """Return a block of no tokens with this model's layers, heads, dtype and device."""
        return self.language.empty_block()

    def text_logits(self, hidden: Tensor) -> Tensor:
        """Return logits (..., vocab_size) of understanding states (..., size)."""
        return self.language.head(hidden)

    def velocity(self, hidden: Tensor) -> Tensor:
        """Return velocities (..., token_channels), float32, of generation states (..., size)."""
        # Guidance and the sampler add up many of them; in bfloat16 each sum would be rounded again.
        return self.latent_out(hidden).float()

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Encode one image (3, height, width) in [-1, 1] to clean latent tokens (n, token_channels)."""
        return self.encode_images(pixels[None])[0]

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Encode images (i, 3, height, width) in [-1, 1] to clean latent tokens (i, n, token_channels).

        The posterior mean is taken, as at inference in BAGEL; the result is float32.
        """
        # Sharded decoders may be gathered in a lower precision than the autoencoder has.
        weight = self.autoencoder.decoder.conv_in.weight
        latents = self.autoencoder.encode(pixels.to(weight.device, weight.dtype))
        return torch.stack([patchify(latent, self.config.latent_patch) for latent in latents]).float()

    def decode_image(self, tokens: Tensor, rows: int, columns: int) -> Tensor:
        """Return pixels (3, height, width) of latent tokens (rows·columns, token_channels)."""
        latents = unpatchify(tokens.to(self.dtype), self.config.latent_patch, rows, columns)
        return self.autoencoder.decode(latents[None])[0]
