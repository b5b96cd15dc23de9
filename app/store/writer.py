"""The one thread that writes, so that whoever records never waits for the disk.

    post ──▶ ┌───────┐  everything of the last 40 ms, or up to
    call ──▶ │ queue │─▶ the next call, in ONE transaction ─▶ commit ─▶ answers of the calls
             └───────┘

1. Work is done in the order in which it was given.
2. A `call` returns after its transaction is committed; its error is raised where it was called.
3. Work that fails undoes its own changes and nobody else's. The error of a `post` is logged and kept in
   `trouble` until something is written again, because nobody waits for it.
4. `close` does what was given before it.
"""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dreamscope.app.store.kinds import StoreError

GATHER_S = 0.04
MOST_PER_TRANSACTION = 2000
CHORE_EVERY_S = 60.0

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Job:
    work: Work
    answer: Future[Any] | None = None
    alone: bool = False
    last: bool = False


@dataclass(slots=True)
class _Batch:
    jobs: list[_Job] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        newest = self.jobs[-1]
        return newest.answer is not None or len(self.jobs) >= MOST_PER_TRANSACTION


class Writer:
    """Owns `connection`, which must be in autocommit mode, until it is closed."""

    def __init__(self, connection: sqlite3.Connection, chore: Work) -> None:
        """`chore` is done about once a minute."""
        self.trouble: str | None = None
        self._connection = connection
        self._chore = chore
        self._chore_due = time.monotonic() + CHORE_EVERY_S
        self._queue: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="history-writer", daemon=True)
        self._thread.start()

    def post(self, work: Work) -> None:
        """Have `work` done soon. Any thread; returns at once. Raises `StoreError` after `close`."""
        self._put(_Job(work))

    def call(self, work: Callable[[sqlite3.Connection], T], alone: bool = False) -> T:
        """The result of `work` once it is committed; blocks. `alone`: outside of a transaction.

        Raises what `work` raises, and `StoreError` after `close`.
        """
        answer: Future[T] = Future()
        self._put(_Job(work, answer, alone))
        return answer.result()

    def close(self) -> None:
        """Do what was given, then close the connection. Again is harmless."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(_Job(lambda _: None, Future(), alone=True, last=True))
        self._thread.join()

    def _put(self, job: _Job) -> None:
        with self._lock:
            if self._closed:
                raise StoreError("The history is closed.")
            self._queue.put(job)

    def _run(self) -> None:
        over = False
        while not over:
            if time.monotonic() >= self._chore_due:
                self._chore_due = time.monotonic() + CHORE_EVERY_S
                self._together([_Job(self._chore)])
            for batch in self._gather():
                if batch[0].alone:
                    over = batch[0].last
                    self._alone(batch[0])
                else:
                    self._together(batch)
        self._connection.close()

    def _gather(self) -> list[list[_Job]]:
        """What to do next: at most one transaction, and then perhaps one piece of work outside of any."""
        batch = _Batch()
        deadline = self._chore_due
        while True:
            try:
                batch.jobs.append(self._queue.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                return [batch.jobs] if batch.jobs else []
            if batch.complete:
                break
            if len(batch.jobs) == 1:
                deadline = time.monotonic() + GATHER_S
        if batch.jobs[-1].alone:
            return [part for part in (batch.jobs[:-1], batch.jobs[-1:]) if part]
        return [batch.jobs]

    def _together(self, jobs: list[_Job]) -> None:
        """Do `jobs` in one transaction."""
        outcomes: list[tuple[_Job, Any, Exception | None]] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            outcomes = [(job, *self._guarded(job.work)) for job in jobs]
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:  # locked for too long, disk full: all of it is undone
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            outcomes = [(job, None, error) for job in jobs]
        if not any(failure for _, _, failure in outcomes):
            self.trouble = None
        for job, result, failure in outcomes:
            self._tell(job, result, failure)

    def _guarded(self, work: Work) -> tuple[Any, Exception | None]:
        """Result or error of `work`; with an error its changes are undone."""
        self._connection.execute("SAVEPOINT work")
        try:
            result = work(self._connection)
        except Exception as error:  # the boundary of foreign work: see invariants 2 and 3
            if not self._connection.in_transaction:  # SQLite itself has undone everything
                raise sqlite3.OperationalError(str(error)) from error
            self._connection.execute("ROLLBACK TO work")
            self._connection.execute("RELEASE work")
            return None, error
        self._connection.execute("RELEASE work")
        return result, None

    def _alone(self, job: _Job) -> None:
        try:
            result, failure = job.work(self._connection), None
        except Exception as error:  # the boundary of foreign work: see invariant 2
            result, failure = None, error
        self._tell(job, result, failure)

    def _tell(self, job: _Job, result: Any, failure: Exception | None) -> None:
        if failure is None:
            if job.answer:
                job.answer.set_result(result)
        elif job.answer:
            job.answer.set_exception(failure)
        else:
            self.trouble = f"Something could not be written to the history: {failure}."
            _log.error("writing to the history failed", exc_info=failure)
