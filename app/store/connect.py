"""Connections to `history.db`: one that writes, and as many that read as there are readers at a time."""

from __future__ import annotations

import queue
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dreamscope.app.store.kinds import StoreError
from dreamscope.app.store.schema import migrate

FILE = "history.db"
PATIENCE_S = 15.0
_IDLE_READERS = 4


def open_writing(folder: Path) -> sqlite3.Connection:
    """The connection for the writer thread, in autocommit mode, with the schema of this version.

    Raises `StoreError` when the file cannot be used.
    """
    path = folder / FILE
    try:
        path.touch(mode=0o600)
        connection = sqlite3.connect(path, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"The history cannot be opened at {path}: {error}.") from None
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")  # a crash of the process loses nothing committed
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten
        migrate(connection)
    except sqlite3.Error as error:
        connection.close()
        raise StoreError(f"The history cannot be opened at {path}: {error}.") from None
    except StoreError:
        connection.close()
        raise
    return connection


class Readers:
    """Lends read-only connections; a few are kept open."""

    def __init__(self, folder: Path) -> None:
        self._uri = (folder / FILE).absolute().as_uri() + "?mode=ro"
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue(_IDLE_READERS)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection inside one read transaction: everything read through it is of the same moment."""
        try:
            connection = self._idle.get_nowait()
        except queue.Empty:
            connection = self._open()
        try:
            connection.execute("BEGIN")
            yield connection
        finally:
            connection.execute("ROLLBACK")
            try:
                self._idle.put_nowait(connection)
            except queue.Full:
                connection.close()

    def close(self) -> None:
        """Close what is not lent."""
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._uri, uri=True, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA cache_size = -16000")  # 16 MB, so that a search reads its pages once
        return connection
