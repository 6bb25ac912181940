"""How many paintings fit into the memory that is free now. Counts keys and values; refuses to paint."""

from pathlib import Path

import torch

from strokewise.errors import ConfigError
from strokewise.models import Backbone

# A session keeps what it has read twice, with texts and, for guidance, without; beside it stands the
# workspace of its three guidance branches. Each is as long as it may be.
COPIES = 2 + 3
# Share of the free memory that may be filled; the rest is for activations and for others.
SHARE = 0.8
# More gain nothing: products of so many rows are at the machine's rate.
MOST = 32


def session_bytes(model: Backbone) -> int:
    """Return the memory of keys and values that a session takes at most: as many tokens as there are
    positions.
    """
    empty = model.empty_block()
    layers, heads, _, head_dim = empty.keys.shape
    numbers = 2 * layers * heads * head_dim * model.config.max_positions
    return COPIES * numbers * empty.keys.element_size()


def fitting_batch(model: Backbone) -> tuple[int, str]:
    """Return how many sessions fit into the memory that is free now, 1 to ``MOST``, and why, for a reader.

    Raises:
        ConfigError: if this system does not tell what is free.
    """
    free, each = free_bytes(model.device), session_bytes(model)
    batch = max(1, min(MOST, int(SHARE * free / each)))
    reason = f"{free / 1e9:.1f} GB are free, a session takes {each / 1e9:.2f} GB at most"
    return batch, reason


def free_bytes(device: torch.device) -> int:
    """Return bytes that are free on a GPU, or available in the memory of the host (Linux).

    Raises:
        ConfigError: if this system does not tell.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    table = Path("/proc/meminfo")
    lines = table.read_text().splitlines() if table.exists() else []
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise ConfigError("this system does not tell how much memory is free; give --batch a number")
