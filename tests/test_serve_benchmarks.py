"""The load test and the recovery run, and the load test sees what it is there to see. No times are judged."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dreamscope.engine import wire
from dreamscope.engine.errors import InternalError, QueueFull

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
NAMES = (
    *("report", "subject", "serving", "processes"),
    *("load_asks", "load_http", "load_socket", "load_clients", "serve", "recovery"),
)
ANSWER = {"answer": "Two.", "finish_reason": "stop"}
PIECES = ({"chunk": "Two", "completed": False}, {"chunk": ".", "completed": False})
LAST = {"chunk": "", "completed": True, **ANSWER}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    monkeypatch.syspath_prepend(FOLDER)
    yield SimpleNamespace(**{name: importlib.import_module(name) for name in NAMES})
    for name in NAMES:
        del sys.modules[name]


def test_every_answer_under_load_is_right(bench, tmp_path):
    seconds, clients = 4, 16
    flags = ["--minutes", f"{seconds / 60}", "--clients", f"{clients}", "--images", "2", "--threads", "1"]
    assert bench.serve.main([*flags, "--json", str(tmp_path / "serve.jsonl")]) == 0
    kinds = {case["case"]["clients"]: case["figures"] for case in stored(tmp_path / "serve.jsonl")}
    assert len(kinds) == 9
    for name, figures in kinds.items():
        assert figures["answered"] + figures["left"] > 0, name
        assert figures["left"] == 0 or name.endswith("leaving")
        if name.endswith("steady"):
            assert 0 < figures["P50 ms"] <= figures["P95 ms"] <= figures["P99 ms"]
    (server,) = stored(tmp_path / "serve-server.jsonl")
    assert server["case"] == {"clients": clients, "seconds": seconds}
    assert server["figures"]["most MB"] >= server["figures"]["memory MB"] > 50
    assert [server["figures"][f"{name} after"] for name in ("waiting", "running", "pages")] == [0, 0, 0]


@pytest.mark.slow
def test_a_killed_engine_comes_back(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(bench.recovery, "MARK_S", 120.0)
    target = tmp_path / "recovery.jsonl"
    assert (
        bench.recovery.main(["--kills", "2", "--clients", "4", "--threads", "1", "--json", str(target)]) == 0
    )
    for case in stored(target):
        figures = case["figures"]
        assert figures["runs interrupted"] > 0
        assert figures["ready s"] < figures["program answered s"]
        assert figures["ready s"] < figures["page answered s"]


# ---------------------------------------------------------------------- what clients make of an odd server


def reply(status: int, body: str) -> bytes:
    return f"HTTP/1.1 {status} x\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


def told(**fields: str) -> bytes:
    return reply(200, json.dumps({"request_id": "r", "metrics": {}, **ANSWER, **fields}))


def events(*payloads: dict[str, Any]) -> bytes:
    return reply(200, "".join(f"data: {json.dumps(payload)}\n\n" for payload in payloads))


@pytest.mark.parametrize(
    ("kind", "said", "seen"),
    [
        ("plain", told(), ""),
        ("plain", told(answer="Three."), "answered {'answer': 'Three.'"),
        ("plain", told(finish_reason="length"), "answered {'answer': 'Two.'"),
        ("plain", reply(503, '{"error": {"code": "shutting_down"}}'), "status 503"),
        ("plain", reply(502, "Bad gateway"), "status 502"),
        ("plain", reply(500, '{"error": {"code": "internal_error"}}'), "status 500"),
        ("plain", told()[:-9], "closed the connection in the middle"),
        ("stream", events(*PIECES, LAST), ""),
        ("stream", events(*PIECES), "without an end"),
        ("stream", events(PIECES[0], LAST), "the pieces make"),
        ("stream", events(PIECES[1]), "is no beginning of"),
        ("stream", events(*PIECES, LAST, PIECES[0]), "the event"),
        ("stream", events(PIECES[0], {"type": "error", "error": {}, "completed": False}), "stream failed"),
        ("stream", reply(200, "data: {}"), "ends with"),
    ],
)
async def test_a_client_sees_what_is_wrong(bench, kind, said, seen):
    tally = await answered(bench, kind, said)
    assert (tally.failures == []) is (seen == "")
    assert all(seen in failure for failure in tally.failures)
    assert bool(tally.times) is (seen == "")


async def test_a_full_queue_is_counted_apart(bench, monkeypatch):
    monkeypatch.setattr(bench.load_clients, "BACK_OFF_S", 0.01)
    tally = await answered(bench, "plain", reply(429, '{"error": {"code": "queue_full"}}'))
    assert tally.refused["queue_full"] > 0
    assert tally.failures == tally.times == []


async def answered(bench: SimpleNamespace, kind: str, said: bytes) -> Any:
    """The tally of a client at a server that says this to every request."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError):
            head = b"content-length: "
            while True:
                size = int((await reader.readuntil(b"\r\n\r\n")).partition(head)[2])
                await reader.readexactly(size)
                writer.write(said)
                if said == told()[:-9]:
                    return

    known = bench.load_asks.Questions(["data:"], [bench.load_asks.Ask("query", {"question": "?"}, 0)])
    known.wanted[known.asks[0]] = ANSWER
    tally = bench.load_clients.Tally()
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        client = bench.load_clients.KINDS[kind](port, known, tally, "steady", random.Random(0))
        await client.run(time.monotonic() + 0.02)
    return tally


def test_the_events_of_a_websocket_are_checked(bench):
    def fed(*events: wire.RequestEvent) -> Any:
        ask = bench.load_asks.Ask("query", {"question": "?"}, 0)
        asked = bench.load_socket.Asked(ask, "r")
        for seq, event in enumerate(events):
            asked.take(replace(event, seq=event.seq if event.seq >= 0 else seq))
        return asked.answer

    accepted = wire.RequestAccepted(request_id="r", model="m", skill="query")
    text = wire.TextDelta(request_id="r", delta="Two.")
    done = wire.RequestDone(
        request_id="r", finish_reason="stop", output={"answer": "Two."}, metrics=wire.Metrics()
    )
    merged = replace(text, seq=3, first_seq=1)
    assert fed(accepted, text, done) == ANSWER
    assert fed(accepted, merged, replace(done, seq=4)) == ANSWER
    full = wire.RequestFailed(request_id="r", error=QueueFull("Later.").info())
    with pytest.raises(bench.load_http.Refused, match="queue_full"):
        fed(full)
    for wrong in (
        [accepted, replace(text, seq=2)],
        [accepted, done],
        [wire.RequestFailed(request_id="r", error=InternalError("Broken.").info())],
        [accepted, wire.RequestCancelled(request_id="r", reason="client", metrics=wire.Metrics())],
    ):
        with pytest.raises(bench.load_http.Wrong):
            fed(*wrong)


def stored(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
