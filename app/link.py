"""What the page says about its engine: there, starting, loading, gone. Says nothing twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from dreamscope.app import words
from dreamscope.app.supervisor import EngineStatus, Phase
from dreamscope.engine.wire import ModelInfo, ModelProgress, Preset, to_json
from dreamscope.visualizers.answerer import answerer_of


class LinkStatus:
    """Turns what happens to the connection into the page's `engine` messages, which `put` sends.

    A message has `state` (starting, ready, gone, failed), a short `text`, a sentence `detail`, and, when the
    engine answers and they have changed, its `models` and `presets`.
    """

    def __init__(self, put: Callable[[dict[str, Any]], None]) -> None:
        self._put = put
        self._last: dict[str, Any] = {}
        self._since = time.monotonic()  # when the present wait for the engine began
        self._was_there = False

    def models(self, models: Sequence[ModelInfo], presets: Sequence[Preset], status: EngineStatus) -> None:
        """The connection stands, and these are the models that its engine knows now."""
        listed = {
            "models": [_model_json(model) for model in models],
            "presets": [to_json(preset) for preset in presets],
        }
        main = default_of(models)
        if is_coming_up(models):
            assert main is not None
            detail = words.loading(main.id, self._seconds(), status.detail)
            self._show("starting", words.ENGINE_STARTING, detail, **listed)
            return
        self._was_there = True
        if main is None or any(model.loaded for model in models):
            self._show("ready", words.ENGINE_READY, "", **listed)
        else:
            self._show("failed", words.NO_MODEL, words.sentence(main.reason or ""), **listed)

    def progress(self, progress: ModelProgress) -> None:
        """A model is being loaded; the page is told even if nothing runs."""
        if self._last.get("state") == "starting":
            detail = words.loading(progress.model, self._seconds(), progress.detail)
            self._show("starting", words.ENGINE_STARTING, detail)

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


def default_of(models: Sequence[ModelInfo]) -> ModelInfo | None:
    """The model that takes requests which name none; `None` of no models."""
    return next((model for model in models if model.default), models[0] if models else None)


def find_model(models: Sequence[ModelInfo], name: str | None) -> ModelInfo | None:
    """The model of this id or alias, in any case, or the one that takes requests which name none."""
    if name is None:
        return default_of(models)
    wanted = name.strip().lower()
    return next((m for m in models if wanted in (each.lower() for each in (m.id, *m.aliases))), None)


def is_coming_up(models: Sequence[ModelInfo]) -> bool:
    """Whether no model is loaded yet, but the one that the engine was started with will be."""
    main = default_of(models)
    if main is None or any(model.loaded for model in models):
        return False
    return main.state not in ("unavailable", "failed")


def _model_json(model: ModelInfo) -> dict[str, Any]:
    endpoint = answerer_of(model).endpoint
    return {
        "id": model.id,
        "name": model.name or model.id,
        "revision": model.revision,
        "description": model.description,
        "skills": list(model.skills),
        "state": model.state,
        "loaded": model.loaded,
        "default": model.default,
        "adapters": list(model.adapters),
        "download_bytes": model.download_bytes,
        "endpoint": endpoint,
        "note": words.model_note(model.state, model.loaded, endpoint),
        "reason": words.sentence(model.reason or ""),
    }
