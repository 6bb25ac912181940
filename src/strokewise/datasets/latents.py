"""Canvases to clean latents through the frozen autoencoder, with a cache for those that come again.

The posterior mean is taken, not a sample: an image's latents are then one fixed value, worth caching, and
the same as those the model reads at inference.

Shape legend: n latent tokens of a canvas, C channels of a latent token.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from strokewise.models import Backbone
from strokewise.sequence import normalize

PIXELS_AT_ONCE = 2**21
CPU_PIXELS, CPU_BATCH = 2**17, 8
Arithmetic = Callable[[], AbstractContextManager[object]]


class LatentEncoder:
    """Encodes canvases in batches of one size."""

    def __init__(self, model: Backbone, cache_bytes: int, arithmetic: Arithmetic = nullcontext) -> None:
        """Encode with ``model`` under ``arithmetic``, and cache up to ``cache_bytes`` of latents."""
        self.model = model
        # Convolutions take a third of the time in this layout; the type stubs do not know the argument.
        model.autoencoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.cache_bytes, self.arithmetic = cache_bytes, arithmetic
        self.encoded = 0
        self._cache: OrderedDict[bytes, Tensor] = OrderedDict()
        self._cached = 0

    @torch.no_grad()
    def encode(self, canvases: Sequence[Tensor]) -> list[Tensor]:
        """Encode canvases, bytes (3, height, width), to latent tokens (n, C), float32, on its device."""
        keys = [_key(canvas) for canvas in canvases]
        found = {key: self._cache[key] for key in keys if key in self._cache}
        missing = {k: c for k, c in zip(keys, canvases, strict=True) if k not in found}
        for size in sorted({canvas.shape for canvas in missing.values()}):
            some = [key for key, canvas in missing.items() if canvas.shape == size]
            for group in self._groups(some, size):
                for key, tokens in zip(group, self._encode([missing[k] for k in group]), strict=True):
                    found[key] = tokens
        for key in found:
            self._remember(key, found[key])
        return [found[key] for key in keys]

    def _encode(self, canvases: list[Tensor]) -> list[Tensor]:
        device = self.model.device
        missing = 0 if device.type == "cuda" else _cpu_batch(canvases[0].shape) - len(canvases)
        filled = canvases + canvases[-1:] * missing
        pixels = normalize(torch.stack(filled).to(device, non_blocking=True))
        with self.arithmetic():
            tokens = self.model.encode_images(pixels.contiguous(memory_format=torch.channels_last))
        self.encoded += len(canvases)
        # Each canvas gets memory of its own, so that the cache frees what it drops.
        return [canvas.clone() for canvas in tokens[: len(canvases)]]

    def _groups(self, keys: list[bytes], size: Sequence[int]) -> list[list[bytes]]:
        """Return batches that fit in memory; on the CPU all are of one size, so that others never change
        bits.
        """
        on_gpu = self.model.device.type == "cuda"
        count = max(1, PIXELS_AT_ONCE // (size[-1] * size[-2])) if on_gpu else _cpu_batch(size)
        return [keys[at : at + count] for at in range(0, len(keys), count)]

    def _remember(self, key: bytes, tokens: Tensor) -> None:
        size = tokens.numel() * tokens.itemsize
        if key in self._cache:
            self._cache.move_to_end(key)
            return
        if size > self.cache_bytes:
            return
        self._cache[key] = tokens
        self._cached += size
        while self._cached > self.cache_bytes:
            _, oldest = self._cache.popitem(last=False)
            self._cached -= oldest.numel() * oldest.itemsize


def _cpu_batch(size: Sequence[int]) -> int:
    """Return canvases in a batch on the CPU; a smaller batch is filled up with copies."""
    return min(CPU_BATCH, max(1, CPU_PIXELS // (size[-1] * size[-2])))


def _key(canvas: Tensor) -> bytes:
    """Return digest of shape and bytes, the key of the cache."""
    digest = hashlib.blake2b(canvas.numpy().tobytes(), digest_size=16)
    digest.update(str(tuple(canvas.shape)).encode())
    return digest.digest()
