"""A connection on a scripted socket: when frames leave, and what a blocked peer leads to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from dreamscope.engine import wire
from dreamscope.engine.server.connection import Connection
from dreamscope.engine.server.hub import Hub
from dreamscope.engine.server.options import ServerOptions

TIMEOUT = 10.0


class ScriptedSocket:
    """The test feeds what the peer says and decides when the peer reads."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self.outgoing: asyncio.Queue[wire.Message] = asyncio.Queue()
        self.reading = asyncio.Event()
        self.reading.set()
        self.blocked = asyncio.Event()
        self.closing = asyncio.Event()
        self.closed: tuple[int, str] | None = None

    async def receive(self) -> str | bytes | None:
        return await self.incoming.get()

    async def send(self, text: str) -> None:
        await self._flow()
        self.outgoing.put_nowait(wire.decode(text))

    async def close(self, code: int, reason: str) -> None:
        self.closing.set()
        await self._flow()
        self.closed = (code, reason)

    async def _flow(self) -> None:
        if not self.reading.is_set():
            self.blocked.set()
        await self.reading.wait()

    def say(self, message: wire.Message) -> None:
        self.incoming.put_nowait(wire.encode(message))

    async def heard(self) -> wire.Message:
        return await asyncio.wait_for(self.outgoing.get(), TIMEOUT)


@pytest.fixture
async def hub(shelf, clock) -> AsyncIterator[Hub]:
    hub = Hub(shelf, ServerOptions(), clock)
    hub.open()
    yield hub
    await asyncio.wait_for(hub.close(), TIMEOUT)


@pytest.fixture
async def socket() -> ScriptedSocket:
    return ScriptedSocket()


@pytest.fixture
async def running(hub, socket) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(Connection(hub, socket, "c1", None).run())
    socket.say(wire.Hello())
    assert isinstance(await socket.heard(), wire.Ready)
    yield task
    socket.incoming.put_nowait(None)
    socket.reading.set()
    await asyncio.wait_for(task, TIMEOUT)


async def request(socket, engine):
    socket.say(wire.RequestCreate(request_id="a", skill="query", question="Why?"))
    job = await engine.next_job()
    assert isinstance(await socket.heard(), wire.RequestAccepted)
    return job


async def test_the_first_delta_leaves_at_once_and_the_others_in_one_frame_per_16_ms(
    running, socket, engine, clock
):
    job = await request(socket, engine)
    job.text("a")
    assert (await socket.heard()).delta == "a"
    job.text("b", "c")
    socket.say(wire.RequestCancel("nobody"))
    assert isinstance(await socket.heard(), wire.ErrorEvent)  # overtakes what is held
    assert socket.outgoing.empty()
    clock.advance(0.017)
    merged = await socket.heard()
    assert (merged.delta, merged.first_seq, merged.seq) == ("bc", 2, 3)


async def test_deltas_merge_while_the_peer_does_not_read(running, socket, engine):
    job = await request(socket, engine)
    socket.reading.clear()
    job.text("first ")
    await asyncio.wait_for(socket.blocked.wait(), TIMEOUT)
    words = [f"{i} " for i in range(100)]
    for word in words:
        job.text(word)
    job.done(answer="")
    socket.reading.set()
    assert (await socket.heard()).delta == "first "
    merged = await socket.heard()
    assert (merged.delta, merged.n, merged.first_seq) == ("".join(words), 100, 2)
    assert isinstance(await socket.heard(), wire.RequestDone)


async def test_nothing_read_for_thirty_seconds_closes_with_4413(running, socket, engine, clock):
    job = await request(socket, engine)
    socket.reading.clear()
    job.text("stuck")
    await asyncio.wait_for(socket.blocked.wait(), TIMEOUT)
    clock.advance(29)
    assert not socket.closing.is_set()
    clock.advance(2)
    await asyncio.wait_for(socket.closing.wait(), TIMEOUT)
    assert engine.cancels == []
    socket.reading.set()
    await asyncio.wait_for(asyncio.shield(running), TIMEOUT)
    assert socket.closed is not None
    assert socket.closed[0] == 4413
    clock.advance(5)
    assert engine.cancels == [("a", "disconnect")]


async def test_a_peer_that_never_reads_again_is_left_after_the_close_timeout(running, socket, engine, clock):
    job = await request(socket, engine)
    socket.reading.clear()
    job.text("stuck")
    await asyncio.wait_for(socket.blocked.wait(), TIMEOUT)
    clock.advance(31)
    await asyncio.wait_for(socket.closing.wait(), TIMEOUT)
    clock.advance(11)
    await asyncio.wait_for(asyncio.shield(running), TIMEOUT)
    assert socket.closed is None


async def test_a_bug_while_reading_closes_this_connection_only(running, socket, hub, monkeypatch, caplog):
    def broken(*args):
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(hub, "cancel", broken)
    socket.say(wire.RequestCancel("a"))
    await asyncio.wait_for(asyncio.shield(running), TIMEOUT)
    assert socket.closed is not None
    assert socket.closed[0] == 1011
    assert "secret" not in socket.closed[1]
    assert "secret detail" in caplog.text


async def test_a_peer_that_vanishes_while_being_sent_to_ends_the_connection(running, socket, engine):
    job = await request(socket, engine)

    async def gone(text):
        raise ConnectionError

    socket.send = gone
    job.text("lost")
    await asyncio.wait_for(asyncio.shield(running), TIMEOUT)
    assert socket.closed is None
