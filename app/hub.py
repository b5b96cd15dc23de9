"""Every open page is told which runs of the history have changed, whoever changed them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

Listener = Callable[[tuple[str, ...]], None]
"""Takes the ids of the runs that changed; none at all means that any may have."""


class Hub:
    """The pages that are open. `changed` may be called from any thread, `listening` from an event loop.

    `pages` is told how many there are whenever that changes, and that there are none when a run changes with
    nobody looking.
    """

    def __init__(self, pages: Callable[[int], None] = lambda count: None) -> None:
        self._pages = pages
        self._lock = threading.Lock()
        self._listeners: dict[object, tuple[asyncio.AbstractEventLoop, Listener]] = {}

    @contextmanager
    def listening(self, listener: Listener) -> Iterator[None]:
        """Call `listener`, in the loop of the caller, for every change while the context lasts."""
        key = object()
        with self._lock:
            self._listeners[key] = (asyncio.get_running_loop(), listener)
        self._pages(len(self._listeners))
        try:
            yield
        finally:
            with self._lock:
                del self._listeners[key]
            self._pages(len(self._listeners))

    def changed(self, ids: Iterable[str] = ()) -> None:
        """Tell every page that these runs were begun, ended, changed, deleted or imported."""
        told = tuple(ids)
        with self._lock:
            listeners = tuple(self._listeners.values())
        if not listeners:
            self._pages(0)
        for loop, listener in listeners:
            if not loop.is_closed():
                loop.call_soon_threadsafe(listener, told)
