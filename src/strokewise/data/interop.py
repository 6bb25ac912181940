"""Other trainers' parquet formats, to and from: so that they can use our data, and we theirs.

*irg*: a row is a ``conversation`` of turns with a role and parts {type, content, need_loss, need_vae,
need_vit}; a text's content is UTF-8, an image's an encoded file. *bagel*: a row has ``image_list`` (encoded
files), ``instruction_list`` (for each image but the first of an edit, wordings of how to get there) and
``output_text_list`` (the message before each image, and the last one).

Rows of others are validated and never coerced (``foreign_rows``). This file knows what their columns mean.
It refuses to guess where that is not certain.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from strokewise.data.foreign_rows import Cell
from strokewise.data.records import Record, from_table_row, to_table_row
from strokewise.data.storage import MANIFEST, read, read_rows, table_bytes
from strokewise.errors import ConfigError, ProtocolError, RecordError
from strokewise.io.atomic import write_bytes
from strokewise.trajectory.files import FILE, all_images, encode_png, load
from strokewise.trajectory.values import Message, Step, StopReason, Trajectory, from_parts, to_parts

Row = dict[str, Any]
FORMATS = ("irg", "bagel", "strokewise")


def to_irg(trajectory: Trajectory) -> Row:
    """Return a row of the conversation format: the user's turn has no loss, the model's has."""
    turns = []
    steps = to_parts(trajectory)
    given = 1 if trajectory.source is None else 2
    for role, parts in (("user", steps[:given]), ("assistant", steps[given:])):
        trained = role == "assistant"
        content = []
        for part in parts:
            shown = isinstance(part, Image.Image)
            data = encode_png(part) if isinstance(part, Image.Image) else part.encode()
            content.append(
                {
                    "type": "image" if shown else "text",
                    "content": data,
                    "need_loss": trained,
                    "need_vae": shown,
                    "need_vit": shown,
                }
            )
        turns.append({"role": role, "content": content})
    return {"conversation": turns}


def from_irg(row: Row, where: str) -> Trajectory:
    """Return the trajectory of a conversation.

    Raises:
        RecordError: naming the row, the column and what was expected, if the row has another form.
        ProtocolError: if its texts and images are no trajectory.
    """
    parts: list[str | Image.Image] = []
    for turn in Cell.of(row, "conversation", where).items():
        for part in turn.field("content").items():
            kind, content = part.field("type").text(), part.field("content")
            if kind not in ("text", "image"):
                raise part.field("type").expected("'text' or 'image'")
            parts.append(content.text() if kind == "text" else content.picture())
    try:
        return from_parts(parts)
    except ProtocolError as error:
        raise ProtocolError(f"{where}: the conversation is no trajectory: {error}") from error


def to_bagel(trajectory: Trajectory) -> Row:
    """Return a row of the interleaved format."""
    messages = [step.message for step in trajectory.steps if step.image is not None]
    return {
        "image_list": [encode_png(image) for image in all_images(trajectory)],
        "instruction_list": [[message.refine or message.ins or ""] for message in messages],
        "output_text_list": [step.message.text() for step in trajectory.steps],
        "prompt": trajectory.prompt,
        "has_source": trajectory.source is not None,
    }


def from_bagel(row: Row, where: str) -> Trajectory:
    """Return the trajectory of an interleaved row; rows with instructions alone become plans without
    inspection.

    Such a row begins with the image that is edited, so it has one image more than instructions; it may also
    have an empty instruction for that image.

    Raises:
        RecordError: naming the row, the column and what was expected, if the row has another form.
        ProtocolError: if a text is no message.
    """
    images = [cell.picture() for cell in Cell.of(row, "image_list", where).items()]
    groups = Cell.of(row, "instruction_list", where).items(optional=True)
    texts = Cell.of(row, "output_text_list", where).items(optional=True)
    wordings = [_wording(group) for group in groups]
    stated = Cell.of(row, "has_source", where).boolean(optional=True)
    sourced = len(images) == len(wordings) + 1 if stated is None else stated
    messages = [_message(text) for text in texts]
    if not texts:
        if stated is None and wordings and wordings[0] is None and len(images) == len(wordings):
            sourced, groups, wordings = True, groups[1:], wordings[1:]
        if not sourced and stated is None:
            expected = f"wordings for each of {len(images)} images but the first, which is edited"
            raise Cell.of(row, "instruction_list", where).expected(f"{expected} (or a column 'has_source')")
        for group, wording in zip(groups, wordings, strict=True):
            if wording is None:
                raise group.expected("an instruction, as there is an image after it")
            messages.append(Message(ins=wording, des=wording))
    instructions = [wording for wording in wordings if wording]
    prompt = Cell.of(row, "prompt", where).text(optional=True) or ". ".join(instructions)
    if not prompt:
        raise Cell.of(row, "prompt", where).expected("a text, as there are no instructions")
    if sourced and not images:
        raise Cell.of(row, "image_list", where).expected("a source image")
    source = images.pop(0) if sourced else None
    if not len(images) <= len(messages) <= len(images) + 1:
        raise RecordError(f"{where}: {len(images)} images do not fit {len(messages)} texts")
    steps = [Step(m, images[i] if i < len(images) else None) for i, m in enumerate(messages)]
    return Trajectory(prompt, tuple(steps), source, stop=StopReason.END if texts else StopReason.EXCERPT)


def _wording(group: Cell) -> str | None:
    """Return the first wording of an instruction, which may also be a plain text; None where there is
    none.
    """
    wordings = [group] if isinstance(group.value, str) else group.items(optional=True)
    found = [cell.text(optional=True) for cell in wordings]
    return next((wording for wording in found if wording.strip()), None)


def _message(cell: Cell) -> Message:
    try:
        return Message.parse(cell.text())
    except ProtocolError as error:
        raise ProtocolError(f"{cell.where}: {error}") from error


def convert(source: Path, out: Path, to: str) -> int:
    """Convert a data set or file; the number of rows.

    Raises:
        ConfigError: if the format is unknown or the output exists.
        RecordError: if a row cannot be read.
    """
    if to not in FORMATS:
        raise ConfigError(f"unknown format {to!r}; known are {', '.join(FORMATS)}")
    if out.exists():
        raise ConfigError(f"{out} exists; give another name")
    write: dict[str, Callable[[Trajectory], Row]] = {
        "irg": to_irg,
        "bagel": to_bagel,
        "strokewise": _to_record,
    }
    rows = [write[to](trajectory) for trajectory in trajectories(source)]
    if not rows:
        raise RecordError(f"{source} holds no rows")
    write_bytes(out, table_bytes(rows), ConfigError)
    return len(rows)


def trajectories(source: Path) -> Iterator[Trajectory]:
    """Yield trajectories of a built data set, of a parquet file of any format, or of folders in a folder."""
    if source.is_dir():
        folders = [] if (source / MANIFEST).exists() else sorted(path.parent for path in source.rglob(FILE))
        yield from map(load, folders) if folders else (record.trajectory for _, record in read(source))
        return
    for i, row in enumerate(read_rows(source)):
        yield trajectory_of_row(row, f"{source}, row {i}")


def trajectory_of_row(row: Row, where: str) -> Trajectory:
    """Return the trajectory of a row of any format.

    Raises:
        RecordError: naming the row and what is wrong with it.
        ProtocolError: if its texts and images are no trajectory.
    """
    if "conversation" in row:
        return from_irg(row, where)
    return from_bagel(row, where) if "image_list" in row else from_table_row(row, where).trajectory


def _to_record(trajectory: Trajectory) -> Row:
    return to_table_row(Record("multi-turn", "complete", trajectory))
