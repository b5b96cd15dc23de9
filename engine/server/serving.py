"""The model behind the server: being loaded, ready, or failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from dreamscope.engine import errors, wire
from dreamscope.engine.runtime.job import EngineRequest

Deliver = Callable[[list[wire.Message]], None]


class EngineLike(Protocol):
    """What the server needs of an engine; every method may be called from any thread and returns at once."""

    def submit(self, request: EngineRequest, deliver: Deliver) -> None:
        """Queue a request; its events arrive in batches on the engine's thread. Raises `DreamscopeError`."""

    def cancel(self, request_id: str, reason: str = "client") -> None:
        """Stop a request; harmless when it is over or unknown."""

    def stats(self) -> dict[str, Any]:
        """Counters for people."""

    def shutdown(self) -> None:
        """Cancel everything and wait for the threads."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A loaded model and the engine that runs it; `device` as `/health` names it."""

    model: wire.ModelInfo
    engine: EngineLike
    device: str


class ModelSlot:
    """Holds the one model of this process. The loader thread sets it, the event loop reads it; each change
    is one assignment.
    """

    def __init__(self, announced: wire.ModelInfo) -> None:
        """`announced` is what is known of the model before it is loaded."""
        self._announced = replace(announced, loaded=False, default=True)
        self._serving: Serving | None = None
        self._failure: errors.DreamscopeError | None = None

    @property
    def status(self) -> str:
        """`loading`, `ok` or `failed`."""
        if self._serving is not None:
            return "ok"
        return "loading" if self._failure is None else "failed"

    @property
    def model(self) -> wire.ModelInfo:
        """The entry for the model list."""
        return self._announced if self._serving is None else self._serving.model

    @property
    def device(self) -> str | None:
        """Where the model runs, once it is loaded."""
        return None if self._serving is None else self._serving.device

    def set_ready(self, serving: Serving) -> None:
        """The model is loaded."""
        self._serving = replace(serving, model=replace(serving.model, loaded=True, default=True))

    def set_failed(self, failure: errors.DreamscopeError) -> None:
        """The model will not be loaded."""
        self._failure = failure

    def close(self) -> None:
        """Stop the engine, if one is running."""
        if self._serving is not None:
            self._serving.engine.shutdown()

    def serving(self) -> Serving:
        """The loaded model. Raises `ModelLoading`, or why loading failed."""
        if self._serving is not None:
            return self._serving
        if self._failure is not None:
            raise self._failure
        raise errors.ModelLoading(f"The model {self._announced.id} is still being loaded; try again soon.")
