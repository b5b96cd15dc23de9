"""Endpoints whose models are not known before they are asked.

    listing, or a request for NAME/... -> ask the endpoint (thread) -> its models on the shelf, or why not

Nobody is asked before that. An endpoint that failed is asked again when somebody wants it, and by listing
after a while.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from dreamscope.engine import errors, wire
from dreamscope.engine.server.serving import Known
from dreamscope.engine.server.thread import in_thread

AGAIN_S = 30.0
Find = Callable[[], Sequence[Known]]
_log = logging.getLogger(__name__)


class Unasked:
    """`finds` block; `found` gets what they bring, `changed` is called for other news.

    Only the event loop touches it.
    """

    def __init__(
        self, finds: Mapping[str, Find], found: Callable[[Sequence[Known]], None], changed: Callable[[], None]
    ) -> None:
        self._finds = dict(finds)
        self._found = found
        self._changed = changed
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._failures: dict[str, tuple[float, errors.DreamscopeError]] = {}

    def infos(self) -> list[wire.ModelInfo]:
        """An entry under its own name for each endpoint that could not be asked, with the reason."""
        return [
            wire.ModelInfo(
                name, (), description="An endpoint.", owned_by=name, state="failed", reason=failure.message
            )
            for name, (_, failure) in self._failures.items()
        ]

    def look(self) -> None:
        """Ask every endpoint in the background, except those that failed a moment ago."""
        now = asyncio.get_running_loop().time()
        for name in self._finds:
            if name not in self._failures or now - self._failures[name][0] >= AGAIN_S:
                self._ask(name)

    def ask(self, name: str) -> bool:
        """Ask this endpoint in the background; false if there is none of this name."""
        known = self._named(name)
        if known is not None:
            self._ask(known)
        return known is not None

    async def settle(self, model: object) -> None:
        """Wait until the models of the endpoint are known that this name of a model begins with, if it does.

        Raises why they cannot be.
        """
        name = self._named(model.partition("/")[0]) if isinstance(model, str) else None
        if name is None:
            return
        await asyncio.wait({self._ask(name)})
        if name in self._failures:
            failure = self._failures[name][1]
            raise type(failure)(failure.message, failure.param)

    def stop(self) -> None:
        """Wait for nobody any longer."""
        for task in self._asking.values():
            task.cancel()

    def _named(self, name: str) -> str | None:
        wanted = name.strip().lower()
        return next((known for known in self._finds if known.lower() == wanted), None)

    def _ask(self, name: str) -> asyncio.Task[None]:
        if name not in self._asking:
            self._asking[name] = asyncio.create_task(self._learn(name), name=f"ask {name}")
        return self._asking[name]

    async def _learn(self, name: str) -> None:
        try:
            models = await in_thread("endpoint", self._finds[name])
        except errors.DreamscopeError as error:
            self._fail(name, error)
        except Exception:
            _log.exception("endpoint %s could not be asked", name)
            self._fail(name, errors.InternalError(f"Asking {name} failed; the log of the engine says why."))
        else:
            del self._finds[name]
            self._failures.pop(name, None)
            self._found(models)
        finally:
            del self._asking[name]

    def _fail(self, name: str, error: errors.DreamscopeError) -> None:
        self._failures[name] = (asyncio.get_running_loop().time(), error)
        self._changed()
