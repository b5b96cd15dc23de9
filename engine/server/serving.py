"""What the server knows of a model: how to load it, what is loaded, and the permission to use that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from dreamscope.engine import wire
from dreamscope.engine.runtime.job import Deliver, EngineRequest
from dreamscope.engine.weights.progress import Report


class EngineLike(Protocol):
    """What the server needs of an engine; every method may be called from any thread and returns at once."""

    def submit(self, request: EngineRequest, deliver: Deliver) -> None:
        """Queue a request; events arrive tick by tick on the engine's thread. Raises `DreamscopeError`."""

    def cancel(self, request_id: str, reason: str = "client") -> None:
        """Stop a request; harmless when it is over or unknown."""

    def stats(self) -> dict[str, Any]:
        """Counters for people."""

    def shutdown(self) -> None:
        """Cancel everything and wait for the threads."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A loaded model and the engine that runs it; `device` as `/health` names it, `depth` as it was told."""

    model: wire.ModelInfo
    engine: EngineLike
    device: str
    depth: str = "auto"


@dataclass(frozen=True, slots=True)
class Known:
    """A model that can be loaded, or of which only the name is known: then `info.state` is unavailable.

    `load(report)` blocks and runs in a thread; it raises `DreamscopeError`. `light`: a packaged miniature,
    which may lie beside any other model. `elsewhere`: it takes nothing of this machine, so that it is loaded
    while others are.
    """

    info: wire.ModelInfo
    load: Callable[[Report], Serving]
    light: bool = False
    elsewhere: bool = False


class Lease:
    """Permission to use a loaded model, which is not unloaded before `release`."""

    __slots__ = ("_give_back", "engine")

    def __init__(self, engine: EngineLike, give_back: Callable[[], None]) -> None:
        self.engine = engine
        self._give_back: Callable[[], None] | None = give_back

    def release(self) -> None:
        """The model is not needed any more; harmless when called again."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()
