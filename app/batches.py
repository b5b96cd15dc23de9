"""Batches: one prompt, two models, many images, in the background of this process.

    start ─▶ queued ─▶ running ─▶ done          every image was asked about in both columns
                          ├─────▶ stopped       somebody cancelled it
                          ├─────▶ interrupted   the server ended in the middle
                          └─────▶ failed        the history could not be written
    proceed: from stopped, interrupted or failed back to running, with the images that are not settled

1. What was asked is in the store alone: the pair of image n is the comparison `pair_id(batch, n, attempt)`.
   So a page may come and go, and a new process knows what the old one had finished.
2. An image is settled when both runs of its latest attempt are done or failed, or when it cannot be read.
3. A pair whose engine went away is asked again once it is back, as a new attempt; `ATTEMPTS` times in all, so
   that an image that always ends the engine does not hold up the others, and is settled as well. What was
   begun stays in the history.
4. `PAIRS_AT_ONCE` pairs run at a time, whatever the number of batches.
5. All runs of a batch have the same seed, unless the asks have their own.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dreamscope.app import words
from dreamscope.app.asks import Invalid, parse_ask
from dreamscope.app.background import ask_recorded
from dreamscope.app.client import EngineGone, EngineRefused
from dreamscope.app.store.kinds import Batch, BatchImage, StoreError, new_id, timestamp
from dreamscope.app.store.store import Store
from dreamscope.app.supervisor import Engine
from dreamscope.visualizers.batch_items import Item, item_of
from dreamscope.visualizers.record import Picture, Record

COLUMNS = 2
PAIRS_AT_ONCE = 2
ATTEMPTS = 3
REMEMBERED = 16
"""Batches that rest and whose images need not be looked up again."""
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 2.0
ENGINE_ENDED = f"The engine ended {ATTEMPTS} times while it answered."
RUNS_DELETED = "Its runs were deleted."
RESUMABLE = ("stopped", "interrupted", "failed")
_log = logging.getLogger(__name__)


def pair_id(batch_id: str, index: int, attempt: int) -> str:
    """The id of the comparison that image `index` is in its `attempt`-th try, both from 0."""
    return uuid.uuid5(uuid.UUID(batch_id), f"{index}/{attempt}").hex


@dataclass
class _Live:
    """What this process knows of a batch."""

    items: dict[int, Item] = field(default_factory=dict)  # by the index of the image
    known: bool = False  # whether the store was asked for all of them
    task: asyncio.Task[None] | None = None
    cancelled: bool = False


class Batches:
    """All batches of a history. Methods belong to one event loop; make one per process."""

    def __init__(
        self, engine: Engine, store: Store, changed: Callable[[Sequence[str]], None] = lambda ids: None
    ) -> None:
        self._engine = engine
        self._store = store
        self._changed = changed
        self._live: dict[str, _Live] = {}
        self._free = asyncio.Semaphore(PAIRS_AT_ONCE)

    async def start(self, title: str, asks: Sequence[dict[str, Any]], images: Sequence[BatchImage]) -> str:
        """Begin a batch and return its id. Raises `Invalid` for what cannot be asked, `StoreError`."""
        if len(asks) != COLUMNS:
            raise Invalid("prompt", f"A batch compares {COLUMNS} columns, not {len(asks)}.")
        if not images:
            raise Invalid("image", "A batch needs at least one image.")
        skills = {parse_ask({**ask, "column": str(column)}).create.skill for column, ask in enumerate(asks)}
        if len(skills) > 1:
            raise Invalid("prompt", "Both columns of a batch ask for the same skill.")
        batch = Batch(
            id=new_id(), title=title, created_at=timestamp(), asks=tuple(asks), images=tuple(images)
        )
        await asyncio.to_thread(self._store.add_batch, batch)
        self._begin(batch)
        return batch.id

    async def proceed(self, batch_id: str) -> bool:
        """Go on with a batch that stopped in the middle; whether there is such a batch."""
        batch = await asyncio.to_thread(self._store.batch, batch_id)
        if batch is None:
            return False
        if batch.state in RESUMABLE and not self._running(batch_id):
            # Kept before it begins: whoever asks next must not read that it still rests.
            await asyncio.to_thread(self._store.update_batch, batch_id, state="running")
            if not self._running(batch_id):
                self._begin(batch)
        return True

    async def cancel(self, batch_id: str) -> bool:
        """Stop a batch and its runs, and wait until they have; whether there is such a batch."""
        live = self._live.get(batch_id)
        if live is not None and live.task is not None and not live.task.done():
            live.cancelled = True
            live.task.cancel()
            await asyncio.wait([live.task])
        return await asyncio.to_thread(self._store.batch, batch_id) is not None

    async def wait(self, batch_id: str) -> None:
        """Until a batch does not go on any more; at once if it does not."""
        live = self._live.get(batch_id)
        if live is not None and live.task is not None:
            await asyncio.wait([live.task])

    async def close(self) -> None:
        """End everything because the server ends; what goes on becomes interrupted."""
        tasks = [live.task for live in self._live.values() if live.task is not None and not live.task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def items(self, batch: Batch) -> list[Item]:
        """Every image of a batch in order, compared as far as it is."""
        live = self._live_of(batch.id)
        if not live.known:
            found = await asyncio.to_thread(self._look_up, batch)
            live.items = found | live.items
            live.known = True
        return [live.items[index] for index in range(len(batch.images))]

    # ------------------------------------------------------------------------------------ one batch

    def _running(self, batch_id: str) -> bool:
        live = self._live.get(batch_id)
        return live is not None and live.task is not None and not live.task.done()

    def _live_of(self, batch_id: str) -> _Live:
        """What is known of a batch; of those that rest, only the latest are remembered."""
        live = self._live.pop(batch_id, None) or _Live()
        resting = [each for each in self._live if not self._running(each)]
        for each in resting[: max(0, len(resting) - REMEMBERED)]:
            del self._live[each]
        self._live[batch_id] = live
        return live

    def _begin(self, batch: Batch) -> None:
        live = self._live_of(batch.id)
        live.cancelled = False
        live.task = asyncio.create_task(self._run(batch, live), name=f"batch {batch.id}")

    async def _run(self, batch: Batch, live: _Live) -> None:
        """Ask about every image that is not settled, and say how it ended."""
        state = "interrupted"
        try:
            await asyncio.to_thread(self._store.update_batch, batch.id, state="running")
            await self.items(batch)
            async with asyncio.TaskGroup() as group:
                for index, item in live.items.items():
                    if not item.settled:
                        group.create_task(self._image(batch, live, index))
            state = "done"
        except* (StoreError, sqlite3.Error, OSError) as errors:
            _log.error("batch %s cannot be recorded: %s", batch.id, errors.exceptions[0])
            state = "failed"
        finally:
            state = "stopped" if live.cancelled and state == "interrupted" else state
            await asyncio.to_thread(self._store.update_batch, batch.id, state=state)
            self._changed(())

    async def _image(self, batch: Batch, live: _Live, index: int) -> None:
        async with self._free:
            for _ in range(ATTEMPTS):
                live.items[index] = await self._attempt(batch, index)
                if live.items[index].settled:
                    return
            live.items[index] = replace(live.items[index], trouble=ENGINE_ENDED)

    async def _attempt(self, batch: Batch, index: int) -> Item:
        """Ask both columns about one image, as a new comparison, once the engine can be asked."""
        image = batch.images[index]
        stored = await asyncio.to_thread(self._store.image, image.hash)
        if stored is None:
            return item_of(image.name, image.hash, trouble=words.IMAGE_NOT_KEPT)
        comparison = await asyncio.to_thread(self._new_comparison, batch, index)
        trouble = ""
        try:
            async with asyncio.TaskGroup() as group:
                left, right = (
                    group.create_task(self._column(batch, column, stored.picture, comparison))
                    for column in range(COLUMNS)
                )
        except* Invalid as errors:
            trouble = str(errors.exceptions[0])
        if trouble:
            return item_of(image.name, image.hash, trouble=trouble)
        pair = (left.result(), right.result())
        return await asyncio.to_thread(item_of, image.name, image.hash, pair, comparison=comparison)

    async def _column(self, batch: Batch, column: int, picture: Picture, comparison: str) -> Record:
        """One run of a pair; waits for the engine. Raises `Invalid` if the image cannot be read."""
        pause = FIRST_PAUSE_S
        while True:
            ask = parse_ask({**batch.asks[column], "column": str(column)}, _seed(batch))
            try:
                return await ask_recorded(
                    self._engine,
                    self._store,
                    ask,
                    picture,
                    comparison=comparison,
                    column=column,
                    changed=self._changed,
                )
            except (EngineGone, EngineRefused):
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_S)

    # ------------------------------------------------------------------------------------ the store

    def _new_comparison(self, batch: Batch, index: int) -> str:
        """The comparison of the next attempt at an image, made."""
        comparison = pair_id(batch.id, index, self._attempts(batch, index))
        title = " · ".join(filter(None, (batch.title, batch.images[index].name)))
        self._store.add_comparison(comparison, title, "batch")
        return comparison

    def _attempts(self, batch: Batch, index: int) -> int:
        """How many attempts at an image there were."""
        attempts = 0
        while self._store.comparison(pair_id(batch.id, index, attempts)) is not None:
            attempts += 1
        return attempts

    def _look_up(self, batch: Batch) -> dict[int, Item]:
        """What the store knows of the latest attempt at every image."""
        return {index: self._stored(batch, index) for index in range(len(batch.images))}

    def _stored(self, batch: Batch, index: int) -> Item:
        item = self._latest(batch, index)
        if batch.state != "done" or item.settled:
            return item
        return replace(item, trouble=ENGINE_ENDED if item.comparison else RUNS_DELETED)

    def _latest(self, batch: Batch, index: int) -> Item:
        image, attempts = batch.images[index], self._attempts(batch, index)
        latest = self._store.comparison(pair_id(batch.id, index, attempts - 1)) if attempts else None
        if latest is None:
            return item_of(image.name, image.hash)
        records = [record for run in latest.runs if (record := self._store.record(run))]
        by_column = {record.column: record for record in records}
        pair = (by_column.get(0), by_column.get(1))
        return item_of(image.name, image.hash, pair, comparison=latest.id)


def _seed(batch: Batch) -> int:
    return int(batch.id, 16) % 1_000_000
