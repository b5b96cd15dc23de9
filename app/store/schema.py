"""The tables of `history.db` and the steps that bring an older file up to date; `README.md` explains them.

`PRAGMA user_version` counts the steps that a file has had. A step that was published is never changed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from sqlite_utils import Database

from dreamscope.app.store.kinds import StoreError

SEARCHED = ("title", "prompt", "reasoning", "answer", "notes")
"""Columns of `runs` that are searched for words."""

_RUNS = """
CREATE TABLE images (
  hash TEXT PRIMARY KEY,
  media_type TEXT NOT NULL,
  width INTEGER NOT NULL,
  height INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  created_at TEXT NOT NULL,
  thumb BLOB,
  data BLOB
);
CREATE INDEX images_by_time ON images(created_at, hash);
CREATE TABLE comparisons (
  id TEXT PRIMARY KEY,
  title TEXT NOT NULL DEFAULT '',
  created_at TEXT NOT NULL,
  kind TEXT NOT NULL DEFAULT 'compare'
);
CREATE TABLE runs (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  created_at TEXT NOT NULL,
  finished_at TEXT,
  state TEXT NOT NULL,
  skill TEXT NOT NULL,
  model TEXT NOT NULL,
  revision TEXT NOT NULL DEFAULT '',
  variant TEXT NOT NULL DEFAULT '',
  pinned INTEGER NOT NULL DEFAULT 0,
  rating INTEGER NOT NULL DEFAULT 0,
  deleted_at TEXT,
  deletion TEXT,
  session TEXT NOT NULL,
  image_hash TEXT REFERENCES images(hash),
  comparison_id TEXT REFERENCES comparisons(id),
  column_no INTEGER NOT NULL DEFAULT 0,
  title TEXT NOT NULL DEFAULT '',
  prompt TEXT NOT NULL DEFAULT '',
  answer TEXT NOT NULL DEFAULT '',
  notes TEXT NOT NULL DEFAULT '',
  reasoning TEXT NOT NULL DEFAULT '',
  request TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX runs_by_time ON runs(deleted_at, created_at, number);
CREATE INDEX runs_facets ON runs(deleted_at, skill, model, state, created_at, pinned, comparison_id, id);
CREATE INDEX runs_by_image ON runs(image_hash);
CREATE INDEX runs_by_comparison ON runs(comparison_id);
CREATE INDEX runs_deleted ON runs(deletion) WHERE deletion IS NOT NULL;
CREATE INDEX runs_live ON runs(session) WHERE state IN ('queued', 'running');
CREATE TABLE parts (
  run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  part INTEGER NOT NULL,
  state TEXT NOT NULL,
  "create" TEXT NOT NULL,
  output TEXT,
  metrics TEXT,
  error TEXT,
  PRIMARY KEY (run_id, part)
);
CREATE TABLE events (
  run_id TEXT NOT NULL,
  part INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  t REAL NOT NULL,
  type TEXT NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (run_id, part, seq),
  FOREIGN KEY (run_id, part) REFERENCES parts(run_id, part) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE TABLE tags (
  run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  tag TEXT NOT NULL,
  PRIMARY KEY (run_id, tag)
) WITHOUT ROWID;
CREATE INDEX runs_by_tag ON tags(tag);
"""

_SHARING = """
CREATE TABLE shares (
  slug TEXT PRIMARY KEY,
  run_id TEXT REFERENCES runs(id) ON DELETE SET NULL,
  comparison_id TEXT REFERENCES comparisons(id) ON DELETE SET NULL,
  created_at TEXT NOT NULL,
  expires_at TEXT,
  revoked_at TEXT
);
CREATE INDEX shares_by_run ON shares(run_id);
CREATE INDEX shares_by_comparison ON shares(comparison_id);
CREATE TABLE batches (
  id TEXT PRIMARY KEY,
  title TEXT NOT NULL DEFAULT '',
  created_at TEXT NOT NULL,
  state TEXT NOT NULL,
  session TEXT NOT NULL,
  asks TEXT NOT NULL,
  images TEXT NOT NULL
);
"""


def _runs(db: Database) -> None:
    db.executescript(_RUNS)


def _search(db: Database) -> None:
    db.table("runs").enable_fts(
        SEARCHED, create_triggers=True, tokenize="porter unicode61 remove_diacritics 2"
    )


def _sharing(db: Database) -> None:
    db.executescript(_SHARING)


def _truth(db: Database) -> None:
    db.execute("ALTER TABLE runs ADD COLUMN truth TEXT")


def _answerers(db: Database) -> None:
    db.execute("ALTER TABLE runs ADD COLUMN answerer TEXT")


STEPS: tuple[Callable[[Database], None], ...] = (_runs, _search, _sharing, _truth, _answerers)


def migrate(connection: sqlite3.Connection, steps: tuple[Callable[[Database], None], ...] = STEPS) -> None:
    """Take the steps that the file lacks, each whole or not at all. Safe beside another process that does.

    Raises `StoreError` for a file of a newer version or one that somebody else's program made.
    """
    while True:
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            _check(connection, version)
            if version >= len(steps):
                return
            steps[version](Database(connection))
            connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def _check(connection: sqlite3.Connection, version: int) -> None:
    if version > len(STEPS):
        raise StoreError(
            f"The history was written by a newer Dreamscope (schema {version}, this one knows {len(STEPS)}). "
            "Use that one, or another --data folder."
        )
    if version == 0 and connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        raise StoreError(
            "history.db in the data folder is not a Dreamscope history. Use another --data folder."
        )
