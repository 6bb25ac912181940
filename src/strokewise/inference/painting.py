"""Painting images: the velocity of a batch of contexts, with its guidance branches, along the flow.

Knows contexts and latents; what an image is for is decided elsewhere.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from strokewise.errors import ConfigError
from strokewise.flow import FlowStep, Guidance, combine, euler, timesteps
from strokewise.inference.context import Context
from strokewise.models import Backbone, KVBlock, KVCache, image_visibility
from strokewise.sequence import Kind, PackSpec, Segment, pack

# Latent tokens that go through the network at once. Below it, one pass over all guidance branches costs less
# than a pass each (weights are read once, fewer small kernels); above it the passes are bound by arithmetic
# and one branch at a time needs no mask and less memory. Measured by benchmarks/engine.py.
TOKENS_PER_PASS = 4096


@dataclass(frozen=True)
class PaintOptions:
    """How an image is painted.

    Attributes:
        num_steps: velocity evaluations (BAGEL's ``num_timesteps=50`` makes 49).
        shift: timestep shift towards noise.
        guidance: scales, interval, renorm.
        previews: how many times on the way the clean estimate is decoded and shown.
        feedback: how the finished image enters the context: ``pixels`` (decoded, then encoded again, as in
            training), ``latents`` (its own latents, without that round trip), ``none``.
    """

    num_steps: int = 49
    shift: float = 3.0
    guidance: Guidance = field(default_factory=Guidance)
    previews: int = 0
    feedback: Literal["pixels", "latents", "none"] = "pixels"

    def __post_init__(self) -> None:
        """Refuse values that have no meaning; the schedule checks steps and shift."""
        timesteps(self.num_steps, self.shift)
        if not 0 <= self.previews < self.num_steps:
            raise ConfigError(f"previews is {self.previews}; it must lie in 0..{self.num_steps - 1}")
        if self.feedback not in ("pixels", "latents", "none"):
            raise ConfigError(f"unknown feedback {self.feedback!r}; known are pixels, latents, none")

    def passes(self, after_image: bool) -> int:
        """Network passes of one image.

        A pass of the full context a step; where guidance acts, one more without text, and one without images
        where an image stands in the context (:class:`Painting` leaves that branch out elsewhere).
        """
        branches = 1 + (after_image and self.guidance.uses_image_branch)
        times = timesteps(self.num_steps, self.shift)[:-1]
        return self.num_steps + branches * sum(self.guidance.acts_at(time) for time in times)

    def previews_at(self, step: int) -> bool:
        """Whether a preview is due after this step (from 0): evenly spread, none after the last."""
        done, total = step + 1, self.num_steps
        due = done * (self.previews + 1) // total > step * (self.previews + 1) // total
        return due and done < total


@dataclass(frozen=True)
class Preview:
    """The clean estimates after ``step`` of ``num_steps`` steps, one image a row."""

    step: int
    num_steps: int
    time: float
    images: tuple[Image.Image, ...]


@dataclass(frozen=True)
class Painted:
    """The finished images and their latent tokens (n, channels), one a row."""

    images: tuple[Image.Image, ...]
    latents: tuple[Tensor, ...]


PaintEvent = Preview | Painted


@dataclass(frozen=True)
class _Branch:
    """One row of the network's batch: a context to continue, for one of the images."""

    image: int
    blocks: list[KVBlock]
    position: int


class _Pass:
    """Some branches that go through the network together, ready to be run at any latents and time."""

    def __init__(
        self, model: Backbone, spec: PackSpec, branches: Sequence[_Branch], sketches: list[Segment]
    ) -> None:
        self.model = model
        rows = [[[sketches[branch.image]]] for branch in branches]
        self.packed = pack(rows, spec, [branch.position for branch in branches]).to(model.device)
        columns = self.packed.positions.shape[1]
        self.cache = KVCache.gather([b.blocks for b in branches], columns, model.empty_block())
        self.mask = image_visibility(self.packed, self.cache)
        self.images = torch.tensor([branch.image for branch in branches], device=model.device)

    def velocity(self, latents: Tensor, time: float) -> Tensor:
        """Velocities (branches, tokens, channels) at the latents (images, tokens, channels) of a time."""
        # The largest image of the batch may be in another pass.
        width = self.packed.latents.shape[1]
        packed = self.packed.with_latents(latents[self.images, :width], time)
        velocity = self.model.velocity(self.model(packed, self.mask, self.cache).generation)
        return F.pad(velocity, (0, 0, 0, latents.shape[1] - width))


class Painting:
    """A batch of images while they are painted."""

    def __init__(
        self,
        model: Backbone,
        spec: PackSpec,
        contexts: Sequence[Context],
        grids: Sequence[tuple[int, int]],
        options: PaintOptions,
    ) -> None:
        """Lay out the branches of all images and read their contexts into the workspace."""
        self.options = options
        self.device = model.device
        self.counts = [rows * columns for rows, columns in grids]
        self.tokens = max(self.counts)
        sketches = [_sketch(grid, spec) for grid in grids]
        branches = self._branches(contexts)

        def passes(rows: list[_Branch]) -> list[_Pass]:
            size = max(1, TOKENS_PER_PASS // self.tokens)
            chunks = [rows[at : at + size] for at in range(0, len(rows), size)]
            return [_Pass(model, spec, chunk, sketches) for chunk in chunks]

        if sum(map(len, branches)) * self.tokens <= TOKENS_PER_PASS:
            self.guided, self.plain = passes([*chain(*branches)]), passes(branches[0])
        else:
            each = [passes(rows) for rows in branches]
            self.guided, self.plain = [*chain(*each)], each[0]
        self.with_image = [branch.image for branch in branches[2]]
        valid = torch.arange(self.tokens)[None] < torch.tensor(self.counts)[:, None]
        self.padding = None if bool(valid.all()) else ~valid.to(self.device)[:, :, None]

    def run(self, noise: Sequence[Tensor]) -> Iterator[FlowStep]:
        """Integrate from noise, latent tokens (n, channels) of each image."""
        start = torch.nn.utils.rnn.pad_sequence(list(noise), batch_first=True).to(self.device).float()
        return euler(self._velocity, start, timesteps(self.options.num_steps, self.options.shift))

    def unpadded(self, latents: Tensor) -> list[Tensor]:
        """Latent tokens of each image alone."""
        return [tokens[:count] for tokens, count in zip(latents, self.counts, strict=True)]

    def _branches(self, contexts: Sequence[Context]) -> list[list[_Branch]]:
        """Branches of the full context, without text, and without image (only where images were read)."""
        guidance = self.options.guidance
        full = [_Branch(i, c.blocks, c.position) for i, c in enumerate(contexts)]
        if guidance.text_scale <= 1:
            return [full, [], []]
        cut = [(i, c.without_text()) for i, c in enumerate(contexts)]
        without_text = [_Branch(i, c.blocks, c.position) for i, c in cut]
        without_image = []
        for i, context in enumerate(contexts):
            # Without an image in the context this branch would be the full one: the image scale would only
            # multiply the text scale.
            if guidance.uses_image_branch and context.has_image:
                alone = [context.entries[j].alone for j in context.texts()]
                blocks = [block for block in alone if block is not None]
                assert len(blocks) == len(alone), "the texts must have been read alone"
                without_image.append(_Branch(i, blocks, sum(len(block) for block in blocks)))
        return [full, without_text, without_image]

    def _velocity(self, latents: Tensor, time: float) -> Tensor:
        guided = self.options.guidance.acts_at(time)
        passes = self.guided if guided else self.plain
        velocity = torch.cat([p.velocity(latents, time) for p in passes])
        if not guided:
            return self._unpad(velocity)
        count, guidance = len(latents), self.options.guidance
        full, without_text = self._unpad(velocity[:count]), self._unpad(velocity[count : 2 * count])
        result = combine(full, without_text, None, guidance)
        if at := self.with_image:
            without_image = self._unpad(velocity[2 * count :], at)
            result[at] = combine(full[at], without_text[at], without_image, guidance)
        return result

    def _unpad(self, velocity: Tensor, images: Sequence[int] | slice = slice(None)) -> Tensor:
        """Zero on padding tokens of these images, so that norms over an image are its own."""
        return velocity if self.padding is None else velocity.masked_fill(self.padding[images], 0)


def _sketch(grid: tuple[int, int], spec: PackSpec) -> Segment:
    """A noised segment of that grid; its latents are set step by step."""
    blank = torch.zeros(grid[0] * grid[1], spec.latent_channels)
    return Segment(Kind.NOISED, blank, grid=grid, noise=blank, time=1.0)
