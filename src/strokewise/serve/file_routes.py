"""Sessions as files, and people's corrections as training records, over HTTP."""

import base64
import hashlib
import io
import json
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, Query, Response, UploadFile
from pydantic import BaseModel

from strokewise.data.corrections import accepted, corrected, inspected
from strokewise.data.records import Record, from_table_row, to_table_row
from strokewise.errors import InputError
from strokewise.serve import exchange
from strokewise.serve.deps import By, Server
from strokewise.serve.limits import MAX_NODES
from strokewise.serve.live import SOURCE, Live, Registry
from strokewise.serve.problems import RequestError, conflict, not_found
from strokewise.serve.requests import RecordQuery
from strokewise.serve.routes import Id, Key, Number
from strokewise.serve.values import Node, SessionValue, State
from strokewise.trajectory.files import encode_png

router = APIRouter(prefix="/v1")
Subset = Literal["conflict", "alignment"]
SUBSETS: tuple[Subset, ...] = get_args(Subset)
ENDINGS = {"zip": "zip", "page": "html", "parquet": "parquet", "json": "json"}
ANY: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": {}}}}


# --- files --------------------------------------------------------------------------------------------------


@router.get("/sessions/{session}/export", response_class=Response, responses=ANY)
def export(
    parts: Server,
    by: By,
    session: Id,
    format: Literal["zip", "parquet", "page", "json"] = "zip",
    node: Annotated[
        int | None, Query(ge=0, le=10**9, description="end of the path; default: the head")
    ] = None,
) -> Response:
    """Return a session as a file to keep or to share."""
    with parts.manager.lock:
        live = parts.manager.registry.get(by.owner, session)
        number = live.state.head if node is None else live.node(node).id
        data, media = exchange.packed(parts.manager.registry, live, number, format)
    return _file(data, media, f"{session}.{ENDINGS[format]}")


@router.post("/sessions/import", status_code=201)
def import_(parts: Server, by: By, file: UploadFile, key: Key = None) -> SessionValue:
    """Return the session in a zip or a page of an export, with a new id."""
    tree, pictures = exchange.unpacked(file.file.read())
    if len(tree.nodes) > MAX_NODES:
        raise InputError(f"the session has {len(tree.nodes)} nodes; at most {MAX_NODES}")
    manager = parts.manager
    options = manager.options(tree.options.changes())

    def make() -> list[Live]:
        with manager.lock:
            manager.check_room(by, 0)
            registry = manager.registry
            key = registry.new_id()
            state = State(
                id=key,
                options=options,
                status="paused",
                **tree.model_dump(include={"name", "prompt", "original_prompt", "seed", "model", "size"}),
            )
            live = Live(by.owner, by.client, state, seed=tree.seed)
            if tree.source is not None:
                registry.store.put_picture(key, SOURCE, encode_png(pictures["source"]))
                state.source = f"/v1/sessions/{key}/{SOURCE}"
            for node in tree.nodes:
                live.nodes[node.id] = node.model_copy(update={"critic": None, "canvas": None})
                if node.canvas:
                    registry.put_canvas(live, live.nodes[node.id], encode_png(pictures[str(node.id)]))
            state.head = tree.head
            if live.head is not None and live.head.stop is not None:
                state.status, state.stop = "finished", live.head.stop
            registry.put_trajectory(live)
            manager.register(live, *live.nodes.values())
        for node in live.nodes.values():
            if node.canvas:
                manager.worker.painted(live, node)
        return [live]

    digest = hashlib.sha256(tree.model_dump_json().encode()).hexdigest()
    (live,), _ = manager.registry.once(by.owner, key, digest, make)
    with manager.lock:
        return manager.registry.value(live).model_copy(deep=True)


def _file(data: bytes, media: str, name: str) -> Response:
    return Response(data, media_type=media, headers={"content-disposition": f'attachment; filename="{name}"'})


# --- training records ---------------------------------------------------------------------------------------


class RecordValue(BaseModel):
    """A training record that was collected."""

    id: str
    subset: str
    label: str
    what: str
    session: str
    node: int
    created: float


class Records(BaseModel):
    """All records of a key."""

    conflict: int
    alignment: int
    records: list[RecordValue]


@router.post("/sessions/{session}/nodes/{node}/record", status_code=201)
def collect(parts: Server, by: By, session: Id, node: Number, wanted: RecordQuery) -> RecordValue:
    """Return what a person corrected or accepted here as a training record; a second time it is the same
    one.
    """
    registry = parts.manager.registry
    with parts.manager.lock:
        live = registry.get(by.owner, session)
        try:
            record, what = _record(registry, live, live.node(node), wanted)
        except RequestError:
            raise
        except InputError as error:
            raise conflict(str(error)) from error
        if wanted.subset not in (None, record.subset):
            raise conflict(f"this correction makes a record of the {record.subset} subset")
        key = "r_" + hashlib.sha256(f"{by.owner}/{session}/{node}/{record.subset}".encode()).hexdigest()[:16]
        value = RecordValue(
            id=key,
            subset=record.subset,
            label=record.label,
            what=what,
            session=session,
            node=node,
            created=time.time(),
        )
        row = to_table_row(record)
        row["images"] = [base64.b64encode(png).decode() for png in row["images"]]
        text = json.dumps(row).encode()
        registry.store.put_record(key, by.owner, record.subset, value.model_dump_json(), text)
    return value


@router.get("/records")
def records(parts: Server, by: By) -> Records:
    """Return what was collected."""
    with parts.manager.lock:
        rows = parts.manager.registry.store.records(by.owner)
    found = [RecordValue.model_validate_json(text) for text in rows]
    counts = {name: sum(one.subset == name for one in found) for name in SUBSETS}
    return Records(**counts, records=found)


@router.delete("/records/{record}", status_code=204)
def forget(parts: Server, by: By, record: Id) -> None:
    """Forget a record."""
    with parts.manager.lock:
        if not parts.manager.registry.store.delete_record(record, by.owner):
            raise not_found(f"record {record}")


@router.get("/records/export", response_class=Response, responses=ANY)
def export_records(parts: Server, by: By, subset: Subset | None = None) -> Response:
    """Return all records, or those of one subset: a zip of a data set for each, as ``strokewise train`` reads
    it.
    """
    wanted = SUBSETS if subset is None else (subset,)
    with parts.manager.lock:
        store = parts.manager.registry.store
        stored = {name: rows for name in wanted if (rows := store.rows(by.owner, name))}
    if not stored:
        raise conflict(
            f"no {subset or 'training'} records were collected yet; correct or accept something first"
        )
    return _file(_data_sets(stored), "application/zip", f"{subset or 'records'}.zip")


def _data_sets(stored: dict[Subset, list[bytes]]) -> bytes:
    try:
        from strokewise.data.storage import claim, write_manifest, write_shard
    except ImportError as error:
        message = "a data set needs pyarrow: pip install 'strokewise[data]'"
        raise RequestError(501, "invalid", message) from error
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, tempfile.TemporaryDirectory() as place:
        for subset, rows in stored.items():
            folder = Path(place) / subset
            claim(folder, json.dumps({"corrections": subset}, indent=2) + "\n")
            write_manifest(folder, subset, write_shard(folder, 0, _records(rows)))
            for path in sorted(folder.iterdir()):
                archive.write(path, f"{subset}/{path.name}")
    return buffer.getvalue()


def _records(rows: list[bytes]) -> list[Record]:
    """Return stored rows as records."""
    found = []
    for number, text in enumerate(rows):
        row = json.loads(text)
        row["images"] = [base64.b64decode(image) for image in row["images"]]
        found.append(from_table_row(row, f"record {number}"))
    return found


def _record(registry: Registry, live: Live, node: Node, wanted: RecordQuery) -> tuple[Record, str]:
    """Return the record of a node, and what it is of in words."""
    trajectory = registry.trajectory(live, node.id)
    if wanted.accept:
        return accepted(trajectory, wanted.subset or "alignment"), f"step {node.step + 1} is right as it is"
    if node.edited_from is None:
        raise conflict("nobody edited this node; edit it, or accept it as it is")
    if {"inspect", "refine"} & set(node.edited):
        return inspected(trajectory), f"the inspection of step {node.step} was corrected"
    record = corrected(registry.trajectory(live, node.edited_from), trajectory.steps[-1])
    part = "plan" if record.subset == "conflict" else "canvas"
    return (
        record,
        f"the {part} of step {node.step + 1} was corrected: {record.trajectory.steps[-1].message.refine}",
    )
