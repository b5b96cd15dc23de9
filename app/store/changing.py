"""What people change, and what is dropped for them. Work for the writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace

from dreamscope.app.store import reading, recording
from dreamscope.app.store.codec import clean, dumps, truth_column
from dreamscope.app.store.kinds import COMPARISON_KINDS, StoreError, new_id, timestamp
from dreamscope.visualizers.record import Record
from dreamscope.visualizers.truth import Known

UNDO_S = 600.0
"""How long a deleted run can be restored."""
UNUSED_IMAGE_S = 24 * 3600.0
"""How long an image is kept that never had a run."""
LONGEST_TITLE = 300
LONGEST_NOTES = 20_000
LONGEST_TAG = 60
MOST_TAGS = 30
RATINGS = (-1, 0, 1)


def tidy_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Tags in order, each once, without spaces around. Raises `StoreError` for too many or too long ones."""
    tidy = sorted({" ".join(clean(tag).split()) for tag in tags} - {""})
    if len(tidy) > MOST_TAGS:
        raise StoreError(f"A run has at most {MOST_TAGS} tags.")
    if any(len(tag) > LONGEST_TAG for tag in tidy):
        raise StoreError(f"A tag has at most {LONGEST_TAG} characters.")
    return tuple(tidy)


def tidy_text(name: str, text: str) -> str:
    """A title or notes as they are kept. Raises `StoreError` if they are too long."""
    longest = LONGEST_TITLE if name == "title" else LONGEST_NOTES
    text = clean(text).strip()
    if len(text) > longest:
        raise StoreError(f"The {name} must have at most {longest} characters.")
    return text


def change(
    db: sqlite3.Connection,
    run_id: str,
    title: str | None,
    notes: str | None,
    tags: Iterable[str] | None,
    pinned: bool | None,
    rating: int | None,
) -> bool:
    """Change what is not `None`; whether there is such a run. Raises `StoreError` for what cannot be kept."""
    found = db.execute("SELECT 1 FROM runs WHERE id = ? AND deleted_at IS NULL", (run_id,)).fetchone()
    if found is None:
        return False
    if rating is not None and rating not in RATINGS:
        raise StoreError(f"The rating must be one of {', '.join(map(str, RATINGS))}.")
    columns = {
        "title": None if title is None else tidy_text("title", title),
        "notes": None if notes is None else tidy_text("notes", notes),
        "pinned": None if pinned is None else int(pinned),
        "rating": rating,
    }
    for column, value in columns.items():
        if value is not None:
            db.execute(f"UPDATE runs SET {column} = ? WHERE id = ?", (value, run_id))
    if tags is not None:
        db.execute("DELETE FROM tags WHERE run_id = ?", (run_id,))
        db.executemany("INSERT INTO tags VALUES (?, ?)", [(run_id, tag) for tag in tidy_tags(tags)])
    return True


def set_truth(db: sqlite3.Connection, run_id: str, truth: Sequence[Known] | None) -> bool:
    """Keep what people know to be in the image of a run, or forget it; whether there is such a run."""
    changed = db.execute(
        "UPDATE runs SET truth = ? WHERE id = ? AND deleted_at IS NULL", (truth_column(truth), run_id)
    )
    return changed.rowcount > 0


def delete(db: sqlite3.Connection, run_ids: Sequence[str]) -> str:
    """Hide runs; the token that restores them, empty if there are none of these ids."""
    token, now = new_id(), timestamp()
    hidden = db.executemany(
        "UPDATE runs SET deleted_at = ?, deletion = ? WHERE id = ? AND deleted_at IS NULL",
        [(now, token, run_id) for run_id in run_ids],
    ).rowcount
    return token if hidden > 0 else ""


def restore(db: sqlite3.Connection, token: str) -> tuple[str, ...]:
    """Bring back what a deletion hid; the ids of what was still there."""
    found = db.execute("SELECT id FROM runs WHERE deletion = ?", (token,)).fetchall()
    db.execute("UPDATE runs SET deleted_at = NULL, deletion = NULL WHERE deletion = ?", (token,))
    return tuple(run_id for (run_id,) in found)


def purge(db: sqlite3.Connection, limit: int) -> int:
    """Drop for good what was deleted long enough ago and what is above the cap; how many runs that were."""
    late = db.execute(
        "DELETE FROM runs WHERE deleted_at < ? RETURNING image_hash", (timestamp(-UNDO_S),)
    ).fetchall()
    gone = [*late, *_above(db, limit)]
    _drop_images(db, {image for (image,) in gone})
    if gone:
        db.execute(
            "DELETE FROM comparisons AS c WHERE created_at < ? "
            "AND NOT EXISTS (SELECT 1 FROM runs WHERE comparison_id = c.id)",
            (timestamp(-UNDO_S),),
        )
        db.execute("INSERT INTO runs_fts(runs_fts) VALUES ('optimize')")  # forgets the words of deleted runs
    return len(gone)


def _above(db: sqlite3.Connection, limit: int) -> list[tuple[str | None]]:
    """Drop the oldest runs above `limit`, deleted ones first; pinned, shared and running ones stay. Their
    images.
    """
    above = db.execute("SELECT COUNT(*) FROM runs").fetchone()[0] - limit
    if above <= 0:
        return []
    return db.execute(
        """DELETE FROM runs WHERE number IN (
          SELECT number FROM runs r
          WHERE pinned = 0 AND state NOT IN ('queued', 'running') AND NOT EXISTS (
            SELECT 1 FROM shares s WHERE s.revoked_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > ?)
              AND (s.run_id = r.id OR s.comparison_id = r.comparison_id))
          ORDER BY deleted_at IS NULL, created_at, number LIMIT ?) RETURNING image_hash""",
        (timestamp(), above),
    ).fetchall()


def _drop_images(db: sqlite3.Connection, lost: Iterable[str | None]) -> None:
    """Drop images that nothing needs: those that have just `lost` a run, and old ones that never had one."""
    db.execute(
        """DELETE FROM images WHERE hash IN (
            SELECT hash FROM images WHERE created_at < ? UNION SELECT value FROM json_each(?)
            EXCEPT SELECT image_hash FROM runs
            EXCEPT SELECT json_extract(value, '$.hash') FROM batches, json_each(batches.images)
              WHERE batches.state IN ('queued', 'running'))""",
        (timestamp(-UNUSED_IMAGE_S), dumps([image for image in lost if image])),
    )


def clear(db: sqlite3.Connection) -> None:
    """Delete everything, and leave none of its bytes in the file. Not inside a transaction.

    Raises `StoreError` if that is prevented by somebody who reads for longer than we wait.
    """
    db.execute("BEGIN IMMEDIATE")
    for table in ("shares", "batches", "runs", "comparisons", "images"):
        db.execute(f"DELETE FROM {table}")
    db.execute("INSERT INTO runs_fts(runs_fts) VALUES ('rebuild')")
    db.execute("COMMIT")
    db.execute("VACUUM")
    busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise StoreError(
            "Everything is deleted, but another program is reading the history, so its log still holds some "
            "of it. Close that program and delete again."
        )


def keep_comparison(
    db: sqlite3.Connection, records: Sequence[Record | None], title: str, session: str
) -> str:
    """Put runs side by side, in the order of columns; the id of the comparison that they are then.

    A run that stands in another comparison stays there, and a copy of it joins. Raises `StoreError` for a run
    that is not there or not over.
    """
    known = [record for record in records if record is not None]
    if len(known) < len(records):
        raise StoreError("A run of the comparison is not in the history.")
    if any(record.state in recording.LIVE for record in known):
        raise StoreError("A run of the comparison is not over yet.")
    before = known[0].comparison and reading.comparison(db, known[0].comparison)
    if before and before.runs == tuple(record.id for record in known):
        return before.id
    comparison_id = new_id()
    add_comparison(db, comparison_id, title or known[0].prompt, "compare")
    joined: set[str] = set()
    for column, record in enumerate(known):
        if record.comparison or record.id in joined:
            copy = replace(record, id=new_id(), comparison=comparison_id, column=column, pinned=False)
            recording.begin(db, copy, session)
        else:
            joined.add(record.id)
            db.execute(
                "UPDATE runs SET comparison_id = ?, column_no = ? WHERE id = ?",
                (comparison_id, column, record.id),
            )
    return comparison_id


def add_comparison(db: sqlite3.Connection, comparison_id: str, title: str, kind: str) -> None:
    """Begin or rename a comparison. Raises `StoreError` for an unknown kind."""
    if kind not in COMPARISON_KINDS:
        raise StoreError(f"The kind of a comparison must be one of {', '.join(COMPARISON_KINDS)}.")
    db.execute(
        "INSERT INTO comparisons(id, title, created_at, kind) VALUES (?, ?, ?, ?) "
        "ON CONFLICT(id) DO UPDATE SET title = excluded.title, kind = excluded.kind",
        (comparison_id, clean(title)[:LONGEST_TITLE], timestamp(), kind),
    )
