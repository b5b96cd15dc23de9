"""Shares and batches: small tables, written by the writer and read through a reader's connection."""

from __future__ import annotations

import json
import sqlite3

from dreamscope.app.store.codec import clean, dumps
from dreamscope.app.store.kinds import (
    BATCH_STATES,
    Batch,
    BatchImage,
    Share,
    StoreError,
    new_slug,
    timestamp,
)

_SHARE = "SELECT slug, run_id, comparison_id, created_at, expires_at, revoked_at FROM shares"
_BATCH = "SELECT id, title, created_at, state, asks, images FROM batches"


def add_share(
    db: sqlite3.Connection, run_id: str | None, comparison_id: str | None, expires_in_s: float | None
) -> Share:
    """Make an address for a run or a comparison. Raises `StoreError` if there is none, or not one of them."""
    if (run_id is None) == (comparison_id is None):
        raise StoreError("A share shows one run or one comparison.")
    if run_id is not None:
        found = db.execute("SELECT 1 FROM runs WHERE id = ? AND deleted_at IS NULL", (run_id,)).fetchone()
    else:
        found = db.execute("SELECT 1 FROM comparisons WHERE id = ?", (comparison_id,)).fetchone()
    if found is None:
        raise StoreError("There is nothing of that id to share.")
    expires_at = None if expires_in_s is None else timestamp(expires_in_s)
    made = Share(new_slug(), run_id, comparison_id, timestamp(), expires_at)
    db.execute(
        "INSERT INTO shares(slug, run_id, comparison_id, created_at, expires_at) VALUES (?, ?, ?, ?, ?)",
        (made.slug, run_id, comparison_id, made.created_at, expires_at),
    )
    return made


def share(db: sqlite3.Connection, slug: str) -> Share | None:
    """A share, whether it is live or not."""
    found = db.execute(f"{_SHARE} WHERE slug = ?", (slug,)).fetchone()
    return Share(*found) if found else None


def shares(db: sqlite3.Connection, run_id: str | None, comparison_id: str | None) -> tuple[Share, ...]:
    """The shares of a run or of a comparison, or with neither all, newest first."""
    found = db.execute(
        f"{_SHARE} WHERE (? IS NULL OR run_id = ?) AND (? IS NULL OR comparison_id = ?) "
        "ORDER BY created_at DESC, slug",
        (run_id, run_id, comparison_id, comparison_id),
    )
    return tuple(Share(*row) for row in found)


def revoke(db: sqlite3.Connection, slug: str) -> bool:
    """End a share; whether it was not ended before."""
    return (
        db.execute(
            "UPDATE shares SET revoked_at = ? WHERE slug = ? AND revoked_at IS NULL", (timestamp(), slug)
        ).rowcount
        > 0
    )


def add_batch(db: sqlite3.Connection, batch: Batch, session: str) -> None:
    """Write a batch. Raises `StoreError` for an unknown state."""
    images = [{"hash": image.hash, "name": image.name} for image in batch.images]
    db.execute(
        "INSERT INTO batches(id, title, created_at, state, session, asks, images) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            batch.id,
            clean(batch.title),
            batch.created_at,
            _checked(batch.state),
            session,
            dumps(batch.asks),
            dumps(images),
        ),
    )


def batch(db: sqlite3.Connection, batch_id: str) -> Batch | None:
    """One batch."""
    found = db.execute(f"{_BATCH} WHERE id = ?", (batch_id,)).fetchone()
    return _batch(found) if found else None


def batches(db: sqlite3.Connection, limit: int) -> tuple[Batch, ...]:
    """The newest batches."""
    return tuple(map(_batch, db.execute(f"{_BATCH} ORDER BY created_at DESC, id LIMIT ?", (limit,))))


def update_batch(db: sqlite3.Connection, batch_id: str, state: str | None, title: str | None) -> bool:
    """Change what is not `None`; whether there is such a batch. Raises `StoreError` for an unknown state."""
    return (
        db.execute(
            "UPDATE batches SET state = COALESCE(?, state), title = COALESCE(?, title) WHERE id = ?",
            (state and _checked(state), None if title is None else clean(title), batch_id),
        ).rowcount
        > 0
    )


def _checked(state: str) -> str:
    if state not in BATCH_STATES:
        raise StoreError(f"The state of a batch must be one of {', '.join(BATCH_STATES)}.")
    return state


def _batch(row: sqlite3.Row) -> Batch:
    return Batch(
        id=row["id"],
        title=row["title"],
        created_at=row["created_at"],
        state=row["state"],
        asks=tuple(json.loads(row["asks"])),
        images=tuple(BatchImage(image["hash"], image["name"]) for image in json.loads(row["images"])),
    )
