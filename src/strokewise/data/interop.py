"""Others' parquet formats, to and from: so that their trainers can use our data, and we theirs.

*irg*: a row is a ``conversation`` of turns with a role and parts {type, content, need_loss, need_vae,
need_vit}; a text's content is UTF-8, an image's an encoded file. *bagel*: a row has ``image_list`` (encoded
files), ``instruction_list`` (for each image but the first of an edit, wordings of how to get there) and
``output_text_list`` (what is said before each image, and at the end).
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from strokewise.data.building import read, read_rows, table_bytes
from strokewise.data.records import Record, from_table_row, to_table_row
from strokewise.errors import ConfigError, RecordError
from strokewise.io.atomic import write_bytes
from strokewise.io.outside import decode_picture
from strokewise.trajectory.files import all_images, encode_png
from strokewise.trajectory.values import Message, Step, Trajectory, from_parts, to_parts

Row = dict[str, Any]
FORMATS = ("irg", "bagel", "strokewise")


def to_irg(trajectory: Trajectory) -> Row:
    """A row of the conversation format: the user's turn has no loss, the model's has."""
    turns = []
    steps = to_parts(trajectory)
    given = 1 if trajectory.source is None else 2
    for role, parts in (("user", steps[:given]), ("assistant", steps[given:])):
        own = role == "assistant"
        content = []
        for part in parts:
            shown = isinstance(part, Image.Image)
            data = encode_png(part) if isinstance(part, Image.Image) else part.encode()
            content.append(
                {
                    "type": "image" if shown else "text",
                    "content": data,
                    "need_loss": own,
                    "need_vae": shown,
                    "need_vit": shown,
                }
            )
        turns.append({"role": role, "content": content})
    return {"conversation": turns}


def from_irg(row: Row, where: str) -> Trajectory:
    """The trajectory of a conversation.

    Raises:
        RecordError: if the row has another form.
        ProtocolError: if its texts and images are no trajectory.
    """
    try:
        parts = [part for turn in row["conversation"] for part in turn["content"]]
        found = [_irg_part(part["type"], part["content"], where) for part in parts]
    except (KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"{where}: not a row of the irg format: {error!r}") from error
    return from_parts(found)


def to_bagel(trajectory: Trajectory) -> Row:
    """A row of the interleaved format."""
    told = [step.message for step in trajectory.steps if step.image is not None]
    return {
        "image_list": [encode_png(image) for image in all_images(trajectory)],
        "instruction_list": [[message.refine or message.ins or ""] for message in told],
        "output_text_list": [step.message.text() for step in trajectory.steps],
        "prompt": trajectory.prompt,
        "has_source": trajectory.source is not None,
    }


def from_bagel(row: Row, where: str) -> Trajectory:
    """The trajectory of an interleaved row; rows with instructions alone become plans without inspection.

    Raises:
        RecordError: if the row has another form.
        ProtocolError: if a text is no message.
    """
    try:
        images = [_image(bytes(data), where) for data in row["image_list"]]
        wordings = [list(group) for group in row.get("instruction_list") or []]
        texts = list(row.get("output_text_list") or [])
        instructions = [str(group[0]) for group in wordings]
        prompt = row.get("prompt") or ". ".join(instructions) or texts[0]
        # A plain edit row begins with the image that is edited, so it has one image more than instructions.
        sourced = row.get("has_source", len(images) == len(instructions) + 1)
        source = images.pop(0) if sourced else None
        messages = [Message.parse(text) for text in texts]
        if not messages:
            messages = [Message(ins=text, des=text) for text in instructions]
    except (KeyError, TypeError, IndexError) as error:
        raise RecordError(f"{where}: not a row of the bagel format: {error!r}") from error
    if not len(images) <= len(messages) <= len(images) + 1:
        raise RecordError(f"{where}: {len(images)} images do not fit {len(messages)} texts")
    steps = [Step(m, images[i] if i < len(images) else None) for i, m in enumerate(messages)]
    return Trajectory(str(prompt), tuple(steps), source, stop="end" if texts else "excerpt")


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
    write: dict[str, Callable[[Trajectory], Row]] = {"irg": to_irg, "bagel": to_bagel, "strokewise": _to_own}
    rows = [write[to](trajectory) for trajectory in trajectories(source)]
    if not rows:
        raise RecordError(f"{source} holds no rows")
    write_bytes(out, table_bytes(rows), ConfigError)
    return len(rows)


def trajectories(source: Path) -> Iterator[Trajectory]:
    """Trajectories of a built data set, or of a parquet file of any of the formats."""
    if source.is_dir():
        yield from (record.trajectory for _, record in read(source))
        return
    for i, row in enumerate(read_rows(source)):
        where = f"{source}, row {i}"
        if "conversation" in row:
            yield from_irg(row, where)
        elif "image_list" in row:
            yield from_bagel(row, where)
        else:
            yield from_table_row(row, where).trajectory


def _to_own(trajectory: Trajectory) -> Row:
    return to_table_row(Record("multi-turn", "complete", trajectory))


def _irg_part(kind: str, content: bytes | str, where: str) -> str | Image.Image:
    if kind == "text":
        return content if isinstance(content, str) else bytes(content).decode("utf-8", "replace")
    if kind == "image" and not isinstance(content, str):
        return _image(bytes(content), where)
    raise RecordError(f"{where}: a part is text or image, not {kind!r}")


def _image(data: bytes, where: str) -> Image.Image:
    return decode_picture(data, f"{where}: an image", RecordError)
