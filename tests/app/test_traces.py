"""The inspector's side of the page's server: what is watched, what it is told, and its two routes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

from dreamscope.app.asks import Invalid
from dreamscope.app.outbox import Outbox
from dreamscope.app.supervisor import EngineStatus, Phase, RemoteEngine
from dreamscope.app.traces import INTERVAL_MS, Traces, depth_of
from dreamscope.engine import wire


def refusal(ref: str) -> wire.ErrorEvent:
    return wire.ErrorEvent(wire.ErrorInfo("Not here.", "server_error", "not_implemented"), ref)


def trace_of(model: str) -> wire.Trace:
    return wire.Trace(model=model, state="ready", clock_ms=1.0, gauges={}, totals={})


def test_only_what_is_watched_is_told() -> None:
    told: list[dict[str, Any]] = []
    traces = Traces(told.append)
    assert traces.again() is None
    assert traces.watch({"model": "a"}) == wire.TraceSubscribe(INTERVAL_MS, "a") == traces.again()
    traces.take(trace_of("b"))
    traces.take(trace_of("a"))
    assert [message["model"] for message in told] == ["a"]
    assert traces.watch(None) == wire.TraceSubscribe(0)
    assert traces.again() is None


def test_an_error_is_of_the_trace_only_until_that_comes() -> None:
    told: list[dict[str, Any]] = []
    traces = Traces(told.append)
    assert not traces.refused(refusal("a"))
    traces.watch({"model": "a"})
    assert not traces.refused(refusal("b"))
    assert traces.refused(refusal("a"))
    assert told == [{"model": "a", "refused": "Not here."}]
    traces.take(trace_of("a"))
    assert not traces.refused(refusal("a"))


@pytest.mark.parametrize("wanted", [3, {}, {"model": ""}, {"model": 1}, []])
def test_what_cannot_be_watched(wanted: Any) -> None:
    with pytest.raises(Invalid):
        Traces(lambda message: None).watch(wanted)


@pytest.mark.parametrize("depth", [None, 0, 3, True, "2", [1]])
def test_a_depth_that_is_none(depth: Any) -> None:
    with pytest.raises(Invalid, match="auto, 1 or 2"):
        depth_of({"model": "a", "depth": depth})
    assert depth_of({"model": "a", "depth": "auto"}) == wire.DepthSet("auto", "a")


async def test_what_a_slow_page_has_not_read_is_told_together() -> None:
    sent: list[str] = []

    async def send(text: str) -> None:
        sent.append(text)

    outbox = Outbox(send)
    outbox.put(run="idle")
    for number in range(3):
        outbox.put_among("traces", number, 2)
    task = asyncio.create_task(outbox.run())
    while not sent:
        await asyncio.sleep(0)
    task.cancel()
    assert json.loads(sent[0]) == [{"run": "idle"}, {"traces": [1, 2]}]


async def test_the_page_watches_and_changes_the_depth(page: Any) -> None:
    await page.send(trace={"model": "sprite-2"})
    first = await page.until(lambda message: "traces" in message)
    assert (first["traces"][0]["choice"], first["traces"][0]["steps"]) == ("auto", [])
    await page.send(depth={"model": "sprite-2", "depth": 1})
    later = await page.until(lambda message: message.get("traces", [{}])[-1].get("steps"))
    assert later["traces"][-1]["steps"][0]["idle"] == 2.0
    await page.send(depth={"model": "sprite-2", "depth": 9})
    wrong = await page.until(lambda message: "invalid" in message)
    assert wrong["invalid"]["text"] == "The depth must be auto, 1 or 2."


async def test_a_model_that_cannot_be_watched_says_why(page: Any) -> None:
    await page.send(trace={"model": "moondream2"})
    told = await page.until(lambda message: "traces" in message)
    assert told["traces"][-1] == {"model": "moondream2", "refused": "Its steps are not known."}


async def test_it_is_watched_again_after_the_engine_came_back(supervised_page: Any, engine: Any) -> None:
    await supervised_page.send(trace={"model": "sprite-2"})
    await supervised_page.until(lambda message: "traces" in message)
    os.kill(engine.pid, signal.SIGKILL)
    await supervised_page.until_engine("gone")
    await supervised_page.until(lambda message: "traces" in message)


async def get(address: str, path: str) -> tuple[int, Any]:
    def fetch() -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    return await asyncio.to_thread(fetch)


class Traced(BaseHTTPRequestHandler):
    """An engine's `/v1/trace`, which knows one model."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        good = url.path == "/v1/trace" and "nobody" not in url.query
        error = {"message": "No model nobody.", "type": "not_found", "code": "model_not_found"}
        self.send_response(200 if good else 404)
        self.end_headers()
        self.wfile.write(json.dumps({"traceEvents": [url.query]} if good else {"error": error}).encode())

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def traced() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Traced)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


async def test_the_engines_file_is_passed_on(serve_routes: Any, traced: str) -> None:
    async with serve_routes(RemoteEngine(traced)) as address:
        status, trace = await get(address, "/api/trace?model=sprite-2&seconds=5")
        assert (status, trace) == (200, {"traceEvents": ["model=sprite-2&seconds=5"]})
        status, refused = await get(address, "/api/trace?model=nobody")
        assert (status, refused["error"]["message"]) == (404, "No model nobody.")


async def test_without_an_engine_there_is_no_file(serve_routes: Any) -> None:
    class Never:
        status = EngineStatus(Phase.STARTING)

    for engine in (Never(), RemoteEngine("http://127.0.0.1:9")):
        async with serve_routes(engine) as address:
            status, refused = await get(address, "/api/trace")
            assert (status, "engine" in refused["error"]["message"]) == (503, True)


async def test_requests_are_told_as_the_runs_they_belong_to(
    serve_routes: Any, visit: Any, engine: Any, store: Any, png: bytes
) -> None:
    async with serve_routes(engine, store) as address, visit(address) as page:
        await page.until_engine("ready")
        await page.image("i1", png)
        await page.ask()
        await page.until_run("done")
        run_id = page.begun()["id"]
        status, found = await get(address, f"/api/trace/runs?ids={run_id},{run_id}.1,nobody,")
    told = {"run": run_id, "title": "How many dogs?"}
    assert (status, found) == (200, {"runs": {run_id: told, f"{run_id}.1": told}})
