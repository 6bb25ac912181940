"""Pictures to clean latents through the frozen autoencoder, with a cache for those that come again.

The posterior mean is taken, not a sample: a picture's latents are then one fixed value, worth caching, and
the same as those the model is shown at inference.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from strokewise.datasets.prepare import normalised
from strokewise.models.bagel import UnifiedModel
from strokewise.sequence import patchify

PIXELS_AT_ONCE = 2**21
CPU_PIXELS, CPU_BATCH = 2**17, 8
Arithmetic = Callable[[], AbstractContextManager[object]]


class LatentEncoder:
    """Encodes canvases in batches of one size."""

    def __init__(self, model: UnifiedModel, cache_bytes: int, arithmetic: Arithmetic = nullcontext) -> None:
        """Use the autoencoder of ``model``, under ``arithmetic``, with a cache of so many bytes beside it."""
        self.autoencoder = model.autoencoder
        # A third of the time; the type stubs do not know it.
        self.autoencoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.patch = model.config.latent_patch
        self.cache_bytes, self.arithmetic = cache_bytes, arithmetic
        self.encoded = 0
        self._cache: OrderedDict[bytes, Tensor] = OrderedDict()
        self._cached = 0

    @torch.no_grad()
    def encode(self, canvases: Sequence[Tensor]) -> list[Tensor]:
        """Latent tokens (n, channels) of canvases, bytes (3, height, width); float32, on its device."""
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
        weight = next(self.autoencoder.parameters())
        missing = 0 if weight.is_cuda else _cpu_batch(canvases[0].shape) - len(canvases)
        filled = canvases + canvases[-1:] * missing
        pixels = normalised(torch.stack(filled).to(weight.device, non_blocking=True)).to(weight.dtype)
        with self.arithmetic():
            latents = self.autoencoder.encode(pixels.contiguous(memory_format=torch.channels_last))
        self.encoded += len(canvases)
        return [patchify(latent, self.patch).float() for latent in latents[: len(canvases)]]

    def _groups(self, keys: list[bytes], size: Sequence[int]) -> list[list[bytes]]:
        """Batches that fit in memory; on the CPU all are of one size, so that others never change bits."""
        on_gpu = next(self.autoencoder.parameters()).is_cuda
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
    """Pictures in a batch on the CPU; fewer are filled up."""
    return min(CPU_BATCH, max(1, CPU_PIXELS // (size[-1] * size[-2])))


def _key(canvas: Tensor) -> bytes:
    """What tells pictures apart: a digest of shape and bytes."""
    digest = hashlib.blake2b(canvas.numpy().tobytes(), digest_size=16)
    digest.update(str(tuple(canvas.shape)).encode())
    return digest.digest()
