"""Sessions on disk: SQLite for the texts, and a folder of pictures for each session beside it.

    DATA/sessions.sqlite
    DATA/sessions/ID/canvas-3.png, source.png, trajectory.json

A picture is on the disk before the row that names it, so every canvas that was ever stated is there after
whatever end. ``trajectory.json`` is the path to the head in the trajectory format: each folder can be read
by ``trajectory.files.load``. Knows rows and files; what they mean is the manager's business.
"""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from strokewise.errors import ConfigError, RecordError
from strokewise.io.atomic import write_bytes, write_text
from strokewise.io.outside import read_bytes
from strokewise.serve.values import Node, State
from strokewise.trajectory.files import FILE, decode_png

SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY, owner TEXT, extra TEXT, state TEXT);
CREATE TABLE IF NOT EXISTS nodes (session TEXT, id INTEGER, node TEXT, PRIMARY KEY (session, id));
CREATE TABLE IF NOT EXISTS answers (owner TEXT, key TEXT, digest TEXT, answer TEXT, PRIMARY KEY (owner, key));
CREATE TABLE IF NOT EXISTS records
    (id TEXT PRIMARY KEY, owner TEXT, subset TEXT, value TEXT, row BLOB);
"""
VERSION = 1
ANSWERS = 10_000  # idempotency keys that are remembered


class StoredSession(NamedTuple):
    """A row of ``sessions`` with its nodes; ``extra`` is what clients do not see."""

    owner: str
    extra: dict[str, object]
    state: State
    nodes: list[Node]


class Store:
    """The folder of a server's data; calls are serialized by the caller's lock."""

    def __init__(self, folder: Path) -> None:
        """Open or make it.

        Raises:
            ConfigError: if the folder cannot be used, or another server uses it.
        """
        self.pictures = folder / "sessions"
        try:
            self.pictures.mkdir(parents=True, exist_ok=True)
            self.database = sqlite3.connect(
                folder / "sessions.sqlite", timeout=1, check_same_thread=False, isolation_level=None
            )
            # One process owns the file: two servers would paint the same sessions.
            self.database.execute("PRAGMA locking_mode=EXCLUSIVE")
            self.database.execute("PRAGMA journal_mode=WAL")
            self.database.execute("PRAGMA synchronous=NORMAL")
            (found,) = self.database.execute("PRAGMA user_version").fetchone()
            if found not in (0, VERSION):
                raise ConfigError(f"{folder} was written by another version of this program (format {found})")
            self.database.executescript(SCHEMA)
            self.database.execute(f"PRAGMA user_version={VERSION}")
        except (OSError, sqlite3.Error) as error:
            reason = "another server uses it" if "locked" in str(error) else error
            raise ConfigError(
                f"{folder} cannot hold a server's data: {reason}; give another --data"
            ) from error

    def close(self) -> None:
        """Write everything out; nothing can be read afterwards."""
        self.database.close()

    # --- sessions ----------------------------------------------------------------------------------------

    def load(self) -> Iterator[StoredSession]:
        """Yield all sessions, in the order in which they were made."""
        rows = self.database.execute("SELECT id, owner, extra, state FROM sessions ORDER BY rowid").fetchall()
        for key, owner, extra, state in rows:
            nodes = self.database.execute("SELECT node FROM nodes WHERE session=? ORDER BY id", (key,))
            try:
                parsed = [Node.model_validate_json(text) for (text,) in nodes]
                yield StoredSession(owner, json.loads(extra), State.model_validate_json(state), parsed)
            except ValueError as error:
                raise ConfigError(f"the data of session {key} are damaged: {error}") from error

    def save(self, owner: str, extra: dict[str, object], state: State, *nodes: Node) -> None:
        """Write a session and some of its nodes, all or nothing."""
        stored = state.model_copy(update={"under_way": None, "position": None})
        rows = [(state.id, node.id, node.model_dump_json()) for node in nodes]
        with self.database:
            self.database.execute("BEGIN")
            self.database.execute(
                "INSERT INTO sessions VALUES (?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET extra=excluded.extra, state=excluded.state",
                (state.id, owner, json.dumps(extra), stored.model_dump_json()),
            )
            self.database.executemany("INSERT OR REPLACE INTO nodes VALUES (?, ?, ?)", rows)

    def delete(self, session: str) -> None:
        """Forget a session and its pictures."""
        with self.database:
            self.database.execute("BEGIN")
            self.database.execute("DELETE FROM sessions WHERE id=?", (session,))
            self.database.execute("DELETE FROM nodes WHERE session=?", (session,))
        shutil.rmtree(self.pictures / session, ignore_errors=True)

    # --- pictures ----------------------------------------------------------------------------------------

    def put_picture(self, session: str, name: str, png: bytes) -> None:
        """Write a picture, whole."""
        write_bytes(self.pictures / session / name, png, RecordError)

    def png(self, session: str, name: str) -> bytes:
        """Return the bytes of a picture; RecordError if there is none."""
        try:
            return read_bytes(self.pictures / session / name, RecordError)
        except RecordError as error:
            raise RecordError(f"the picture {name} of session {session} cannot be read") from error

    def picture(self, session: str, name: str) -> Image.Image:
        """Return a picture; RecordError if there is none or it is damaged."""
        return decode_png(self.png(session, name), f"the picture {name} of session {session}").convert("RGB")

    def put_trajectory(self, session: str, value: dict[str, object]) -> None:
        """Write the path to the head in the trajectory format."""
        text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
        write_text(self.pictures / session / FILE, text, RecordError)

    # --- answers that were given, by idempotency key -----------------------------------------------------

    def answer(self, owner: str, key: str) -> tuple[str, str] | None:
        """Return the digest of the request and the answer that a key was used for."""
        found = self.database.execute(
            "SELECT digest, answer FROM answers WHERE owner=? AND key=?", (owner, key)
        ).fetchone()
        return None if found is None else (found[0], found[1])

    def put_answer(self, owner: str, key: str, digest: str, answer: str) -> None:
        """Remember what a key was used for; the oldest ones are forgotten."""
        with self.database:
            self.database.execute("INSERT INTO answers VALUES (?, ?, ?, ?)", (owner, key, digest, answer))
            self.database.execute(
                "DELETE FROM answers WHERE rowid <= (SELECT max(rowid) FROM answers) - ?", (ANSWERS,)
            )

    # --- training records --------------------------------------------------------------------------------

    def put_record(self, key: str, owner: str, subset: str, value: str, row: bytes) -> None:
        """Write a training record: its summary, and its row of a table."""
        with self.database:
            self.database.execute(
                "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?)", (key, owner, subset, value, row)
            )

    def records(self, owner: str) -> list[str]:
        """Return the summaries of all records, the oldest first."""
        rows = self.database.execute("SELECT value FROM records WHERE owner=? ORDER BY rowid", (owner,))
        return [value for (value,) in rows.fetchall()]

    def rows(self, owner: str, subset: str) -> list[bytes]:
        """Return the rows of all records of a subset, the oldest first."""
        query = "SELECT row FROM records WHERE owner=? AND subset=? ORDER BY rowid"
        return [row for (row,) in self.database.execute(query, (owner, subset)).fetchall()]

    def delete_record(self, key: str, owner: str) -> bool:
        """Forget a record; whether there was one."""
        return bool(
            self.database.execute("DELETE FROM records WHERE id=? AND owner=?", (key, owner)).rowcount
        )
