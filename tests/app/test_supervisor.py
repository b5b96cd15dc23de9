from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest

from dreamscope.app.supervisor import EngineFailed, Phase, RemoteEngine, Supervisor, parse_line


class Lines:
    """What the child printed, and waiting for it."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[str] = asyncio.Queue()

    def echo(self, line: str) -> None:
        self._queue.put_nowait(line)

    async def until(self, word: str) -> None:
        async with asyncio.timeout(20):
            while not (await self._queue.get()).startswith(word):
                pass


async def test_a_killed_child_is_started_again(engine_script):
    lines = Lines()
    phases: list[Phase] = []

    def echo(line: str) -> None:
        phases.append(supervisor.status.phase)
        lines.echo(line)

    supervisor = Supervisor(engine_script(), echo)
    supervisor.start()
    await lines.until("ready")
    first = supervisor.pid
    os.kill(first, signal.SIGKILL)
    await lines.until("ready")
    assert supervisor.pid != first
    assert phases == [Phase.LOADING, Phase.READY] * 2
    assert supervisor.status.restarts == 1
    assert supervisor.status.url.startswith("http://127.0.0.1:")
    await supervisor.stop()


async def test_the_child_is_given_a_key_of_its_own_that_is_not_shown():
    lines = Lines()
    script = "import os; print('key', os.environ['DREAMSCOPE_PARENT_KEY'])"
    supervisor = Supervisor([sys.executable, "-c", script], lines.echo)
    assert len(supervisor.status.key) > 40
    assert supervisor.status.key not in repr(supervisor.status)
    supervisor.start()
    await lines.until(f"key {supervisor.status.key}")
    await supervisor.stop()


async def test_stop_ends_the_child(engine_script):
    supervisor = Supervisor(engine_script())
    supervisor.start()
    await supervisor.wait_ready()
    pid = supervisor.pid
    await supervisor.stop()
    await supervisor.stop()
    assert supervisor.status.phase is Phase.STOPPED
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_stop_kills_a_child_that_ignores_the_signal(monkeypatch):
    monkeypatch.setattr("dreamscope.app.supervisor.STOP_TIMEOUT_S", 0.2)
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    script = f"import signal, time; {ignore}; print('up', flush=True); time.sleep(60)"
    lines = Lines()
    supervisor = Supervisor([sys.executable, "-c", script], lines.echo)
    supervisor.start()
    await lines.until("up")
    pid = supervisor.pid
    await supervisor.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_the_child_hears_when_its_supervisor_is_killed():
    """The child holds a socket to the test, which ends with the child."""
    ended = asyncio.Event()
    connected: asyncio.Queue[asyncio.StreamReader] = asyncio.Queue()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.put_nowait(reader)
        await ended.wait()
        writer.close()

    async with await asyncio.start_server(take, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        child = f"import socket, sys; s = socket.create_connection(('127.0.0.1', {port})); sys.stdin.read()"
        parent = (
            "import asyncio, sys; from dreamscope.app.supervisor import Supervisor\n"
            "async def main():\n"
            f"    Supervisor([sys.executable, '-c', {child!r}]).start()\n"
            "    await asyncio.Event().wait()\n"
            "asyncio.run(main())"
        )
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", parent)
        async with asyncio.timeout(60):
            reader = await connected.get()
            process.kill()
            await process.wait()
            assert await reader.read() == b""
        ended.set()


async def test_a_child_that_never_was_ready_is_not_restarted():
    supervisor = Supervisor([sys.executable, "-c", "print('working'); raise SystemExit('no such model')"])
    supervisor.start()
    with pytest.raises(EngineFailed, match="no such model"):
        await supervisor.wait_ready()
    assert supervisor.status.phase is Phase.FAILED
    assert supervisor.status.restarts == 0
    await supervisor.stop()


async def test_lines_are_echoed_and_become_the_detail():
    lines = Lines()
    script = "import time; print('reading weights', flush=True); time.sleep(60)"
    supervisor = Supervisor([sys.executable, "-c", script], lines.echo)
    supervisor.start()
    await lines.until("reading weights")
    assert supervisor.status.detail == "reading weights"
    assert supervisor.status.phase is Phase.STARTING
    await supervisor.stop()


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ('ready {"url": "http://127.0.0.1:1"}', "ready"),
        ('listening {"url": "http://127.0.0.1:1"}', "listening"),
        ("ready to go", ""),
        ("ready {broken", ""),
        ('ready {"port": 1}', ""),
        ("", ""),
    ],
)
def test_state_lines(line, word):
    assert parse_line(line)[0] == word


def test_a_remote_engine_only_has_an_address():
    status = RemoteEngine("ws://there").status
    assert (status.phase, status.url) == (Phase.UNKNOWN, "ws://there")
