"""What is refused, how it is told, and that the connection goes on afterwards."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import zlib

import pytest

from dreamscope.engine import wire


async def talk(server, *frames: str | bytes) -> wire.Message:
    """Send raw frames on a greeted connection and return the first answer; then prove it still works."""
    async with server.client() as client:
        for frame in frames:
            await client.socket.send(frame)
        answer = await client.receive()
        await client.send(wire.RequestCancel("still-alive"))
        assert (await client.receive()).ref == "still-alive"
        return answer


def create(**fields) -> str:
    return json.dumps(
        {"type": "request.create", "request_id": "a", "skill": "query", "question": "Why?", **fields}
    )


def bomb(width: int, height: int) -> bytes:
    """A tiny PNG that claims to be huge."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("frame", "code", "ref"),
    [
        ('{"type": "stats.subscribe", "interval_ms": 249}', "invalid_parameter", None),
        ('{"type": "stats.subscribe", "interval_ms": "often"}', "invalid_parameter", None),
        ('{"type": "dance", "request_id": "x1"}', "unknown_type", "x1"),
        ('{"type": "ready", "protocol": 1, "connection_id": "c", "server": "s", "models": [], "limits": {}}',
         "missing_parameter", None),
        ('{"type": "request.cancel"}', "missing_parameter", None),
        ('{"type": "request.cancel", "request_id": 5}', "invalid_parameter", None),
        ('{"type": "request.resume", "request_id": "r", "after": "x"}', "invalid_parameter", "r"),
        ('{"type": "image.put", "image_id": "i"}', "missing_parameter", "i"),
        ('{"type": "image.put", "image_id": "", "image_url": "x"}', "invalid_parameter", ""),
        ('{"type": "hello", "protocol": 1}', "invalid_parameter", None),
        (create(request_id="bad id!"), "invalid_parameter", "bad id!"),
        (create(request_id="x" * 65), "invalid_parameter", "x" * 64),
        (create(request_id=3), "invalid_parameter", None),
        ('{"type": "request.accepted", "request_id": "q", "model": "m", "skill": "s"}', "unknown_type", "q"),
    ],
)  # fmt: skip
async def test_messages_outside_any_request_get_an_error_event(server, frame, code, ref):
    answer = await talk(server, frame)
    assert isinstance(answer, wire.ErrorEvent)
    assert (answer.error.code, answer.ref) == (code, ref)
    assert answer.error.type == "invalid_request_error"


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"skill": "segment"}, "unsupported_skill", "skill"),
        ({"skill": "dance"}, "unsupported_skill", "skill"),
        ({"skill": None}, "missing_parameter", "skill"),
        ({"model": "gpt-9"}, "model_not_found", "model"),
        ({"settings": {"temprature": 1}}, "invalid_parameter", "temprature"),
        ({"settings": {"temperature": 3}}, "invalid_parameter", "temperature"),
        ({"settings": {"temperature": True}}, "invalid_parameter", "temperature"),
        ({"settings": "hot"}, "invalid_parameter", "settings"),
        ({"question": ""}, "missing_parameter", "question"),
        ({"question": "   "}, "missing_parameter", "question"),
        ({"question": 5}, "invalid_parameter", "question"),
        ({"question": "x" * 20_000}, "context_length_exceeded", "question"),
        ({"question": "\ud800"}, "invalid_parameter", "question"),
        ({"reasoning": "yes"}, "invalid_parameter", "reasoning"),
        ({"skill": "point", "question": None}, "missing_parameter", "image_url"),
        ({"skill": "caption"}, "missing_parameter", "image_url"),
        ({"spatial_refs": [[0.1, 0.2]]}, "invalid_parameter", "spatial_refs"),
        ({"on_disconnect": "explode"}, "invalid_parameter", "on_disconnect"),
        ({"tag": "x" * 5000}, "invalid_parameter", "tag"),
        ({"image_id": "nowhere"}, "image_unknown", "image_id"),
        ({"skill": "caption", "image_id": ""}, "image_unknown", "image_id"),
        ({"image_url": "https://example.com/cat.jpg"}, "invalid_image_url", "image_url"),
        ({"image_url": "file:///etc/passwd"}, "invalid_image_url", "image_url"),
        ({"image_url": ""}, "invalid_image_url", "image_url"),
        ({"image_url": "data:image/png,rawtext"}, "invalid_image_url", "image_url"),
        ({"image_url": "not*base64*"}, "invalid_image_url", "image_url"),
        ({"image_url": base64.b64encode(b"I am no image").decode()}, "image_decode_failed", "image_url"),
    ],
)  # fmt: skip
async def test_a_request_that_cannot_be_done_gets_one_event(server, engine, fields, code, param):
    failed = await talk(server, create(**fields))
    assert isinstance(failed, wire.RequestFailed)
    assert (failed.request_id, failed.seq) == ("a", 0)
    assert (failed.error.code, failed.error.param) == (code, param)
    assert failed.error.message
    assert failed.error.retryable is False
    assert engine.jobs == {}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
async def test_numbers_that_json_cannot_carry(server, number):
    failed = await talk(server, create(tag=0).replace('"tag": 0', f'"tag": {number}'))
    assert isinstance(failed, wire.RequestFailed)
    assert failed.error.code == "invalid_parameter"


@pytest.mark.parametrize(
    "frame",
    [
        json.dumps({"type": "x" * 1_000_000}),
        create(skill="x" * 1_000_000),
        create(settings={"x" * 1_000_000: 1}),
        create(model="x" * 1_000_000),
        create(image_id="x" * 1_000_000),
    ],
    ids=["type", "skill", "setting", "model", "image_id"],
)
async def test_an_error_does_not_echo_megabytes(server, frame):
    answer = await talk(server, frame)
    assert isinstance(answer, (wire.ErrorEvent, wire.RequestFailed))
    assert len(wire.encode(answer)) < 1500


async def test_a_malformed_repeat_does_not_end_the_running_request(server, engine):
    async with server.client() as client:
        await client.send(wire.RequestCreate(request_id="a", skill="query", question="Why?"))
        job = await engine.next_job()
        await client.until(wire.RequestAccepted)
        await client.socket.send(create(question=5))
        assert isinstance(await client.receive(), wire.ErrorEvent)
        job.done(answer="")
        assert (await client.receive()).seq == 1


async def test_truncated_jpeg(server, picture):
    whole = base64.b64decode(picture(64, 64, "JPEG").split(",")[1])
    answer = await talk(
        server,
        json.dumps(
            {"type": "image.put", "image_id": "i", "image_url": base64.b64encode(whole[:-200]).decode()}
        ),
    )
    assert isinstance(answer, wire.ErrorEvent)
    assert (answer.error.code, answer.ref) == ("image_decode_failed", "i")


@pytest.mark.parametrize("size", [(60_000, 60_000), (12_000, 5_000), (100_000, 501)])
async def test_a_decompression_bomb_is_judged_by_its_header(server, as_data_url, size):
    answer = await talk(
        server,
        json.dumps({"type": "image.put", "image_id": "i", "image_url": as_data_url(bomb(*size))}),
    )
    assert isinstance(answer, wire.ErrorEvent)
    assert (answer.error.code, answer.ref) == ("image_too_large", "i")


@pytest.mark.parametrize("size", [(1, 1), (12_000, 40), (1, 3000)])
async def test_extreme_but_valid_sizes(server, engine, picture, size):
    async with server.client() as client:
        await client.send(wire.ImagePut("i", picture(*size)))
        ready = await client.receive()
        assert (ready.width, ready.height) == size
        await client.send(wire.RequestCreate(request_id="a", skill="detect", object="cat", image_id="i"))
        job = await engine.next_job()
    assert job.request.image.rgb.shape == (size[1], size[0], 3)


async def test_a_request_may_name_an_image_that_is_still_being_decoded(server, engine, picture):
    async with server.client() as client:
        await client.send(wire.ImagePut("i", picture(300, 200)))
        await client.send(wire.RequestCreate(request_id="a", skill="caption", image_id="i"))
        job = await engine.next_job()
    assert job.request.image.rgb.shape == (200, 300, 3)


async def test_a_request_on_a_failed_upload_fails_alike(server, engine):
    async with server.client() as client:
        await client.send(wire.ImagePut("i", base64.b64encode(b"no image").decode()))
        await client.send(wire.RequestCreate(request_id="a", skill="caption", image_id="i"))
        failed = (await client.until(wire.RequestFailed))[-1]
    assert failed.error.code == "image_decode_failed"
    assert engine.jobs == {}


async def test_a_dropped_image_is_gone(server, picture):
    async with server.client() as client:
        await client.send(wire.ImagePut("i", picture()))
        await client.receive()
        await client.send(wire.ImageDrop("i"))
        await client.send(wire.ImageDrop("never-was"))
        await client.send(wire.RequestCreate(request_id="a", skill="caption", image_id="i"))
        failed = await client.receive()
    assert failed.error.code == "image_unknown"


@pytest.mark.parametrize(
    "frame",
    [b'{"type": "hello"}', "not json", "[1, 2]", '{"no": "type"}', '{"type": 7}', "[" * 50_000],
    ids=["binary", "text", "list", "untyped", "odd type", "deep"],
)
async def test_what_is_no_message_closes_the_connection_after_the_error(server, frame):
    async with server.client() as client:
        await client.socket.send(frame)
        assert (await client.receive()).error.code == "invalid_json"
        assert (await client.closed())[0] == 4400


async def test_an_oversized_frame_closes_with_1009(server):
    async with server.client() as client:
        await client.socket.send("x" * (24 * 1024 * 1024 + 1))
        assert (await client.closed())[0] == 1009
    async with server.client():
        pass


async def test_a_large_photo_fits(server):
    async with server.client() as client:
        payload = "A" * (23 * 1024 * 1024)
        await client.send(wire.ImagePut("big", payload))
        assert (await client.receive()).error.code == "image_decode_failed"


async def test_a_repeat_of_a_failed_request_tells_the_failure_again(server):
    frame = create(image_url="https://example.com/cat.jpg")
    async with server.client() as client:
        for _ in range(2):
            await client.socket.send(frame)
            assert (await client.receive()).error.code == "invalid_image_url"
        await client.send(wire.RequestResume("a", -1))
        assert isinstance(await client.receive(), wire.RequestFailed)


async def test_reading_waits_while_eight_images_are_undecoded(server, monkeypatch):
    started = 0
    eight = asyncio.Event()
    release = asyncio.Event()
    hub = server.server.config.app.door._hub
    decode = hub.decode

    async def held(image_url):
        nonlocal started
        started += 1
        if started == 8:
            eight.set()
        await release.wait()
        return await decode(image_url)

    monkeypatch.setattr(hub, "decode", held)
    async with server.client() as client:
        for i in range(9):
            await client.send(wire.ImagePut(f"i{i}", "AAAA"))
        await client.send(wire.RequestCancel("marker"))
        await asyncio.wait_for(eight.wait(), 10)
        async with server.client():  # a full exchange elsewhere: the loop had its chance to read on
            pass
        assert started == 8
        release.set()
        refs = [(await client.receive()).ref for _ in range(10)]
    assert sorted(refs) == sorted([f"i{i}" for i in range(9)] + ["marker"])


async def test_dropping_an_image_or_the_connection_does_not_harm_a_request_that_named_it(
    server, engine, monkeypatch, picture
):
    release = asyncio.Event()
    hub = server.server.config.app.door._hub
    decode = hub.decode

    async def held(image_url):
        await release.wait()
        return await decode(image_url)

    monkeypatch.setattr(hub, "decode", held)
    async with server.client() as client:
        await client.send(wire.ImagePut("i", picture(5, 4)))
        await client.send(
            wire.RequestCreate(
                request_id="a", skill="caption", image_id="i", on_disconnect="continue", tag="t"
            )
        )
        await client.send(wire.ImageDrop("i"))
        await client.send(wire.RequestCancel("marker"))
        assert isinstance(await client.receive(), wire.ErrorEvent)
    release.set()
    job = await engine.next_job()
    assert job.request.image.rgb.shape == (4, 5, 3)
