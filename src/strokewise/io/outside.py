"""Files that come from outside, read with bounds: text, JSON, JSON lines and pictures.

Whatever the bytes are, a reader returns a value of the promised type or raises an error of ours that names
the file. Pictures come out as a viewer shows them. Knows encodings and formats; what the values mean is the
caller's business (``schema`` checks their types).
"""

import codecs
import gzip
import io
import json
import math
import struct
import unicodedata
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from strokewise.errors import InputError, RecordError, StrokewiseError

MAX_BYTES = 2**28  # of a file, after decompression
MAX_DEPTH = 64  # of objects and lists inside each other
MAX_PIXELS = 2**26  # of a picture, 8192 by 8192
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
# PNG chunks that decide the pixels. The others (profiles, texts, animations) may be too large for Pillow.
PNG_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"eXIf", b"IEND")
PNG_MARK = b"\x89PNG\r\n\x1a\n"

# Pillow warns of large pictures, which we refuse with an error, and of damaged EXIF data, which we ignore.
warnings.filterwarnings("ignore", module=r"PIL\.")

# What stands in place of a file after a download that went wrong, by how it begins.
STAND_INS = {
    b"version https://git-lfs": "a Git LFS pointer",
    b"<!doctype html": "a web page",
    b"<html": "a web page",
}

Error = type[StrokewiseError]


# --- bytes and text ----------------------------------------------------------------------------------------


def check_downloaded(path: Path, error: Error = InputError) -> None:
    """Refuse what stands in place of a file after a download that went wrong.

    Raises:
        StrokewiseError: of class ``error``, saying what it is; or that it cannot be read.
    """
    try:
        with path.open("rb") as file:
            _check_downloaded(file.read(64), path, error)
    except (OSError, ValueError) as cause:  # ValueError: of a name that no file has
        raise error(f"{path} cannot be read: {cause}") from cause


def _check_downloaded(beginning: bytes, where: object, error: Error) -> None:
    start = beginning.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    for mark, kind in STAND_INS.items():
        if start.startswith(mark):
            raise error(f"{where} is {kind}; download the file itself")


def read_bytes(path: Path, error: Error = InputError) -> bytes:
    """Return the content of a file; decompressed where the name ends in ``.gz``.

    Raises:
        StrokewiseError: of class ``error``, if it cannot be read, is larger than ``MAX_BYTES``, or is a Git
            LFS pointer or web page in place of the file.
    """
    if path.suffix == ".gz":
        check_downloaded(path, error)
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, ValueError, zlib.error) as cause:
        raise error(f"{path} cannot be read: {cause}") from cause
    if len(data) > MAX_BYTES:
        raise error(f"{path} cannot be read: it is larger than {MAX_BYTES >> 20} MiB")
    _check_downloaded(data[:64], path, error)
    return data


def read_text(path: Path, error: Error = InputError) -> str:
    """Return the text of a UTF-8 file, with or without a byte-order mark.

    Raises:
        StrokewiseError: of class ``error``, if it cannot be read or is in another encoding.
    """
    return _decoded(read_bytes(path, error), path, error)


def read_lines(path: Path, error: Error = InputError) -> list[str]:
    """Return the lines of a text that are not blank, without the white space around them.

    Raises:
        StrokewiseError: as :func:`read_text`, and if a line holds control characters; it names the line.
    """
    return [line for _, line in read_numbered_lines(path, error)]


def read_numbered_lines(path: Path, error: Error = InputError) -> list[tuple[int, str]]:
    """Return the same, each with its number in the file, from 1; errors as for :func:`read_lines`."""
    lines = enumerate(map(str.strip, read_text(path, error).splitlines()), 1)
    found = [(number, line) for number, line in lines if line]
    for number, line in found:
        if has_controls(line):
            raise error(f"{path}, line {number}: it holds control characters (or tabs); write plain lines")
    return found


def has_controls(text: str) -> bool:
    """Return whether a text holds characters that control a device, tabs and ends of lines among them."""
    return any(unicodedata.category(character) == "Cc" for character in text)


def _decoded(data: bytes, where: object, error: Error) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        reason = "it is UTF-16" if utf16 else f"byte {cause.start} is not UTF-8"
        raise error(f"{where} cannot be read as a text: {reason}; save it as UTF-8") from cause


# --- JSON --------------------------------------------------------------------------------------------------


def parse_json(text: str | bytes, where: object, error: Error = RecordError) -> Any:
    """Return the value of a JSON text: finite numbers, whole characters, at most ``MAX_DEPTH`` levels.

    Args:
        text: the JSON; bytes are UTF-8 with or without a byte-order mark.
        where: names the text in errors.
        error: class of the error to raise.

    Raises:
        StrokewiseError: of class ``error``, if it is anything else.
    """
    if isinstance(text, bytes):
        text = _decoded(text, where, error)
    try:
        value = json.loads(text)
        _check_json(value)
    except (ValueError, TypeError, RecursionError) as cause:
        reason = "it is nested too deeply" if isinstance(cause, RecursionError) else cause
        raise error(f"{where} cannot be read as JSON: {reason}") from cause
    return value


def _check_json(value: object) -> None:
    """Refuse what JSON texts can state but nobody can use; without recursion."""
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[object] = []
        for one in level:
            if isinstance(one, dict):
                below += [*one, *one.values()]
            elif isinstance(one, list):
                below += one
            elif isinstance(one, str):
                _check_characters(one)
            elif isinstance(one, float) and not math.isfinite(one):
                raise ValueError(f"{one} is not a number of JSON")
        if not below:
            return
        level = below
    raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")


def _check_characters(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as cause:
        raise ValueError(f"it holds half a character ({text[cause.start]!r})") from cause


def read_json(path: Path, error: Error = RecordError) -> Any:
    """Return the value of a JSON file.

    Raises:
        StrokewiseError: of class ``error``, as :func:`read_bytes` and :func:`parse_json`.
    """
    return parse_json(read_bytes(path, error), path, error)


def read_object(path: Path, error: Error = RecordError) -> dict[str, Any]:
    """Return the object of a JSON file.

    Raises:
        StrokewiseError: of class ``error``, if the file holds anything else.
    """
    value = read_json(path, error)
    if not isinstance(value, dict):
        raise error(f"{path} holds no JSON object")
    return value


def read_json_lines(
    path: Path, error: Error = RecordError, torn: bool = False
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects of a file of JSON lines, each with its place for errors ("FILE, line 3").

    Args:
        path: the file; blank lines are skipped.
        error: class of the error to raise.
        torn: whether the last line may be unfinished; it is then left out.

    Raises:
        StrokewiseError: of class ``error``, naming the line, if one is not an object.
    """
    text = read_text(path, error)
    if torn:
        text = text[: text.rfind("\n") + 1]
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        value = parse_json(line, where, error)
        if not isinstance(value, dict):
            raise error(f"{where}: no object")
        yield where, value


# --- pictures ----------------------------------------------------------------------------------------------


def read_picture(path: Path, error: Error = InputError) -> Image.Image:
    """Return the picture of a file as a viewer shows it.

    Raises:
        StrokewiseError: of class ``error``, as :func:`read_bytes` and :func:`decode_picture`.
    """
    return decode_picture(read_bytes(path, error), path, error)


def decode_picture(data: bytes, where: object, error: Error = InputError) -> Image.Image:
    """Return the picture of an encoded file as a viewer shows it.

    Of animations and pages it is the first. EXIF orientation is applied, transparent pixels are composed over
    white, gray of 16 bits is scaled to 8; color profiles are ignored.

    Args:
        data: the file, in one of ``FORMATS``.
        where: names the picture in errors.
        error: class of the error to raise.

    Returns:
        The picture in mode RGB.

    Raises:
        StrokewiseError: of class ``error``, if it is of another format, damaged, or too large.
    """
    return as_seen(decode_pixels(data, where, error), where, error)


def decode_pixels(
    data: bytes, where: object, error: Error = RecordError, formats: Sequence[str] = FORMATS
) -> Image.Image:
    """Return the picture of an encoded file with its pixels as they are stored, in any mode of Pillow.

    Raises:
        StrokewiseError: of class ``error``, if it is not in ``formats``, damaged, or too large.
    """
    kind = formats[0] if len(formats) == 1 else "picture"
    try:
        image = Image.open(io.BytesIO(_without_extras(data)), formats=list(formats))
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"{image.width} by {image.height} pixels are more than {MAX_PIXELS:,}")
        image.load()
    except Exception as cause:  # the decoders of damaged files raise errors of many kinds
        if isinstance(cause, Image.UnidentifiedImageError):
            cause = ValueError(f"none of {', '.join(formats)}")
        raise error(f"{where} is not a readable {kind}: {cause}") from cause
    return image


def _without_extras(data: bytes) -> bytes:
    """Return a PNG with the chunks of ``PNG_CHUNKS`` alone; other files, and damaged ones, as they are."""
    if not data.startswith(PNG_MARK):
        return data
    kept, at = [PNG_MARK], len(PNG_MARK)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 12 + length
        if data[at + 4 : at + 8] in PNG_CHUNKS or end > len(data):
            kept.append(data[at:end])
        at = end
    return b"".join([*kept, data[at:]])


def as_seen(image: Image.Image, where: object = "the image", error: Error = InputError) -> Image.Image:
    """Return a decoded picture as a viewer shows it; see :func:`decode_picture`.

    Raises:
        StrokewiseError: of class ``error``, if it has 32 bits a channel, or is damaged.
    """
    if image.mode in ("I", "F"):
        raise error(f"{where} has pixels of 32 bits; save it with 8 or 16 bits a channel")
    try:
        turned = _turned(_eight_bits(image) if image.mode.startswith("I;16") else image)
        if not turned.has_transparency_data:
            return turned.convert("RGB")
        colors = turned.convert("RGBA")
        white = Image.new("RGB", colors.size, "white")
        white.paste(colors, mask=colors.getchannel("A"))
        return white
    except Exception as cause:
        raise error(f"{where} is not a readable picture: {cause}") from cause


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return a gray picture of 16 bits with 8; a value that is stated to be transparent gets alpha 0."""
    values = np.asarray(image).astype(np.uint32)
    gray = Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
    gray.info["exif"] = image.info.get("exif", b"")
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        gray.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return gray


def _turned(image: Image.Image) -> Image.Image:
    """Return the picture turned as its EXIF data state; as it is where they are damaged."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # viewers ignore damaged EXIF data, which raise errors of many kinds
        return image
