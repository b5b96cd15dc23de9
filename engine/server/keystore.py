"""API keys in one SQLite file, which servers and `dreamscope keys` use at the same time.

A key is shown once, when it is made: the file has its SHA-256, which cannot be turned back, since a key is
256 random bits. A revoked key keeps its row: its account can still be read, and its name means no other key.
Every call opens the file anew, so what one process writes is true for all others at once.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

FILE = "keys.db"
PREFIX = "ds_"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
PATIENCE_S = 5.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (
    name TEXT PRIMARY KEY, digest BLOB NOT NULL, per_second REAL,
    created REAL NOT NULL, used REAL, revoked REAL
) STRICT;
CREATE TABLE IF NOT EXISTS usage (
    name TEXT NOT NULL REFERENCES keys, model TEXT NOT NULL,
    requests INTEGER NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
    PRIMARY KEY (name, model)
) STRICT;
"""


class KeysError(Exception):
    """The keys cannot be read or changed; the text is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Requests that were accepted, and the tokens of those that did not fail."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
        )


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key. Times are Unix seconds, `None` for never; `usage` is by model.

    `per_second`: requests that it may make in a second, `None` for as many as it likes.
    """

    name: str
    per_second: float | None
    created: float
    used: float | None = None
    revoked: float | None = None
    usage: Mapping[str, Usage] = field(default_factory=dict)


class KeyStore:
    """The keys in `folder`. The file is made by the first `create`; nobody but its owner may read it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def create(self, name: str, per_second: float | None = None) -> str:
        """Make a key and return it. Raises `KeysError` for a name that is strange or was used before."""
        if not NAME.fullmatch(name):
            raise KeysError(f"{name!r:.80} is no name for a key: use 1 to 64 letters, digits, dots, - and _.")
        key = PREFIX + secrets.token_urlsafe(32)
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            self.path.chmod(0o600)
        except OSError as error:
            raise KeysError(f"{self.path} cannot be made: {error.strerror}.") from None
        with self._opened() as connection, connection:
            connection.executescript(_SCHEMA)
            row = (name, _digest(key), per_second, time.time())
            added = connection.execute(
                "INSERT OR IGNORE INTO keys (name, digest, per_second, created) VALUES (?, ?, ?, ?)", row
            )
            if not added.rowcount:
                raise KeysError(f"There is, or was, a key named {name}; choose another name.")
        return key

    def revoke(self, name: str) -> None:
        """End a key, from now on and for all servers. Raises `KeysError` if there is none of that name."""
        if self.exists():
            with self._opened() as connection, connection:
                now = time.time()
                ended = connection.execute(
                    "UPDATE keys SET revoked = ? WHERE name = ? AND revoked IS NULL", (now, name)
                )
                if ended.rowcount:
                    return
        valid = ", ".join(key.name for key in self.entries() if key.revoked is None) or "none"
        raise KeysError(f"No key named {name!r:.80} is in use. In use: {valid}.")

    def exists(self) -> bool:
        """Whether a key was ever made, even if all are revoked; also if nobody lets us look."""
        try:
            return self.path.exists()
        except OSError:
            return True

    def entries(self) -> list[Key]:
        """All keys with their accounts, the oldest first. Raises `KeysError`."""
        if not self.exists():
            return []
        accounts: dict[str, dict[str, Usage]] = {}
        with self._opened() as connection:
            rows = connection.execute("SELECT name, per_second, created, used, revoked FROM keys")
            found = [Key(*row) for row in rows.fetchall()]
            columns = "name, model, requests, input_tokens, output_tokens"
            for name, model, *counts in connection.execute(f"SELECT {columns} FROM usage ORDER BY model"):
                accounts.setdefault(name, {})[model] = Usage(*counts)
        found.sort(key=lambda key: key.created)
        return [_with_usage(key, accounts.get(key.name, {})) for key in found]

    def find(self, key: str) -> Key | None:
        """The valid key that this is, without its account; a wrong one takes as long. Raises `KeysError`."""
        if not self.exists():
            return None
        given, found = _digest(key), None
        with self._opened() as connection:
            rows = connection.execute(
                "SELECT digest, name, per_second, created, used FROM keys WHERE revoked IS NULL"
            ).fetchall()
        for digest, *facts in rows:
            if hmac.compare_digest(given, digest):
                found = Key(*facts)
        return found

    def names(self) -> list[str]:
        """The names of all valid keys. Raises `KeysError`."""
        if not self.exists():
            return []
        with self._opened() as connection:
            return [name for (name,) in connection.execute("SELECT name FROM keys WHERE revoked IS NULL")]

    def named(self, name: str, with_account: bool = False) -> Key | None:
        """The valid key of this name, by default without its account. Raises `KeysError`."""
        if not self.exists():
            return None
        known = "SELECT name, per_second, created, used FROM keys WHERE name = ? AND revoked IS NULL"
        used = "SELECT model, requests, input_tokens, output_tokens FROM usage WHERE name = ? ORDER BY model"
        with self._opened() as connection:
            row = connection.execute(known, (name,)).fetchone()
            account = connection.execute(used, (name,)).fetchall() if with_account else ()
        usage = {model: Usage(*counts) for model, *counts in account}
        return None if row is None else _with_usage(Key(*row), usage)

    def add(self, usage: Mapping[tuple[str, str], Usage], used: Mapping[str, float]) -> None:
        """Add to accounts, by key and model, and say when keys were last used. Raises `KeysError`."""
        rows = [
            (name, model, more.requests, more.input_tokens, more.output_tokens)
            for (name, model), more in usage.items()
        ]
        with self._opened() as connection, connection:
            connection.executemany(
                "INSERT INTO usage VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "requests = requests + excluded.requests, "
                "input_tokens = input_tokens + excluded.input_tokens, "
                "output_tokens = output_tokens + excluded.output_tokens",
                rows,
            )
            connection.executemany(
                "UPDATE keys SET used = max(coalesce(used, 0), ?) WHERE name = ?",
                [(moment, name) for name, moment in used.items()],
            )

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            uri = self.path.absolute().as_uri() + "?mode=rw"  # never made by accident
            with closing(sqlite3.connect(uri, uri=True, timeout=PATIENCE_S)) as connection:
                yield connection
        except sqlite3.Error as error:
            raise KeysError(f"The keys in {self.path} cannot be used: {error}.") from None


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _with_usage(key: Key, usage: Mapping[str, Usage]) -> Key:
    return Key(key.name, key.per_second, key.created, key.used, key.revoked, usage)
