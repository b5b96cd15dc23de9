"""Processes that are killed in the middle, and several at once."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dreamscope.app.store.kinds import Search
from dreamscope.app.store.store import Store
from dreamscope.engine import wire

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the recording program forks")
RECORDER = Path(__file__).parent / "recorder.py"
ROUNDS = 40


class Recorder:
    """A process that records, and can be killed at any moment, again and again."""

    def __init__(self, folder: Path) -> None:
        self._program = subprocess.Popen(
            [sys.executable, str(RECORDER), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._pid = 0
        self.begun: set[str] = set()

    def start(self) -> None:
        """Once the history is open."""
        assert self._program.stdin is not None
        print(file=self._program.stdin, flush=True)
        self._pid = int(self._said("open"))

    def begin(self) -> str:
        """Wait for a run that is begun."""
        self.begun.add(run_id := self._said("begun"))
        return run_id

    def kill(self) -> None:
        """`begun` then has every run of which the process could say that it was begun."""
        os.kill(self._pid, signal.SIGKILL)
        while (line := self._line()) != ["ended"]:
            self.begun.add(line[1])

    def close(self) -> None:
        self._program.communicate()

    def _said(self, word: str) -> str:
        said, what = self._line()
        assert said == word
        return what

    def _line(self) -> list[str]:
        assert self._program.stdout is not None
        return self._program.stdout.readline().split()


@pytest.fixture
def recorder(folder: Path) -> Iterator[Callable[[], Recorder]]:
    made: list[Recorder] = []

    def make() -> Recorder:
        made.append(Recorder(folder))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.close()


def integrity(folder: Path) -> str:
    connection = sqlite3.connect(folder / "history.db")
    try:
        connection.execute("INSERT INTO runs_fts(runs_fts, rank) VALUES ('integrity-check', 1)")
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        connection.close()


def test_no_run_is_lost_or_corrupt_when_the_process_is_killed(recorder, folder):
    """Killed at random moments, again and again on one file: every begun run is there, its events a beginning
    of what was sent, and the ones that were cut off are marked so."""
    chance = random.Random()
    process = recorder()
    for nth in range(ROUNDS):
        if nth:
            process.start()
        time.sleep(chance.uniform(0.0, 0.2))  # until the moment to kill it: there is nothing to wait for
        process.kill()
    assert integrity(folder) == "ok"
    store = Store.open(folder)
    states = []
    for run_id in process.begun:
        kept = store.record(run_id)
        assert kept is not None
        (part,) = kept.parts
        assert [event.seq for event in part.events] == list(range(len(part.events)))
        whole = bool(part.events) and isinstance(part.events[-1], wire.RequestDone)
        assert kept.state in (("done", "interrupted") if whole else ("interrupted",))
        assert part.result == wire.QueryResult("".join(f"word{n} " for n in range(len(part.events) - whole)))
        states.append(kept.state)
    found = store.search(Search(limit=500))
    assert {run.id for run in found.runs} >= process.begun
    assert {run.state for run in found.runs} <= {"done", "interrupted"}
    assert states.count("interrupted") >= 1
    assert len(states) >= ROUNDS // 2
    store.close()


def test_a_second_process_leaves_the_runs_of_a_living_one_alone(recorder, folder):
    process = recorder()
    run_id = process.begin()
    second = Store.open(folder)
    third = Store.open(folder)
    assert second.record(run_id).state != "interrupted"
    process.kill()
    assert "interrupted" not in {run.state for run in second.search(Search(limit=500)).runs}
    second.close()
    third.close()
    fourth = Store.open(folder)
    assert {run.state for run in fourth.search(Search(limit=500)).runs} <= {"done", "interrupted"}
    assert all(fourth.record(each) is not None for each in process.begun)
    fourth.close()


def test_two_processes_write_to_one_history(recorder, folder):
    first, second = recorder(), recorder()
    for process in (first, second, first, second):
        process.begin()
    for process in (first, second):
        process.kill()
    store = Store.open(folder)
    assert {run.id for run in store.search(Search(limit=500)).runs} >= first.begun | second.begun
    store.close()
    assert integrity(folder) == "ok"


def test_what_was_left_running_at_close_is_interrupted(folder, make_run, make_events):
    store = Store.open(folder)
    record = make_run()
    store.begin(record)
    store.append(record.id, 0, make_events("one two")[:3])
    store.close()
    again = Store.open(folder)
    assert again.record(record.id).state == "interrupted"
    assert again.search(Search(text="one")).runs[0].answer == "one "
    assert list((folder / "sessions").iterdir()) != []
    again.close()
    assert list((folder / "sessions").iterdir()) == []


def test_temporary_histories_of_killed_processes_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    program = (
        "import sys, tempfile; from dreamscope.app.store.store import Store; "
        f"tempfile.tempdir = {str(tmp_path)!r}; store = Store.open(None); print('open', flush=True); "
        "sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    (left,) = tmp_path.iterdir()
    (tmp_path / "dreamscope-history-of-somebody").mkdir()
    beside = Store.open(None)
    assert left.exists()
    process.kill()
    process.communicate()
    after = Store.open(None)
    assert not left.exists()
    assert (tmp_path / "dreamscope-history-of-somebody").exists()
    beside.flush()
    beside.close()
    after.close()
