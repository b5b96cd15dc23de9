"""Without retention, everything is deleted once nobody looks any more: soon after the last page is closed."""

from __future__ import annotations

import threading

from dreamscope.app.store.store import Store

AWAY_S = 60.0
"""A page that is loaded again, or whose connection broke, is back before this."""


class Forgetting:
    """Deletes all of `store`; safe in any thread."""

    def __init__(self, store: Store, away_s: float = AWAY_S) -> None:
        self._store = store
        self._away_s = away_s
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def pages(self, count: int) -> None:
        """So many pages are open now; if none is, all is deleted unless this is called again in time."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if count == 0:
                self._timer = threading.Timer(self._away_s, self._store.clear)
                self._timer.daemon = True  # the folder goes with the process anyway
                self._timer.start()
