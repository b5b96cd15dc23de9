"""`kill -9` of a real engine while pages and programs are being answered: all hear of it, and it comes back.

How long that takes is measured by `benchmarks/recovery.py`.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from dreamscope.app import words
from dreamscope.app.main import build_app
from dreamscope.app.supervisor import Supervisor, engine_command
from dreamscope.app.ui.examples import example_bytes, load_examples

COLUMNS = ("0", "1", "2", "3")
THINGS = ("dog", "cat", "tree", "boat", "star", "bus", "sun", "apple")
OVER = {"done", "interrupted"}
PATIENCE_S = 120.0


@pytest.fixture
def said() -> asyncio.Queue[str]:
    """The lines that the engine prints."""
    return asyncio.Queue()


@pytest.fixture
async def real_engine(tmp_path, said) -> AsyncIterator[Supervisor]:
    flags = ("--model=sprite-2", "--port=0", "--threads=1", "--drain=0", "--exit-with-parent")
    supervisor = Supervisor(engine_command("serve", *flags, f"--data={tmp_path / 'engine'}"), said.put_nowait)
    supervisor.start()
    await supervisor.wait_ready()
    await until_ready(said)
    yield supervisor
    await supervisor.stop()


@pytest.fixture(scope="module")
def scene() -> bytes:
    examples = load_examples()
    data = example_bytes(examples[0].file, examples)
    assert data is not None
    return data


async def test_killing_the_engine_under_load(real_engine, said, store, serve_routes, visit, scene):
    async with (
        serve_routes(real_engine, store, build_app) as address,
        httpx.AsyncClient(timeout=PATIENCE_S) as http,
        visit(address) as one,
        visit(address) as other,
    ):
        pages = (one, other)
        for page in pages:
            await page.until_engine("ready")
            await page.image("i1", scene)
        seen, told = await ask(one), await post(http, real_engine, scene)
        programs = [
            asyncio.create_task(until_cut(http, real_engine, scene, stream)) for stream in (True, False) * 2
        ]
        for page in pages:
            await page.send(compare={"columns": [many_things(column) for column in COLUMNS]})
        await asyncio.gather(*(all_running(page) for page in pages))
        first = real_engine.pid
        os.kill(first, signal.SIGKILL)

        await asyncio.gather(*(page.until(lambda message: message.get("run") == "lost") for page in pages))
        begun = [page.begun(column)["id"] for page in pages for column in COLUMNS]
        assert (await http.get(f"http://{address}/")).status_code == 200
        listed = (await http.get(f"http://{address}/api/runs")).json()["runs"]
        assert {run["id"] for run in listed} >= set(begun)
        assert all(await asyncio.gather(*programs))

        await until_ready(said)
        await asyncio.gather(*(all_over(page) for page in pages))
        states = [page.state(column) for page in pages for column in COLUMNS]
        assert states.count("interrupted") >= len(pages)
        for page, column in itertools.product(pages, COLUMNS):
            if page.state(column) == "interrupted":
                assert words.engine_gone(True) in page.text("status", column)
                assert words.ENGINE_BACK in page.text("status", column)
        assert (real_engine.pid != first, real_engine.status.restarts) == (True, 1)
        assert await ask(other) == await ask(one) == seen
        assert await post(http, real_engine, scene) == told
    store.flush()
    for run_id, state in zip(begun, states, strict=True):
        record = store.record(run_id)
        assert record.state == state
        for part in record.parts:
            assert [event.seq for event in part.events] == list(range(len(part.events)))


def many_things(column: str) -> dict[str, Any]:
    """A run of several requests, so that it takes a while."""
    return {"column": column, "skill": ("detect", "point")[int(column) % 2], "objects": THINGS}


async def all_running(page) -> None:
    """Until every column is, or has been."""
    seen: set[str] = set()
    while seen < set(COLUMNS):
        message = await page.until(lambda message: message.get("run") == "running")
        seen.add(message["column"])


async def all_over(page) -> None:
    while not {page.state(column) for column in COLUMNS} <= OVER:
        await page.until(lambda message: "run" in message)


async def until_ready(said) -> None:
    """Until the engine says that it is, and not longer than any machine needs."""
    async with asyncio.timeout(PATIENCE_S):
        while not (await said.get()).startswith("ready "):
            pass


async def ask(page) -> str:
    """What the page shows for a question, once there is an engine."""
    shown = len(page.html("answer"))
    await page.ask(question="How many dogs are there?", settings={"temperature": 0})
    await page.until_run("done")
    return page.html("answer")[shown:]


def body_of(scene: bytes, stream: bool) -> dict[str, Any]:
    image_url = "data:image/png;base64," + base64.b64encode(scene).decode()
    settings = {"temperature": 0}
    return {
        "image_url": image_url,
        "question": "How many dogs are there?",
        "stream": stream,
        "settings": settings,
    }


async def post(http, engine, scene) -> str:
    """The answer that a program gets."""
    answer = await http.post(f"{engine.status.url}/v1/query", json=body_of(scene, False))
    assert answer.status_code == 200
    return answer.json()["answer"]


async def until_cut(http, engine, scene, stream) -> bool:
    """Ask again and again, until the connection breaks; whether it did before anything else was wrong."""
    url = f"{engine.status.url}/v1/query"
    while True:
        try:
            answer = await http.post(url, json=body_of(scene, stream))
        except httpx.TransportError:
            return True
        assert answer.status_code == 200
        assert "error" not in answer.text
