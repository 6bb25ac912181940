"""Words of the command line as values: sizes, precisions, pictures, lists of prompts. Imports torch late."""

from pathlib import Path
from typing import TYPE_CHECKING

from strokewise.errors import ConfigError, InputError

if TYPE_CHECKING:
    import torch
    from PIL import Image


def parse_size(text: str) -> tuple[int, int]:
    """``WIDTHxHEIGHT`` to (height, width).

    Raises:
        ConfigError: if it is of another form.
    """
    width, _, height = text.lower().partition("x")
    if not all(side.isdecimal() and len(side) < 6 and int(side) for side in (width, height)):
        raise ConfigError(f"size {text!r} is not of the form WIDTHxHEIGHT, such as 1024x768")
    return int(height), int(width)


def parse_dtype(text: str) -> "torch.dtype":
    """A precision by name.

    Raises:
        ConfigError: if there is none of that name.
    """
    import torch

    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if text not in known:
        raise ConfigError(f"unknown dtype {text!r}; known are {', '.join(known)}")
    return known[text]


def read_picture(path: Path) -> "Image.Image":
    """The picture of a file.

    Raises:
        InputError: if it cannot be read as one.
    """
    from PIL import Image

    try:
        image = Image.open(path)
        image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} cannot be read as a picture: {error}") from error
    return image


def read_prompts(path: Path) -> list[str]:
    """The lines of a file that are not blank.

    Raises:
        InputError: if it cannot be read, or holds none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a text: {error}") from error
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise InputError(f"{path} holds no prompts; write one a line")
    return prompts
