"""By which names a server without keys may be reached: none that somebody else could have made point here."""

from __future__ import annotations

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from dreamscope.engine import wire
from dreamscope.engine.server.auth import host_known
from dreamscope.engine.server.options import ServerOptions

OPTIONS = {"drain_seconds": 0.5, "allowed_hosts": ("box.lan", "127.0.0.1")}


async def status(server, host: str) -> tuple[int, str]:
    """Of a question by a page that was fetched under this name, and the error code if there is one."""
    headers = {"Host": host, "Origin": f"http://{host}"}
    async with httpx.AsyncClient(base_url=f"http://{server.host}:{server.port}", trust_env=False) as http:
        answer = await http.get("/v1/models", headers=headers)
    return answer.status_code, answer.json().get("error", {}).get("code", "")


async def test_a_rebound_name_is_refused_before_anything_is_told(serve, shelf):
    async with serve(shelf, ServerOptions(**OPTIONS)) as server:
        assert await status(server, "evil.example:2020") == (403, "host_not_allowed")
        assert await status(server, "box.lan") == (200, "")
        address = f"ws://evil.example:{server.port}/v1/ws"
        with pytest.raises(InvalidStatus) as caught:
            await connect(address, host=server.host, port=server.port, subprotocols=[wire.SUBPROTOCOL])
        assert caught.value.response.status_code == 403


async def test_with_a_key_every_name_will_do(serve, shelf):
    async with serve(shelf, ServerOptions(**OPTIONS, api_keys=("s3cret",))) as server:
        assert await status(server, "models.example") == (401, "invalid_api_key")


@pytest.mark.parametrize(
    ("host", "known"),
    [
        (None, True),
        ("localhost:2020", True),
        ("127.0.0.1:2020", True),
        ("[::1]:2020", True),
        ("192.168.1.5:2020", True),
        ("Box.LAN", True),
        ("evil.example", False),
        ("box.lan.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
        ("[", False),
    ],
)
def test_host_rule(host, known):
    assert host_known(host, ("box.lan",)) is known
