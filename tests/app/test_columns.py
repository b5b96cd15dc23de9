"""The columns of a page without sockets: events in, fragments and records out."""

from __future__ import annotations

import asyncio
import json

import pytest

from dreamscope.app.asks import parse_ask
from dreamscope.app.columns import Columns
from dreamscope.app.hub import Hub
from dreamscope.app.images import normalise
from dreamscope.app.outbox import Outbox
from dreamscope.app.recorder import Recorder
from dreamscope.app.runs import Run
from dreamscope.engine import wire

MODEL = wire.ModelInfo("sprite-2", ("query",), revision="0123")


@pytest.fixture
def image(png):
    return normalise(png)


class Desk:
    """Columns, what they put out, and their history."""

    def __init__(self, store):
        self.store = store
        self.sent = asyncio.Queue()
        self.outbox = Outbox(self.sent.put)
        self.recorder = Recorder(store, Hub(), lambda text: None)
        known = {"sprite-2": MODEL}
        self.columns = Columns(self.outbox, self.recorder, lambda name: known.get(name or "sprite-2"))

    async def begin(self, image, *asks):
        runs = [Run(parse_ask(ask), image) for ask in asks]
        await self.recorder.begin(image, [run.record(MODEL) for run in runs])
        self.columns.begin(runs, "")
        return runs

    async def record(self, run):
        await asyncio.to_thread(self.store.flush)
        return await asyncio.to_thread(self.store.record, run.id)


@pytest.fixture
async def desk(store):
    made = Desk(store)
    yield made
    await made.recorder.close()


async def test_an_engine_that_breaks_the_protocol_fails_that_request_only(desk, image):
    one, other = await desk.begin(
        image, {"skill": "detect", "object": "dog"}, {"skill": "caption", "column": "1"}
    )
    desk.columns.next_requests({image.hash}, 16)
    facts = {"request_id": one.requests[0].id, "finish_reason": "stop", "metrics": wire.Metrics()}
    desk.columns.take(wire.RequestDone(**facts, seq=0, output={"objects": "none"}))
    assert (desk.columns.state("main"), desk.columns.state("1")) == ("failed", "queued")
    assert (await desk.record(one)).parts[0].state == "failed"
    assert (await desk.record(other)).state == "queued"


async def test_first_parts_go_before_others_and_never_more_than_allowed(desk, image):
    several = {"skill": "point", "objects": ["a", "b", "c"]}
    await desk.begin(image, {**several, "column": "0"}, {**several, "column": "1"})
    assert desk.columns.next_requests(set(), 9) == []
    chosen = [request.part for request, _ in desk.columns.next_requests({image.hash}, 3)]
    assert chosen == [0, 0, 1]
    assert desk.columns.next_requests({image.hash}, 3) == []
    for cancel in desk.columns.stop("0"):
        event = wire.RequestCancelled(
            request_id=cancel.request_id, seq=0, reason="client", metrics=wire.Metrics()
        )
        desk.columns.take(event)
    assert desk.columns.state("0") == "stopped"
    chosen = [request.part for request, _ in desk.columns.next_requests({image.hash}, 3)]
    assert chosen == [1, 2]


async def test_the_answering_model_may_be_named_with_its_adapter(desk, image):
    (run,) = await desk.begin(image, {"skill": "caption", "model": "sprite-2/dogs@20"})
    desk.columns.next_requests({image.hash}, 16)
    accepted = wire.RequestAccepted(request_id=run.id, seq=0, model="sprite-2/dogs@20", skill="caption")
    desk.columns.take(accepted)
    record = await desk.record(run)
    assert (record.model, record.revision) == ("sprite-2", "0123")


async def test_events_of_requests_that_nobody_knows_are_ignored(desk):
    desk.columns.take(wire.RequestStarted(request_id="x", seq=0, input_tokens=1, cached_tokens=0))
    assert desk.columns.refuse("x", wire.ErrorInfo("No.", "t", "c")) is False
    desk.outbox.put(run="idle")
    sending = asyncio.create_task(desk.outbox.run())
    assert json.loads(await desk.sent.get()) == [{"run": "idle"}]
    sending.cancel()
