"""A stream on the processor: one thread that does what it is given, in order.

Nobody waits for it but `WorkerEvent.wait` and `Worker.fence`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from queue import SimpleQueue
from typing import Protocol

from dreamscope.engine.devices.runner import DeviceLost

Work = Callable[[], None]


class Executor(Protocol):
    """Does work in the order in which it comes. Work does not raise: what may fail keeps its error where
    somebody looks for it."""

    def submit(self, work: Work) -> None:
        """Queue work, or do it. Raises `DeviceLost` if nobody will do it."""

    def fence(self) -> None:
        """Wait until everything queued so far is done. Raises `DeviceLost` if that will not be."""

    def close(self) -> None:
        """Do what is queued, and end."""


class WorkerEvent:
    """Implements `Event`: set by the worker, once."""

    def __init__(self) -> None:
        self._happened = threading.Event()
        self._error: BaseException | None = None
        self._moment = 0.0

    def set(self, moment: float, error: BaseException | None = None) -> None:
        """It has happened, at that time; or what it waits for has failed."""
        self._moment, self._error = moment, error
        self._happened.set()

    def query(self) -> bool:
        """Whether it has happened."""
        return self._happened.is_set()

    def wait(self, timeout: float | None = None) -> None:
        """Block until it has. Raises what went wrong in the step, or `TimeoutError`."""
        if not self._happened.wait(timeout):
            raise TimeoutError(f"The step takes longer than {timeout} s.")
        if self._error is not None:
            raise self._error

    def ready_at(self) -> float:
        """When it happened."""
        return self._moment


class Inline:
    """Implements `Executor` without a thread: what is submitted is done at once, by the caller."""

    def submit(self, work: Work) -> None:
        """Do it."""
        work()

    def fence(self) -> None:
        """Everything is done."""

    def close(self) -> None:
        """Nothing is kept."""


class Worker:
    """Implements `Executor` with a thread of its own."""

    def __init__(
        self, name: str, scope: Callable[[], AbstractContextManager[object]], spare: Callable[[], Work | None]
    ) -> None:
        """`scope` is entered once, in the thread; `spare` gives what to do while nothing is queued."""
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._scope = scope
        self._spare = spare
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Work) -> None:
        """Queue work."""
        self._check()
        self._queue.put(work)

    def fence(self) -> None:
        """Wait for the thread."""
        done = threading.Event()
        self.submit(done.set)
        while not done.wait(1.0):
            self._check()

    def close(self) -> None:
        """Do what is queued, and end."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _check(self) -> None:
        if not self._thread.is_alive():
            raise DeviceLost(f"The thread {self._thread.name} has ended.")

    def _run(self) -> None:
        with self._scope():
            while (work := self._next()) is not None:
                work()

    def _next(self) -> Work | None:
        """What is queued; until something is, there may be other things to do."""
        while self._queue.empty() and (spare := self._spare()) is not None:
            try:
                spare()
            except Exception:  # whoever needs what could not be prepared will be told
                self._spare = _nothing
        return self._queue.get()


def _nothing() -> None:
    return None
