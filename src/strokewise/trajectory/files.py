"""Trajectories on disk: a folder of JSON and PNGs, and a row of a table. Validated on read, written whole.

Knows files and plain values; what a trajectory means is settled in ``trajectory`` and ``world``.
"""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from types import NoneType
from typing import Any

from PIL import Image

from strokewise.errors import RecordError
from strokewise.io.atomic import writing_folder
from strokewise.io.outside import decode_pixels, read_bytes, read_json
from strokewise.trajectory.values import Message, Step, Trajectory, Verdict

FORMAT = 1
FILE = "trajectory.json"
MAX_STEPS = 64


def encode_png(image: Image.Image) -> bytes:
    """A PNG, quickly rather than small: sprites are flat and shrink well at the lowest level."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def decode_png(data: bytes, name: str) -> Image.Image:
    """The image of PNG bytes.

    Raises:
        RecordError: if they are damaged.
    """
    return decode_pixels(data, name, RecordError, formats=["PNG"])


def to_json(trajectory: Trajectory) -> dict[str, Any]:
    """Everything but the pixels; images are numbered in the order of :func:`all_images`.

    Raises:
        RecordError: if there are more steps than are read.
    """
    _check_length(len(trajectory.steps), "this trajectory")
    numbers = iter(range(MAX_STEPS + 2))
    source = next(numbers) if trajectory.source is not None else None
    steps = []
    for step in trajectory.steps:
        value = {key: part for key, part in vars(step.message).items() if part != getattr(Message, key)}
        if step.image is not None:
            value["image"] = next(numbers)
        if step.verdict is not None:
            value["verdict"] = vars(step.verdict)
        value |= {key: getattr(step, key) for key in ("seed", "seconds") if getattr(step, key) is not None}
        steps.append(value)
    return {
        "format": FORMAT,
        "prompt": trajectory.prompt,
        "source": source,
        "steps": steps,
        "stop": trajectory.stop,
        "model": trajectory.model,
        "seed": trajectory.seed,
    }


def all_images(trajectory: Trajectory) -> list[Image.Image]:
    """The source, if there is one, then the canvases."""
    return ([] if trajectory.source is None else [trajectory.source]) + trajectory.images


def from_json(value: object, images: Sequence[Image.Image], where: str) -> Trajectory:
    """The inverse of :func:`to_json`; ``where`` names the record in errors.

    Raises:
        RecordError: if a key is unknown, missing or of another type, or an image number has no image.
    """
    data = _mapping(value, where, {f.name for f in fields(Trajectory)} | {"format"})
    if data.get("format") != FORMAT:
        raise RecordError(f"{where}: format {data.get('format')!r}; this version reads {FORMAT}")
    steps = _typed(data, "steps", list, where)
    _check_length(len(steps), where)

    def image(number: object, at: str) -> Image.Image | None:
        if number is None:
            return None
        if type(number) is not int or not 0 <= number < len(images):
            raise RecordError(f"{at}: there is no image {number!r}, only {len(images)} images")
        return images[number]

    seed = _typed(data, "seed", (int, NoneType), where)
    found = [_step(step, f"{where}, step {i}", image) for i, step in enumerate(steps)]
    return Trajectory(
        _typed(data, "prompt", str, where),
        tuple(found),
        image(data.get("source"), where),
        _typed(data, "stop", str, where),
        _typed(data, "model", str, where),
        seed,
    )


def _step(value: object, where: str, image: Callable[[object, str], Image.Image | None]) -> Step:
    parts = {f.name for f in fields(Message)}
    data = _mapping(value, where, parts | {"image", "verdict", "seed", "seconds"})
    message = Message(**{key: _typed(data, key, str, where) for key in parts & set(data)})
    verdict = data.get("verdict")
    if verdict is not None:
        judged = _mapping(verdict, f"{where}, verdict", {"plan", "sketch"})
        both = {key: _typed(judged, key, (bool, NoneType), where) for key in ("plan", "sketch")}
        verdict = Verdict(**both)
    seed, seconds = data.get("seed"), data.get("seconds")
    if type(seed) not in (int, NoneType) or type(seconds) not in (int, float, NoneType):
        raise RecordError(f"{where}: seed and seconds are numbers")
    return Step(message, image(data.get("image"), where), verdict, seed, seconds)


def _check_length(steps: int, where: str) -> None:
    if steps > MAX_STEPS:
        raise RecordError(f"{where}: {steps} steps; at most {MAX_STEPS} are allowed")


def _mapping(value: object, where: str, known: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RecordError(f"{where}: expected an object, found {type(value).__name__}")
    if unknown := sorted(str(key) for key in set(value) - known):
        raise RecordError(f"{where}: unknown entries {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    return value


def _typed(data: dict[str, Any], key: str, kind: Any, where: str) -> Any:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if key not in data or type(data[key]) not in kinds:  # a bool is no number here
        raise RecordError(f"{where}: {key!r} is missing or of another type ({data.get(key)!r})")
    return data[key]


def image_names(trajectory: Trajectory) -> Iterator[str]:
    """File names of :func:`all_images`."""
    if trajectory.source is not None:
        yield "source.png"
    yield from (f"canvas-{i}.png" for i in range(1, len(trajectory.images) + 1))


def save(trajectory: Trajectory, folder: Path) -> None:
    """Write a folder of ``trajectory.json`` and PNGs; it appears whole or not at all.

    Raises:
        RecordError: if other files stand there (an older trajectory is replaced), or it cannot be written.
    """
    if folder.exists() and not (folder / FILE).exists() and any(folder.iterdir()):
        raise RecordError(f"{folder} holds other files; give another folder")
    names = list(image_names(trajectory))
    value = to_json(trajectory) | {"images": names}
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    with writing_folder(folder, RecordError, replace=True) as partial:
        for name, image in zip(names, all_images(trajectory), strict=True):
            (partial / name).write_bytes(encode_png(image))
        (partial / FILE).write_bytes(text.encode("utf-8", "replace"))


def load(folder: Path) -> Trajectory:
    """Read a folder.

    Raises:
        RecordError: if a file is missing or damaged, or names a file outside the folder.
    """
    path = folder / FILE
    value = read_json(path)
    names = value.pop("images", None) if isinstance(value, dict) else None
    if not isinstance(names, list):
        raise RecordError(f"{path}: 'images' must list the image files")
    images = []
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or name in ("", ".", ".."):
            raise RecordError(f"{path}: image name {name!r} leads out of the folder")
        images.append(decode_png(read_bytes(folder / name, RecordError), str(folder / name)))
    return from_json(value, images, str(path))


def to_row(trajectory: Trajectory) -> dict[str, Any]:
    """A row of a table: the prompt, the JSON text, and the PNGs."""
    text = json.dumps(to_json(trajectory), ensure_ascii=False, sort_keys=True)
    return {
        "prompt": trajectory.prompt,
        "trajectory": text,
        "images": [encode_png(image) for image in all_images(trajectory)],
    }


def from_row(row: dict[str, Any], where: str) -> Trajectory:
    """The inverse of :func:`to_row`.

    Raises:
        RecordError: naming the row and what is wrong with it.
    """
    try:
        value = json.loads(row["trajectory"])
        data = [bytes(memoryview(png)) for png in row["images"]]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise RecordError(f"{where}: not a row of trajectories: {error}") from error
    images = [decode_png(png, f"{where}, image {i}") for i, png in enumerate(data)]
    return from_json(value, images, where)
