"""Several models behind one socket: requests that wait for theirs, and what every connection hears."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dreamscope.engine import errors, wire
from dreamscope.engine.server.options import ServerOptions
from dreamscope.engine.server.shelf import Shelf
from dreamscope.engine.weights.progress import Progress

TIMEOUT = 20.0
SKILLS = ("query", "caption", "point", "detect")
MINI = wire.ModelInfo("mini", SKILLS, aliases=("the/mini",))
BIG = wire.ModelInfo("big", (*SKILLS, "segment"))
BIG2 = wire.ModelInfo("big-2", SKILLS, state="download")
GHOST = wire.ModelInfo("ghost", SKILLS, state="unavailable", reason="it was never trained")


def created(request_id: str = "a", **fields: Any) -> wire.RequestCreate:
    return wire.RequestCreate(**{"request_id": request_id, "skill": "query", "question": "Why?", **fields})


@pytest.fixture
def shelf(stock: Any) -> Shelf:
    return Shelf(
        [stock.known(MINI, light=True), stock.known(BIG), stock.known(BIG2), stock.known(GHOST)],
    )


async def test_the_list_names_every_model(server: Any) -> None:
    async with server.socket() as client:
        await client.send(wire.Hello())
        ready = await client.receive()
    assert [(m.id, m.state, m.loaded, m.default) for m in ready.models] == [
        ("mini", "ready", False, True),
        ("big", "ready", False, False),
        ("big-2", "download", False, False),
        ("ghost", "unavailable", False, False),
    ]
    assert ready.models[3].reason == "it was never trained"


async def test_a_request_is_accepted_and_waits_for_its_model(
    serve: Any, shelf: Shelf, stock: Any, clock: Any
) -> None:
    async with serve(shelf, clock=clock) as server, server.client() as client:
        await client.send(created("a", model="big", tag=[7]))
        await client.send(created("b", model="BIG"))
        accepted = [await client.receive() for _ in range(2)]
        assert [(m.wire_type, m.model, m.seq, m.t, m.position) for m in accepted] == [
            ("request.accepted", "big", 0, 0.0, 0),
            ("request.accepted", "big", 0, 0.0, 1),
        ]
        assert (accepted[0].tag, accepted[0].skill) == ([7], "query")
        accepted_at = clock.now()
        clock.advance(2.0)
        stock.finish("big")
        jobs = [await stock.engines["big"].next_job() for _ in range(2)]
        assert [job.request.accepted_at for job in jobs] == [accepted_at] * 2
        assert jobs[0].request.deadline == accepted_at + 300
        assert [job.request.model for job in jobs] == ["big", "big"]


async def test_what_is_wrong_with_a_request_is_said_before_anything_is_loaded(
    server: Any, stock: Any
) -> None:
    async with server.client() as client:
        await client.send(created("a", model="mini", skill="segment", object="dog", image_url="x"))
        failed = await client.receive()
        assert (failed.wire_type, failed.seq) == ("request.failed", 0)
        assert failed.error.code == "unsupported_skill"
        await client.send(created("b", model="nobody"))
        failed = await client.receive()
        assert failed.error.code == "model_not_found"
        assert "mini, the/mini, big, big-2, ghost" in failed.error.message
        await client.send(created("c", model="ghost"))
        failed = await client.receive()
        assert (failed.seq, failed.error.code) == (0, "not_implemented")
    assert stock.begun == []


async def test_every_connection_hears_of_every_change(server: Any, stock: Any) -> None:
    async with server.client() as one, server.client() as two, server.socket() as stranger:
        await one.send(wire.ModelLoad("big"))
        await stock.loading("big")
        stock.report("big", Progress("read", "Reading model.safetensors", 1, 4))
        stock.finish("big")
        for client in (one, two):
            await client.models_until("big", state="loading", loaded=False)
            assert await client.receive_any() == wire.ModelProgress("big", "Reading model.safetensors", 0.25)
            await client.models_until("big", state="ready", loaded=True)
        await stranger.send(wire.Hello())
        first = await stranger.receive_any()  # nothing was said to it before it was let in
        assert isinstance(first, wire.Ready)
        assert first.models[1].loaded


async def test_loading_what_does_not_exist(server: Any) -> None:
    async with server.client() as client:
        for name, code in (("nobody", "model_not_found"), ("ghost", "not_implemented")):
            await client.send(wire.ModelLoad(name))
            error = await client.receive()
            assert (error.error.code, error.ref) == (code, name)


async def test_a_failed_load_fails_its_requests_and_can_be_tried_again(server: Any, stock: Any) -> None:
    async with server.client() as client:
        await client.send(created("a", model="big-2"))
        assert isinstance(await client.receive(), wire.RequestAccepted)
        stock.fail(
            "big-2", errors.WeightsNotFound("It cannot be downloaded; run `dreamscope pull`.", "model")
        )
        await client.models_until(
            "big-2", state="failed", reason="It cannot be downloaded; run `dreamscope pull`."
        )
        failed = await client.receive()
        assert (failed.wire_type, failed.seq, failed.error.code) == ("request.failed", 1, "weights_not_found")
        stock.finish("big-2")
        await client.send(created("b", model="big-2"))
        job = await stock.engines["big-2"].next_job()
        assert job.request.request_id == "b"


async def test_cancel_while_waiting(serve: Any, shelf: Shelf, stock: Any, clock: Any) -> None:
    async with serve(shelf, clock=clock) as server, server.client() as client:
        await client.send(created("a", model="big"))
        await client.receive()
        clock.advance(1.5)
        await client.send(wire.RequestCancel("a"))
        cancelled = await client.receive()
        assert (cancelled.wire_type, cancelled.seq, cancelled.t) == ("request.cancelled", 1, 1500.0)
        assert cancelled.reason == "client"
        stock.finish("big")
        await client.models_until("big", loaded=True)
        assert stock.engines["big"].jobs == {}
        await client.send(created("b", model="big-2"))  # nobody holds the other one
        stock.finish("big-2")
        await stock.engines["big-2"].next_job()


async def test_the_deadline_counts_while_waiting(serve: Any, shelf: Shelf, stock: Any, clock: Any) -> None:
    async with serve(shelf, ServerOptions(deadline=30.0), clock) as server, server.client() as client:
        await client.send(created("a", model="big"))
        await client.receive()
        clock.advance(31.0)
        failed = await client.receive()
        assert (failed.seq, failed.t, failed.error.code) == (1, 31_000.0, "request_timeout")
        stock.finish("big")
        await client.models_until("big", loaded=True)
        assert stock.engines["big"].jobs == {}


async def test_a_client_that_left_while_waiting(serve: Any, shelf: Shelf, stock: Any, clock: Any) -> None:
    async with serve(shelf, clock=clock) as server, server.client() as other:
        async with server.client() as client:
            await client.send(created("a", model="big"))
            await client.receive()
            await stock.loading("big")
        hub = server.server.config.app.door._hub
        async with asyncio.timeout(TIMEOUT):
            while hub.registry.lookup("a").grace is None:  # until the server has noticed
                await asyncio.sleep(0)
        clock.advance(6.0)
        await other.send(wire.RequestResume("a"))
        events = await other.until(wire.RequestCancelled)
        assert [event.wire_type for event in events] == ["request.accepted", "request.cancelled"]
        assert events[-1].reason == "disconnect"
        stock.finish("big")
        await other.models_until("big", loaded=True)
        assert stock.engines["big"].jobs == {}


async def test_a_waiting_request_can_be_resumed(server: Any, stock: Any) -> None:
    async with server.client() as client:
        await client.send(created("a", model="big", on_disconnect="continue"))
        await client.receive()
    async with server.client() as client:
        await client.send(wire.RequestResume("a"))
        assert isinstance(await client.receive(), wire.RequestAccepted)
        stock.finish("big")
        job = await stock.engines["big"].next_job()
        assert job.request.request_id == "a"


async def test_a_refusal_after_waiting_is_the_last_event(server: Any, stock: Any) -> None:
    stock.engines["big"].refusal = errors.ContextLengthExceeded("Too long.", "question")
    async with server.client() as client:
        await client.send(created("a", model="big"))
        await client.receive()
        stock.finish("big")
        failed = await client.receive()
        assert (failed.seq, failed.error.code) == (1, "context_length_exceeded")
        await client.send(created("b", model="big-2"))  # the refused one holds nothing
        stock.finish("big-2")
        await stock.engines["big-2"].next_job()


async def test_a_busy_model_is_not_taken_away(server: Any, stock: Any) -> None:
    async with server.client() as client:
        stock.finish("big")
        await client.send(created("a", model="big"))
        job = await stock.engines["big"].next_job()
        await client.send(created("b", model="big-2"))
        while not isinstance(message := await client.receive_any(), wire.ModelProgress):
            pass
        assert message == wire.ModelProgress("big-2", "Waiting for the requests of big to end")
        await client.send(created("c", model="big"))
        accepted = await client.receive()
        assert (accepted.wire_type, accepted.request_id) == ("request.accepted", "c")
        assert stock.begun == ["big"]
        job.send(wire.RequestStarted(request_id="", input_tokens=3, cached_tokens=0))
        job.done(answer="one")
        stock.finish("big-2")
        other = await stock.engines["big-2"].next_job()
        assert stock.engines["big"].stopped
        other.done(answer="two")
        stock.finish("big")
        assert (await stock.engines["big"].next_job()).request.request_id == "c"
        assert stock.begun == ["big", "big-2", "big"]


async def test_stopping_while_requests_wait(serve: Any, shelf: Shelf, stock: Any) -> None:
    async with serve(shelf) as server, server.client() as client:
        await client.send(created("a", model="big"))
        await client.receive()
        server.server.should_exit = True
        cancelled = await client.receive()
        assert (cancelled.wire_type, cancelled.reason) == ("request.cancelled", "shutdown")
        assert (await client.closed())[0] == 1001
    stock.finish("big")
