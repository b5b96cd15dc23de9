"""The HTTP side, in process: addresses, the error body, the request id, health."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest

from dreamscope.engine import errors
from dreamscope.engine.server.app import build_app
from dreamscope.engine.server.options import ServerOptions


async def call(
    app, path: str, method: str = "GET", headers: dict[str, str] | None = None, fails: bool = False
):
    """Status, headers, body of one request; with `fails`, the application is expected to raise as well."""
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2020),
    }

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    with pytest.raises(RuntimeError) if fails else contextlib.nullcontext():
        await app(scope, receive, send)
    got = {k.decode().lower(): v.decode() for k, v in sent[0]["headers"]}
    body = b"".join(m.get("body", b"") for m in sent[1:])
    return sent[0]["status"], got, body


@pytest.fixture
def app(shelf):
    return build_app(shelf, ServerOptions())


async def test_health(app):
    status, headers, body = await call(app, "/health")
    assert status == 200
    facts = json.loads(body)
    assert (facts["status"], facts["model"], facts["device"]) == ("ok", "sprite-2", "cpu float32")
    assert facts["loaded"] == ["sprite-2"]
    assert facts["server"]
    assert facts["version"]
    assert headers["content-type"] == "application/json"


async def test_health_while_loading_and_after_a_failure(loading_shelf, stock):
    app = build_app(loading_shelf, ServerOptions())
    status, headers, body = await call(app, "/health")
    assert (status, json.loads(body)["status"]) == (503, "loading")
    assert headers["retry-after"] == "1"
    stock.fail("sprite-2", errors.WeightsNotFound("No weights."))
    with pytest.raises(errors.WeightsNotFound):
        await loading_shelf.wait("sprite-2")
    assert json.loads((await call(app, "/health"))[2])["status"] == "failed"


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "//v1", "//v1//", "/health/", "//health"])
async def test_slashes_never_redirect(app, path):
    assert (await call(app, path))[0] == 200


async def test_not_found(app):
    status, headers, body = await call(app, "/v1/nothing\u00e9")
    assert status == 404
    assert body.isascii()
    parsed = json.loads(body)
    assert set(parsed) == {"error", "request_id"}
    assert set(parsed["error"]) == {"message", "type", "param", "code"}
    assert (parsed["error"]["type"], parsed["error"]["code"]) == ("not_found_error", "not_found")
    assert headers["x-request-id"] == parsed["request_id"]


async def test_the_socket_address_says_how_to_open_it(app):
    status, _, body = await call(app, "/v1/ws")
    assert status == 400
    assert "md-stream.v1" in json.loads(body)["error"]["message"]


async def test_method_not_allowed(app):
    status, headers, body = await call(app, "/health", "POST")
    assert status == 405
    assert "GET" in headers["allow"]
    assert json.loads(body)["error"]["code"] == "method_not_allowed"


async def test_request_ids_are_unique_or_the_callers(app):
    first = (await call(app, "/health"))[1]["x-request-id"]
    second = (await call(app, "/health"))[1]["x-request-id"]
    assert first != second
    assert (await call(app, "/health", headers={"X-Request-Id": "mine:1"}))[1]["x-request-id"] == "mine:1"
    assert (await call(app, "/health", headers={"X-Request-Id": "no good"}))[1]["x-request-id"] != "no good"


async def test_a_bug_in_a_route_is_our_error_body(shelf, monkeypatch):
    app = build_app(shelf, ServerOptions())

    def broken(self):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(type(shelf), "device", property(broken))
    status, headers, body = await call(app, "/health", fails=True)  # raised again for the server's log
    assert status == 500
    assert b"secret" not in body
    assert json.loads(body)["error"]["code"] == "internal_error"
    assert headers["x-request-id"] == json.loads(body)["request_id"]
