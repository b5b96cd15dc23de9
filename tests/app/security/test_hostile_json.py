"""JSON, messages, runs and images that nobody of ours would send: refused in words, whatever they are."""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette.testclient import TestClient
from websockets import Subprotocol
from websockets.asyncio.server import ServerConnection, serve

from dreamscope.app.client import EngineClient, EngineGone
from dreamscope.app.images import normalise
from dreamscope.app.store.portable import RUN
from dreamscope.engine import wire

FIELDS = {
    "POST /api/runs/delete": ["ids"],
    "POST /api/undo": ["token"],
    "PATCH /api/runs/{run_id}": ["title", "notes", "tags", "pinned", "rating", "other"],
    "DELETE /api/history": ["confirm"],
    "POST /api/shares": ["run", "comparison", "expires_in_s"],
    "POST /api/batches": ["title", "images", "columns"],
}
BAD_JSON = (
    b"",
    b"{",
    b"null",
    b"[]",
    b'"x"',
    b"1e999",
    b'{"title": NaN}',
    b'{"rating": ' + b"9" * 5000 + b"}",
    b'{"title": "\\ud800"}',
    b'{"\\ud800": 1}',
    b"[" * 100_000,
    b'{"a":' * 900 + b"1" + b"}" * 900,
    b'{"ids": ' + b"[" * 600 + b"]" * 600 + b"}",
    '{"title": "ü"}'.encode("latin-1"),
    b'\xff\xfe{\x00"\x00',
    b"\xef\xbb\xbf{}",
    b'{"title": 1} trailing',
    b"\x00" * 64,
)


@pytest.mark.parametrize("route", sorted(FIELDS))
@pytest.mark.parametrize("body", BAD_JSON, ids=range(len(BAD_JSON)))
def test_broken_json_is_said_to_be_that(site, run, route, body, refused) -> None:
    method, path = route.split(" ")
    kind = {"Content-Type": "application/json"}
    answer = site.http.request(method, path.format(run_id="run1"), content=body, headers=kind)
    if not answer.is_success:
        refused(answer, 400, 404)
    assert site.store.record("run1") == run


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, -(10**400), 2**63, -(2**63) - 1]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=40),
    st.sampled_from(
        ["", "\0", "\u2028", "' OR 1=1 --", "../..", "run1", "a" * 9999, "0" * 64, "main", "query"]
    ),
)
VALUES = st.recursive(
    ODD,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
MODEST = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize("route", sorted(FIELDS))
@MODEST
@given(data=st.data())
def test_strange_values_are_refused_in_words(site, run, route, data, refused) -> None:
    method, path = route.split(" ")
    body = {name: data.draw(VALUES) for name in FIELDS[route] if data.draw(st.booleans())}
    content = json.dumps(body)
    kind = {"Content-Type": "application/json"}
    answer = site.http.request(method, path.format(run_id="run1"), content=content, headers=kind)
    if not answer.is_success:
        refused(answer, 400, 404)


SKILLS = ("query", "caption", "point", "detect", "segment", "gaze", "chat", "")
ASK = {
    "skill": st.sampled_from(SKILLS) | VALUES,
    "settings": st.dictionaries(st.sampled_from(["temperature", "seed", "max_objects", "x"]), VALUES)
    | VALUES,
    **{
        name: VALUES
        for name in (
            *("question", "object", "objects", "length", "model", "variant", "reasoning", "preset"),
            *("format", "schema", "refs", "eye", "face", "force", "width", "column"),
        )
    },
}


@MODEST
@given(columns=st.lists(st.fixed_dictionaries({}, optional=ASK), min_size=1, max_size=3), data=st.data())
def test_strange_batches_are_refused_in_words(site, run, columns, data, refused) -> None:
    image = data.draw(
        st.sampled_from([{"hash": "0" * 64, "name": "a"}, {"hash": run.picture.hash[:-1]}, {}, None, 3])
    )
    refused(site.http.post("/api/batches", json={"columns": columns, "images": [image]}), 400)


@MODEST
@given(
    messages=st.lists(
        st.one_of(
            st.fixed_dictionaries({"run": st.fixed_dictionaries({}, optional=ASK) | VALUES}),
            st.fixed_dictionaries({"compare": st.fixed_dictionaries({"columns": st.lists(VALUES)}) | VALUES}),
            st.fixed_dictionaries({"image": VALUES | st.fixed_dictionaries({"id": VALUES, "hash": VALUES})}),
            st.fixed_dictionaries({"stop": VALUES}),
            st.fixed_dictionaries({"load": VALUES}),
            VALUES,
        ).map(json.dumps)
        | st.sampled_from([text.decode("latin-1") for text in BAD_JSON])
        | st.binary(max_size=64),
        min_size=1,
        max_size=5,
    )
)
def test_no_message_ends_the_websocket(site, run, messages) -> None:
    http = TestClient(site.app, "http://testserver")
    with http.websocket_connect("/ws") as socket:
        for message in messages:
            (socket.send_bytes if isinstance(message, bytes) else socket.send_text)(message)
        socket.send_text(json.dumps({"run": {"skill": "the last"}}))
        while not any("query" in item.get("invalid", {}).get("text", "") for item in socket.receive_json()):
            pass


def test_a_schema_is_no_deeper_than_what_can_be_kept(site, run) -> None:
    """A deep schema would not break where it is read, but where it is written."""
    http = TestClient(site.app, "http://testserver")
    for depth, fine in ((60, True), (70, False), (480, False), (900, False), (50_000, False)):
        schema = '{"type":"object","not":' * depth + "{}" + "}" * depth
        ask = {"skill": "query", "question": "?", "format": "schema", "schema": schema}
        with http.websocket_connect("/ws") as socket:
            socket.send_text(json.dumps({"image": {"id": "a", "hash": run.picture.hash}}))
            socket.send_text(json.dumps({"run": ask}))
            told: list[dict[str, Any]] = []
            while not any("begin" in item or "invalid" in item for item in told):
                told += socket.receive_json()
            begun = [item["begin"]["id"] for item in told if "begin" in item]
            assert bool(begun) == fine, depth
        for run_id in begun:
            packed = site.http.get(f"/api/runs/{run_id}/export")
            assert packed.status_code == 200
            assert site.http.post("/api/import", content=packed.content).status_code == 201
    assert site.store.trouble is None


@pytest.mark.parametrize(
    "name", ["limit", "cursor", "since", "until", "pinned", "deleted", "q", "tag", "state"]
)
@pytest.mark.parametrize(
    "value", ["9" * 5000, "-1", "nan", "\0", "'\"", "٣", "²", "~~~", "a" * 20_000, '"', "*", "NEAR("]
)
def test_strange_searches_are_refused_in_words(site, run, name, value, refused) -> None:
    answer = site.http.get("/api/runs", params={name: value})
    if not answer.is_success:
        refused(answer, 400)


@pytest.mark.parametrize(
    "query", ["width=nan", "width=inf", "width=" + "9" * 5000, "part=" + "9" * 5000, "part=-1"]
)
def test_strange_timelines_are_refused_in_words(site, run, query, refused) -> None:
    refused(site.http.get(f"/api/runs/run1/timeline?{query}"), 400)


@pytest.mark.parametrize("expires", [0, -1, 1e-320, 1e308, 10**18, True, "1", [1], {"a": 1}])
def test_strange_ends_of_shares_are_refused_in_words(site, run, expires, refused) -> None:
    answer = site.http.post("/api/shares", json={"run": "run1", "expires_in_s": expires})
    if expires != 1e-320:
        refused(answer, 400)
    assert answer.status_code < 500


@pytest.mark.parametrize("said", ["\\ud800dogs", "dogs\\uDFFF", "\\ud83d\\ude00", "NaN"])
async def test_half_a_character_of_an_engine_breaks_no_page(site, run, said, reading) -> None:
    """JSON can carry what UTF-8 cannot; a page of it could not be sent."""
    frame = f'{{"type":"text.delta","request_id":"r0","seq":10,"t":400,"delta":"{said}"}}'
    async with speaking(frame) as engine:
        client = await EngineClient.open(engine, "test")
        event = await anext(client.messages())
        await client.close()
    assert isinstance(event, wire.TextDelta)
    assert event.delta == json.loads(f'"{said}"').encode("utf-8", "replace").decode()
    part = run.parts[0]
    whole = replace(part, events=(*part.events[:10], event), state="stopped")
    site.store.begin(replace(run, id="odd", parts=(whole,)))
    site.store.flush()
    for path in reading:
        if path.startswith("/api/runs/{run_id}") and "{name}" not in path:
            assert site.http.get(path.format(run_id="odd")).status_code == 200, path


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999", "9" * 400])
async def test_an_engine_that_sends_no_numbers_is_not_listened_to(number) -> None:
    frame = f'{{"type":"point","request_id":"r","seq":1,"t":1,"index":0,"x":0.5,"y":{number}}}'
    output = f'{{"type":"request.done","request_id":"r","seq":1,"t":1,"output":{{"n":{number}}}}}'
    for sent in (frame, output):
        async with speaking(sent) as engine:
            client = await EngineClient.open(engine, "test")
            if number.isdecimal() and sent == output:
                await client.close()
                continue
            with pytest.raises(EngineGone, match="cannot be read"):
                await anext(client.messages())
            await client.close()


@contextlib.asynccontextmanager
async def speaking(frame: str) -> AsyncIterator[str]:
    """An engine that greets and then says `frame`."""
    limits = wire.Limits(2**20, 4, 60, 100)

    async def say(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(wire.encode(wire.Ready(1, "c", "fake/1", (), limits, ())))
        await socket.send(frame)
        await socket.wait_closed()

    async with serve(say, "127.0.0.1", 0, subprotocols=[Subprotocol(wire.SUBPROTOCOL)]) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/ws"


def packed(run: Any, image: bytes | None = None) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(RUN, run if isinstance(run, str | bytes) else json.dumps(run))
        if image is not None:
            archive.writestr("image", image)
    return out.getvalue()


def exported(site: Any) -> dict[str, Any]:
    answer = site.http.get("/api/runs/run1/export")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        run: dict[str, Any] = json.loads(archive.read(RUN))
    return run


@MODEST
@given(data=st.data())
def test_a_run_with_a_strange_field_is_refused_in_words(site, run, reading, refused, data) -> None:
    """One value somewhere in an exported run becomes something else."""
    known = exported(site)
    spot: Any = known
    while True:
        keys = list(spot) if isinstance(spot, dict) else list(range(len(spot)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(spot[key], dict | list) or not spot[key] or data.draw(st.booleans()):
            break
        spot = spot[key]
    spot[key] = data.draw(VALUES)
    answer = site.http.post("/api/import", content=packed(known))
    if answer.status_code != 201:
        refused(answer, 400)
        return
    run_id = answer.json()["id"]
    for path in reading:
        if path.startswith("/api/runs/{run_id}") and "{name}" not in path:
            shown = site.http.get(path.format(run_id=run_id))
            assert shown.status_code < 500, (path, key, spot[key])


@pytest.mark.parametrize("seq", [-1, 2**63, 10**400, 1e308], ids=["negative", "int64", "huge", "float"])
@pytest.mark.parametrize("field", ["seq", "t", "index", "start", "x", "input_tokens"])
def test_no_number_is_too_large(site, run, reading, refused, field, seq) -> None:
    known = exported(site)
    events = known["parts"][0]["events"]
    changed = [event for event in events if field in event][-1]
    changed[field] = seq
    answer = site.http.post("/api/import", content=packed(known))
    if answer.status_code != 201:
        refused(answer, 400)
        return
    run_id = answer.json()["id"]
    for path in reading:
        if path.startswith("/api/runs/{run_id}") and "{name}" not in path:
            assert site.http.get(path.format(run_id=run_id)).status_code < 500, path


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00Z", "x", ""]
)
def test_no_time_is_too_far_away(site, run, moment, refused) -> None:
    answer = site.http.post("/api/import", content=packed({**exported(site), "created_at": moment}))
    if answer.status_code != 201:
        refused(answer, 400)


def test_an_import_cannot_say_what_an_image_is(site, run) -> None:
    """A run may come without its image; what it says of it must not hold for the image when that comes."""
    out = io.BytesIO()
    Image.new("RGB", (31, 17), "#123").save(out, "PNG")
    image = normalise(out.getvalue())
    lie = {"hash": image.hash, "width": 9, "height": 9999, "media_type": "image/svg+xml"}
    assert (
        site.http.post("/api/import", content=packed({**exported(site), "picture": lie})).status_code == 201
    )
    told = site.http.post("/api/images", content=out.getvalue()).json()
    assert told == {"hash": image.hash, "width": 31, "height": 17, "media_type": "image/png"}
    assert site.http.get(f"/api/images/{image.hash}").headers["content-type"] == "image/png"
    kept = site.store.image(image.hash)
    assert kept is not None
    assert (kept.width, kept.height) == (31, 17)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
@MODEST
@given(data=st.data())
def test_a_damaged_image_is_refused_in_words(site, kind, data, refused) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "x" * 40
    out = io.BytesIO()
    more = {} if kind in ("GIF", "BMP") else {"exif": exif}
    Image.linear_gradient("L").convert("RGB").resize((40, 30)).save(out, kind, **more)
    content = bytearray(out.getvalue())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, min(len(content), 400) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(len(content) // 2, len(content)))
    answer = site.http.post("/api/images", content=bytes(content[:cut]))
    if answer.status_code != 201:
        refused(answer, 400)
