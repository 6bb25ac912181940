"""Sessions as files to keep and share: a zip, a page, a parquet row, JSON; and back from a zip or a page.

Knows the formats. What comes in is checked like everything from outside: types, bounds, and the tree.
"""

import base64
import io
import json
import re
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import BaseModel, ValidationError

from strokewise.errors import InputError
from strokewise.io.outside import parse_json
from strokewise.serve.live import Live, Registry
from strokewise.serve.problems import RequestError
from strokewise.serve.values import Name, Node, Options, Seed, Text
from strokewise.trajectory import files
from strokewise.trajectory.page import page
from strokewise.trajectory.values import Trajectory

FORMAT, FILE = "strokewise-session", "session.json"
MAX_BYTES = 256 << 20  # of all pictures of an archive
MARK = '<script type="application/json" id="strokewise-session">'


class Tree(BaseModel):
    """What is read of a session that comes in; pictures are by the node's number, or ``source``."""

    name: Name = ""
    prompt: Text
    original_prompt: Text = ""
    seed: Seed
    model: Name
    size: tuple[int, int]
    options: Options
    head: int | None
    nodes: list[Node]
    source: str | None = None


# --- out ----------------------------------------------------------------------------------------------------


def packed(registry: Registry, live: Live, number: int | None, kind: str) -> tuple[bytes, str]:
    """Return a session as a file: its bytes and its media type.

    Args:
        registry: of the session.
        live: the session.
        number: the node whose path is shown; all nodes are in it, except in a parquet row.
        kind: zip, page, parquet or json.

    Raises:
        RequestError: if the format cannot be written here.
    """
    trajectory = registry.trajectory(live, number)
    if kind == "parquet":
        return _parquet(trajectory), "application/vnd.apache.parquet"
    tree = registry.value(live).model_dump(mode="json")
    pictures = _pictures(registry, live)
    if kind == "zip":
        return _zip(tree, pictures, trajectory), "application/zip"
    inside = {name: base64.b64encode(png).decode() for name, png in pictures.items()}
    text = json.dumps({"format": FORMAT, "version": 1, "session": tree, "pictures": inside})
    if kind == "json":
        return text.encode(), "application/json"
    # A script element ends at the first "</": none may stand in the texts.
    return (
        f"{page(trajectory)}\n{MARK}{text.replace('<', chr(92) + 'u003c')}</script>\n".encode(),
        "text/html",
    )


def _pictures(registry: Registry, live: Live) -> dict[str, bytes]:
    found = {"source": registry.source(live)} if live.state.source else {}
    found |= {str(node.id): registry.canvas(live, node) for node in live.nodes.values() if node.canvas}
    return {name: files.encode_png(image) for name, image in found.items() if image is not None}


def _parquet(trajectory: Trajectory) -> bytes:
    try:
        from strokewise.data.storage import table_bytes

        return table_bytes([files.to_row(trajectory)])
    except ImportError as error:
        message = "parquet needs pyarrow: pip install 'strokewise[data]'; zip and page need nothing"
        raise RequestError(501, "invalid", message, "format") from error


def _zip(tree: dict[str, Any], pictures: dict[str, bytes], trajectory: Trajectory) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, tempfile.TemporaryDirectory() as folder:
        text = json.dumps({"format": FORMAT, "version": 1, "session": tree}, indent=2, ensure_ascii=False)
        archive.writestr(FILE, text)
        for name, png in pictures.items():
            archive.writestr(f"pictures/{name}.png", png)
        files.save(trajectory, Path(folder) / "trajectory")
        for path in sorted((Path(folder) / "trajectory").iterdir()):
            archive.write(path, f"trajectory/{path.name}")
    return buffer.getvalue()


# --- in -----------------------------------------------------------------------------------------------------


def unpacked(data: bytes) -> tuple[Tree, dict[str, Image.Image]]:
    """Return the session in a file that :func:`packed` wrote, with its pictures.

    Raises:
        InputError: if it is no such file, or is damaged.
    """
    value, encoded = _from_zip(data) if data.startswith(b"PK") else _from_text(data)
    if not isinstance(value, dict) or value.get("format") != FORMAT or value.get("version") != 1:
        raise InputError("the file holds no session of this version; give a zip or a page of an export")
    try:
        tree = Tree.model_validate_json(json.dumps(value.get("session")))
    except ValidationError as error:
        fault = error.errors()[0]
        raise InputError(f"session.{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from error
    _check(tree)
    needed = {str(node.id) for node in tree.nodes if node.canvas} | ({"source"} if tree.source else set())
    pictures = {}
    for name in sorted(needed):
        if name not in encoded:
            raise InputError(f"the picture {name} is missing in the file")
        image = files.decode_png(encoded[name], f"the picture {name}")
        if image.size != tree.size[::-1]:
            raise InputError(f"the picture {name} is {image.width}x{image.height}, not of the session's size")
        pictures[name] = image.convert("RGB")
    return tree, pictures


def _check(tree: Tree) -> None:
    """Refuse what is no tree of steps."""
    for number, node in enumerate(tree.nodes):
        if node.id != number or (node.parent is not None and not 0 <= node.parent < number):
            raise InputError(
                f"session.nodes.{number}: ids count from 0, and a parent comes before its children"
            )
        depth = 0 if node.parent is None else tree.nodes[node.parent].step + 1
        if node.step != depth or depth >= files.MAX_STEPS:
            raise InputError(f"session.nodes.{number}: it is step {depth} of its path, not {node.step}")
        if max(len(node.text), *(len(part or "") for part in vars(node.message).values())) > 20_000:
            raise InputError(f"session.nodes.{number}: its words are too long")
    if tree.head is not None and not 0 <= tree.head < len(tree.nodes):
        raise InputError(f"session.head: there is no node {tree.head}")


def _from_zip(data: bytes) -> tuple[Any, dict[str, bytes]]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise InputError(f"the archive holds more than {MAX_BYTES >> 20} MiB")
            names = [name for name in archive.namelist() if re.fullmatch(r"pictures/\w+\.png", name)]
            pictures = {name[9:-4]: archive.read(name) for name in names}
            return parse_json(archive.read(FILE), FILE, InputError), pictures
    except InputError:
        raise
    except Exception as error:  # damaged archives raise errors of many kinds
        raise InputError(f"the file is no readable zip of a session: {error}") from error


def _from_text(data: bytes) -> tuple[Any, dict[str, bytes]]:
    text = data.decode("utf-8", "replace")
    _, mark, rest = text.rpartition(MARK)
    value = parse_json(rest.partition("</script>")[0] if mark else text, "the file", InputError)
    inside = value.get("pictures") if isinstance(value, dict) else None
    if not isinstance(inside, dict):
        raise InputError("the file holds no session; give a zip or a page of an export")
    try:
        return value, {name: base64.b64decode(png, validate=True) for name, png in inside.items()}
    except (TypeError, ValueError) as error:
        raise InputError("the pictures in the file are not base64") from error
