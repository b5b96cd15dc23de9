"""What the page says about its engine: there, starting, loading, gone. Says nothing twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from dreamscope.app import words
from dreamscope.app.supervisor import EngineStatus, Phase
from dreamscope.engine.wire import ModelInfo


class LinkStatus:
    """Turns what happens to the connection into the page's `engine` messages, which `put` sends.

    A message has `state` (starting, ready, gone, failed), a short `text`, a sentence `detail`, and `models`
    when the engine is there.
    """

    def __init__(self, put: Callable[[dict[str, Any]], None]) -> None:
        self._put = put
        self._last: dict[str, Any] = {}
        self._since = time.monotonic()  # when the present wait for the engine began
        self._was_there = False

    def ready(self, models: Sequence[ModelInfo]) -> None:
        """The connection stands and the model is loaded."""
        self._was_there = True
        listed = [{"id": model.id, "name": model.name or model.id} for model in models]
        self._show("ready", words.ENGINE_READY, "", models=listed)

    def loading(self, model: str, status: EngineStatus) -> None:
        """The engine answers, its model is still being read."""
        self._show("starting", words.ENGINE_STARTING, words.loading(model, self._seconds(), status.detail))

    def refused(self, reason: str) -> None:
        """The engine answers, but not to us."""
        self._show("failed", words.ENGINE_FAILED, reason)

    def lost(self, status: EngineStatus, told: bool) -> None:
        """The connection ended. `told`: the page says so elsewhere already."""
        self._since = time.monotonic()
        detail = words.engine_gone(status.phase is not Phase.UNKNOWN)
        self._show("gone", words.ENGINE_RESTARTING, "" if told else detail)

    def absent(self, status: EngineStatus, told: bool) -> None:
        """There is no connection, for the reason that `status` gives; `told` as in `lost`."""
        if status.phase is Phase.FAILED:
            self._show("failed", words.ENGINE_FAILED, words.engine_failed(status.detail))
        elif status.phase is Phase.UNKNOWN:
            detail = words.engine_unreachable(status.url or "")
            self._show("gone", words.ENGINE_UNREACHABLE, "" if told else detail)
        elif self._was_there:
            self._show("gone", words.ENGINE_RESTARTING, "" if told else words.engine_gone(True))
        else:
            self._show("starting", words.ENGINE_STARTING, words.starting(self._seconds()))

    def _seconds(self) -> float:
        return time.monotonic() - self._since

    def _show(self, state: str, text: str, detail: str, **more: Any) -> None:
        message = {"state": state, "text": text, "detail": detail, **more}
        if message != self._last:
            self._last = message
            self._put(message)
