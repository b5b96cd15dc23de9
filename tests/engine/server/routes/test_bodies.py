"""Bodies that are too large, too many, or that nobody wants: the client always sees the answer."""

from __future__ import annotations

import asyncio

import pytest

from dreamscope.engine import errors
from dreamscope.engine.server.bodies import Bodies
from dreamscope.engine.server.options import MIB, ServerOptions


async def test_forty_mebibytes_get_a_413_and_no_reset(ask):
    answer = await ask("POST", "/v1/query", b" " * (40 * MIB))
    assert (answer.status, answer.code) == (413, "payload_too_large")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/nothing", 404),
        ("PUT", "/v1/query", 405),
        ("POST", "/v1/models", 405),
        ("POST", "/v1/tuning/finetunes", 501),
        ("GET", "/health", 200),
    ],
)
async def test_a_body_that_nobody_reads_is_read_before_the_answer(dial, method, path, status):
    async with dial() as raw:
        await raw.send(method, path, b"x" * (4 * MIB))
        assert (await raw.answer()).status == status
        await raw.send("GET", "/v1")  # the connection can still be used
        assert (await raw.answer()).status == 200


async def test_a_chunked_body_is_measured_as_it_comes(serve, shelf, dial):
    async with (
        serve(shelf, ServerOptions(max_body_bytes=1000, drain_seconds=0.5)) as harness,
        dial(harness) as raw,
    ):
        piece = b"1f4\r\n" + b"x" * 500 + b"\r\n"
        await raw.send("POST", "/v1/query", piece * 3 + b"0\r\n\r\n", transfer_encoding="chunked")
        answer = await raw.answer()
        assert (answer.status, answer.code) == (413, "payload_too_large")
        await raw.send("POST", "/v1/query", b"{}")
        assert (await raw.answer()).code == "missing_parameter"


async def test_all_bodies_together_are_bounded(serve, shelf, dial, ask):
    async with serve(shelf, ServerOptions(http_body_bytes=1000, drain_seconds=0.5)) as harness:
        async with dial(harness) as raw:
            await raw.send("POST", "/v1/query", b" " * 900, content_length="1000")  # 100 bytes are missing
            answer = await ask("POST", "/v1/query", b" " * 1200, harness)
            assert (answer.status, answer.code) == (429, "queue_full")
        answer = await ask("POST", "/v1/query", b" " * 800, harness)
        assert answer.code == "invalid_json"


async def test_a_body_that_does_not_arrive_is_given_up():
    async def receive():
        await asyncio.Event().wait()

    with Bodies(ServerOptions(deadline=0.01)).admit() as body, pytest.raises(errors.RequestTimeout):
        await body.read_object({"type": "http", "headers": []}, receive)
