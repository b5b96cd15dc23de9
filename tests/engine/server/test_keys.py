"""A server whose keys are made and revoked while it runs: who gets in, how often, and what it writes down."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock

import httpx
import pytest

from dreamscope.engine import wire
from dreamscope.engine.server.accounts import WRITE_SECONDS, Accounts
from dreamscope.engine.server.keyring import Keyring
from dreamscope.engine.server.keystore import KeyStore, Usage
from dreamscope.engine.server.options import ServerOptions
from dreamscope.engine.server.watch import LOOK_SECONDS, KeyWatch

METRICS = wire.Metrics(input_tokens=730, output_tokens=12)


@pytest.fixture
def store(tmp_path):
    return KeyStore(tmp_path)


@pytest.fixture
async def server(serve, shelf, clock, tmp_path):
    async with serve(shelf, ServerOptions(keys_folder=tmp_path, parent_key="parents"), clock) as harness:
        yield harness


@pytest.fixture
async def http(server):
    async with httpx.AsyncClient(base_url=f"http://{server.host}:{server.port}", trust_env=False) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def query(request_id: str) -> wire.RequestCreate:
    return wire.RequestCreate(request_id=request_id, skill="query", question="Why?")


def done(job) -> None:
    output = {"answer": "So."}
    job.send(wire.RequestDone(request_id="", finish_reason="stop", output=output, metrics=METRICS))


async def test_the_first_key_closes_the_server_and_a_revoked_one_stays_outside(http, store):
    async def status(key: str = "") -> int:
        return (await http.get("/v1/models", headers=bearer(key) if key else {})).status_code

    assert (await status(), await status("whatever")) == (200, 200)
    key = store.create("phone")
    assert (await status(), await status("whatever"), await status(key)) == (401, 401, 200)
    assert await status("parents") == 200
    other = store.create("laptop")
    store.revoke("phone")
    assert (await status(key), await status(other)) == (401, 200)
    store.revoke("laptop")
    store.path.unlink()
    assert (await status(), await status(other)) == (401, 401)


async def test_over_the_limit_comes_429_and_when_to_try_again(http, store, engine, clock):
    headers = bearer(store.create("phone", 2.0))

    async def ask() -> httpx.Response:
        return await http.post("/v1/query", json={"question": "Why?"}, headers=headers)

    for _ in range(2):
        asking = asyncio.create_task(ask())
        done(await engine.next_job())
        assert (await asking).status_code == 200
    refused = await ask()
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "1"
    error = refused.json()["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert "2 requests per second" in error["message"]
    assert (await http.get("/v1/stats", headers=headers)).status_code == 200  # looking is free
    clock.advance(0.5)
    asking = asyncio.create_task(ask())
    done(await engine.next_job())
    assert (await asking).status_code == 200


async def test_the_websocket_tells_the_limit_and_closes_when_the_key_is_revoked(server, store, engine):
    key = store.create("phone", 1.0)
    async with server.socket() as client:
        await client.send(wire.Hello(auth=key))
        assert isinstance(await client.receive(), wire.Ready)
        await client.send(query("a"))
        assert isinstance(await client.receive(), wire.RequestAccepted)
        await client.send(query("b"))
        failed = await client.receive()
        assert (failed.wire_type, failed.request_id, failed.seq) == ("request.failed", "b", 0)
        assert (failed.error.code, failed.error.retryable) == ("rate_limit_exceeded", True)
        await client.send(query("a"))  # the same request again is no other one
        assert (await client.receive()).request_id == "a"
        store.revoke("phone")
        await client.send(wire.RequestCancel("a"))
        assert (await client.until(wire.ErrorEvent))[-1].error.code == "invalid_api_key"
        assert (await client.closed())[0] == 4401


async def test_idle_connections_of_a_revoked_key_are_closed_and_no_others(server, store, clock):
    phone, laptop = store.create("phone"), store.create("laptop")
    async with server.socket() as lost, server.socket() as kept, server.socket() as parent:
        for client, key in ((lost, phone), (kept, laptop), (parent, "parents")):
            await client.send(wire.Hello(auth=key))
            assert isinstance(await client.receive(), wire.Ready)
        clock.advance(LOOK_SECONDS)
        store.revoke("phone")
        clock.advance(LOOK_SECONDS)
        assert (await lost.receive()).error.code == "invalid_api_key"
        assert (await lost.closed())[0] == 4401
        for client in (kept, parent):
            await client.send(wire.RequestCancel("unknown"))
            assert (await client.receive()).error.code == "request_unknown"
        store.revoke("laptop")
        store.path.unlink()
        clock.advance(LOOK_SECONDS)
        assert (await kept.until(wire.ErrorEvent))[-1].error.code == "invalid_api_key"
        assert (await kept.closed())[0] == 4401


async def test_an_idle_connection_from_before_the_first_key_is_closed(server, store, clock):
    async with server.client() as client:
        store.create("phone")
        clock.advance(LOOK_SECONDS)
        assert (await client.receive()).error.code == "invalid_api_key"
        assert (await client.closed())[0] == 4401


def test_all_connections_are_looked_after_with_one_look(tmp_path, store, clock, monkeypatch):
    store.create("phone")
    looks = []
    monkeypatch.setattr(KeyStore, "names", lambda self: looks.append(1) or ["phone"])
    watch = KeyWatch(Keyring(ServerOptions(keys_folder=tmp_path), clock), clock)
    ends = [Mock() for _ in range(3)]
    for end in ends:
        watch.add("named:phone", end)
    watch.add("parent", Mock())
    clock.advance(2 * LOOK_SECONDS)
    assert len(looks) == 2
    for end in ends:
        watch.discard(end)
        end.assert_not_called()
    clock.advance(5 * LOOK_SECONDS)
    assert len(looks) == 2


async def test_a_connection_from_before_the_first_key_is_asked_for_one(server, store):
    async with server.client() as client:
        store.create("phone")
        await client.send(query("a"))
        assert (await client.until(wire.ErrorEvent))[-1].error.code == "invalid_api_key"
        assert (await client.closed())[0] == 4401


async def test_what_a_key_used_is_written_down_even_of_requests_that_were_left(
    serve, shelf, store, engine, tmp_path
):
    key = store.create("phone")
    options = ServerOptions(keys_folder=tmp_path, drain_seconds=0.5)
    async with serve(shelf, options) as server, server.socket() as client:
        await client.send(wire.Hello(auth=key))
        await client.receive()
        for name, end in (
            ("a", wire.RequestDone(request_id="", finish_reason="stop", output={}, metrics=METRICS)),
            ("b", wire.RequestCancelled(request_id="", reason="client", metrics=METRICS)),
        ):
            await client.send(query(name))
            (await engine.next_job()).send(end)
            await client.until(*wire.TERMINAL)
        await client.send(wire.RequestCreate(request_id="bad", skill="query"))
        assert isinstance(await client.receive(), wire.RequestFailed)
    (entry,) = store.entries()
    assert entry.usage == {"sprite-2": Usage(2, 2 * 730, 2 * 12)}
    assert entry.used is not None


async def test_stats_tell_a_key_its_own_account_up_to_now(server, http, store, engine):
    phone, laptop = store.create("phone"), store.create("laptop", 2.0)
    store.add({("phone", "moondream2"): Usage(1, 10**6, 0), ("laptop", "sprite-2"): Usage(9, 9, 9)}, {})
    asking = asyncio.create_task(http.post("/v1/query", json={"question": "Why?"}, headers=bearer(phone)))
    done(await engine.next_job())
    await asking

    async def account(key: str):
        return (await http.get("/v1/stats", headers=bearer(key))).json().get("account")

    told = await account(phone)
    assert (told["name"], told["requests"], told["input_tokens"], told["output_tokens"], told["usd"]) == (
        "phone",
        2,
        10**6 + 730,
        12,
        pytest.approx(0.30),
    )
    assert set(told["usage"]) == {"moondream2", "sprite-2"}
    other = await account(laptop)
    assert (other["name"], other["requests"], other["requests_per_second"], other["usd"]) == (
        "laptop",
        9,
        2.0,
        None,
    )
    assert await account("parents") is None
    for key in (phone, laptop):
        assert key not in str(told)


async def test_a_server_that_runs_on_writes_it_down_every_few_seconds(store, clock):
    store.create("phone")
    accounts = Accounts(store, clock)
    accounts.open("a", "named:phone")
    accounts.feed(wire.RequestAccepted(request_id="a", seq=0, t=0, model="m/x@1", skill="query"))
    accounts.feed(
        wire.RequestDone(request_id="a", seq=1, t=1, finish_reason="stop", output={}, metrics=METRICS)
    )
    accounts.open("b", "key-0")  # one of the settings, which has no account
    clock.advance(WRITE_SECONDS)
    (writing,) = (task for task in asyncio.all_tasks() if task.get_name() == "accounts")
    await writing
    assert store.entries()[0].usage == {"m": Usage(1, 730, 12)}


async def test_keys_that_cannot_be_read_let_nobody_in(http, store):
    store.path.write_text("no database " * 500)
    answer = await http.get("/v1/models", headers=bearer("ds_x"))
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error"
    assert str(store.path) not in answer.text
    assert (await http.get("/health")).status_code == 200
