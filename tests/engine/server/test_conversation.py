"""Whole conversations over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json

import pytest
from websockets.exceptions import ConnectionClosedError

from dreamscope.engine import wire

REASONING = wire.Reasoning("I see a cup on the left", (wire.Ground(6, 23, ((0.25, 0.5),)),))


def created(request_id: str = "a", **fields) -> wire.RequestCreate:
    return wire.RequestCreate(**{"request_id": request_id, "skill": "query", "question": "Why?", **fields})


def answer(messages) -> str:
    return "".join(m.delta for m in messages if isinstance(m, wire.TextDelta))


async def iterate(client):
    """Raw frames until the server closes the connection with an error."""
    with contextlib.suppress(ConnectionClosedError):
        async for raw in client.socket:
            yield raw


def assert_no_gap(messages, last: int = -1) -> None:
    for message in messages:
        assert (message.seq if message.first_seq is None else message.first_seq) == last + 1
        last = message.seq


async def test_hello_ready(server):
    async with server.socket() as client:
        assert client.socket.subprotocol == wire.SUBPROTOCOL
        await client.send(wire.Hello(client="test/1"))
        ready = await client.receive()
    assert ready.protocol == 1
    assert ready.connection_id
    (model,) = ready.models
    assert (model.id, model.loaded, model.default) == ("sprite-2", True, True)
    assert ready.limits == wire.Limits(24 * 1024 * 1024, 16, 120.0, 4096)


async def test_the_documented_example(server, engine, picture):
    url = picture(8, 6, "JPEG")
    async with server.client() as client:
        await client.send(wire.ImagePut("i1", url))
        ready = await client.receive()
        assert isinstance(ready, wire.ImageReady)
        assert (ready.image_id, ready.width, ready.height) == ("i1", 8, 6)
        await client.send(
            created(image_id="i1", question="How many cups?", reasoning=True, model="TINY", tag=[1])
        )
        job = await engine.next_job()
        assert job.request.image.rgb.shape == (ready.height, ready.width, 3)
        assert job.request.skill_request.reasoning is True
        assert job.request.model == "sprite-2"
        job.send(
            wire.RequestStarted(
                request_id="", input_tokens=741, cached_tokens=0, image=wire.ImageInfo(8, 6, 3)
            )
        )
        job.send(wire.ReasoningDelta(request_id="", delta="I see ", n=2))
        job.send(wire.SpanOpen(request_id="", index=0, start=6))
        job.send(wire.SpanPoint(request_id="", index=0, x=0.25, y=0.5))
        for part in ("a cup ", "on the ", "left"):
            job.send(wire.ReasoningDelta(request_id="", delta=part))
        job.send(wire.SpanClose(request_id="", index=0, end=23, points=((0.25, 0.5),)))
        job.send(wire.ReasoningDone(request_id="", text=REASONING.text, grounding=REASONING.grounding))
        job.text("One")
        output = wire.result_to_json(wire.QueryResult("One", REASONING))
        job.done(**output)
        messages = await client.until(wire.RequestDone)
    accepted = messages[0]
    assert (accepted.wire_type, accepted.model, accepted.skill, accepted.tag) == (
        "request.accepted",
        "sprite-2",
        "query",
        [1],
    )
    assert_no_gap(messages)
    text = "".join(m.delta for m in messages if isinstance(m, wire.ReasoningDelta))
    assert text == REASONING.text
    assert answer(messages) == "One"
    assert wire.result_from_json("query", messages[-1].output).reasoning == REASONING
    order = [m.wire_type for m in messages]
    assert order.index("span.open") < order.index("span.close") < order.index("reasoning.done")


async def test_image_ready_tells_oriented_size_bytes_and_hash(server, as_data_url):
    import io

    from PIL import Image

    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees to display
    Image.new("RGB", (40, 10)).save(stream, "JPEG", exif=exif)
    data = stream.getvalue()
    async with server.client() as client:
        await client.send(wire.ImagePut("turned", as_data_url(data)))
        ready = await client.receive()
    assert (ready.width, ready.height) == (10, 40)
    assert ready.bytes == len(data)
    assert ready.sha256 == hashlib.sha256(data).hexdigest()


async def test_requests_of_one_connection_interleave(server, engine):
    async with server.client() as client:
        for name in ("a", "b"):
            await client.send(created(name))
        jobs = {}
        for _ in range(2):
            job = await engine.next_job()
            jobs[job.request.request_id] = job
        jobs["b"].text("B1")
        jobs["a"].text("A1")
        jobs["b"].done(answer="B1")
        first = await client.until(wire.RequestDone)
        assert first[-1].request_id == "b"
        jobs["a"].done(answer="A1")
        rest = await client.until(wire.RequestDone)
        for name in ("a", "b"):
            assert_no_gap([m for m in first + rest if m.request_id == name])


async def test_everything_sent_is_ascii(server, engine):
    async with server.client() as client:
        await client.send(created(question="Wo ist der B\u00e4r? \U0001f43b"))
        job = await engine.next_job()
        assert job.request.skill_request.question == "Wo ist der B\u00e4r? \U0001f43b"
        job.text("caf\u00e9 \U0001f319")
        raw = ""
        while "text.delta" not in raw:
            raw = await client.socket.recv()
    assert raw.isascii()
    assert json.loads(raw)["delta"] == "caf\u00e9 \U0001f319"


async def test_cancel_keeps_what_came_and_ends_once(server, engine):
    async with server.client() as client:
        await client.send(created())
        job = await engine.next_job()
        job.text("partial ")
        await client.until(wire.TextDelta)
        await client.send(wire.RequestCancel("a"))
        (cancelled,) = await client.until(wire.RequestCancelled)
        assert cancelled.reason == "client"
        await client.send(wire.RequestCancel("a"))  # after the end: nothing happens
        await client.send(wire.RequestCancel("nobody"))
        error = await client.receive()
    assert isinstance(error, wire.ErrorEvent)
    assert (error.error.code, error.ref) == ("request_unknown", "nobody")
    assert engine.cancels == [("a", "client")]


async def test_cancel_while_the_image_is_still_awaited(server, engine, monkeypatch, picture):
    decoding = asyncio.Event()
    never = asyncio.Event()

    async def decode(image_url):
        decoding.set()
        await never.wait()

    monkeypatch.setattr(server.server.config.app.door._hub, "decode", decode)
    async with server.client() as client:
        await client.send(created(image_url=picture()))
        await asyncio.wait_for(decoding.wait(), 10)
        await client.send(wire.RequestCancel("a"))
        cancelled = await client.receive()
    assert isinstance(cancelled, wire.RequestCancelled)
    assert (cancelled.seq, cancelled.reason) == (0, "client")
    assert engine.jobs == {}


async def test_the_same_create_twice_attaches_and_a_different_one_is_refused(server, engine):
    async with server.client() as client:
        await client.send(created())
        job = await engine.next_job()
        job.text("one ")
        await client.until(wire.TextDelta)
        await client.send(created())
        replayed = await client.until(wire.TextDelta)
        assert [m.seq for m in replayed] == [0, 1]
        await client.send(created(question="Something else?"))
        error = await client.receive()
        assert (error.error.code, error.ref) == ("request_exists", "a")
        job.done(answer="one ")
        assert (await client.receive()).seq == 2
    assert list(engine.jobs) == ["a"]


async def test_killed_socket_mid_stream_resumes_to_the_same_text(server, engine):
    words = [f"word{i} " for i in range(40)]
    async with server.client() as client:
        await client.send(created())
        job = await engine.next_job()
        job.text(*words[:13])
        seen = await client.until(wire.TextDelta)
        client.socket.transport.abort()
    job.text(*words[13:30])
    last = seen[-1].seq
    async with server.client() as client:
        await client.send(wire.RequestResume("a", last))
        job.text(*words[30:])
        job.done(answer="".join(words))
        rest = await client.until(wire.RequestDone)
    assert_no_gap(seen)
    assert_no_gap(rest, last)
    assert answer(seen + rest) == "".join(words) == rest[-1].output["answer"]
    assert engine.cancels == []


async def test_resume_attaches_a_second_connection_and_both_get_the_rest(server, engine):
    async with server.client() as one, server.client() as two:
        await one.send(created())
        job = await engine.next_job()
        await one.until(wire.RequestAccepted)
        await two.send(wire.RequestResume("a", -1))
        await two.until(wire.RequestAccepted)
        job.text("shared")
        job.done(answer="shared")
        for client in (one, two):
            messages = await client.until(wire.RequestDone)
            assert answer(messages) == "shared"


async def test_resume_past_the_log_starts_with_a_snapshot(server, engine):
    words = [f"{i} " for i in range(6000)]
    async with server.client() as client:
        await client.send(created())
        job = await engine.next_job()
        for start in range(0, len(words), 50):
            job.text(*words[start : start + 50])
            await asyncio.sleep(0)  # the loop takes them; of more at a time the rest would be merged
        job.done(answer="".join(words))
        await client.until(wire.RequestDone)
        await client.send(wire.RequestResume("a", 2))
        messages = await client.until(wire.RequestDone)
    snapshot, *rest = messages
    assert isinstance(snapshot, wire.RequestSnapshot)
    assert_no_gap(rest, snapshot.seq)
    assert snapshot.state["text"] + answer(rest) == "".join(words)


async def test_resume_of_an_unknown_request(server):
    async with server.client() as client:
        await client.send(wire.RequestResume("ghost", -1))
        error = await client.receive()
    assert (error.error.code, error.error.type, error.ref) == ("request_unknown", "not_found_error", "ghost")


async def test_at_most_sixteen_in_flight(server, engine):
    async with server.client() as client:
        for i in range(17):
            await client.send(created(f"r{i}"))
        error = (await client.until(wire.ErrorEvent))[-1]
        assert (error.error.code, error.ref, error.error.retryable) == ("too_many_requests", "r16", True)
        engine.jobs["r3"].done(answer="")
        await client.until(wire.RequestDone)
        await client.send(created("r16"))
        while (await engine.next_job()).request.request_id != "r16":
            pass


@pytest.mark.parametrize("code", ["queue_full", "shutting_down"])
async def test_engine_refusals_become_the_only_event(server, engine, code):
    from dreamscope.engine import errors

    engine.refusal = {"queue_full": errors.QueueFull, "shutting_down": errors.ShuttingDown}[code]("No room.")
    async with server.client() as client:
        await client.send(created())
        failed = await client.receive()
        assert isinstance(failed, wire.RequestFailed)
        assert (failed.seq, failed.error.code, failed.error.retryable) == (0, code, True)
        engine.refusal = None
        await client.send(created())  # the id is free again
        assert isinstance(await client.receive(), wire.RequestAccepted)


async def test_a_bug_behind_the_server_is_an_internal_error_without_a_trace(server, engine, caplog):
    engine.refusal = ZeroDivisionError("secret detail")
    async with server.client() as client:
        await client.send(created())
        failed = await client.receive()
    assert failed.error.code == "internal_error"
    assert "secret" not in failed.error.message
    assert "secret detail" in caplog.text


async def test_a_slow_reader_does_not_delay_another(serve, shelf, engine):
    import socket as sockets

    raw = sockets.socket()
    raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    raw.setblocking(False)
    async with serve(shelf) as server:
        await asyncio.get_running_loop().sock_connect(raw, (server.host, server.port))
        async with server.client(sock=raw, max_queue=1) as slow, server.client() as fast:
            await slow.send(created("slow"))
            job = await engine.next_job()
            words = [f"{i:07d} " for i in range(60_000)]
            for start in range(0, len(words), 1000):
                job.text(*words[start : start + 1000])
            job.done(answer="")
            await fast.send(created("fast"))
            other = await engine.next_job()
            other.text("quick")
            other.done(answer="quick")
            assert answer(await fast.until(wire.RequestDone)) == "quick"
            messages = await slow.until(wire.RequestDone)
    assert_no_gap(messages)
    assert answer(messages) == "".join(words)
    assert len(messages) < 10_000


async def test_a_reader_that_is_far_too_slow_is_closed_and_can_resume(serve, shelf, engine):
    import socket as sockets

    from dreamscope.engine.server.options import ServerOptions

    raw = sockets.socket()
    raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    raw.setblocking(False)
    async with serve(shelf, ServerOptions(outbox_bytes=600_000)) as server:
        await asyncio.get_running_loop().sock_connect(raw, (server.host, server.port))
        async with server.client(sock=raw, max_queue=1) as slow:
            await slow.send(created())
            job = await engine.next_job()
            for _ in range(80):
                job.send(*(wire.PointEvent(request_id="", index=0, x=0.5, y=0.5) for _ in range(100)))
            job.done()
            seen = [json.loads(raw)["seq"] async for raw in iterate(slow)]
            assert await slow.closed() == (4413, "The client reads too slowly; resume on a new connection.")
        last = seen[-1]
        async with server.client() as client:
            await client.send(wire.RequestResume("a", last))
            messages = await client.until(wire.RequestDone)
    if isinstance(messages[0], wire.RequestSnapshot):
        last = messages.pop(0).seq
    assert_no_gap(messages, last)
