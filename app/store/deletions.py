"""What was deleted and can still be restored. Work for a reader's connection."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta

from dreamscope.app.store.changing import UNDO_S
from dreamscope.app.store.kinds import Deletion, timestamp, written


def deletions(db: sqlite3.Connection) -> tuple[Deletion, ...]:
    """All of it, newest first."""
    found = db.execute(
        # Beside MAX, SQLite takes the other columns from the row that has it.
        "SELECT deletion, COUNT(*), MAX(number), COALESCE(NULLIF(title, ''), NULLIF(prompt, ''), skill), "
        "deleted_at FROM runs WHERE deletion IS NOT NULL AND deleted_at >= ? "
        "GROUP BY deletion ORDER BY deleted_at DESC, deletion",
        (timestamp(-UNDO_S),),
    )
    return tuple(Deletion(token, runs, name, _until(at)) for token, runs, _, name, at in found)


def _until(deleted_at: str) -> str:
    return written(datetime.fromisoformat(deleted_at) + timedelta(seconds=UNDO_S))
