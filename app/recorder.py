"""What one page does, written to the history as it happens; the page never waits for it, except at a begin.

begin ─▶ store ─▶ on disk ─▶ only then the request goes to the engine
event ─▶ store                (the store's own thread writes)
end   ─▶ store ─▶ on disk ─▶ all pages are told
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence

from dreamscope.app import words
from dreamscope.app.hub import Hub
from dreamscope.app.store.kinds import StoredImage, StoreError
from dreamscope.app.store.store import Store
from dreamscope.engine import wire
from dreamscope.visualizers.answerer import answerer_of
from dreamscope.visualizers.record import Record

TROUBLES = (StoreError, sqlite3.Error, OSError)
"""What the store raises when it cannot write."""
_log = logging.getLogger(__name__)


class Recorder:
    """The history as one page sees it. `notify` gets a sentence when it cannot be written, and when it can
    again. All methods belong to one event loop."""

    def __init__(self, store: Store, hub: Hub, notify: Callable[[str], None]) -> None:
        self._store = store
        self._hub = hub
        self._notify = notify
        self._failing = False
        self._unkept: set[str] = set()  # runs whose beginning could not be written
        self._changed: list[str] = []
        self._telling: asyncio.Task[None] | None = None

    async def keep_image(self, image: StoredImage) -> None:
        """Store an image, before anything is asked about it."""
        await self._tried(lambda: self._store.put_image(image))

    async def find_image(self, image_hash: str) -> StoredImage | None:
        """The stored image of that hash; `None` if there is none."""
        return await asyncio.to_thread(self._store.image, image_hash)

    async def begin(self, image: StoredImage | None, records: Sequence[Record], title: str = "") -> None:
        """Write how runs on `image`, or on none, begin; of several, also the comparison that they are, with
        its `title`. Returns once they are on disk, or cannot be put there.
        """

        def write() -> None:
            if image and self._store.thumb(image.hash) is None:  # it was cleared away since it was opened
                self._store.put_image(image)
            if comparison := records[0].comparison:
                self._store.add_comparison(comparison, title, "compare")
            for record in records:
                self._store.begin(record)
            self._store.flush()

        ids = [record.id for record in records]
        writing = asyncio.create_task(self._tried(write), name="recorder begin")
        try:
            kept = await asyncio.shield(writing)
        except asyncio.CancelledError:  # the page has left; nothing will be sent to the engine
            if await writing:
                self._stop(records)
            raise
        if kept:
            self._hub.changed(ids)
        else:
            self._unkept.update(ids)

    def answered_by(self, run_id: str, model: wire.ModelInfo) -> None:
        """The engine has said which model answers."""
        if run_id not in self._unkept:
            known = answerer_of(model)
            self._store.amend(run_id, model=model.id, revision=model.revision, answerer=known)

    def event(self, run_id: str, part: int, event: wire.RequestEvent) -> None:
        """One event has arrived."""
        if run_id not in self._unkept:
            self._store.append(run_id, part, [event])

    def end(self, run_id: str, part: int, state: str) -> None:
        """A part of a run is over, in this state."""
        if run_id in self._unkept:
            return
        self._store.finish(run_id, part, state)
        self._changed.append(run_id)
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell(), name="recorder")

    async def close(self) -> None:
        """Wait until everything is written and told."""
        if self._telling is not None:
            await self._telling

    def _stop(self, records: Sequence[Record]) -> None:
        for record in records:
            for part in range(len(record.parts)):
                self.end(record.id, part, "stopped")

    async def _tell(self) -> None:
        while self._changed:
            ids, self._changed = self._changed, []
            await self._tried(self._store.flush)
            self._hub.changed(dict.fromkeys(ids))
        self._telling = None

    async def _tried(self, work: Callable[[], object]) -> bool:
        """Whether `work`, done in a thread, was written; the page is told when that changes."""
        try:
            await asyncio.to_thread(work)
            failed = False
        except TROUBLES as error:
            _log.error("the history cannot be written: %s", error)
            failed = True
        if failed != self._failing:
            self._failing = failed
            self._notify(words.NOT_KEPT if failed else words.KEPT_AGAIN)
        return not failed
