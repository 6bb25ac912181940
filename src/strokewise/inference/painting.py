"""Painting images: the velocity of a batch of contexts, with its guidance branches, along the flow.

Knows contexts and latents; what an image is for is decided elsewhere.

Shape legend: velocities and latents (images, tokens, channels), padded to the largest image; inside a pass
(branches, tokens, channels), a branch being one guidance context of one image.
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
from strokewise.flow import (
    SOLVERS,
    Extrapolation,
    FlowStep,
    Guidance,
    combine,
    integrate,
    is_computed,
    timesteps,
)
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
        num_steps: steps of the flow (BAGEL's ``num_timesteps=50`` makes 49).
        shift: timestep shift towards noise.
        guidance: scales, interval, renorm.
        previews: how many times on the way the clean estimate is decoded and shown.
        feedback: how the finished image enters the context: ``pixels`` (decoded, then encoded again, as in
            training), ``latents`` (its own latents, without that round trip), ``none``.
        solver: of the flow, see :func:`integrate`.
        evaluate_every: the velocity is computed at every n-th step, and extrapolated in between.
        guide_every: the branches without text and without image are computed at every n-th step at which
            guidance acts; in between, what sets them apart from the full one is extrapolated.
    """

    num_steps: int = 49
    shift: float = 3.0
    guidance: Guidance = field(default_factory=Guidance)
    previews: int = 0
    feedback: Literal["pixels", "latents", "none"] = "pixels"
    solver: str = "euler"
    evaluate_every: int = 1
    guide_every: int = 1

    def __post_init__(self) -> None:
        """Refuse values that have no meaning; the schedule checks steps and shift."""
        timesteps(self.num_steps, self.shift)
        if not 0 <= self.previews < self.num_steps:
            raise ConfigError(f"previews is {self.previews}; it must lie in 0..{self.num_steps - 1}")
        if self.feedback not in ("pixels", "latents", "none"):
            raise ConfigError(f"unknown feedback {self.feedback!r}; known are pixels, latents, none")
        if self.solver not in SOLVERS:
            raise ConfigError(f"unknown solver {self.solver!r}; known are {', '.join(SOLVERS)}")
        for name in ("evaluate_every", "guide_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1 (every step)")

    def passes(self, after_image: bool) -> int:
        """Return network passes of one image.

        A pass of the full context a step; where guidance acts, one more without text, and one without images
        where an image stands in the context (:class:`Painting` leaves that branch out elsewhere).
        """
        branches = 1 + (after_image and self.guidance.uses_image_branch)
        times = timesteps(self.num_steps, self.shift)[:-1]
        computed = [time for i, time in enumerate(times) if is_computed(i, self.evaluate_every)]
        guided = sum(self.guidance.acts_at(time) for time in computed)
        return len(computed) + branches * sum(is_computed(i, self.guide_every) for i in range(guided))

    def previews_at(self, step: int) -> bool:
        """Return whether a preview is due after this step (from 0): evenly spread, none after the last."""
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
        # Contexts are copied into one workspace once; from step to step only latents and time change.
        self.cache = KVCache.gather([b.blocks for b in branches], columns, model.empty_block())
        self.mask = image_visibility(self.packed, self.cache)
        self.images = torch.tensor([branch.image for branch in branches], device=model.device)

    def velocity(self, latents: Tensor, time: float) -> Tensor:
        """Return velocities (branches, tokens, channels) at the latents (images, tokens, channels) of a
        time.
        """
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
        # ``guided`` runs all branches, ``plain`` only the full context, where no guidance acts.
        self.with_image = [branch.image for branch in branches[2]]
        self.others = [branch.image for branch in chain(*branches[1:])]
        self.offsets = Extrapolation(options.guide_every)
        self.velocities = Extrapolation(options.evaluate_every)
        valid = torch.arange(self.tokens)[None] < torch.tensor(self.counts)[:, None]
        self.padding = None if bool(valid.all()) else ~valid.to(self.device)[:, :, None]

    def run(self, noise: Sequence[Tensor]) -> Iterator[FlowStep]:
        """Integrate from noise, latent tokens (n, channels) of each image."""
        # Latents stay float32 in the sampler, whatever the network computes in: in bfloat16 the rounding
        # errors of all steps would add up.
        start = torch.nn.utils.rnn.pad_sequence(list(noise), batch_first=True).to(self.device).float()
        times = timesteps(self.options.num_steps, self.options.shift)
        return integrate(self._velocity, start, times, self.options.solver)

    def unpadded(self, latents: Tensor) -> list[Tensor]:
        """Return latent tokens of each image alone."""
        return [tokens[:count] for tokens, count in zip(latents, self.counts, strict=True)]

    def _branches(self, contexts: Sequence[Context]) -> list[list[_Branch]]:
        """Return branches of the full context, without text, and without image (only where images were
        read).
        """
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
        if not self.velocities.is_due:
            return self.velocities.at(time)
        return self.velocities.computed(time, self._computed(latents, time))

    def _computed(self, latents: Tensor, time: float) -> Tensor:
        guidance, count = self.options.guidance, len(latents)
        if not guidance.acts_at(time):
            return self._unpad(_run(self.plain, latents, time))
        if self.offsets.is_due:
            full, others = _run(self.guided, latents, time).split([count, len(self.others)])
            # Differences are extrapolated, not velocities: they change slowly from step to step.
            if self.offsets.every > 1:
                self.offsets.computed(time, others - full[self.others])
        else:
            full = _run(self.plain, latents, time)
            others = full[self.others] + self.offsets.at(time)
        full, without_text = self._unpad(full), self._unpad(others[:count])
        result = combine(full, without_text, None, guidance)
        # Images without an image branch are done; the others are combined again, from all three branches.
        if at := self.with_image:
            without_image = self._unpad(others[count:], at)
            result[at] = combine(full[at], without_text[at], without_image, guidance)
        return result

    def _unpad(self, velocity: Tensor, images: Sequence[int] | slice = slice(None)) -> Tensor:
        """Set to zero the padding tokens of these images, so that norms over an image are its own."""
        return velocity if self.padding is None else velocity.masked_fill(self.padding[images], 0)


def _run(passes: Sequence[_Pass], latents: Tensor, time: float) -> Tensor:
    """Return velocities of all branches of some passes."""
    return torch.cat([one.velocity(latents, time) for one in passes])


def _sketch(grid: tuple[int, int], spec: PackSpec) -> Segment:
    """Return a noised segment of that grid; its latents are set step by step."""
    blank = torch.zeros(grid[0] * grid[1], spec.latent_channels)
    return Segment(Kind.NOISED, blank, grid=grid, noise=blank, time=1.0)
