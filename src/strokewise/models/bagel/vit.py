"""The SigLIP encoder over patches of images of any size: full attention inside each image.

Shape legend: (patches of all images, size), one image after another without padding.
"""

from collections.abc import Sequence
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from strokewise.models.attention import attend
from strokewise.models.bagel.config import VisionConfig
from strokewise.models.bagel.layers import embedding


class VisionLayer(nn.Module):
    """Pre-norm attention and MLP."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.heads = config.num_heads
        self.attention_norm = nn.LayerNorm(size, eps=config.norm_eps)
        self.qkv = nn.Linear(size, 3 * size)
        self.out = nn.Linear(size, size)
        self.mlp_norm = nn.LayerNorm(size, eps=config.norm_eps)
        self.fc1 = nn.Linear(size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, size)

    def forward(self, x: Tensor, runs: Sequence[tuple[int, int]]) -> Tensor:
        """Return one layer over (patches, size); ``runs`` are numbers of images and patches of each, in
        order.
        """
        qkv = self.qkv(self.attention_norm(x)).unflatten(-1, (3, self.heads, -1))
        attended = []
        for (images, patches), run in zip(runs, qkv.split([i * n for i, n in runs]), strict=True):
            query, keys, values = run.unflatten(0, (images, patches)).unbind(2)
            attended.append(attend(query, keys.transpose(1, 2), values.transpose(1, 2)).flatten(0, 1))
        x = x + self.out(torch.cat(attended))
        return x + self.fc2(F.gelu(self.fc1(self.mlp_norm(x)), approximate="tanh"))


class VisionEncoder(nn.Module):
    """Flattened patches to features, image by image."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.checkpointing = False
        self.patch_embed = nn.Linear(config.patch_channels, config.hidden_size)
        self.place_embed = embedding(config.learned_side**2, config.hidden_size)
        self.layers = nn.ModuleList(VisionLayer(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)

    def forward(self, patches: Tensor, places: Tensor, lengths: Sequence[int]) -> Tensor:
        """Encode images packed one after another.

        Args:
            patches: (patches of all images, patch·patch·3).
            places: index of each patch into the learned table.
            lengths: patches of each image.

        Returns:
            (patches of all images, hidden_size), after the final norm.
        """
        x = self.patch_embed(patches) + self.place_embed(places)
        # Neighbors of one size become a batch: images see only themselves, and so no mask is needed.
        runs = [(len(list(images)), length) for length, images in groupby(lengths)]
        for layer in self.layers:
            if self.checkpointing and self.training:
                x = checkpoint(layer, x, runs, use_reentrant=False)
            else:
                x = layer(x, runs)
        return self.norm(x)
