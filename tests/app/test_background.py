"""An ask without a browser: recorded from its beginning to its end, whatever end that is."""

from __future__ import annotations

import asyncio
import os

import pytest

from dreamscope.app.asks import Invalid, parse_ask
from dreamscope.app.background import ask_recorded
from dreamscope.app.client import EngineGone
from dreamscope.app.images import normalise
from dreamscope.app.store.kinds import Search
from dreamscope.app.supervisor import EngineStatus, Phase, RemoteEngine, Supervisor
from dreamscope.engine import wire
from dreamscope.visualizers.record import Picture


@pytest.fixture
def picture(store, png):
    return store.put_image(normalise(png))


def asked(prompt: str = "How many dogs?", **more):
    return parse_ask({"skill": "query", "question": prompt, "reasoning": True, **more})


async def stored(store, run_id):
    await asyncio.to_thread(store.flush)
    return store.record(run_id)


async def test_a_run_is_recorded_like_one_of_the_page(engine, store, picture):
    changes = []
    ask = asked()
    record = await ask_recorded(
        engine, store, ask, picture, title="A title", tags=("auto",), changed=changes.append
    )
    assert record.state == "done"
    assert record.parts[0].result.answer == "Three."
    kept = await stored(store, ask.id)
    assert kept.parts == record.parts
    assert (kept.model, kept.title, kept.tags, kept.picture) == ("sprite-2", "A title", ("auto",), picture)
    assert changes == [[ask.id], [ask.id]]


async def test_several_objects_are_parts(engine, store, picture):
    ask = parse_ask({"skill": "detect", "objects": ["dog", "cat"], "model": "sprite-3"})
    record = await ask_recorded(engine, store, ask, picture, comparison="c" * 32, column=1)
    assert [(part.name, len(part.result.objects)) for part in record.parts] == [("dog", 3), ("cat", 3)]
    kept = await stored(store, ask.id)
    assert (kept.state, kept.comparison, kept.column, kept.model) == ("done", "c" * 32, 1, "sprite-3")


async def test_a_failure_is_kept(engine, store, picture):
    ask = asked("fail")
    record = await ask_recorded(engine, store, ask, picture)
    assert record.state == "failed"
    assert "memory" in (await stored(store, ask.id)).parts[0].error.message


async def test_a_refused_prompt_is_kept_as_failed(engine, store, picture):
    ask = asked("invalid")
    assert (await ask_recorded(engine, store, ask, picture)).state == "failed"


async def test_cancelling_keeps_what_was_written(engine, store, picture, monkeypatch):
    ask, thinking = asked("hang"), asyncio.Event()

    def append(run_id, part, events):
        keep(run_id, part, events)
        if isinstance(events[-1], wire.SpanClose):
            thinking.set()

    keep = store.append
    monkeypatch.setattr(store, "append", append)
    task = asyncio.create_task(ask_recorded(engine, store, ask, picture))
    async with asyncio.timeout(20):
        await thinking.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    kept = await stored(store, ask.id)
    assert kept.state == "stopped"
    assert isinstance(kept.parts[0].events[-1], wire.RequestCancelled)
    assert "dog" in kept.parts[0].result.reasoning.text


async def test_an_engine_that_ends_leaves_an_interrupted_run(engine, store, picture):
    ask = asked("die")
    record = await ask_recorded(engine, store, ask, picture)
    assert record.state == "interrupted"
    kept = await stored(store, ask.id)
    assert kept.state == "interrupted"
    assert "dog" in kept.parts[0].result.reasoning.text


async def test_without_an_engine_nothing_is_recorded(store, picture, unused_tcp_port):
    with pytest.raises(EngineGone):
        await ask_recorded(RemoteEngine(f"ws://127.0.0.1:{unused_tcp_port}"), store, asked(), picture)

    class Starting:
        status = EngineStatus(Phase.STARTING)

    with pytest.raises(EngineGone, match="not running"):
        await ask_recorded(Starting(), store, asked(), picture)
    assert store.search(Search()).total == 0


async def test_an_image_that_is_not_kept(engine, store):
    with pytest.raises(Invalid) as error:
        await ask_recorded(engine, store, asked(), Picture("0" * 64, 1, 1, "image/png"))
    assert error.value.field == "image"
    assert store.search(Search()).total == 0


async def test_it_waits_until_the_model_is_loaded(engine_script, store, picture, tmp_path):
    gate, listening = tmp_path / "gate", asyncio.Event()
    os.mkfifo(gate)
    supervisor = Supervisor(engine_script("--gate", str(gate)), lambda line: listening.set())
    supervisor.start()
    try:
        async with asyncio.timeout(20):
            await listening.wait()
            task = asyncio.create_task(ask_recorded(supervisor, store, asked(), picture))
            done, _ = await asyncio.wait([task], timeout=0.2)
            assert not done
            await asyncio.to_thread(gate.write_text, "go")
            assert (await task).state == "done"
    finally:
        await supervisor.stop()
