"""Samples to segments: what carries a loss, what is left out for guidance, and at which flow time.

The order is the paper's: prompt (no loss), plan text, noised image, the same image as clean latents and as
ViT tokens, inspection text, and so on. The closing delimiter of everything supervised predicts what opens
next: ``<|im_start|>``, ``<|vision_start|>`` or the end of the sequence. Knows pixels and ids; no network.

Shape legend: n latent tokens of an image, C channels of a latent token.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor

from strokewise.datasets.dropout import Dropout
from strokewise.datasets.samples import Sample, SampleImage, SamplePart, SampleText
from strokewise.errors import ContextLengthError
from strokewise.flow import training_times
from strokewise.models import BackboneConfig
from strokewise.sequence import Kind, Segment, SpecialTokens, normalize, patchify, resize, to_levels


@dataclass(frozen=True)
class PreparedSample:
    """A sample as segments whose latents are still to be filled in.

    Attributes:
        segments: clean and noised ones hold blank tokens of the right shape.
        canvas_of: for each segment the index of its canvas, None for texts and ViT views.
        canvases: bytes (3, height, width), what the autoencoder encodes.
    """

    segments: tuple[Segment, ...]
    canvas_of: tuple[int | None, ...]
    canvases: tuple[Tensor, ...]

    @property
    def length(self) -> int:
        """Tokens in the sequence."""
        return sum(segment.length for segment in self.segments)

    def filled(self, latents: Sequence[Tensor]) -> list[Segment]:
        """Return the segments with the latent tokens (n, channels) of each canvas in place."""
        return [
            segment if canvas is None else _with_latents(segment, latents[canvas])
            for segment, canvas in zip(self.segments, self.canvas_of, strict=True)
        ]


class Preparer:
    """Turns samples into segments for one model."""

    def __init__(
        self,
        config: BackboneConfig,
        special: SpecialTokens,
        dropout: Dropout,
        time_shift: float,
        noised_copies: int = 1,
    ) -> None:
        """Prepare for a model of ``config``.

        Args:
            config: of the model.
            special: ids.
            dropout: of conditions.
            time_shift: moves training times towards noise.
            noised_copies: of each supervised image; see ``TrainConfig``.
        """
        self.special, self.dropout = special, dropout
        self.time_shift, self.noised_copies = time_shift, noised_copies
        self.channels = config.token_channels
        self.canvas, self.vision = config.canvas_limits, config.vision_limits
        self.max_positions = config.max_positions

    def prepare(self, sample: Sample, seed: int) -> PreparedSample:
        """Lay a sample out; all that is random follows from ``seed``.

        Raises:
            ContextLengthError: if it needs more rotary positions than the model has.
        """
        draw = torch.Generator().manual_seed(seed)
        sample = self._cut(sample, draw)
        row = _Row(self, draw, sample)
        for index in range(len(sample.parts)):
            row.add(index)
        positions = sum(segment.gap + segment.advance for segment in row.segments)
        if positions > self.max_positions:
            raise ContextLengthError(
                f"a training sample needs {positions} rotary positions but the model knows"
                f" {self.max_positions}; shorten its texts or leave it out of the data"
            )
        return PreparedSample(tuple(row.segments), tuple(row.canvas_of), tuple(row.canvases))

    def _cut(self, sample: Sample, draw: torch.Generator) -> Sample:
        """Keep, with a probability, only the part up to one of the painted images, its texts as conditions.

        A text must not be supervised where what it describes was dropped, so conditions are dropped only
        from samples without supervised text; a share of the others is made into such.
        """
        painted = [i for i, part in enumerate(sample.parts) if isinstance(part, SampleImage) and part.loss]
        if not (sample.supervises_text and painted) or not _chance(self.dropout.cut, draw):
            return sample
        last = painted[int(torch.randint(len(painted), (), generator=draw))]
        parts = (replace(p, loss=False) if isinstance(p, SampleText) else p for p in sample.parts[: last + 1])
        return Sample(tuple(parts), ends=False)


class _Row:
    """The segments of one sample while they are collected."""

    def __init__(self, owner: Preparer, draw: torch.Generator, sample: Sample) -> None:
        self.owner, self.draw, self.sample = owner, draw, sample
        self.segments: list[Segment] = []
        self.canvas_of: list[int | None] = []
        self.canvases: list[Tensor] = []
        self.gap = 0
        dropout = owner.dropout
        droppable = not sample.supervises_text
        # One draw a kind and sample: guidance leaves out the last texts, or all images, together.
        self.drops_vit = droppable and _chance(dropout.vit, draw)
        self.drops_latents = droppable and _chance(dropout.latents, draw)
        self.dropped_texts = _last_texts(sample.parts) if droppable and _chance(dropout.text, draw) else set()

    def add(self, index: int) -> None:
        """Append the segments of one part."""
        part = self.sample.parts[index]
        opens = part.loss and (isinstance(part, SampleImage) or part.opens)
        label = self._next_opens(index) if opens else None
        if isinstance(part, SampleImage):
            shown = index + 1 < len(self.sample.parts) or self.sample.ends or not part.loss
            self._add_picture(part, label, shown)
        elif index not in self.dropped_texts:
            self._add_text(part, label)

    def _add_text(self, text: SampleText, label: int | None) -> None:
        """Return one segment, or two: the last given token opens the supervised one, to predict the next."""
        cut = text.given - 1 if text.loss and text.given else 0
        if cut > 0:
            self._add(Segment.text(text.ids[:cut], closes=False))
        rest = text.ids[max(cut, 0) :]
        credits = text.credits[cut + 1 :] if cut > 0 else text.credits
        self._add(Segment.text(rest, loss=text.loss, end_label=label, opens=cut <= 0, credits=credits))

    def _next_opens(self, index: int) -> int | None:
        """Return the id that the closing delimiter of a part should predict."""
        special = self.owner.special
        if index + 1 == len(self.sample.parts):
            return special.sequence_end if self.sample.ends else None
        following = self.sample.parts[index + 1]
        return special.text_start if isinstance(following, SampleText) else special.image_start

    def _add_picture(self, picture: SampleImage, label: int | None, shown: bool) -> None:
        owner = self.owner
        canvas = resize(Image.fromarray(picture.pixels), owner.canvas)
        stride, patch = owner.canvas.stride, owner.vision.stride
        grid = (canvas.height // stride, canvas.width // stride)
        # Latents come later, from the autoencoder on the device; until then one row of zeros stands for all.
        blank = torch.zeros(1, owner.channels).expand(grid[0] * grid[1], -1)
        for _ in range(owner.noised_copies if picture.loss else 0):
            # Each noised copy at a time of its own: more times are trained for one reading of the context.
            time = training_times(torch.randn((), generator=self.draw), owner.time_shift)
            noise = torch.randn(blank.shape, generator=self.draw)
            noised = Segment(Kind.NOISED, blank, grid=grid, loss=True, noise=noise, time=float(time))
            self._add(replace(noised, credits=(picture.credit,)), len(self.canvases))
        # A dropped view still takes its position, so that what follows keeps those it has in painting.
        if shown and self.drops_latents:
            self.gap += 1
        elif shown:
            self._add(Segment(Kind.CLEAN, blank, grid=grid), len(self.canvases))
        if shown and self.drops_vit:
            self.gap += 1
        elif shown:
            view = resize(canvas, owner.vision)
            patches = normalize(patchify(to_levels(view), patch))
            grid = (view.height // patch, view.width // patch)
            self._add(Segment(Kind.VIT, patches, grid=grid, end_label=label))
        self.canvases.append(to_levels(canvas))

    def _add(self, segment: Segment, canvas: int | None = None) -> None:
        self.segments.append(replace(segment, gap=self.gap))
        self.canvas_of.append(canvas)
        self.gap = 0


def _last_texts(parts: Sequence[SamplePart]) -> set[int]:
    """Return indices of the texts that text guidance leaves out for the last painted picture."""
    painted = [i for i, part in enumerate(parts) if isinstance(part, SampleImage) and part.loss]
    if not painted:
        return set()
    earlier = [i for i, part in enumerate(parts[: painted[-1]]) if isinstance(part, SampleImage)]
    since = range(earlier[-1] + 1 if earlier else 0, painted[-1])
    return {i for i in since if isinstance(text := parts[i], SampleText) and text.guided}


def _chance(probability: float, draw: torch.Generator) -> bool:
    return bool(torch.rand((), generator=draw) < probability)


def _with_latents(segment: Segment, latents: Tensor) -> Segment:
    noise = None if segment.noise is None else segment.noise.to(latents.device, non_blocking=True)
    return replace(segment, tokens=latents, noise=noise)
