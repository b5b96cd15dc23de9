"""`kill -9` of the web process and of the engine at random moments of streamed runs: none is lost or torn.

By default that happens to 10 runs; `DREAMSCOPE_KILLED_RUNS=200 pytest tests/app/test_kill.py` says how many.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from dreamscope.app.store.store import Store
from dreamscope.app.supervisor import Supervisor
from dreamscope.engine import wire

SERVER = Path(__file__).parent / "history_server.py"
RUNS_PER_ROUND = 5
ROUNDS = max(int(os.environ.get("DREAMSCOPE_KILLED_RUNS", "10")) // (2 * RUNS_PER_ROUND), 1)
LONGEST_S = 0.5  # about what a round takes if nobody is killed
OVER = {"done", "stopped", "failed", "interrupted"}
ENDS = {wire.RequestDone: "done", wire.RequestCancelled: "stopped", wire.RequestFailed: "failed"}
pytestmark = pytest.mark.timeout(1800)
COLUMNS = [
    {"column": "0", "skill": "query", "question": "How many dogs?", "reasoning": True},
    {"column": "1", "skill": "detect", "objects": ["dog", "cat", "tree"]},
    {"column": "2", "skill": "caption"},
    {"column": "3", "skill": "query", "question": "cut", "reasoning": True},
]


@pytest.fixture
async def engine_at(engine_script) -> AsyncIterator[Supervisor]:
    """A fake engine that comes back at the same address when it is killed."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    supervisor = Supervisor(engine_script("--delay=0.01", f"--port={port}"))
    supervisor.start()
    await supervisor.wait_ready()
    yield supervisor
    await supervisor.stop()


async def test_killing_the_web_process(engine_at, visit, tmp_path, png):
    moments, begun = random.Random(ROUNDS), []
    for _ in range(ROUNDS):
        async with server(engine_at, tmp_path) as (process, address), visit(address) as page:
            await begin(page, png)
            await watch(page, moments.uniform(0, LONGEST_S))
            process.kill()
            await process.wait()
            await watch(page, None)
            begun += ids(page)
    await check(tmp_path, begun)


async def test_killing_the_engine(engine_at, visit, tmp_path, png):
    moments, begun = random.Random(ROUNDS), []
    async with server(engine_at, tmp_path) as (_, address):
        for _ in range(ROUNDS):
            await engine_at.wait_ready()
            async with visit(address) as page:
                await begin(page, png)
                await watch(page, moments.uniform(0, LONGEST_S))
                os.kill(engine_at.pid, signal.SIGKILL)
                while not {page.state(column) for column in ("main", "0", "1", "2", "3")} <= OVER:
                    await page.until(lambda message: "run" in message)
                begun += ids(page)
    await check(tmp_path, begun)


@contextlib.asynccontextmanager
async def server(engine, folder) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The web process, and where it is."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SERVER), engine.status.url, str(folder), stdout=asyncio.subprocess.PIPE
    )
    try:
        line = await process.stdout.readline()
        yield process, line.decode().split()[1]
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def begin(page, png) -> None:
    await page.until_engine("ready")
    await page.image("i1", png)
    await page.ask()
    await page.send(compare={"columns": COLUMNS})
    while len(ids(page)) < RUNS_PER_ROUND:
        await page.until(lambda message: "begin" in message)


def ids(page) -> list[str]:
    return [message["begin"]["id"] for message in page.seen if "begin" in message]


async def watch(page, seconds) -> None:
    """Read what the page is sent, until `seconds` have passed or the connection ends."""
    with contextlib.suppress(ConnectionClosed, TimeoutError):
        async with asyncio.timeout(seconds):
            await page.until(lambda message: False)


async def check(folder, begun) -> None:
    """Every run that a page was told of is whole as far as it goes."""
    assert len(set(begun)) == len(begun) == ROUNDS * RUNS_PER_ROUND
    store = Store.open(folder)
    states = set()
    for run_id in begun:
        record = await asyncio.to_thread(store.record, run_id)
        assert record is not None, run_id
        assert record.state in OVER
        assert await asyncio.to_thread(store.image, record.picture.hash) is not None
        states.add(record.state)
        for part in record.parts:
            assert [event.seq for event in part.events] == list(range(len(part.events)))
            assert [event.t for event in part.events] == sorted(event.t for event in part.events)
            end = ENDS.get(type(part.events[-1])) if part.events else None
            assert part.state == (end or "interrupted")
            assert part.result is not None
    assert "interrupted" in states
    store.close()
    with contextlib.closing(sqlite3.connect(folder / "history.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        db.execute("INSERT INTO runs_fts(runs_fts) VALUES ('integrity-check')")
