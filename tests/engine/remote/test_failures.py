"""What endpoints do wrong, and what becomes of it: one error that names them, and nothing else."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import struct
import time
from typing import Any

import pytest

from dreamscope.engine import errors, wire
from dreamscope.engine.runtime.job import Batches, EngineRequest
from dreamscope.engine.skills.base import ChatMessage, SkillRequest

MESSAGES = (ChatMessage("user", "Hello"),)


def says(code: str, *words: str) -> Any:
    class Expected:
        def __eq__(self, info: object) -> bool:
            assert isinstance(info, wire.ErrorInfo)
            return info.code == code and all(word in info.message for word in words)

        def __repr__(self) -> str:
            return f"{code}: {words}"

    return Expected()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (
            400,
            {"error": {"message": "No such object.", "param": "object"}},
            says("remote_refused", "lab says: No such"),
        ),
        (404, {"detail": "Model not found"}, says("remote_refused", "lab says: Model not found")),
        (422, b"\xff\xfe", says("remote_refused", "lab answers with status 422")),
        (413, [], says("remote_refused", "status 413")),
        (401, {"error": "Bad key"}, says("model_unavailable", "lab wants a key", "Bad key")),
        (403, {}, says("model_unavailable", "lab wants a key")),
        (429, {"error": {"message": "Slow down"}}, says("remote_busy", "lab says: Slow down")),
        (503, {"message": "Loading"}, says("remote_busy", "lab says: Loading")),
        (500, {"error": {"message": "x" * 10_000}}, says("remote_failed", "lab says: xxx")),
        (504, {}, says("remote_failed", "status 504")),
        (204, b"", says("remote_failed", "status 204")),
        (302, b"", says("remote_failed", "redirect")),
        (308, b"", says("remote_failed", "redirect")),
    ],
)
async def test_statuses(server, connect, status, body, expected):
    async def script(exchange):
        await exchange.json(body, status, Location=f"{server.url}/detect/")

    server.on("/v1/detect", script)
    end = await connect().ask("detect").end()
    assert end.error == expected
    assert end.error.retryable == (end.error.code in ("remote_busy", "remote_failed"))
    assert len(server.seen) == 1, "neither repeated nor followed"
    assert len(end.error.message) < 400


@pytest.mark.parametrize("status", [429, 503])
async def test_it_comes_back_when_it_is_told_to(server, connect, status):
    async def script(exchange):
        busy = len(server.seen) < 3
        await exchange.json({"objects": []}, status if busy else 200, Retry_After="0")

    server.on("/v1/detect", script)
    assert (await connect().ask("detect").end()).output == {"objects": []}
    assert len(server.seen) == 3


@pytest.mark.parametrize(("after", "tries"), [("0", 5), ("9999", 1), ("tomorrow", 1), ("-1", 1), ("٣", 1)])
async def test_it_does_not_come_back_for_ever(server, connect, after, tries):
    async def script(exchange):
        await exchange.raw(f"HTTP/1.1 429 Busy\r\nRetry-After: {after}\r\nConnection: close\r\n\r\n".encode())

    server.on("/v1/detect", script)
    assert (await connect().ask("detect").end()).error.code == "remote_busy"
    assert len(server.seen) == tries


BEGUN = [{"chunk": "Two ", "completed": False}]


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ([], says("remote_failed", "lab sent what is no answer: it ended in the middle")),
        (
            [{"type": "error", "error": {"message": "Out of memory"}, "completed": False}, "[ERROR]"],
            says("remote_failed", "lab says: Out of memory"),
        ),
        ([{"error": "Broken"}], says("remote_failed", "lab says: Broken")),
        (["[ERROR]"], says("remote_failed", "it is not JSON")),
        (["null"], says("remote_failed", "it is not a JSON object")),
        (["x" * 2_000_000], says("remote_failed", "too long")),
        ([{"chunk": None, "completed": "yes"}], says("remote_failed", "ended in the middle")),
    ],
)
async def test_a_stream_that_goes_wrong_keeps_what_it_said(server, connect, rest, expected):
    async def script(exchange):
        await exchange.events(*BEGUN, *rest)

    server.on("/v1/query", script)
    asked = connect().ask()
    assert (await asked.end()).error == expected
    assert [event.delta for event in asked.events if isinstance(event, wire.TextDelta)] == ["Two "]


async def test_a_chat_that_goes_wrong(server, connect):
    async def script(exchange):
        await exchange.events({"choices": [{"delta": {"content": "Two"}}]}, {"error": {"message": "Gone"}})

    server.on("/v1/chat/completions", script)
    assert (await connect("openai").ask().end()).error == says("remote_failed", "lab says: Gone")


async def test_the_connection_breaks(server, connect):
    async def script(exchange):
        await exchange.events(*BEGUN)
        sock = exchange.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, no farewell

    server.on("/v1/query", script)
    asked = connect().ask()
    assert (await asked.end()).error == says("remote_failed", "lab")


async def test_nobody_is_there(server, connect):
    remote = connect()
    probe = socket.create_server(("127.0.0.1", 0))
    port = probe.getsockname()[1]
    probe.close()
    object.__setattr__(remote.model.endpoint, "url", f"http://127.0.0.1:{port}/v1")
    assert (await remote.ask().end()).error == says("remote_failed", "lab cannot be reached: ")


async def test_not_even_http(server, connect):
    async def script(exchange):
        await exchange.raw(b"\x00\x01garbage\r\n\r\n")

    server.on("/v1/detect", script)
    assert (await connect().ask("detect").end()).error == says("remote_failed", "lab broke the connection")


async def test_answers_without_end_are_cut(server, connect, monkeypatch):
    monkeypatch.setattr("dreamscope.engine.remote.link.ANSWER_BYTES", 100_000)

    async def script(exchange):
        await exchange.head(kind="text/event-stream")
        while True:
            await exchange.raw(b": nothing\n\n" * 100)

    server.on("/v1/query", script)
    assert (await connect().ask().end()).error == says("remote_failed", "more than 100,000 bytes")


async def test_compressed_answers_are_refused(server, connect):
    async def script(exchange):
        await exchange.head(Content_Encoding="gzip")
        await exchange.raw(gzip.compress(json.dumps({"objects": []}).encode()))

    server.on("/v1/detect", script)
    assert (await connect().ask("detect").end()).error == says("remote_failed", "compressed")
    assert server.seen[0].headers["accept-encoding"] == "identity"


HOSTILE = [
    ("detect", {"objects": [{"x_min": 0.1, "y_min": 0, "x_max": "1", "y_max": 1}]}),
    ("detect", {"objects": [{"x_min": 0.9, "y_min": 0, "x_max": 0.1, "y_max": 1}]}),
    ("detect", {"objects": [{"x_min": True, "y_min": 0, "x_max": 1, "y_max": 1}]}),
    ("detect", {"objects": {"x": 1}}),
    ("detect", {"objects": [[0, 0, 1, 1]]}),
    ("detect", {"objects": [None] * 10_001}),
    ("detect", {"result": []}),
    ("detect", b'{"objects": [{"x_min": NaN, "y_min": 0, "x_max": 1, "y_max": 1}]}'),
    ("point", b'{"points": [{"x": Infinity, "y": 0}]}'),
    ("point", {"points": "<script>"}),
    ("point", b"[" * 100_000),
    ("point", b""),
    ("query", {"answer": None}),
    ("query", {"answer": {"text": "<b>"}}),
    ("query", {"error": "quiet failure with status 200"}),
    ("caption", {"caption": 3}),
    ("segment", {"path": 'M0 0"/><script>', "bbox": None}),
    ("segment", {"path": "M 0 0", "bbox": None}),
    ("segment", {"path": "M 0 0" + " L 1 1" * 200_000, "bbox": None}),
    ("segment", {"bbox": None}),
    ("chat", {"choices": []}),
    ("chat", {"choices": [{"message": "hi"}]}),
    ("chat", {"choices": [{"message": {"content": [{"text": "hi"}]}, "finish_reason": "stop"}]}),
]


@pytest.mark.parametrize(("skill", "body"), HOSTILE)
async def test_values_that_are_not_what_they_should_be(server, connect, skill, body):
    async def script(exchange):
        await exchange.json(body)

    for path in ("detect", "point", "query", "caption", "segment", "chat/completions"):
        server.on(f"/v1/{path}", script)
    fields = {"messages": MESSAGES, "image": None} if skill == "chat" else {}
    end = await connect().ask(skill, **fields).end()
    assert end.error == says("remote_failed", "lab")
    assert "script" not in end.error.message


async def test_odd_but_harmless_values_are_put_right(server, connect):
    spans = [
        {"start_idx": 0, "end_idx": 2, "points": [[0.5, 7]]},
        {"start_idx": 1, "end_idx": 2, "points": [[0.5, 0.5]]},  # overlaps
        {"start_idx": 1, "end_idx": 99, "points": [[0.5, 0.5]]},  # beyond the text
        {"start_idx": True, "end_idx": "2", "points": [[0.5, 0.5]]},
        {"start_idx": 2, "end_idx": 3, "points": []},
    ]
    metrics = {"input_tokens": -3, "output_tokens": 1e400, "prefill_time_ms": "fast", "cached_tokens": True}
    body = {"answer": "\ud800<b>\x00", "reasoning": {"text": "abc", "grounding": spans}, "finish_reason": {}}
    server.on("/v1/query", {**body, "metrics": {**metrics, "output_tokens": 10**400}})
    done = await connect().ask(reasoning=True).end()
    assert done.output["answer"] == "?<b>\x00", "escaping is for whoever shows it"
    assert done.output["reasoning"]["grounding"] == [{"start_idx": 0, "end_idx": 2, "points": [[0.5, 1.0]]}]
    assert (done.finish_reason, done.metrics.input_tokens, done.metrics.output_tokens) == ("stop", 0, 0)


async def test_a_stream_where_none_was_asked_for(server, connect):
    async def script(exchange):
        await exchange.events({"chunk": "x"}, {"completed": True, "objects": []})

    server.on("/v1/detect", script)
    assert (await connect().ask("detect").end()).output == {"objects": []}


# -------------------------------------------------------------------------------------- time, and its end


async def test_the_deadline_ends_a_slow_answer(server, connect):
    closed = asyncio.Event()

    async def script(exchange):
        await exchange.events(*BEGUN)
        await exchange.hung_up()
        closed.set()

    server.on("/v1/query", script)
    end = await connect().ask(deadline=time.monotonic() + 0.3).end()
    assert end.error.code == "request_timeout"
    await asyncio.wait_for(closed.wait(), 20)


async def test_silence_is_not_waited_for(server, connect):
    async def script(exchange):
        await exchange.hung_up()

    server.on("/v1/query", script)
    end = await connect(timeout=0.2).ask().end()
    assert end.error == says("remote_failed", "lab said nothing for 0.2 seconds")


async def test_cancelling_closes_the_connection(server, connect):
    closed = asyncio.Event()

    async def script(exchange):
        await exchange.events(*BEGUN)
        await exchange.hung_up()
        closed.set()

    server.on("/v1/query", script)
    remote = connect()
    asked = remote.ask()
    await asked.until(wire.TextDelta)
    remote.engine.cancel("r1", "disconnect")
    end = await asked.end()
    assert (end.reason, end.metrics.output_tokens) == ("disconnect", 0)
    assert end.metrics.ttft_ms is not None
    await asyncio.wait_for(closed.wait(), 20)
    remote.engine.cancel("r1")
    remote.engine.cancel("never heard of")
    assert remote.engine.stats()["cancelled"] == 1
    assert remote.engine.stats()["processing"] == 0


async def test_a_request_cancelled_at_once_still_ends(server, connect):
    remote = connect()
    asked = remote.ask()
    remote.engine.cancel("r1")
    assert isinstance(await asked.end(), wire.RequestCancelled)


async def test_some_at_a_time_the_rest_waits_and_more_are_refused(server, connect):
    go = asyncio.Event()

    async def script(exchange):
        await go.wait()
        await exchange.json({"objects": []})

    server.on("/v1/detect", script)
    remote = connect(concurrency=2, max_queue=1)
    asked = [remote.ask("detect") for _ in range(3)]
    for each in asked[:2]:
        await each.until(wire.RequestStarted)
    with pytest.raises(errors.QueueFull):
        remote.ask("detect")
    with pytest.raises(errors.RequestExists):
        remote.ask("detect", request_id="r1")
    stats = remote.engine.stats()
    assert (stats["processing"], stats["queue_size"]) == (2, 1)
    assert len(server.seen) <= 2
    go.set()
    for each in asked:
        assert isinstance(await each.end(), wire.RequestDone)
    assert asked[2].events[0].position == 2
    assert remote.engine.stats()["requests_processed"] == 3


async def test_shutting_down_ends_what_runs(server, connect):
    async def script(exchange):
        await exchange.events(*BEGUN)
        await exchange.hung_up()

    server.on("/v1/query", script)
    remote = connect(concurrency=1)
    running, waiting = remote.ask(), remote.ask()
    await running.until(wire.TextDelta)
    await asyncio.to_thread(remote.engine.shutdown)
    assert [(await each.end()).reason for each in (running, waiting)] == ["shutdown", "shutdown"]
    with pytest.raises(errors.ShuttingDown):
        remote.ask()
    assert remote.engine.stats()["status"] == "stopped"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_engine_that_cannot_start_hangs_nobody(monkeypatch, connect):
    def broken(*arguments: Any) -> Any:
        raise OSError("no certificates")

    monkeypatch.setattr("dreamscope.engine.remote.engine.Link", broken)
    remote = connect()
    with pytest.raises(errors.ShuttingDown):
        remote.engine.submit(EngineRequest("x", SkillRequest("query", question="x")), lambda batch: None)
    remote.engine.shutdown()


async def test_a_listener_that_fails_cancels_its_request(server, connect, caplog):
    closed = asyncio.Event()

    async def script(exchange):
        await exchange.events(*BEGUN)
        await exchange.hung_up()
        closed.set()

    server.on("/v1/query", script)
    remote = connect()
    asked = remote.ask(accepted_at=time.monotonic())
    assert (await asked.next()).seq == 1, "the server has told of its acceptance"

    def broken(batches: Batches) -> None:
        if any(isinstance(event, wire.TextDelta) for _, events in batches for event in events):
            raise ValueError("no")

    remote.engine.submit(EngineRequest("other", SkillRequest("query", question="x")), broken)
    await asyncio.wait_for(closed.wait(), 20)
    assert "other failed" in caplog.text
    assert await asked.until(wire.TextDelta)
