"""Arguments of the command line as values: sizes, precisions, files of prompts. Imports torch late."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from strokewise.errors import ConfigError, InputError

if TYPE_CHECKING:
    import torch


def parse_size(text: str) -> tuple[int, int]:
    """Convert ``WIDTHxHEIGHT`` to (height, width).

    Raises:
        ConfigError: if it is of another form.
    """
    width, _, height = text.lower().partition("x")
    if not all(side.isdecimal() and len(side) < 6 and int(side) for side in (width, height)):
        raise ConfigError(f"size {text!r} is not of the form WIDTHxHEIGHT, such as 1024x768")
    return int(height), int(width)


def parse_interval(text: str) -> tuple[float, float]:
    """Convert ``LOW,HIGH`` to two numbers.

    Raises:
        ConfigError: if it is of another form.
    """
    try:
        low, high = map(float, text.split(","))
    except ValueError as error:
        raise ConfigError(f"interval {text!r} is not of the form LOW,HIGH, such as 0.4,1") from error
    return low, high


def parse_dtype(text: str) -> "torch.dtype":
    """Return a precision by name.

    Raises:
        ConfigError: if there is none of that name.
    """
    import torch

    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if text not in known:
        raise ConfigError(f"unknown dtype {text!r}; known are {', '.join(known)}")
    return known[text]


def fastest_dtype(device: str | None) -> "torch.dtype | None":
    """Measure the precision that a CPU is fast in, and say which; None, the default, on a GPU."""
    import torch

    from strokewise.models.products import BFLOAT16_GAIN, bfloat16_gain

    if device != "cpu" and (device is not None or torch.cuda.is_available()):
        return None
    gain = bfloat16_gain()
    chosen = torch.bfloat16 if gain >= BFLOAT16_GAIN else torch.float32
    name = str(chosen).removeprefix("torch.")
    print(f"{name}: products in bfloat16 are {gain:.1f} times as fast as in float32 here", file=sys.stderr)
    return chosen


def read_prompts(path: Path) -> dict[str, str]:
    """Return the prompts of a file, one a line, by place ("FILE, line 3"); blank lines are skipped.

    Raises:
        InputError: if it cannot be read, holds none, or holds control characters.
    """
    from strokewise.io.outside import read_numbered_lines

    prompts = {f"{path}, line {number}": line for number, line in read_numbered_lines(path)}
    if not prompts:
        raise InputError(f"{path} holds no prompts; write one a line")
    return prompts
