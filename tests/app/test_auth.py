"""Who gets in: with a key nobody without it, without one only those who ask this machine by its own names."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket
from starlette.testclient import TestClient, WebSocketDenialResponse
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from dreamscope.app import auth, up
from dreamscope.app.auth import Access, Gate, host_name, is_loopback
from dreamscope.app.config import TABLE
from dreamscope.engine.settings import SettingError, load

KEY = "correct horse".replace(" ", "-")


def app() -> FastAPI:
    served = FastAPI()

    @served.get("/s/{rest:path}")
    def shared(rest: str) -> str:
        return f"shared {rest}"

    @served.websocket("/ws")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("hello")
        await websocket.close()

    @served.api_route("/{rest:path}", methods=["GET", "POST", "DELETE"])
    def anything(rest: str) -> str:
        return f"page {rest}"

    return served


def client(access: Access, base_url: str = "http://localhost:7860") -> TestClient:
    return TestClient(Gate(app(), access), base_url=base_url, follow_redirects=False)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/ui/main.js"),
        ("GET", "/api/runs"),
        ("DELETE", "/api/history"),
        ("POST", "/gradio_api/queue/join"),
        ("GET", "/config"),
        ("GET", "/s"),
        ("GET", "/S/abc"),
        ("GET", "//s/abc"),
        ("GET", "/api/runs?next=/s/"),
    ],
)
def test_without_the_key_every_route_says_401(method, path) -> None:
    answer = client(Access(KEY)).request(method, path)
    assert answer.status_code == 401
    assert "asks for its key" in answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    assert KEY not in answer.text


def test_shared_pages_need_no_key() -> None:
    assert client(Access(KEY)).get("/s/abc").json() == "shared abc"


def test_the_key_becomes_a_cookie_and_leaves_the_address() -> None:
    page = client(Access(KEY))
    answer = page.get(f"/?view=history&key={KEY}&q=a%20b")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/?view=history&q=a+b"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "secure" not in cookie
    assert KEY not in cookie
    assert answer.headers["cache-control"] == "no-store"
    assert page.get("/api/runs").json() == "page api/runs"
    assert page.get("/").status_code == 200


def test_over_https_the_cookie_is_secure() -> None:
    answer = client(Access(KEY), "https://x.example").get(f"/?key={KEY}")
    assert "secure" in answer.headers["set-cookie"].lower()


def test_the_redirect_never_leaves_this_host() -> None:
    for path in ("//evil.example/", "/%2Fevil.example/", "/\\evil.example/", "/%0d%0ax:y"):
        answer = client(Access(KEY)).get(f"http://localhost{path}?key={KEY}")
        assert answer.status_code == 303
        location = answer.headers["location"]
        assert location.startswith("/")
        assert not location.startswith(("//", "/\\"))
        assert "\n" not in location


@pytest.mark.parametrize("given", ["", "correct-horsf", KEY.upper(), KEY + "x", "é", "\udcff"])
def test_a_wrong_key_is_not_let_in(given: str) -> None:
    page = client(Access(KEY))
    assert page.get("/", params={"key": given.encode("utf-8", "surrogatepass")}).status_code == 401
    assert (
        page.get("/", headers={"Authorization": f"Bearer {given}".encode("latin-1", "replace")}).status_code
        == 401
    )
    name = "dreamscope_7860"
    assert page.get("/", headers={"Cookie": f"{name}={KEY}"}).status_code == 401
    assert page.get("/", headers={"Cookie": "=;;,\x00"}).status_code == 401


def test_scripts_send_the_key_as_a_bearer() -> None:
    assert client(Access(KEY)).get("/api/runs", headers={"Authorization": f"bearer {KEY}"}).status_code == 200


def test_a_cookie_of_another_key_is_worth_nothing() -> None:
    first, second = client(Access(KEY)), client(Access("another-key"))
    first.get(f"/?key={KEY}")
    second.cookies = first.cookies
    assert second.get("/").status_code == 401


def test_the_websocket_asks_for_the_key_too() -> None:
    page = client(Access(KEY), "http://testserver")  # the only one that this client's websockets know
    with pytest.raises(WebSocketDenialResponse) as refused, page.websocket_connect("/ws"):
        pass
    assert refused.value.status_code == 401
    with pytest.raises(WebSocketDenialResponse), page.websocket_connect(f"/ws?key={KEY}"):
        pass
    page.get(f"/?key={KEY}")
    with page.websocket_connect("/ws") as socket:
        assert socket.receive_text() == "hello"


async def test_a_server_that_cannot_answer_a_websocket_closes_it() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/ws", "query_string": b"", "headers": []}
    await Gate(app(), Access(KEY))(scope, None, send)  # type: ignore[arg-type]
    assert [message["type"] for message in sent] == ["websocket.close"]


def test_keys_are_compared_in_constant_time() -> None:
    source = inspect.getsource(auth)
    assert source.count("compare_digest") == 2
    assert "== self._access.key" not in source
    assert "== self._token" not in source


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:7860", "127.0.0.1:1", "[::1]:7860", "me.localhost"])
def test_without_a_key_this_machine_is_served(host) -> None:
    assert client(Access()).get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "", "[", "10.0.0.5"]
)
def test_without_a_key_other_names_are_refused(host) -> None:
    for path in ("/", "/s/abc"):
        answer = client(Access()).get(path, headers={"Host": host})
        assert answer.status_code == 421
        assert "--allowed-hosts" in answer.text
    with (
        pytest.raises(WebSocketDenialResponse),
        client(Access()).websocket_connect("/ws", headers={"Host": host}),
    ):
        pass


def test_a_name_may_be_allowed() -> None:
    page = client(Access(hosts=("gpu.lab",)))
    assert page.get("/", headers={"Host": "gpu.lab:7860"}).status_code == 200
    assert page.get("/", headers={"Host": "gpu.lab.evil.example"}).status_code == 421


def test_with_a_key_any_name_will_do() -> None:
    page = client(Access(KEY))
    answer = page.get("/", headers={"Host": "x.gradio.live", "Authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("flags", "has_key"),
    [
        ({}, False),
        ({"host": "127.0.0.1"}, False),
        ({"host": "0.0.0.0"}, True),
        ({"host": "192.168.1.5"}, True),
        ({"share": "on"}, True),
    ],
)
def test_a_key_is_made_where_others_can_reach_the_page(flags, has_key) -> None:
    values = load(TABLE, "up", flags, {})
    access = Access.of(values)
    assert (access.key is not None) == has_key
    if access.key:
        assert len(access.key) >= 32
        assert Access.of(values).key != access.key
        assert access.address("http://localhost:1") == f"http://localhost:1/?key={access.key}"
        assert access.key not in repr(access)
    else:
        assert access.address("http://localhost:1") == "http://localhost:1"


def test_the_key_of_the_settings_is_kept() -> None:
    assert Access.of(load(TABLE, "web", {"key": KEY}, {})).key == KEY
    assert Access.of(load(TABLE, "up", {"share": "on"}, {"DREAMSCOPE_KEY": KEY})).key == KEY
    assert Access(KEY + "+/&").address("http://h").endswith("?key=correct-horse%2B%2F%26")


@pytest.mark.parametrize("key", ["short", "with space in it", "ünïcödé-key", "tab\tin-it-here"])
def test_a_weak_or_strange_key_is_refused(key) -> None:
    with pytest.raises(SettingError, match="--key"):
        load(TABLE, "up", {"key": key}, {})


def test_names() -> None:
    assert host_name("a.b:80") == "a.b"
    assert host_name(None) is None
    assert is_loopback("localhost.")
    assert not is_loopback("localhost.example")


async def test_a_refused_websocket_is_a_plain_401_and_no_news(capfd: pytest.CaptureFixture[str]) -> None:
    listener = up.bind("127.0.0.1", 7991)
    config = up._uvicorn_config(Gate(app(), Access(KEY)))
    logging.getLogger("uvicorn.error").addFilter(up._is_news)
    server = up._Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await server.listening.wait()
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws://127.0.0.1:{listener.getsockname()[1]}/ws")
    server.should_exit = True
    await serving
    assert refused.value.response.status_code == 401
    assert "handshake" not in capfd.readouterr().err
