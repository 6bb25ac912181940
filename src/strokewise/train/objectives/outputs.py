"""What objectives make of a packed batch: log-probabilities of labels, and velocities.

Both heads run even where nothing is supervised, so that every weight has a gradient on every rank.

Shape legend: C tokens with a label, S hidden size, M latent tokens with a loss, N latent channels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from strokewise.models import Backbone, visibility
from strokewise.sequence import Packed

# Tokens whose logits are in memory together: for BAGEL's vocabulary 2048 rows of float32 are 1.2 GB.
TEXTS_AT_ONCE = 2048
FLOAT32 = 4


def outputs_of(model: Backbone, packed: Packed, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Compute log-probabilities (C,) of the labels, at a temperature, and velocities (M, N)."""
    hidden = model(packed, visibility(packed))
    states = hidden.understanding.flatten(0, 1)[packed.text_slots]
    velocity = model.velocity(hidden.generation.flatten(0, 1)[packed.latent_slots])
    return _log_probabilities(model, states, packed.text_labels, temperature), velocity


def logits_bytes(tokens: int, vocabulary: int) -> int:
    """Estimate the logits of one piece, their softmax and their gradient, all float32."""
    return 3 * min(TEXTS_AT_ONCE, tokens) * vocabulary * FLOAT32


def _log_probabilities(model: Backbone, states: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Return log-probabilities (C,) of labels behind states (C, S), with the logits of few in memory at
    once.
    """
    found = [_piece(model, states[:TEXTS_AT_ONCE], labels[:TEXTS_AT_ONCE], temperature)]
    for at in range(TEXTS_AT_ONCE, len(states), TEXTS_AT_ONCE):
        here = slice(at, at + TEXTS_AT_ONCE)
        found.append(checkpoint(_piece, model, states[here], labels[here], temperature, use_reentrant=False))
    return torch.cat(found)


def _piece(model: Backbone, states: Tensor, labels: Tensor, temperature: float) -> Tensor:
    return -F.cross_entropy(model.text_logits(states).float() / temperature, labels, reduction="none")
