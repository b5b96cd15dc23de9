"""What each key has used: counted as requests end, written to the file of the keys every few seconds."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import NamedTuple

from dreamscope.engine import wire
from dreamscope.engine.server.adapter_choice import split_name
from dreamscope.engine.server.clock import Clock, Timer
from dreamscope.engine.server.keyring import NAMED
from dreamscope.engine.server.keystore import Key, KeysError, KeyStore, Usage

WRITE_SECONDS = 5.0
"""A process that is killed loses what it counted in this time."""
_log = logging.getLogger(__name__)


class _Open(NamedTuple):
    key: str
    model: str


class Accounts:
    """Only the event loop touches it. Requests of owners without a named key are not counted here.

    A request counts once it has ended, even if its client has left before: leaving early is not free.
    """

    def __init__(self, store: KeyStore | None, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._open: dict[str, _Open] = {}
        self._usage: dict[tuple[str, str], Usage] = {}
        self._used: dict[str, float] = {}
        self._timer: Timer | None = None
        self._writing: asyncio.Task[None] | None = None

    def open(self, request_id: str, owner: str) -> None:
        """A request of this owner was taken on."""
        if self._store is not None and owner.startswith(NAMED):
            self._open[request_id] = _Open(owner.removeprefix(NAMED), "")
            self._used[owner.removeprefix(NAMED)] = time.time()
            self._write_soon()

    def feed(self, event: wire.RequestEvent) -> None:
        """An event of a request."""
        known = self._open.get(event.request_id)
        if known is None:
            return
        if isinstance(event, wire.RequestAccepted):
            self._open[event.request_id] = known._replace(model=split_name(event.model)[0] or "")
        elif isinstance(event, wire.TERMINAL):
            del self._open[event.request_id]
            if known.model:
                self._count(known, event)

    async def close(self) -> None:
        """Write what was not yet written."""
        if self._timer is not None:
            self._timer.cancel()
        await self.settle()

    async def settle(self) -> None:
        """Write what was counted up to now, so that the file has it all."""
        while self._writing is not None and not self._writing.done():
            await asyncio.shield(self._writing)
        self._writing = asyncio.create_task(self._write(), name="accounts")
        await asyncio.shield(self._writing)

    async def of(self, owner: str) -> Key | None:
        """The key of this owner with its account up to now; `None` for an owner without one.

        Raises `KeysError`.
        """
        if self._store is None or not owner.startswith(NAMED):
            return None
        await self.settle()
        return await asyncio.to_thread(self._store.named, owner.removeprefix(NAMED), True)

    def _count(self, known: _Open, event: wire.RequestEvent) -> None:
        more = Usage(requests=1)
        if isinstance(event, (wire.RequestDone, wire.RequestCancelled)):
            more = Usage(1, event.metrics.input_tokens, event.metrics.output_tokens)
        self._usage[known] = self._usage.get(known, Usage()) + more
        self._write_soon()

    def _write_soon(self) -> None:
        if self._timer is None:
            self._timer = self._clock.call_later(WRITE_SECONDS, self._begin)

    def _begin(self) -> None:
        self._timer = None
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(), name="accounts")
        else:
            self._write_soon()

    async def _write(self) -> None:
        """Write all that was counted; what cannot be written is kept for the next time."""
        usage, self._usage = self._usage, {}
        used, self._used = self._used, {}
        if self._store is None or not (usage or used):
            return
        try:
            await asyncio.to_thread(self._store.add, usage, used)
        except KeysError as error:
            _log.error("%s", error)
            for known, counted in usage.items():
                self._usage[known] = self._usage.get(known, Usage()) + counted
            self._used = {**used, **self._used}
