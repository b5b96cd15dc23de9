"""The public address: made by Gradio's own tunnel where there is one, and a sentence where there is not."""

from __future__ import annotations

import json
import stat
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from gradio import networking, tunneling

from dreamscope.app import words
from dreamscope.app.auth import Access
from dreamscope.app.tunnel import Tunnel, TunnelFailed
from dreamscope.app.up import _publish

FRPC = """#!{python}
import json, pathlib, sys, time
folder = pathlib.Path({folder!r})
folder.joinpath("arguments.json").write_text(json.dumps(sys.argv[1:]))
print({line!r}, flush=True)
time.sleep(60)
"""


class Share(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        place = [{"host": "tunnel.example", "port": 7000, "root_ca": "CERTIFICATE"}]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(place).encode())

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def share_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = HTTPServer(("127.0.0.1", 0), Share)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr(networking, "GRADIO_API_SERVER", f"http://127.0.0.1:{server.server_port}/")
    yield
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def frpc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def make(line: str) -> Path:
        program = tmp_path / "frpc"
        program.write_text(FRPC.format(python=sys.executable, folder=str(tmp_path), line=line))
        program.chmod(program.stat().st_mode | stat.S_IEXEC)
        monkeypatch.setattr(tunneling, "BINARY_PATH", str(program))
        return tmp_path / "arguments.json"

    return make


async def test_the_address_leads_to_our_port(share_server, frpc, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = frpc("start proxy success: https://abc.gradio.live")
    said: list[str] = []
    with Tunnel("0.0.0.0", 7861) as tunnel:
        await _publish(tunnel, Access("some-long-key"), said.append)
        given = json.loads(arguments.read_text())
        certificate = Path(given[given.index("--tls_trusted_ca_file") + 1])
        assert certificate.read_text() == "CERTIFICATE"
    assert said[0] == "Public address: https://abc.gradio.live/?key=some-long-key"
    assert words.SHARE_WARNING in said[1]
    assert given[given.index("-l") + 1] == "7861"
    assert given[given.index("-i") + 1] == "127.0.0.1"
    assert given[given.index("--server_addr") + 1] == "tunnel.example:7000"
    assert not certificate.exists()
    assert not (tmp_path / ".gradio").exists()


async def test_no_share_server_is_said_and_all_goes_on(monkeypatch) -> None:
    monkeypatch.setattr(networking, "GRADIO_API_SERVER", "http://127.0.0.1:9/")
    said: list[str] = []
    with Tunnel("127.0.0.1", 7861) as tunnel:
        await _publish(tunnel, Access("some-long-key"), said.append)
    (line,) = said
    assert line.startswith("No public address could be made: ")
    assert line.endswith(words.SHARE_OFF)


async def test_a_refusal_of_the_tunnel_is_a_sentence(share_server, frpc) -> None:
    frpc("login to server failed: full")
    with Tunnel("127.0.0.1", 7861) as tunnel, pytest.raises(TunnelFailed, match="No public address"):
        await tunnel.open()
