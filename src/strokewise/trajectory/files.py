"""Trajectories on disk: a folder of JSON and PNGs, and a row of a table. Validated on read, written whole.

Knows files and plain values; what a trajectory means is defined in ``values`` and ``world``.
"""

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired

from PIL import Image
from typing_extensions import TypedDict

from strokewise.errors import RecordError
from strokewise.io.atomic import writing_folder
from strokewise.io.outside import decode_pixels, parse_json, read_bytes, read_json
from strokewise.io.schema import checked, checked_row
from strokewise.trajectory.values import Message, Step, StopReason, Trajectory, Verdict

FORMAT = 1
FILE = "trajectory.json"
MAX_STEPS = 64


def encode_png(image: Image.Image) -> bytes:
    """Return a PNG, quickly rather than small: sprites are flat and shrink well at the lowest level."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def decode_png(data: bytes, name: str) -> Image.Image:
    """Return the image of PNG bytes.

    Raises:
        RecordError: if they are damaged.
    """
    return decode_pixels(data, name, RecordError, formats=["PNG"])


def to_json(trajectory: Trajectory) -> dict[str, Any]:
    """Return everything but the pixels; images are numbered in the order of :func:`all_images`.

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
            judged = {"plan": step.verdict.plan, "sketch": step.verdict.sketch}
            texts = {key: getattr(step.verdict, key) for key in ("plan_text", "seen_text")}
            value["verdict"] = judged | {key: text for key, text in texts.items() if text is not None}
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
        **({"original_prompt": trajectory.original_prompt} if trajectory.original_prompt else {}),
    }


def all_images(trajectory: Trajectory) -> list[Image.Image]:
    """Return the source, if there is one, then the canvases."""
    return ([] if trajectory.source is None else [trajectory.source]) + trajectory.images


class _StoredVerdict(TypedDict):
    plan: bool | None
    sketch: bool | None
    plan_text: NotRequired[str]  # missing in files of earlier versions, as is the next
    seen_text: NotRequired[str]


class _StoredStep(TypedDict, total=False):
    """A step as JSON has it: the parts of its message, and the number of its image. Nothing is null."""

    inspect: str
    refine: str
    ins: str
    des: str
    image: int
    verdict: _StoredVerdict
    seed: int
    seconds: float


@dataclass(frozen=True)
class _StoredTrajectory:
    """A trajectory as JSON has it; ``source`` is the number of an image."""

    format: int
    prompt: str
    steps: list[_StoredStep]
    stop: str
    model: str
    seed: int | None
    source: int | None = None
    original_prompt: str = ""


def from_json(value: object, images: Sequence[Image.Image], where: str) -> Trajectory:
    """Invert :func:`to_json`; ``where`` names the record in errors.

    Raises:
        RecordError: if a key is unknown, missing or of another type, or an image number has no image.
    """
    if isinstance(value, dict) and value.get("format", FORMAT) != FORMAT:
        raise RecordError(f"{where}: format {value['format']!r}; this version reads {FORMAT}")
    data = checked(_StoredTrajectory, value, where)
    _check_length(len(data.steps), where)

    def image(number: int | None, at: str) -> Image.Image | None:
        if number is not None and not 0 <= number < len(images):
            raise RecordError(f"{where}: {at}: there is no image {number!r}, only {len(images)} images")
        return None if number is None else images[number]

    steps = []
    for i, step in enumerate(data.steps):
        message = Message(step.get("inspect", ""), step.get("refine"), step.get("ins"), step.get("des"))
        verdict = Verdict(**step["verdict"]) if "verdict" in step else None
        canvas = image(step.get("image"), f"steps.{i}.image")
        steps.append(Step(message, canvas, verdict, step.get("seed"), step.get("seconds")))
    source = image(data.source, "source")
    stop = _stop_reason(data.stop, where)
    return Trajectory(data.prompt, tuple(steps), source, stop, data.model, data.seed, data.original_prompt)


def _stop_reason(text: str, where: str) -> StopReason:
    try:
        return StopReason(text)
    except ValueError as error:
        known = ", ".join(StopReason)
        raise RecordError(f"{where}: stop is {text!r}; it is one of {known}") from error


def _check_length(steps: int, where: str) -> None:
    if steps > MAX_STEPS:
        raise RecordError(f"{where}: {steps} steps; at most {MAX_STEPS} are allowed")


def image_names(trajectory: Trajectory) -> Iterator[str]:
    """Yield file names of :func:`all_images`."""
    if trajectory.source is not None:
        yield "source.png"
    yield from (f"canvas-{i}.png" for i in range(1, len(trajectory.images) + 1))


def save(trajectory: Trajectory, folder: str | Path) -> None:
    """Write a folder of ``trajectory.json`` and PNGs; it appears whole or not at all.

    Raises:
        RecordError: if other files stand there (an older trajectory is replaced), or it cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / FILE).exists() and any(folder.iterdir()):
        raise RecordError(f"{folder} holds other files; give another folder")
    names = list(image_names(trajectory))
    value = to_json(trajectory) | {"images": names}
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    with writing_folder(folder, RecordError, replace=True) as partial:
        for name, image in zip(names, all_images(trajectory), strict=True):
            (partial / name).write_bytes(encode_png(image))
        (partial / FILE).write_bytes(text.encode("utf-8", "replace"))


def load(folder: str | Path) -> Trajectory:
    """Read a folder.

    Raises:
        RecordError: if a file is missing or damaged, or names a file outside the folder.
    """
    folder = Path(folder)
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
    """Return a row of a table: the prompt, the JSON text, and the PNGs."""
    text = json.dumps(to_json(trajectory), ensure_ascii=False, sort_keys=True)
    return {
        "prompt": trajectory.prompt,
        "trajectory": text,
        "images": [encode_png(image) for image in all_images(trajectory)],
    }


class _Row(TypedDict):
    trajectory: str
    images: list[bytes]


def from_row(row: dict[str, Any], where: str) -> Trajectory:
    """Invert :func:`to_row`.

    Raises:
        RecordError: naming the row and what is wrong with it.
    """
    data = checked_row(_Row, row, f"{where}: not a row of trajectories")
    images = [decode_png(png, f"{where}, image {i}") for i, png in enumerate(data["images"])]
    return from_json(parse_json(data["trajectory"], f"{where}: the trajectory"), images, where)
