from __future__ import annotations

import asyncio
import threading

import pytest

from dreamscope.app.asks import parse_ask
from dreamscope.app.hub import Hub
from dreamscope.app.images import normalise
from dreamscope.app.recorder import Recorder
from dreamscope.app.runs import Run


@pytest.fixture
def image(png):
    return normalise(png)


async def test_an_image_that_was_cleared_away_is_kept_again(store, image):
    recorder = Recorder(store, Hub(), [].append)
    run = Run(parse_ask({"skill": "caption"}), image)
    await recorder.begin(image, [run.record(None)])
    assert store.image(image.hash) == image
    assert store.record(run.id).state == "queued"


async def test_a_page_that_leaves_while_its_run_begins_leaves_a_stopped_run(store, image, monkeypatch):
    reached, go_on, told = threading.Event(), threading.Event(), []
    flush = store.flush

    def slow() -> None:
        reached.set()
        go_on.wait(10)
        flush()

    hub, notices = Hub(), []
    recorder = Recorder(store, hub, notices.append)
    run = Run(parse_ask({"skill": "detect", "objects": ["dog", "cat"]}), image)
    with hub.listening(told.append):
        monkeypatch.setattr(store, "flush", slow)
        beginning = asyncio.create_task(recorder.begin(image, [run.record(None)]))
        await asyncio.to_thread(reached.wait, 10)
        beginning.cancel()
        monkeypatch.setattr(store, "flush", flush)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await beginning
        await recorder.close()
        await asyncio.to_thread(lambda: None)  # a turn of the loop, in which the listeners are called
    assert [part.state for part in store.record(run.id).parts] == ["stopped", "stopped"]
    assert told == [(run.id,)]
    assert notices == []
