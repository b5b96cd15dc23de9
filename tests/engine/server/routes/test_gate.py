"""Keys, and pages of other origins."""

from __future__ import annotations

import pytest

from dreamscope.engine.server.options import ServerOptions


@pytest.fixture
async def locked(serve, shelf):
    options = ServerOptions(
        api_keys=("s3cret", "other"), allowed_origins=("https://lab.example",), drain_seconds=0.5
    )
    async with serve(shelf, options) as harness:
        yield harness


async def test_either_header_carries_the_key(ask, locked):
    for headers in (
        {"x_moondream_auth": "s3cret"},
        {"authorization": "Bearer other"},
        {"authorization": "bEARER s3cret"},
        {"x_moondream_auth": "", "authorization": "Bearer s3cret"},
    ):
        assert (await ask("GET", "/v1/models", harness=locked, **headers)).status == 200, headers


@pytest.mark.parametrize(
    "headers",
    [{}, {"x_moondream_auth": ""}, {"authorization": "Bearer wrong"}, {"authorization": "Basic s3cret"}],
)
async def test_without_the_key_everything_below_v1_is_closed(ask, locked, headers):
    for path in ("/v1/models", "/v1/query", "/v1/stats", "/v1/tuning/x", "/v1/nothing", "/metrics"):
        answer = await ask("POST", path, b"{}", locked, **headers)
        assert (answer.status, answer.code) == (401, "invalid_api_key"), path


async def test_what_says_nothing_secret_stays_open(ask, locked):
    for path in ("/", "/v1", "/v1/", "/health", "/openapi.json"):
        assert (await ask("GET", path, harness=locked)).status == 200, path


async def test_without_configured_keys_any_key_is_fine(ask):
    assert (await ask("GET", "/v1/models", authorization="Bearer whatever")).status == 200


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1", "https://lab.example"])
async def test_allowed_pages_may_ask_and_read(ask, locked, origin):
    preflight = await ask("OPTIONS", "/v1/query", harness=locked, origin=origin)
    assert (preflight.status, preflight.body) == (204, b"")
    assert preflight.headers["access-control-allow-methods"] == "GET, POST"
    allowed = "Content-Type, Authorization, X-Moondream-Auth, X-Request-Id"
    assert preflight.headers["access-control-allow-headers"] == allowed
    answer = await ask("GET", "/v1/models", harness=locked, origin=origin, x_moondream_auth="s3cret")
    for each in (preflight, answer):
        assert each.headers["access-control-allow-origin"] == origin
        assert each.headers["access-control-expose-headers"] == "X-Request-Id"
        assert each.headers["vary"] == "Origin"
    refused = await ask("GET", "/v1/models", harness=locked, origin=origin)
    assert refused.status == 401
    assert refused.headers["access-control-allow-origin"] == origin  # the page may read why


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example"])
async def test_foreign_pages_may_not(ask, locked, origin):
    for method in ("OPTIONS", "GET", "POST"):
        answer = await ask(method, "/v1/query", harness=locked, origin=origin, x_moondream_auth="s3cret")
        assert (answer.status, answer.code) == (403, "origin_not_allowed")
        assert "access-control-allow-origin" not in answer.headers
