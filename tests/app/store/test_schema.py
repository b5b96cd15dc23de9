"""The file: made, brought up to date, refused, and opened by other people's tools."""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from dreamscope.app.store.kinds import Search, StoreError
from dreamscope.app.store.schema import STEPS, migrate
from dreamscope.app.store.store import Store

README = (Path(__file__).parents[3] / "app" / "store" / "README.md").read_text("utf-8")
TABLES = {"images", "comparisons", "runs", "parts", "events", "tags", "shares", "batches", "runs_fts"}


def test_an_empty_file_gets_every_table(store, sql):
    names = {name for (name,) in sql.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert names >= TABLES
    assert sql.execute("PRAGMA user_version").fetchone()[0] == len(STEPS)
    assert sql.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


@pytest.mark.parametrize("version", range(1, len(STEPS)))
def test_an_older_file_keeps_its_runs_and_gains_what_is_new(version, folder):
    folder.mkdir()
    older = sqlite3.connect(folder / "history.db", isolation_level=None)
    migrate(older, STEPS[:version])
    older.execute(
        "INSERT INTO runs(id, created_at, state, skill, model, session, prompt) "
        "VALUES ('old', '2025-01-02T03:04:05.678Z', 'done', 'query', 'm', 's', 'an ancient question')"
    )
    older.close()
    store = Store.open(folder)
    assert store.record("old").created_at == "2025-01-02T03:04:05.678Z"
    assert [run.id for run in store.search(Search(text="ancient")).runs] == ["old"]
    assert store.add_share(run_id="old").live
    store.close()


def test_a_step_that_fails_leaves_the_file_as_it_was(tmp_path):
    def broken(db):
        db.executescript("CREATE TABLE half (a);")
        raise RuntimeError("no power")

    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    with pytest.raises(RuntimeError):
        migrate(connection, (*STEPS[:1], broken))
    assert connection.execute("PRAGMA user_version").fetchone()[0] == 1
    assert connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'half'").fetchone() is None
    connection.close()


def test_a_newer_file_is_refused_and_left_alone(store, folder, sql):
    store.close()
    sql.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer Dreamscope"):
        Store.open(folder)
    assert sql.execute("PRAGMA user_version").fetchone()[0] == 99


def test_a_database_of_somebody_else_is_refused(folder):
    folder.mkdir()
    other = sqlite3.connect(folder / "history.db")
    other.execute("CREATE TABLE theirs (a)")
    other.close()
    with pytest.raises(StoreError, match="not a Dreamscope history"):
        Store.open(folder)


SHELL = re.search(r"```sh\n(.*?)```", README, re.S)[1]
COMMANDS = re.findall(r"^sqlite-utils (.*?)(?=^[a-z]|\Z)", SHELL, re.M | re.S)


@pytest.mark.parametrize("command", COMMANDS, ids=range(len(COMMANDS)))
def test_the_commands_that_are_documented_read_it_while_it_is_open(command, keep, folder):
    keep("How many dogs?", "Two.")
    words = shlex.split(command.replace("\\\n", " "))
    words = [str(folder / "history.db") if word.endswith("history.db") else word for word in words]
    done = subprocess.run(
        [sys.executable, "-m", "sqlite_utils", *words], capture_output=True, text=True, check=True
    )
    (row,) = json.loads(done.stdout)
    assert row.get("prompt", "How many dogs?") == "How many dogs?"
    assert row.get("ttft", 4.0) == 4.0


def test_there_are_documented_commands():
    assert len(COMMANDS) == 2


def test_every_column_is_explained(store, sql):
    tables = [name for (name,) in sql.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    ours = [name for name in tables if not name.startswith(("runs_fts", "sqlite_"))]
    columns = {column[1] for table in ours for column in sql.execute(f"PRAGMA table_info({table})")}
    known = set(re.findall(r"`(\w+)`", README)) | set(re.findall(r"\*\*(\w+)\*\*", README))
    assert set(ours) <= known
    assert columns - known == set()


async def test_datasette_serves_it_while_it_is_open(keep, folder):
    from datasette.app import Datasette

    kept = keep("How many dogs?", "Two.")
    datasette = Datasette([str(folder / "history.db")])
    tables = (await datasette.client.get("/history.json")).json()["tables"]
    assert {table["name"] for table in tables} >= TABLES
    runs = next(table for table in tables if table["name"] == "runs")
    assert runs["fts_table"] == "runs_fts"
    assert {key["column"] for key in runs["foreign_keys"]["outgoing"]} == {"image_hash", "comparison_id"}
    found = (await datasette.client.get("/history/runs.json?_search=dog&_shape=objects")).json()
    assert [row["id"] for row in found["rows"]] == [kept.id]
