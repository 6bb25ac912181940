"""One packing for training and inference.

A *sample* is a list of segments; a *row* of the batch is a list of samples that do not see each other (in
training several, in inference one that continues a context). Tokens of the understanding expert (text,
image delimiters, ViT tokens) and of the generation expert (latents) are kept in two blocks, so that each
expert works on one slice and nothing is gathered or scattered between them; the attention mask carries the
order, so the place of a token in memory does not matter.

Rules, all BAGEL's (docs/model.md has the truth table):

============  ========  ==================================  ============================
segment       inside    sees                                rotary position
============  ========  ==================================  ============================
text          causal    all before, but noised latents      runs on by one a token
vit           full      all before, but noised latents      one for all, next is +1
clean         full      all before, but noised latents      one for all, next is +1
noised        full      all before, but noised latents      one for all, next is the same
============  ========  ==================================  ============================

Knows tensors and segments; nothing of networks, tokenizers or files.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from strokewise.errors import ConfigError
from strokewise.flow import interpolate, velocity_target
from strokewise.sequence.images import grid_positions
from strokewise.sequence.packed import Layout, Packed, PackSpec
from strokewise.sequence.segments import Kind, Segment


def pack(rows: Sequence[Sequence[Sequence[Segment]]], spec: PackSpec, starts: Sequence[int] = ()) -> Packed:
    """Pack rows of samples of segments to one batch.

    Args:
        rows: for each row its samples; one row of many samples is a training pack, rows of one sample each
            are a batch of contexts that are continued.
        spec: facts about the model.
        starts: first rotary position of each row (inference; a row then holds one sample). Default 0.

    Raises:
        ConfigError: if there is nothing to pack, or an image has more rows or columns than the tables.
    """
    builder = [_Row(spec, starts[i] if starts else 0) for i in range(len(rows))]
    for row, samples in zip(builder, rows, strict=True):
        for sample in samples:
            row.add_sample(sample)
    if not any(row.understanding.places or row.generation.places for row in builder):
        raise ConfigError("nothing to pack: every sample is empty")
    return _assemble(builder, spec)


class _Block:
    """Columns of one expert in one row, while they are collected."""

    def __init__(self) -> None:
        self.samples: list[int] = []
        self.segments: list[int] = []
        self.places: list[int] = []
        self.causal: list[bool] = []
        self.noised: list[bool] = []
        self.positions: list[int] = []

    def extend(self, sample: int, segment: int, places: range, position: int, kind: Kind) -> None:
        n, text = len(places), kind is Kind.TEXT
        self.samples += [sample] * n
        self.segments += [segment] * n
        self.places += places
        self.causal += [text] * n
        self.noised += [kind is Kind.NOISED] * n
        self.positions += range(position, position + n) if text else [position] * n

    def __len__(self) -> int:
        return len(self.places)


class _Row:
    """One row while it is collected: segments go in, columns and losses come out."""

    def __init__(self, spec: PackSpec, start: int) -> None:
        self.spec = spec
        self.start = start
        self.understanding, self.generation = _Block(), _Block()
        self.ids: list[int] = []
        self.text_losses: list[tuple[int, int, float]] = []
        self.images: list[tuple[Segment, int]] = []
        self.latents: list[tuple[Segment, int]] = []
        self.num_samples = self.num_segments = self.length = 0

    def add_sample(self, sample: Sequence[Segment]) -> None:
        position = self.start
        for segment in sample:
            position += segment.gap  # what a dropped image would have taken
            if segment.is_text:
                self._add_text(segment, position)
            else:
                self._add_image(segment, position)
            position += segment.advance
            self.num_segments += 1
            self.length += segment.length
        self.num_samples += 1

    def _extend(self, block: _Block, offset: int, count: int, position: int, kind: Kind) -> None:
        places = range(self.length + offset, self.length + offset + count)
        block.extend(self.num_samples, self.num_segments, places, position, kind)

    def _add_text(self, segment: Segment, position: int) -> None:
        special, content = self.spec.special, segment.tokens.tolist()
        ids = [special.text_start] * segment.opens + content + [special.text_end] * segment.closes
        first = len(self.ids)
        self._extend(self.understanding, 0, len(ids), position, Kind.TEXT)
        self.ids += ids
        if segment.loss:
            # A token is predicted from its predecessor, so that is where its loss is taken.
            credits = segment.credits or (1.0,) * (len(ids) - 1)
            labeled = enumerate(zip(ids[1:], credits, strict=True))
            self.text_losses += [(first + i, label, credit) for i, (label, credit) in labeled]
        if segment.end_label is not None:
            self.text_losses.append((first + len(ids) - 1, segment.end_label, 1.0))

    def _add_image(self, segment: Segment, position: int) -> None:
        special, n = self.spec.special, len(segment.tokens)
        first, block = len(self.ids), self.understanding
        # Delimiters of latents are understanding tokens, but see and are seen as the image they enclose.
        self._extend(block, 0, 1, position, segment.kind)
        self.ids.append(special.image_start)
        if segment.kind is Kind.VIT:
            self._extend(block, 1, n, position, segment.kind)
            self.images.append((segment, first + 1))
            # Any id will do: the model puts ViT features in the place of its embedding.
            self.ids += [0] * n
        else:
            # Latents have no ids, so they stand in a block of their own.
            self.latents.append((segment, len(self.generation)))
            self._extend(self.generation, 1, n, position, segment.kind)
        self._extend(block, n + 1, 1, position, segment.kind)
        self.ids.append(special.image_end)
        if segment.end_label is not None:
            self.text_losses.append((len(self.ids) - 1, segment.end_label, 1.0))


def _assemble(rows: list[_Row], spec: PackSpec) -> Packed:
    """Pad the collected rows to one batch."""
    width = max(len(row.understanding) for row in rows)
    depth = max(len(row.generation) for row in rows)
    images = [(segment, i * width + at) for i, row in enumerate(rows) for segment, at in row.images]
    latents = [(segment, i, at) for i, row in enumerate(rows) for segment, at in row.latents]
    losses = [(i * width + at, *rest) for i, row in enumerate(rows) for at, *rest in row.text_losses]

    def columns(name: str, pad: int | bool) -> Tensor:
        return torch.tensor(
            [
                _padded(getattr(row.understanding, name), width, pad)
                + _padded(getattr(row.generation, name), depth, pad)
                for row in rows
            ]
        )

    slots, labels, credits = zip(*losses, strict=True) if losses else ((), (), ())
    return Packed(
        ids=torch.tensor([_padded(row.ids, width, 0) for row in rows], dtype=torch.long),
        positions=columns("positions", 0),
        layout=Layout(
            sample=columns("samples", -1),
            segment=columns("segments", -1),
            place=columns("places", 0),
            causal=columns("causal", False),
            noised=columns("noised", False),
        ),
        text_slots=torch.tensor(slots, dtype=torch.long),
        text_labels=torch.tensor(labels, dtype=torch.long),
        text_credits=torch.tensor(credits, dtype=torch.float32),
        **_pack_patches(images, spec),
        **_pack_latents(latents, len(rows), depth, spec),
    )


def _pack_patches(images: list[tuple[Segment, int]], spec: PackSpec) -> dict[str, Any]:
    """Return ViT inputs of all images and the slots of their tokens."""
    none = torch.zeros(0, dtype=torch.long)
    return {
        "patches": torch.cat([s.tokens for s, _ in images])
        if images
        else torch.zeros(0, spec.patch_channels),
        "patch_places": torch.cat([_places(s, spec.patch_side, "ViT") for s, _ in images])
        if images
        else none,
        "patch_lengths": tuple(len(s.tokens) for s, _ in images),
        "patch_slots": torch.cat([torch.arange(at, at + len(s.tokens)) for s, at in images])
        if images
        else none,
    }


def _pack_latents(
    latents: list[tuple[Segment, int, int]], rows: int, depth: int, spec: PackSpec
) -> dict[str, Any]:
    """Return latent tokens with their times, places and velocity targets."""
    # In training latents come from the autoencoder and are on its device already; all else is on the CPU.
    device = latents[0][0].tokens.device if latents else None
    seen = torch.zeros(rows, depth, spec.latent_channels, device=device)
    times = torch.zeros(rows, depth, device=device)
    places = torch.zeros(rows, depth, dtype=torch.long, device=device)
    slots, targets, credits = [], [], []
    for segment, row, at in latents:
        here = slice(at, at + len(segment.tokens))
        tokens = segment.tokens
        if segment.kind is Kind.NOISED:
            assert segment.noise is not None, "a noised segment carries its noise"
            tokens = interpolate(segment.tokens, segment.noise, segment.time)
            times[row, here] = segment.time
            if segment.loss:
                # Flat over rows and padding, so that one index takes all supervised tokens of the batch.
                slots.append(torch.arange(row * depth + at, row * depth + here.stop, device=device))
                targets.append(velocity_target(segment.tokens, segment.noise))
                credits += [*(segment.credits or (1.0,))] * len(segment.tokens)
        seen[row, here] = tokens
        places[row, here] = _places(segment, spec.latent_side, "latent").to(places.device)
    return {
        "latents": seen,
        "times": times,
        "latent_places": places,
        "latent_slots": torch.cat(slots) if slots else torch.zeros(0, dtype=torch.long, device=device),
        "latent_targets": torch.cat(targets)
        if targets
        else torch.zeros(0, spec.latent_channels, device=device),
        "latent_credits": torch.tensor(credits, dtype=torch.float32, device=device),
    }


def _places(segment: Segment, side: int, table: str) -> Tensor:
    assert segment.grid is not None, "an image segment carries its grid"
    rows, columns = segment.grid
    if max(rows, columns) > side:
        raise ConfigError(
            f"an image of {rows}x{columns} {table} tokens exceeds the model's {side}x{side} table"
        )
    return grid_positions(rows, columns, side)


def _padded(values: list[Any], length: int, pad: int | bool) -> list[Any]:
    return values + [pad] * (length - len(values))
