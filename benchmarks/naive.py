"""The naive engine that ours is measured against: what the published loops around BAGEL do.

One prompt at a time; the context is rebuilt from the first token before every text and every image, images
encoded anew; each guidance branch is a pass of its own, the third also where it repeats the first; keys and
values are copied with every layer, step and token. Same modules, same weights, same numbers as ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from PIL import Image
from torch import Tensor

from strokewise.flow import Guidance, combine, timesteps
from strokewise.inference import Generator
from strokewise.models import Backbone, KVCache, visibility
from strokewise.sequence import Kind, Segment, pack


class CopyingCache(KVCache):
    """Keys and values that are copied together with the new ones at every write."""

    def __init__(self, model: Backbone) -> None:
        empty = model.empty_block()
        keys, values = empty.keys[:, None], empty.values[:, None]
        super().__init__(keys, values, 0, torch.ones(1, 0, dtype=torch.bool, device=model.device))
        self.written: dict[int, tuple[Tensor, Tensor]] = {}

    def write(self, layer: int, keys: Sequence[Tensor], values: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return all keys and values of the layer, as a new copy."""
        merged = (
            torch.cat([self.keys[layer], *(x.transpose(1, 2) for x in keys)], dim=2),
            torch.cat([self.values[layer], *(x.transpose(1, 2) for x in values)], dim=2),
        )
        self.written[layer] = merged
        return merged

    def keep(self, columns: int) -> None:
        """Replace what was read by the copies of the last pass."""
        self.keys = torch.stack([self.written[i][0] for i in range(len(self.written))])
        self.values = torch.stack([self.written[i][1] for i in range(len(self.written))])
        self.used += columns
        self.valid = self.valid.new_ones(1, self.used)


@dataclass
class NaiveEngine:
    """Paints one trajectory; what it has read is a list of texts (ids) and images."""

    generator: Generator
    history: list[list[int] | Image.Image] = field(default_factory=list)

    def prefill(self, items: Sequence[list[int] | Image.Image]) -> tuple[CopyingCache, int]:
        """Read everything from the start."""
        cache, position = CopyingCache(self.generator.model), 0
        for item in items:
            segments = [Segment.text(item)] if isinstance(item, list) else self.generator.image_segments(item)
            for segment in segments:
                self._pass(cache, segment, position)
                cache.keep(segment.length)
                position += segment.advance
        return cache, position

    def write(self, count: int) -> list[int]:
        """Write exactly ``count`` tokens, then forget the cache."""
        special = self.generator.special
        cache, position = self.prefill(self.history)
        tokens = [special.text_start]
        for _ in range(count):
            hidden = self._pass(cache, Segment.text(tokens[-1:], opens=False, closes=False), position)
            cache.keep(1)
            position += 1
            tokens.append(int(self.generator.model.text_logits(hidden[0][0, -1]).argmax()))
        self.history.append(tokens[1:])
        return tokens[1:]

    def paint(
        self, size: tuple[int, int], num_steps: int, shift: float, guidance: Guidance, noise: Tensor
    ) -> Tensor:
        """Paint an image from noise; the latent tokens (n, channels)."""
        model, stride = self.generator.model, self.generator.canvas.stride
        grid = (size[0] // stride, size[1] // stride)
        texts = [item for item in self.history if isinstance(item, list)]
        images = [i for i, item in enumerate(self.history) if not isinstance(item, list)]
        before = self.history[: images[-1] + 1] if images else []
        histories = (self.history, before, texts) if images else (self.history, before)
        branches = [self.prefill(items) for items in histories]
        latents, times = noise, timesteps(num_steps, shift)
        for time, following in pairwise(times):
            sketch = Segment(Kind.NOISED, latents, grid=grid, noise=latents, time=time)
            needed = branches if guidance.acts_at(time) else branches[:1]
            found = [model.velocity(self._pass(cache, sketch, at)[1]) for cache, at in needed]
            velocity = found[0]
            if len(found) > 1:
                velocity = combine(velocity, found[1], found[2] if images else None, guidance)
            latents = latents - velocity[0] * (time - following)
        self.history += self.generator.decode([latents], [grid])
        return latents

    def _pass(self, cache: CopyingCache, segment: Segment, position: int) -> tuple[Tensor, Tensor]:
        packed = pack([[[segment]]], self.generator.spec, [position]).to(self.generator.model.device)
        hidden = self.generator.model(packed, visibility(packed, cache), cache)
        return hidden.understanding, hidden.generation
