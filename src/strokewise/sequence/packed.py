"""A packed batch: tensors ready for a network, and where every token stands in them.

Shape legend: R rows, U understanding and G generation columns, V ViT patches of all images together, C text
losses, M latent tokens with a loss. Knows tensors only; ``packing`` makes them from segments.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from strokewise.sequence.tokenizer import SpecialTokens


@dataclass(frozen=True)
class Layout:
    """Where every token of a batch stands; what it sees follows from it. All shapes (rows, columns).

    Columns are the understanding block, then the generation block. Padding has sample and segment -1.
    """

    sample: Tensor
    segment: Tensor
    place: Tensor
    causal: Tensor
    noised: Tensor

    def mask(self) -> Tensor:
        """Return boolean (rows, columns, columns), True where the query (second axis) sees the key
        (third).
        """
        facts = [fact for fact, _ in self.facts()]
        return sees([fact[:, :, None] for fact in facts], [fact[:, None, :] for fact in facts])

    def facts(self) -> list[tuple[Tensor, int]]:
        """Return what :func:`sees` must know of every token, each with its value for padding."""
        return [
            (self.sample, -1),
            (self.segment, -1),
            (self.place, 0),
            (self.causal, False),
            (self.noised, False),
        ]

    @property
    def valid(self) -> Tensor:
        """Boolean (rows, columns): False on padding."""
        return self.sample >= 0


def sees(query: Sequence[Tensor], key: Sequence[Tensor]) -> Tensor:
    """Return whether queries see keys; both are given by their `Layout.facts`, of shapes that fit each other.

    Padding sees padding, so that no query is without a key: softmax over nothing is NaN in some kernels.
    """
    sample, segment, place, causal, _ = query
    inside = (key[1] == segment) & (~causal | (key[2] <= place))
    before = (key[1] < segment) & ~key[4]
    return (key[0] == sample) & (inside | before)


@dataclass(frozen=True)
class Packed:
    """A batch ready for the network; shapes as in the module's legend.

    Attributes:
        ids: (R, U) token ids; 0 where a ViT token or padding stands.
        latents: (R, G, channels) latent tokens as the network sees them; noised ones are interpolated.
        times: (R, G) flow time of each latent token, 0 for clean ones; (1, 1) where it is one for all.
        latent_places: (R, G) index into the model's table of latent positions.
        positions: (R, U + G) rotary positions.
        layout: samples, segments, order and modes of all columns.
        patches: (V, patch·patch·3) pixels of all ViT images, one after another.
        patch_places: (V,) index into the position tables of the ViT.
        patch_lengths: patches of each ViT image.
        patch_slots: (V,) where ViT tokens stand, as flat index into (R, U).
        text_slots: (C,) where text losses are taken, as flat index into (R, U).
        text_labels: (C,) the id to be predicted there.
        text_credits: (C,) credit of each (see ``Segment``).
        latent_slots: (M,) where velocities are supervised, as flat index into (R, G).
        latent_targets: (M, channels) the velocities.
        latent_credits: (M,) credit of each.
        old: what the objective computes of this batch with older weights, where it compares with them.
    """

    ids: Tensor
    latents: Tensor
    times: Tensor
    latent_places: Tensor
    positions: Tensor
    layout: Layout
    patches: Tensor
    patch_places: Tensor
    patch_lengths: tuple[int, ...]
    patch_slots: Tensor
    text_slots: Tensor
    text_labels: Tensor
    text_credits: Tensor
    latent_slots: Tensor
    latent_targets: Tensor
    latent_credits: Tensor
    old: Tensor | None = None

    def to(self, device: torch.device | str) -> "Packed":
        """Return the same batch on another device."""
        moved: dict[str, Any] = {f.name: _to(getattr(self, f.name), device) for f in fields(self)}
        return Packed(**moved)

    def with_latents(self, latents: Tensor, time: float) -> "Packed":
        """Return the same step of the same sequence at other latents (R, G, channels) and one flow time."""
        return replace(self, latents=latents, times=self.times.new_full((1, 1), time))

    @property
    def num_understanding(self) -> int:
        """Columns of the understanding block."""
        return self.ids.shape[1]

    def lengths(self) -> Tensor:
        """Return valid tokens of each row, shape (R,)."""
        return self.layout.valid.sum(1)


@dataclass(frozen=True)
class PackSpec:
    """What packing must know of a model.

    Attributes:
        special: ids of the delimiters.
        latent_channels: numbers in a latent token.
        latent_side: latent tokens per side of the table of latent positions.
        patch_channels: numbers in a ViT patch.
        patch_side: patches per side of the table of ViT positions.
    """

    special: SpecialTokens
    latent_channels: int
    latent_side: int
    patch_channels: int
    patch_side: int


def _to(value: object, device: torch.device | str) -> object:
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, Layout):
        return Layout(**{f.name: getattr(value, f.name).to(device) for f in fields(value)})
    return value
