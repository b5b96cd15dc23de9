"""The models of this process: which there are, which are loaded, and loading one when it is asked for.

    wait() / load() -> queue -> room -> load (thread) -> ready -> leases -> idle -> unload (thread)

Rules: one model is loaded at a time, in the order they were asked for; light models lie beside any other;
of the others only one is in memory, and it goes once its requests are over, while newer requests for it wait
for its return. A model that failed to load is tried again when it is asked for again. Models elsewhere do not
queue, and those of an endpoint that was not asked yet come when it answers.

Every loaded model has an engine and thus a thread of its own. Only the event loop touches the shelf.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from dreamscope.engine import errors, wire
from dreamscope.engine.server.serving import Known, Lease, Serving
from dreamscope.engine.server.thread import in_thread
from dreamscope.engine.server.unasked import Find, Unasked
from dreamscope.engine.weights.progress import Progress, thinned

T = TypeVar("T")
ListAdapters = Callable[[], Mapping[str, tuple[str, ...]]]
_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Entry:
    known: Known
    info: wire.ModelInfo
    rest: str  # the state of the list while nothing is done about it
    serving: Serving | None = None
    failure: errors.DreamscopeError | None = None
    asked: bool = False  # to be loaded even if nobody waits
    retiring: bool = False
    leases: int = 0
    waiters: list[asyncio.Future[Lease]] = field(default_factory=list)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    visit: asyncio.Task[None] | None = None  # loads what is elsewhere

    @property
    def wanted(self) -> bool:
        return self.asked or bool(self.waiting())

    def waiting(self) -> list[asyncio.Future[Lease]]:
        return [waiter for waiter in self.waiters if not waiter.done()]


class Shelf:
    """The first of `known` is the default. `adapters()` lists those that fit, by model; it may block.

    `endpoints` are those whose models are not known, by name.
    """

    def __init__(
        self,
        known: Sequence[Known],
        adapters: ListAdapters | None = None,
        endpoints: Mapping[str, Find] | None = None,
    ) -> None:
        self._entries = {
            each.info.id: _Entry(each, replace(each.info, loaded=False, default=not i), each.info.state)
            for i, each in enumerate(known)
        }
        self._default = self._entries[known[0].info.id]
        self._list_adapters = adapters
        self._unasked = Unasked(endpoints or {}, self._extend, self._tell_all)
        self._queue: deque[_Entry] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()  # who changes what is in memory
        self._tell: Callable[[wire.Message], None] = lambda message: None
        self._device: str | None = None

    # ----------------------------------------------------------------------------------------- the facts

    @property
    def status(self) -> str:
        """Of the default model: `loading` until it was loaded once, then `ok`; or `failed`."""
        if self._device is not None:
            return "ok"
        return "loading" if self._default.failure is None else "failed"

    @property
    def device(self) -> str | None:
        """Where the default model runs, once it was loaded."""
        return self._device

    @property
    def default(self) -> wire.ModelInfo:
        """The model of requests that name none."""
        return self._default.info

    def infos(self) -> tuple[wire.ModelInfo, ...]:
        """The model list, the default first."""
        others = (entry.info for entry in self._entries.values() if entry is not self._default)
        return (self._default.info, *others, *self._unasked.infos())

    def look(self) -> None:
        """Somebody wants the list: ask the endpoints whose models are not known; `tell` gets the rest."""
        self._unasked.look()

    async def settle(self, name: object) -> None:
        """Wait for the models of the endpoint that this name of a model begins with, if it does.

        Raises why there are none.
        """
        await self._unasked.settle(name)

    def find(self, name: str | None) -> wire.ModelInfo:
        """The model with this id or alias, in any case; the default for `None`. Raises `ModelNotFound`."""
        return self._named(name).info

    def servings(self) -> tuple[Serving, ...]:
        """The loaded models and their engines."""
        return tuple(entry.serving for entry in self._entries.values() if entry.serving is not None)

    def queued(self, model_id: str) -> int:
        """How many wait for this model to be loaded."""
        return len(self._entries[model_id].waiting())

    # -------------------------------------------------------------------------------------------- using

    def open(self, tell: Callable[[wire.Message], None]) -> None:
        """From now on `tell` gets a `models` message for every change, and `model.progress`."""
        self._tell = tell

    def take(self, model_id: str) -> Lease | None:
        """A lease at once, or `None` unless the model is ready."""
        entry = self._entries[model_id]
        return None if entry.serving is None or entry.retiring else self._lease(entry)

    def wait(self, model_id: str) -> asyncio.Future[Lease]:
        """A lease as soon as the model is ready; loads it. Raises `NotImplementedYet`.

        The future fails with what loading raises. Cancel it, or pass it to `abandon`, to wait no longer.
        """
        waiter: asyncio.Future[Lease] = asyncio.get_running_loop().create_future()
        lease = self.take(model_id)
        if lease is not None:
            waiter.set_result(lease)
            return waiter
        self._enqueue(self._entries[model_id])
        self._entries[model_id].waiters.append(waiter)
        return waiter

    def load(self, name: str) -> None:
        """Load a model although nobody waits for it, or ask an endpoint for its models.

        Raises `ModelNotFound` or `NotImplementedYet`.
        """
        if self._unasked.ask(name):
            return
        entry = self._named(name)
        if entry.serving is None or entry.retiring:
            self._enqueue(entry)
            entry.asked = True

    async def unload(self, name: str) -> str:
        """Free a model once its requests are over, and return its id; harmless when it is not loaded.

        The next request for it loads it again. Raises `ModelNotFound`.
        """
        entry = self._named(name)
        async with self._turn:
            if entry.serving is not None:
                await self._quiet(entry, entry)
                await self._unload(entry)
        return entry.info.id

    def make_default(self, name: str) -> None:
        """From now on this loaded model answers requests that name none. Raises `ModelNotFound`."""
        entry = self._named(name)
        assert entry.serving is not None
        before, self._default, self._device = self._default, entry, entry.serving.device
        before.info = replace(before.info, default=False)
        self._change(entry, default=True)

    async def stop(self) -> None:
        """Begin no further load; one that runs is left to itself."""
        self._unasked.stop()
        visits = {entry.visit for entry in self._entries.values() if entry.visit is not None}
        running = visits if self._worker is None else {self._worker, *visits}
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    def close(self) -> None:
        """Stop every engine; the event loop may be gone."""
        for entry in self._entries.values():
            if entry.serving is not None:
                entry.serving.engine.shutdown()

    # ------------------------------------------------------------------------------------------ loading

    def _enqueue(self, entry: _Entry) -> None:
        if entry.known.info.state == "unavailable":
            name, reason = entry.info.name or entry.info.id, entry.info.reason
            able = ", ".join(info.id for info in self.infos() if info.state != "unavailable")
            raise errors.NotImplementedYet(f"{name} cannot be run: {reason}. Available are {able}.", "model")
        if entry in self._queue or entry.visit is not None:
            return
        entry.asked, entry.failure = False, None
        self._change(entry, state="loading", reason=None)
        if entry.known.elsewhere:
            entry.visit = asyncio.create_task(self._visit(entry), name=f"visit {entry.info.id}")
            return
        self._queue.append(entry)
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(), name="shelf")

    async def _work(self) -> None:
        while self._queue:
            entry = self._queue[0]
            async with self._turn:
                await self._bring(entry)
            self._queue.popleft()
            entry.waiters.clear()
            if entry.serving is not None:
                await self._refresh_adapters()
        self._worker = None

    async def _visit(self, entry: _Entry) -> None:
        await self._bring(entry)
        entry.waiters.clear()
        entry.visit = None

    async def _bring(self, entry: _Entry) -> None:
        """Load one model and answer everybody who waits for it."""
        try:
            if not entry.known.light:
                await self._make_room(entry)
            if entry.serving is None and entry.wanted:
                self._put(entry, await self._load(entry))
        except errors.DreamscopeError as error:
            self._fail(entry, error)
        else:
            loaded = entry.serving is not None
            self._change(entry, state=entry.rest, loaded=loaded)
            for waiter in entry.waiting():
                waiter.set_result(self._lease(entry))

    async def _load(self, entry: _Entry) -> Serving:
        loop = asyncio.get_running_loop()

        def report(progress: Progress) -> None:
            loop.call_soon_threadsafe(self._progress, entry, progress)

        return await in_thread("load", partial(_guarded, partial(entry.known.load, thinned(report))))

    def _put(self, entry: _Entry, serving: Serving) -> None:
        entry.serving, entry.rest = serving, "ready"
        kept = entry.info
        entry.info = replace(serving.model, default=kept.default, adapters=kept.adapters)
        if entry is self._default:
            self._device = serving.device

    def _fail(self, entry: _Entry, error: errors.DreamscopeError) -> None:
        entry.failure = error
        self._change(entry, state="failed", reason=error.message)
        for waiter in entry.waiting():
            waiter.set_exception(_copy(error))

    async def _make_room(self, entry: _Entry) -> None:
        """Unload what may not lie beside `entry`, once its requests are over and if it is still wanted."""
        for other in self._entries.values():
            if other is entry or other.serving is None or other.known.light:
                continue
            await self._quiet(other, entry)
            if entry.wanted:
                await self._unload(other)

    async def _quiet(self, entry: _Entry, waiting: _Entry) -> None:
        """Give no new leases until all are back; `waiting` is the model whose progress tells of it."""
        entry.retiring = True
        try:
            if entry.leases:
                detail = f"Waiting for the requests of {entry.info.id} to end"
                self._progress(waiting, Progress("memory", detail))
                entry.idle.clear()
                await entry.idle.wait()
        finally:
            entry.retiring = False

    async def _unload(self, entry: _Entry) -> None:
        assert entry.serving is not None
        box, entry.serving = [entry.serving], None
        self._change(entry, state="loading" if entry in self._queue else entry.rest, loaded=False)
        await in_thread("unload", partial(_guarded, partial(_shut_down, box)))

    async def _refresh_adapters(self) -> None:
        if self._list_adapters is None:
            return
        try:
            found = await in_thread("adapters", self._list_adapters)
        except Exception:
            _log.exception("the adapters could not be listed")
            return
        changed = False
        for model_id, entry in self._entries.items():
            fitting = found.get(model_id, ())
            changed = changed or fitting != entry.info.adapters
            entry.info = replace(entry.info, adapters=fitting)
        if changed:
            self._tell_all()

    # ------------------------------------------------------------------------------------------- helpers

    def _named(self, name: str | None) -> _Entry:
        if name is None:
            return self._default
        wanted = name.strip().lower()
        for entry in self._entries.values():
            if wanted in (other.lower() for other in (entry.info.id, *entry.info.aliases)):
                return entry
        names = [other for info in self.infos() for other in (info.id, *info.aliases)]
        raise errors.ModelNotFound(f"No model {name!r:.80}; this server has {', '.join(names)}.", "model")

    def _lease(self, entry: _Entry) -> Lease:
        assert entry.serving is not None
        entry.leases += 1
        return Lease(entry.serving.engine, partial(self._given_back, entry))

    def _given_back(self, entry: _Entry) -> None:
        entry.leases -= 1
        if not entry.leases:
            entry.idle.set()

    def _change(self, entry: _Entry, **facts: object) -> None:
        entry.info = replace(entry.info, **facts)  # type: ignore[arg-type]
        self._tell_all()

    def _extend(self, known: Sequence[Known]) -> None:
        for each in known:
            self._entries.setdefault(each.info.id, _Entry(each, each.info, each.info.state))
        self._tell_all()

    def _tell_all(self) -> None:
        self._tell(wire.Models(self.infos()))

    def _progress(self, entry: _Entry, progress: Progress) -> None:
        done = progress.done / progress.total if progress.total else None
        self._tell(wire.ModelProgress(entry.info.id, progress.message, done))


def abandon(waiter: asyncio.Future[Lease]) -> None:
    """Wait no longer; a lease that has just come is given back."""
    if not waiter.cancel() and not waiter.cancelled() and waiter.exception() is None:
        waiter.result().release()


def _guarded(work: Callable[[], T]) -> T:
    """`work()`, in whose place a bug raises `InternalError`; what it held when it failed is freed."""
    try:
        return work()
    except errors.DreamscopeError as error:
        failure = _copy(error)
    except Exception:
        _log.exception("loading or unloading failed")
        failure = errors.InternalError("Loading failed; the log of the engine says why.")
    gc.collect()  # the frames of the original error, and in them what was loaded
    raise failure


def _shut_down(box: list[Serving]) -> None:
    """Stop the engine in `box`, the last place that refers to it, and free what it held."""
    box.pop().engine.shutdown()
    gc.collect()


def _copy(error: errors.DreamscopeError) -> errors.DreamscopeError:
    return type(error)(error.message, error.param)
