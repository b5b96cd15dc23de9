"""Reading one run, one comparison, one image. Work for a reader's connection."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from dreamscope.app.store.codec import answerer_of_column, truth_of_column
from dreamscope.app.store.connect import FILE
from dreamscope.app.store.kinds import Comparison, Storage, StoredImage
from dreamscope.app.store.recording import read_part
from dreamscope.visualizers.record import Picture, Record


def record(db: sqlite3.Connection, run_id: str) -> Record | None:
    """A run with all its events; `None` if there is none or it was deleted."""
    run = db.execute("SELECT * FROM runs WHERE id = ? AND deleted_at IS NULL", (run_id,)).fetchone()
    if run is None:
        return None
    image = db.execute("SELECT * FROM images WHERE hash = ?", (run["image_hash"],)).fetchone()
    numbers = db.execute("SELECT part FROM parts WHERE run_id = ? ORDER BY part", (run_id,)).fetchall()
    parts = (read_part(db, run_id, number) for (number,) in numbers)
    tags = db.execute("SELECT tag FROM tags WHERE run_id = ? ORDER BY tag", (run_id,))
    return Record(
        id=run["id"],
        created_at=run["created_at"],
        skill=run["skill"],
        model=run["model"],
        revision=run["revision"],
        variant=run["variant"],
        picture=image and Picture(image["hash"], image["width"], image["height"], image["media_type"]),
        parts=tuple(part for part in parts if part is not None),
        title=run["title"],
        notes=run["notes"],
        tags=tuple(tag for (tag,) in tags),
        pinned=bool(run["pinned"]),
        rating=run["rating"],
        comparison=run["comparison_id"],
        column=run["column_no"],
        truth=truth_of_column(run["truth"]),
        answerer=answerer_of_column(run["answerer"]),
    )


def comparison(db: sqlite3.Connection, comparison_id: str) -> Comparison | None:
    """A comparison with the ids of its runs that are not deleted."""
    found = db.execute(
        "SELECT id, title, created_at, kind FROM comparisons WHERE id = ?", (comparison_id,)
    ).fetchone()
    if found is None:
        return None
    runs = db.execute(
        "SELECT id FROM runs WHERE comparison_id = ? AND deleted_at IS NULL ORDER BY column_no, number",
        (comparison_id,),
    )
    found_id, title, created_at, kind = found
    return Comparison(found_id, title, created_at, kind, tuple(run_id for (run_id,) in runs))


def image(db: sqlite3.Connection, image_hash: str) -> StoredImage | None:
    """An image whose bytes are kept."""
    found = db.execute(
        "SELECT hash, media_type, width, height, data FROM images WHERE hash = ? AND data IS NOT NULL",
        (image_hash,),
    ).fetchone()
    return None if found is None else StoredImage(*found)


def thumb(db: sqlite3.Connection, image_hash: str) -> bytes | None:
    """The small WebP of an image."""
    found = db.execute("SELECT thumb FROM images WHERE hash = ?", (image_hash,)).fetchone()
    return found["thumb"] if found else None


def storage(db: sqlite3.Connection, folder: Path, kept: bool, limit: int, trouble: str | None) -> Storage:
    """How much there is."""
    runs, deleted = db.execute("SELECT COUNT(*), COUNT(deleted_at) FROM runs").fetchone()
    shares = db.execute("SELECT COUNT(*) FROM shares WHERE revoked_at IS NULL").fetchone()[0]
    images, image_bytes = db.execute("SELECT COUNT(data), COALESCE(SUM(bytes), 0) FROM images").fetchone()
    on_disk = sum(path.stat().st_size for name in ("", "-wal") if (path := folder / (FILE + name)).exists())
    return Storage(
        folder=folder if kept else None,
        runs=runs - deleted,
        deleted=deleted,
        images=images,
        shares=shares,
        image_bytes=image_bytes,
        file_bytes=on_disk,
        limit=limit,
        trouble=trouble,
    )


def ids(db: sqlite3.Connection, beginning: str, most: int) -> tuple[str, ...]:
    """The ids that begin with these letters, newest run first, at most `most`."""
    found = db.execute(
        "SELECT id FROM runs WHERE deleted_at IS NULL AND substr(id, 1, length(?)) = ? "
        "ORDER BY created_at DESC, number DESC LIMIT ?",
        (beginning, beginning, most),
    )
    return tuple(run_id for (run_id,) in found)
