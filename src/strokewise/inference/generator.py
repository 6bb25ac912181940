"""The generator: reads, writes text and paints images in growing contexts, one prompt or many at once.

It knows contexts and segments. Which stage comes when, and what the texts mean, is decided in ``engine``
and ``session``.

Shape legend: hidden states (rows, columns, size), a row for each context; latent tokens (n, channels) of one
image; pixels (3, height, width).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import torch
from PIL import Image
from torch import Tensor

from strokewise.errors import ConfigError, ContextLengthError
from strokewise.inference.context import Context, Entry
from strokewise.inference.painting import Painted, PaintEvent, Painting, PaintOptions, Preview
from strokewise.inference.writing import WriteEvent, WriteOptions, Writing
from strokewise.models import Backbone, KVBlock, KVCache, visibility
from strokewise.sequence import (
    Kind,
    Packed,
    Segment,
    SpecialTokens,
    load_rgb,
    pack,
    patchify,
    resize,
    to_image,
    to_tensor,
)

Continuation = Literal["text", "image", "end"]


class Generator:
    """Writes and paints with a unified model.

    Every method takes several contexts at once; each gets the same result as alone. Contexts are updated in
    place; fork them before to keep an earlier state.
    """

    def __init__(self, model: Backbone, special: SpecialTokens) -> None:
        """Use ``model`` (in inference mode) with the special ids of its tokenizer."""
        self.model = model
        self.special = special
        self.spec = model.pack_spec(special)
        self.canvas, self.vision = model.config.canvas_limits, model.config.vision_limits

    # --- reading -----------------------------------------------------------------------------------------

    def context(self) -> Context:
        """Return an empty context."""
        return Context()

    def read(self, contexts: Sequence[Context], texts: Sequence[Sequence[int]], guided: bool = True) -> None:
        """Append a text (ids without delimiters) to each context.

        Args:
            contexts: what to append to.
            texts: one for each context.
            guided: False for texts, such as a system prompt, that stay in the context without text.
        """
        self.append(contexts, [[Segment.text(ids)] for ids in texts], guided)

    @torch.inference_mode()
    def see(self, contexts: Sequence[Context], images: Sequence[Image.Image], latents: bool = True) -> None:
        """Append an image to each context: clean latents, unless they are left out, then ViT tokens."""
        first = 0 if latents else 1
        self.append(contexts, [self.image_segments(image)[first:] for image in images])

    @torch.inference_mode()
    def append(
        self, contexts: Sequence[Context], segments: Sequence[Sequence[Segment]], guided: bool = True
    ) -> None:
        """Append any segments to each context, all in one forward pass.

        Raises:
            ConfigError: if something other than its continuation is to follow an open text.
            ContextLengthError: if a context would pass the model's last position.
        """
        for context, parts in zip(contexts, segments, strict=True):
            if parts and (not parts[0].is_text or parts[0].opens):
                self._check_closed(context)
        packed, cache = self._prefill([c.blocks for c in contexts], [c.position for c in contexts], segments)
        hidden = self.model(packed, visibility(packed, cache), cache).understanding
        for row, (context, parts) in enumerate(zip(contexts, segments, strict=True)):
            for segment, columns in zip(parts, _segment_columns(packed, row), strict=True):
                context.append(
                    Entry(
                        kind=segment.kind,
                        block=cache.block(row, columns + cache.used),
                        advance=segment.advance,
                        ids=self._all_ids(segment),
                        guided=guided or not segment.is_text,
                        closed=segment.closes,
                        # A copy, or the entry would keep the hidden states of the whole batch in memory.
                        last=hidden[row, _closing_column(packed, columns)].clone(),
                    )
                )

    def image_segments(self, image: Image.Image) -> list[Segment]:
        """Return an image as the model is shown it: resized, as clean latents and as ViT patches."""
        canvas = resize(load_rgb(image), self.canvas)
        small = resize(canvas, self.vision)
        latents = self.model.encode_image(to_tensor(canvas))
        return [self.clean_segment(latents, canvas.height, canvas.width), self.vit_segment(to_tensor(small))]

    def clean_segment(self, latents: Tensor, height: int, width: int) -> Segment:
        """Return latent tokens (n, channels) of an image of that size in pixels as a clean segment."""
        stride = self.canvas.stride
        return Segment(Kind.CLEAN, latents.cpu(), grid=(height // stride, width // stride))

    def vit_segment(self, pixels: Tensor) -> Segment:
        """Return pixels (3, height, width) in [-1, 1] as a ViT segment."""
        patch = self.vision.stride
        grid = (pixels.shape[1] // patch, pixels.shape[2] // patch)
        return Segment(Kind.VIT, patchify(pixels, patch), grid=grid)

    @torch.inference_mode()
    def continuations(self, contexts: Sequence[Context]) -> list[Continuation]:
        """Return what the model would do next in each context: write, open an image, or end."""
        ids = {self.special.text_start: "text", self.special.image_start: "image"}
        if self.special.sequence_end is not None:
            ids[self.special.sequence_end] = "end"
        known = [c.entries[-1].last for c in contexts if c.entries and not c.is_open]
        if len(known) < len(contexts):
            raise ConfigError("a context that is empty or ends in an open text has nothing to continue from")
        # Only tokens that can open a segment compete; any other would begin a text without its delimiter.
        logits = self.model.text_logits(torch.stack(known))[:, list(ids)]
        names: list[Continuation] = list(ids.values())  # type: ignore[arg-type]
        return [names[i] for i in logits.argmax(-1).tolist()]

    # --- writing -----------------------------------------------------------------------------------------

    @torch.inference_mode()
    def write(
        self, contexts: Sequence[Context], options: WriteOptions | None = None, seeds: Sequence[int] = ()
    ) -> Iterator[WriteEvent]:
        """Write a text in each context, streaming token by token; the last event is :class:`Written`.

        An open text is continued. When the iterator is exhausted the texts are closed and part of the
        contexts; when it is abandoned earlier, what was written so far stays in them as open texts.

        Args:
            contexts: where to write.
            options: length, sampling, stop ids, constraint.
            seeds: one for each context; only sampling (temperature > 0) needs them.
        """
        options = options or WriteOptions()
        room = 2 + len(options.prefix) + options.max_tokens
        for context in contexts:
            self.check_length(context.position + room)
        yield from Writing(self.model, self.spec, contexts, options, seeds).run()

    @torch.inference_mode()
    def log_likelihoods(self, contexts: Sequence[Context], texts: Sequence[Sequence[int]]) -> list[float]:
        """Return log-probability of a whole text (ids without delimiters) in each context; none of them
        changes.
        """
        segments = [[Segment.text(ids)] for ids in texts]
        packed, cache = self._prefill([c.blocks for c in contexts], [c.position for c in contexts], segments)
        hidden = self.model(packed, visibility(packed, cache), cache).understanding
        found = []
        for row, (segment,) in enumerate(segments):
            columns = _segment_columns(packed, row)[0]
            ids = torch.tensor(self._all_ids(segment)[1:], device=hidden.device)
            logits = self.model.text_logits(hidden[row, columns[:-1]]).float()
            found.append(-torch.nn.functional.cross_entropy(logits, ids, reduction="sum").item())
        return found

    # --- painting ----------------------------------------------------------------------------------------

    @torch.inference_mode()
    def paint(
        self,
        contexts: Sequence[Context],
        sizes: Sequence[tuple[int, int]],
        options: PaintOptions | None = None,
        seeds: Sequence[int] = (),
        noise: Sequence[Tensor] = (),
    ) -> Iterator[PaintEvent]:
        """Paint an image in each context, streaming previews; the last event is :class:`Painted`.

        The image becomes part of its context as clean latents and ViT tokens.

        Args:
            contexts: what the images are conditioned on.
            sizes: (height, width) in pixels of each.
            options: steps, shift, guidance, previews.
            seeds: of the noise of each, drawn on the CPU; default 0, 1, ….
            noise: latent tokens (n, channels) to start from, instead of seeds.
        """
        options = options or PaintOptions()
        for height, width in sizes:
            self.canvas.check(height, width)
        for context in contexts:
            self._check_closed(context)
            # The image that is painted takes no position; what is read back takes two, latents and view.
            self.check_length(context.position + (1 if options.feedback == "none" else 2))
        grids = [(h // self.canvas.stride, w // self.canvas.stride) for h, w in sizes]
        starts = list(noise) or [
            torch.randn(
                rows * columns,
                self.spec.latent_channels,
                generator=torch.Generator().manual_seed(seeds[i] if seeds else i),
            )
            for i, (rows, columns) in enumerate(grids)
        ]
        if options.guidance.uses_image_branch:
            self.read_texts_alone(contexts)
        painting = Painting(self.model, self.spec, contexts, grids, options)
        latents = starts
        for step in painting.run(starts):
            latents = painting.unpadded(step.latents)
            if options.previews_at(step.index):
                images = self.decode(painting.unpadded(step.clean), grids)
                yield Preview(step.index + 1, step.num_steps, step.time, tuple(images))
        # ``pixels``: the model reads what a viewer sees, rounded to 8 bits and encoded again, as in training.
        images = self.decode(latents, grids)
        if options.feedback == "pixels":
            self.see(contexts, images)
        elif options.feedback == "latents":
            self.append(contexts, [self._fed_back(x, i) for x, i in zip(latents, images, strict=True)])
        yield Painted(tuple(images), tuple(latents))

    def decode(self, latents: Sequence[Tensor], grids: Sequence[tuple[int, int]]) -> list[Image.Image]:
        """Return images of latent tokens."""
        return [
            to_image(self.model.decode_image(tokens, rows, columns))
            for tokens, (rows, columns) in zip(latents, grids, strict=True)
        ]

    def _fed_back(self, latents: Tensor, image: Image.Image) -> list[Segment]:
        """Return a painted image without encoding it again: its own latents, and the ViT's view."""
        small = resize(image, self.vision)
        return [self.clean_segment(latents, image.height, image.width), self.vit_segment(to_tensor(small))]

    def read_texts_alone(self, contexts: Sequence[Context]) -> None:
        """Give every text of a context that shows images its keys in a context of the texts alone."""
        for context in contexts:
            if context.has_image:
                _share_before_images(context)
        rows = [c for c in contexts if any(c.entries[i].alone is None for i in _beside_images(c))]
        if not rows:
            return
        missing = [[i for i in c.texts() if c.entries[i].alone is None] for c in rows]
        blocks = [[e.alone for e in c.entries if e.alone is not None] for c in rows]
        # Among texts alone a token is a position; in the context itself images lie in between.
        positions = [sum(len(block) for block in row) for row in blocks]
        segments = [
            [Segment.text(c.entries[i].ids, opens=False, closes=False) for i in at]
            for c, at in zip(rows, missing, strict=True)
        ]
        packed, cache = self._prefill(blocks, positions, segments)
        self.model(packed, visibility(packed, cache), cache)
        for row, (context, at) in enumerate(zip(rows, missing, strict=True)):
            entries = list(context.entries)
            for i, columns in zip(at, _segment_columns(packed, row), strict=True):
                entries[i] = replace(entries[i], alone=cache.block(row, columns + cache.used))
            context.entries = tuple(entries)

    # --- shared ------------------------------------------------------------------------------------------

    def _prefill(
        self,
        blocks: Sequence[Sequence[KVBlock]],
        positions: Sequence[int],
        segments: Sequence[Sequence[Segment]],
    ) -> tuple[Packed, KVCache]:
        """Return a batch of further segments, one row a context, and a cache with room for them."""
        for position, parts in zip(positions, segments, strict=True):
            self.check_length(position + sum(part.advance for part in parts))
        packed = pack([[parts] for parts in segments], self.spec, positions).to(self.model.device)
        cache = KVCache.gather(blocks, packed.positions.shape[1], self.model.empty_block())
        return packed, cache

    def check_length(self, position: int) -> None:
        """Refuse a sequence that would pass the model's last rotary position."""
        limit = self.model.config.max_positions
        if position > limit:
            raise ContextLengthError(
                f"the context would need {position} positions but the model knows {limit};"
                " shorten the texts, paint fewer rounds, or truncate the context"
            )

    def _check_closed(self, context: Context) -> None:
        if context.is_open:
            raise ConfigError(
                "the context ends in an open text, which only more text can follow;"
                " write it to its end, or truncate the context"
            )

    def _all_ids(self, segment: Segment) -> tuple[int, ...]:
        if not segment.is_text:
            return ()
        head = (self.special.text_start,) * segment.opens
        return (*head, *segment.tokens.tolist(), *(self.special.text_end,) * segment.closes)


def _segment_columns(packed: Packed, row: int) -> list[Tensor]:
    """Return columns of each segment of a row of one sample, in the order of the sequence."""
    segment, place = packed.layout.segment[row], packed.layout.place[row]
    columns = torch.arange(len(segment), device=segment.device)
    found = [columns[segment == i] for i in range(int(segment.max()) + 1)]
    return [at[place[at].argsort()] for at in found]


def _closing_column(packed: Packed, columns: Tensor) -> int:
    """Return the understanding column of a segment's last token."""
    last = int(columns[-1])
    assert last < packed.num_understanding
    return last


def _beside_images(context: Context) -> list[int]:
    """Return texts of a context that shows images."""
    return context.texts() if context.has_image else []


def _share_before_images(context: Context) -> None:
    """Return the texts before the first image, which have the same keys with and without images."""
    entries = list(context.entries)
    for i, entry in enumerate(entries):
        if not entry.is_text:
            break
        entries[i] = replace(entry, alone=entry.block)
    context.entries = tuple(entries)
