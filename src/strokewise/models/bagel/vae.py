"""The FLUX autoencoder: pixels in [-1, 1] to scaled latents and back.

Shape legend: (images, channels, height, width); h and w are the sides of the latents, d = height / h how much
the encoder shrinks a side. Knows pixels and latents; refuses to know latent tokens and their order.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from strokewise.models.bagel.config import AutoencoderConfig


def _norm(channels: int, groups: int) -> nn.GroupNorm:
    return nn.GroupNorm(groups, channels, eps=1e-6)


class ResidualBlock(nn.Module):
    """Two normalized convolutions and a shortcut."""

    def __init__(self, channels_in: int, channels_out: int, groups: int) -> None:
        super().__init__()
        self.norm1 = _norm(channels_in, groups)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.norm2 = _norm(channels_out, groups)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        same = channels_in == channels_out
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (images, channels_in, height, width) to (images, channels_out, height, width)."""
        h = self.conv1(F.silu(self.norm1(x)))
        return self.shortcut(x) + self.conv2(F.silu(self.norm2(h)))


class SpatialAttention(nn.Module):
    """Single-head attention over all places of a feature map."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = _norm(channels, groups)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return same shape as given."""
        h = self.norm(x)
        q, k, v = (f(h).flatten(2).transpose(1, 2)[:, None] for f in (self.q, self.k, self.v))
        attended = F.scaled_dot_product_attention(q, k, v)[:, 0]
        return x + self.out(attended.transpose(1, 2).reshape(x.shape))


class Middle(nn.Sequential):
    """Residual block, attention, residual block at the lowest resolution."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__(
            ResidualBlock(channels, channels, groups),
            SpatialAttention(channels, groups),
            ResidualBlock(channels, channels, groups),
        )


class Downsample(nn.Module):
    """Halve both sides; padded at the right and bottom only."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (images, channels, height, width) to half the height and width."""
        # As the released weights were trained; symmetric padding would shift the grid by a pixel a level.
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Double both sides: nearest neighbor, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (images, channels, height, width) to twice the height and width."""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class ImageEncoder(nn.Module):
    """Pixels to mean and log-variance of the latents."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        widths = [config.channels * m for m in config.multipliers]
        self.conv_in = nn.Conv2d(3, config.channels, 3, padding=1)
        self.levels = nn.ModuleList()
        width = config.channels
        for i, wide in enumerate(widths):
            blocks: list[nn.Module] = []
            for _ in range(config.num_res_blocks):
                blocks.append(ResidualBlock(width, wide, config.groups))
                width = wide
            if i < len(widths) - 1:
                blocks.append(Downsample(width))
            self.levels.append(nn.Sequential(*blocks))
        self.middle = Middle(width, config.groups)
        self.norm_out = _norm(width, config.groups)
        self.conv_out = nn.Conv2d(width, 2 * config.latent_channels, 3, padding=1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (images, 3, height, width) to (images, 2·latent_channels, height/d, width/d)."""
        x = self.conv_in(pixels)
        for level in self.levels:
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(self.middle(x))))


class ImageDecoder(nn.Module):
    """Latents to pixels."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        widths = [config.channels * m for m in reversed(config.multipliers)]
        width = widths[0]
        self.conv_in = nn.Conv2d(config.latent_channels, width, 3, padding=1)
        self.middle = Middle(width, config.groups)
        self.levels = nn.ModuleList()
        for i, wide in enumerate(widths):
            blocks: list[nn.Module] = []
            for _ in range(config.num_res_blocks + 1):
                blocks.append(ResidualBlock(width, wide, config.groups))
                width = wide
            if i < len(widths) - 1:
                blocks.append(Upsample(width))
            self.levels.append(nn.Sequential(*blocks))
        self.norm_out = _norm(width, config.groups)
        self.conv_out = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        """Map (images, latent_channels, h, w) to (images, 3, h·d, w·d)."""
        x = self.middle(self.conv_in(latents))
        for level in self.levels:
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class Autoencoder(nn.Module):
    """Encoder, decoder and the scale between them."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = ImageEncoder(config)
        self.decoder = ImageDecoder(config)

    def moments(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of the posterior, unscaled, each (images, latent_channels, h, w)."""
        mean, log_variance = self.encoder(_channels_last(pixels)).chunk(2, dim=1)
        return mean, log_variance

    def encode(self, pixels: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return scaled latents of (images, 3, height, width): the posterior mean, or a sample with
        ``noise``.
        """
        mean, log_variance = self.moments(pixels)
        if noise is not None:
            mean = mean + torch.exp(0.5 * log_variance) * noise
        return self.config.scale * (mean - self.config.shift)

    def decode(self, latents: Tensor) -> Tensor:
        """Return pixels, roughly in [-1, 1], of scaled latents (images, latent_channels, h, w)."""
        return self.decoder(_channels_last(latents / self.config.scale + self.config.shift))


def _channels_last(images: Tensor) -> Tensor:
    """Return images laid out as convolutions on a CPU are fastest with; elsewhere as they are."""
    return images.contiguous(memory_format=torch.channels_last) if images.device.type == "cpu" else images
