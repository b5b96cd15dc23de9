"""What the history has of the runs of a page."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import signal
import sqlite3

import pytest
from PIL import Image
from websockets.asyncio.client import connect

from dreamscope.app import words
from dreamscope.app.images import normalise
from dreamscope.app.store.kinds import Search
from dreamscope.app.store.store import Store
from dreamscope.app.supervisor import EngineStatus, Phase
from dreamscope.engine import wire


async def test_a_run_is_kept_with_all_of_its_events(page, png, recorded):
    await page.image("i1", png)
    await page.ask(settings={"temperature": "0.7"})
    await page.until_run("done")
    record = await recorded(page, "done")
    assert (record.skill, record.model, record.revision) == ("query", "sprite-2", "0123456789ab")
    assert record.prompt == "How many dogs?"
    assert record.created_at.endswith("Z")
    (part,) = record.parts
    assert part.create.image_id is None
    assert part.create.settings["temperature"] == 0.7
    assert [event.seq for event in part.events] == list(range(len(part.events)))
    assert isinstance(part.events[0], wire.RequestAccepted)
    assert isinstance(part.events[-1], wire.RequestDone)
    assert part.result.answer == "Three."
    assert part.result == wire.result_from_json("query", part.events[-1].output)
    assert part.metrics.ttft_ms == 84.0
    assert record.picture.hash == normalise(png).hash


async def test_the_events_are_those_that_the_engine_sent(page, png, recorded, engine):
    """Another connection resumes the request from its beginning and is told the same."""
    await page.image("i1", png)
    await page.ask()
    await page.until_run("done")
    (part,) = (await recorded(page, "done")).parts
    address = engine.status.url.replace("http", "ws") + "/v1/ws"
    sent = []
    async with connect(address, subprotocols=[wire.SUBPROTOCOL]) as socket:
        await socket.send(wire.encode(wire.Hello()))
        await socket.recv()
        await socket.send(wire.encode(wire.RequestResume(part.create.request_id)))
        while not sent or not isinstance(sent[-1], wire.TERMINAL):
            sent.append(wire.decode(await socket.recv()))
    assert part.events == tuple(sent)


async def test_a_sampled_run_gets_a_seed_and_a_greedy_one_none(page, png, recorded):
    await page.image("i1", png)
    await page.ask(question="echo", reasoning=False)
    await page.until_run("done")
    seed = json.loads(page.text("answer"))["settings"]["seed"]
    record = await recorded(page, "done")
    assert record.parts[0].create.settings == page.begun()["ask"]["settings"] == {"seed": seed}
    await page.ask("detect", "dog")
    await page.until_run("done")
    assert (await recorded(page, "done")).parts[0].create.settings is None


async def test_the_image_is_kept_and_answered(page, png, store):
    await page.image("i1", png, name="dogs.png")
    kept = normalise(png)
    message = await page.until(lambda m: "image" in m)
    assert message["image"] == {"id": "i1", "hash": kept.hash, "width": 64, "height": 48}
    stored = store.image(kept.hash)
    assert hashlib.sha256(stored.data).hexdigest() == kept.hash


async def test_a_stored_image_is_asked_again(page, png, store, recorded):
    kept = normalise(png)
    store.put_image(kept)
    await page.send(image={"id": "i1", "hash": kept.hash})
    await page.ask()
    await page.until_run("done")
    assert (await recorded(page, "done")).picture.hash == kept.hash


@pytest.mark.parametrize("given", ["0" * 64, "../../etc/passwd", 3])
async def test_an_image_that_is_not_kept(page, given):
    await page.send(image={"id": "i1", "hash": given})
    message = await page.until(lambda m: "invalid" in m)
    assert message["invalid"]["text"] == words.IMAGE_NOT_KEPT
    await page.ask()
    message = await page.until(lambda m: "invalid" in m)
    assert message["invalid"]["text"] == words.IMAGE_MISSING


async def test_an_image_that_the_engine_cannot_read(page, odd_png):
    await page.image("i1", odd_png)
    message = await page.until(lambda m: "invalid" in m)
    assert message["invalid"] == {"field": "image", "text": "The image cannot be decoded.", "id": "i1"}


async def test_a_run_that_waits_for_such_an_image_fails(open_page, engine, store, recorded, odd_png):
    class Late:
        status = EngineStatus(Phase.STARTING)

    late = Late()
    async with open_page(late, store) as page:
        await page.image("i1", odd_png)
        await page.ask()
        await page.until_run("queued")
        late.status = engine.status
        await page.until_run("failed")
        assert "The image cannot be decoded." in page.text("status")
        await recorded(page, "failed")


async def test_runs_that_fail_or_are_refused_are_kept(page, png, recorded):
    await page.image("i1", png)
    for question, state in (("fail", "failed"), ("invalid", "idle")):
        await page.ask(question=question)
        await page.until_run(state)
        record = await recorded(page, "failed")
        assert record.parts[0].error is not None


async def test_a_page_that_leaves_keeps_what_came(open_page, engine, png, store, recorded):
    async with open_page(engine, store) as page:
        await page.until_engine("ready")
        await page.image("i1", png)
        await page.ask(question="hang")
        await page.until(lambda m: "g1.0" in json.dumps(m))
    record = await recorded(page, "stopped")
    assert len(grounds(record)) == 2


def grounds(record):
    return record.parts[0].result.reasoning.grounding


async def test_an_engine_that_dies_leaves_an_interrupted_run(supervised_page, engine, png, recorded):
    page = supervised_page
    await page.image("i1", png)
    await page.ask(question="hang")
    await page.until(lambda m: "g1.0" in json.dumps(m))
    os.kill(engine.pid, signal.SIGKILL)
    await page.until_run("interrupted")
    record = await recorded(page, "interrupted")
    assert len(grounds(record)) == 2
    assert not isinstance(record.parts[0].events[-1], wire.TERMINAL)


async def test_a_run_is_in_the_history_before_the_engine_has_it(open_page, png, store, recorded):
    class Never:
        status = EngineStatus(Phase.STARTING)

    async with open_page(Never(), store) as page:
        await page.image("i1", png)
        await page.ask()
        await page.until(lambda m: "begin" in m)
        record = await recorded(page, "queued")
        assert record.parts[0].events == ()


async def test_the_model_that_answers_is_named_later_if_it_was_not_known(
    open_page, engine, png, store, recorded
):
    class Late:
        status = EngineStatus(Phase.STARTING)

    late = Late()
    async with open_page(late, store) as page:
        await page.image("i1", png)
        await page.ask()
        await page.until_run("queued")
        assert (await recorded(page, "queued")).model == ""
        late.status = engine.status
        await page.until_run("done")
        record = await recorded(page, "done")
        assert (record.model, record.revision) == ("sprite-2", "0123456789ab")


async def test_a_comparison_is_one_in_the_history(page, png, store):
    await page.image("i1", png)
    columns = [
        {"column": column, "skill": "query", "question": "How many dogs?", "model": model}
        for column, model in (("1", "sprite-3"), ("0", "sprite-2"))
    ]
    await page.send(compare={"columns": columns})
    await page.until_all("done", "0", "1")
    comparison = store.comparison(page.begun("0")["comparison"])
    assert (comparison.title, comparison.kind) == ("How many dogs?", "compare")
    assert comparison.runs == (page.begun("0")["id"], page.begun("1")["id"])
    assert [store.record(run).model for run in comparison.runs] == ["sprite-2", "sprite-3"]


async def test_every_open_page_hears_of_changes(serve_routes, visit, engine, png, store):
    async with serve_routes(engine, store) as address, visit(address) as one, visit(address) as other:
        await one.until_engine("ready")
        await one.image("i1", png)
        await one.ask()
        await one.until_run("done")
        for page in (one, other):
            while len(changes := [m["history"]["changed"] for m in page.seen if "history" in m]) < 2:
                await page.until(lambda m: "history" in m)
            assert changes == [[one.begun()["id"]]] * 2
        assert not any("begin" in m for m in other.seen)


async def test_two_pages_run_side_by_side(serve_routes, visit, engine, png, store):
    async with serve_routes(engine, store) as address, visit(address) as one, visit(address) as other:
        for page, question in ((one, "hang"), (other, "How many dogs?")):
            await page.until_engine("ready")
            await page.image("i1", png)
            await page.ask(question=question)
        await other.until_run("done")
        await one.until(lambda m: "g1.0" in json.dumps(m))
        assert one.state() == "running"
    found = await asyncio.to_thread(store.search, Search())
    assert sorted(run.state for run in found.runs) == ["done", "stopped"]


async def test_without_a_folder_everything_works_for_the_process(open_page, engine, png):
    store = Store.open(None)
    async with open_page(engine, store) as page:
        await page.until_engine("ready")
        await page.image("i1", png)
        await page.ask()
        await page.until_run("done")
        store.flush()
        assert store.record(page.begun()["id"]).parts[0].result.answer == "Three."
    store.close()


async def test_a_history_that_cannot_be_written_does_not_stop_a_run(
    open_page, engine, png, store, recorded, monkeypatch
):
    def full():
        raise sqlite3.OperationalError("database or disk is full")

    async with open_page(engine, store) as page:
        await page.until_engine("ready")
        await page.image("i1", png)
        await page.until(lambda m: "image" in m)
        monkeypatch.setattr(store, "flush", full)
        await page.ask()
        await page.until_run("done")
        assert page.text("answer") == "Three."
        notices = [m["notice"]["text"] for m in page.seen if "notice" in m]
        assert notices == [words.NOT_KEPT]
        monkeypatch.undo()
        await page.ask()
        await page.until(lambda m: m.get("notice", {}).get("text") == words.KEPT_AGAIN)
        await page.until_run("done")
        await recorded(page, "done")


async def test_a_disk_that_is_really_full(open_page, engine, tmp_path):
    """SQLite is given as many pages as it has, which is how it sees a full disk."""
    store = Store.open(tmp_path / "full")
    store._writer.call(_fill)
    noise = io.BytesIO()
    Image.frombytes("RGB", (300, 300), os.urandom(270_000)).save(noise, "PNG")
    async with open_page(engine, store) as page:
        await page.until_engine("ready")
        await page.image("i1", noise.getvalue())
        await page.until(lambda m: m.get("notice", {}).get("text") == words.NOT_KEPT)
        await page.ask()
        await page.until_run("done")
        assert page.text("answer") == "Three."
    store.close()


def _fill(db):
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {pages}")
