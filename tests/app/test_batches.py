"""Many images in the background: to the end, cancelled, continued, and through the end of the engine."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from typing import Any

import pytest
from PIL import Image

from dreamscope.app.asks import Invalid
from dreamscope.app.batches import ATTEMPTS, PAIRS_AT_ONCE, Batches, pair_id
from dreamscope.app.images import normalise
from dreamscope.app.store.kinds import BatchImage, Search
from dreamscope.app.store.store import Store
from dreamscope.app.supervisor import Supervisor

PATIENCE_S = 60


@pytest.fixture
def images(store: Store) -> list[BatchImage]:
    """Three stored images."""
    made = []
    for shade in (10, 90, 170):
        out = io.BytesIO()
        Image.new("RGB", (64, 48), (shade, shade, shade)).save(out, "PNG")
        picture = store.put_image(normalise(out.getvalue()))
        made.append(BatchImage(picture.hash, f"{shade}.png"))
    return made


def columns(prompt: str = "dog", skill: str = "detect") -> list[dict[str, Any]]:
    field = "question" if skill == "query" else "object"
    return [
        {"skill": skill, field: prompt, "reasoning": True, "model": model}
        for model in ("sprite-2", "sprite-3")
    ]


class Watch:
    """Counts what is recorded, and waits for it."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open: set[str] = set()
        self.most_open = self.begun = self.finished = self.events = 0
        self._moved = asyncio.Event()
        begin, append, finish = store.begin, store.append, store.finish

        def watched_begin(record: Any) -> None:
            self.open.add(record.id)
            self.begun += 1
            self.most_open = max(self.most_open, len(self.open))
            begin(record)
            self._moved.set()

        def watched_append(run_id: str, part: int, events: Any) -> None:
            append(run_id, part, events)
            self.events += 1
            self._moved.set()

        def watched_finish(run_id: str, part: int, state: str) -> None:
            finish(run_id, part, state)
            self.open.discard(run_id)
            self.finished += 1
            self._moved.set()

        monkeypatch.setattr(store, "begin", watched_begin)
        monkeypatch.setattr(store, "append", watched_append)
        monkeypatch.setattr(store, "finish", watched_finish)

    async def until(self, **least: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while any(getattr(self, name) < count for name, count in least.items()):
                self._moved.clear()
                await self._moved.wait()


@pytest.fixture
def watch(store: Store, monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(store, monkeypatch)


async def end_of(batches: Batches, store: Store, batch_id: str) -> str:
    """The state in which a batch ends."""
    async with asyncio.timeout(PATIENCE_S):
        await batches.wait(batch_id)
    batch = store.batch(batch_id)
    assert batch is not None
    return batch.state


async def test_every_image_becomes_a_comparison(engine, store, images, watch):
    batches = Batches(engine, store)
    batch_id = await batches.start("Dogs", columns(), images)
    assert await end_of(batches, store, batch_id) == "done"
    items = await batches.items(store.batch(batch_id))
    assert [item.name for item in items] == ["10.png", "90.png", "170.png"]
    assert all(item.disagreement == 0 and item.matched == 3 for item in items)
    store.flush()
    comparison = store.comparison(pair_id(batch_id, 0, 0))
    assert (comparison.kind, comparison.title) == ("batch", "Dogs · 10.png")
    records = [store.record(run) for run in comparison.runs]
    assert [record.model for record in records] == ["sprite-2", "sprite-3"]
    assert [record.picture.hash for record in records] == [images[0].hash] * 2
    assert watch.most_open <= PAIRS_AT_ONCE * 2


async def test_all_runs_have_one_seed(engine, store, images):
    batches = Batches(engine, store)
    batch_id = await batches.start("", columns("How many?", "query"), images)
    assert await end_of(batches, store, batch_id) == "done"
    store.flush()
    runs = [store.record(run.id) for run in store.search(Search()).runs]
    assert len({record.parts[0].create.settings["seed"] for record in runs}) == 1
    assert len(runs) == 6


async def test_cancel_and_continue(engine, store, images, watch):
    batches = Batches(engine, store)
    batch_id = await batches.start("", columns("hang", "query"), images)
    await watch.until(begun=2)
    assert await batches.cancel(batch_id)
    assert store.batch(batch_id).state == "stopped"
    store.flush()
    assert {run.state for run in store.search(Search()).runs} <= {"stopped"}
    assert not watch.open
    begun = watch.begun
    assert await batches.proceed(batch_id)
    await watch.until(begun=begun + 2)
    await batches.cancel(batch_id)
    assert store.batch(batch_id).state == "stopped"


async def test_a_batch_goes_on_in_another_process(engine_script, store, images, watch):
    engine = Supervisor(engine_script("--delay", "0.05"))
    engine.start()
    try:
        await engine.wait_ready()
        first = Batches(engine, store)
        batch_id = await first.start("", columns(), images)
        await watch.until(finished=4)
        await first.close()
        assert store.batch(batch_id).state == "interrupted"
        store.flush()
        done = [run.id for run in store.search(Search(state="done")).runs]
        second = Batches(engine, store)
        before = await second.items(store.batch(batch_id))
        assert 0 < sum(item.settled for item in before) < 3
        assert await second.proceed(batch_id)
        assert await end_of(second, store, batch_id) == "done"
        items = await second.items(store.batch(batch_id))
        assert all(item.compared for item in items)
        kept = {side.run for item in items for side in item.sides}
        assert len(kept & set(done)) >= 2, "what was done is not asked again"
    finally:
        await engine.stop()


async def test_an_engine_that_ends_is_waited_for(engine_script, store, images, watch):
    engine = Supervisor(engine_script("--delay", "0.05"))
    engine.start()
    try:
        await engine.wait_ready()
        batches = Batches(engine, store)
        batch_id = await batches.start("", columns(), images[:1])
        await watch.until(events=4)
        os.kill(engine.pid, signal.SIGKILL)
        assert await end_of(batches, store, batch_id) == "done"
        (item,) = await batches.items(store.batch(batch_id))
        assert item.compared
        assert item.comparison == pair_id(batch_id, 0, 1)
        store.flush()
        lost = store.comparison(pair_id(batch_id, 0, 0))
        assert "interrupted" in {store.record(run).state for run in lost.runs}
    finally:
        await engine.stop()


async def test_an_image_that_always_ends_the_engine_is_given_up(engine, store, images):
    batches = Batches(engine, store)
    batch_id = await batches.start("", columns("die", "query"), images[:1])
    assert await end_of(batches, store, batch_id) == "done"
    (item,) = await batches.items(store.batch(batch_id))
    assert item.failed
    assert str(ATTEMPTS) in item.trouble
    (again,) = await Batches(engine, store).items(store.batch(batch_id))
    assert again.trouble == item.trouble


async def test_what_cannot_be_read_spares_the_others(engine, store, images):
    batches = Batches(engine, store)
    gone = BatchImage("0" * 64, "gone.png")
    batch_id = await batches.start("", columns(), [gone, images[0]])
    assert await end_of(batches, store, batch_id) == "done"
    first, second = await batches.items(store.batch(batch_id))
    assert first.failed
    assert "history" in first.trouble
    assert second.compared


async def test_failures_are_counted_not_repeated(engine, store, images, watch):
    batches = Batches(engine, store)
    batch_id = await batches.start(
        "", [*columns("How many?", "query")[:1], *columns("fail", "query")[1:]], images
    )
    assert await end_of(batches, store, batch_id) == "done"
    items = await batches.items(store.batch(batch_id))
    assert all(item.failed for item in items)
    assert watch.begun == 6


async def test_two_batches_share_the_bound(engine, store, images, watch):
    batches = Batches(engine, store)
    ids = [await batches.start("", columns(), images) for _ in range(2)]
    assert [await end_of(batches, store, each) for each in ids] == ["done", "done"]
    assert watch.most_open <= PAIRS_AT_ONCE * 2
    assert watch.begun == 12


async def test_a_history_that_cannot_be_written_ends_the_batch(engine, store, images, monkeypatch):
    def full(record: Any) -> None:
        raise OSError("disk full")

    batches = Batches(engine, store)
    monkeypatch.setattr(store, "begin", full)
    batch_id = await batches.start("", columns(), images)
    assert await end_of(batches, store, batch_id) == "failed"
    monkeypatch.undo()
    await batches.proceed(batch_id)
    assert await end_of(batches, store, batch_id) == "done"


@pytest.mark.parametrize(
    ("asks", "named", "said"),
    [
        (columns()[:1], 1, "2 columns"),
        (columns() * 2, 1, "2 columns"),
        (columns(), 0, "at least one image"),
        ([columns()[0], columns("How?", "query")[1]], 1, "same skill"),
        ([columns()[0], {"skill": "detect", "object": " "}], 1, "Name what"),
    ],
)
async def test_what_is_no_batch(engine, store, images, asks, named, said):
    with pytest.raises(Invalid, match=said):
        await Batches(engine, store).start("", asks, images[:named])
    assert store.batches() == ()


async def test_unknown_batches(engine, store):
    batches = Batches(engine, store)
    assert not await batches.cancel("0" * 32)
    assert not await batches.proceed("0" * 32)
