"""Pages of other sites, names that somebody else made point here, and what Gradio would take from them."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from dreamscope.app.doors import LIMIT_BYTES, UPLOAD

OURS = "http://localhost:7860"
FOREIGN = ("http://evil.example", "null", "http://localhost:7861", "http://localhost", "file://", "x")
FORMS = ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x")
BODIES = {
    "POST /api/runs/delete": {"ids": ["run1"]},
    "POST /api/undo": {"token": "x"},
    "PATCH /api/runs/{run_id}": {"title": "owned"},
    "DELETE /api/history": {"confirm": "delete"},
    "POST /api/shares": {"run": "run1"},
    "POST /api/batches": {"images": [], "columns": []},
}
RAW = ("POST /api/import", "POST /api/images", "POST /api/zip")
RAW = ("POST /api/import", "POST /api/images", "POST /api/zip")


def send(site: Any, route: str, headers: dict[str, str], json_body: bool = True) -> httpx.Response:
    """A request that would change something, as far as its route goes."""
    method, path = route.split(" ")
    path = path.format(run_id="run1", slug="s" * 22, batch_id="b" * 32)
    content = json.dumps(BODIES[route]).encode() if route in BODIES else b"x"
    kind = {"Content-Type": "application/json"} if route in BODIES and json_body else {}
    return site.http.request(method, path, content=content, headers={**kind, **headers})


def test_every_change_that_there_is_has_a_body_here(changing) -> None:
    assert len(changing) >= 14
    assert {*BODIES, *RAW} <= set(changing)


def test_foreign_pages_change_nothing(site, run, changing, refused) -> None:
    before = site.counts()
    for route in changing:
        for origin in FOREIGN:
            refused(send(site, route, {"Origin": origin}), 403)
        for kind in ("cross-site", "same-site"):
            refused(send(site, route, {"Sec-Fetch-Site": kind}), 403)
    assert site.counts() == before
    assert site.store.record("run1") == run


def test_our_own_pages_and_programs_get_past_that(site, run, changing) -> None:
    for route in changing:
        for headers in ({"Origin": OURS, "Sec-Fetch-Site": "same-origin"}, {}):
            assert send(site, route, headers).status_code != 403, route


@pytest.mark.parametrize("route", sorted(BODIES))
@pytest.mark.parametrize("kind", FORMS)
def test_what_a_form_can_send_is_no_json(site, run, route, kind, refused) -> None:
    before = site.counts()
    refused(send(site, route, {"Content-Type": kind}, json_body=False), 415)
    assert site.counts() == before


@pytest.mark.parametrize("origin", FOREIGN)
def test_foreign_pages_cannot_open_the_websocket(site, origin) -> None:
    http = TestClient(site.app, "http://testserver")  # the only name that this client's websockets know
    with pytest.raises(WebSocketDisconnect), http.websocket_connect("/ws", headers={"Origin": origin}):
        pass
    with http.websocket_connect("/ws", headers={"Origin": "http://testserver"}) as socket:
        assert socket.receive_json()


def test_no_page_elsewhere_may_read_an_answer(site, run) -> None:
    for path in ("/api/runs", "/api/runs/run1", "/api/storage", "/", "/config"):
        answer = site.http.get(path, headers={"Origin": "http://evil.example"})
        assert "access-control-allow-origin" not in answer.headers, path
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "DELETE"}
    answer = site.http.options("/api/history", headers=asked)
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/api/runs", "/s/abc", "/ui/main.js", "/gradio_api/info"])
def test_a_name_that_somebody_else_made_point_here_is_refused(site, path) -> None:
    for host in ("evil.example:7860", "localhost.evil.example", "", "127.0.0.1@evil.example"):
        assert site.http.get(path, headers={"Host": host}).status_code == 421, host


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/run/query",
        "/gradio_api/call/query/x",
        "/gradio_api/mcp/messages/",
        "/gradio_api/reset",
        "/gradio_api/vibe-edit/",
        "/gradio_api/component_server",
        "/gradio_api/process_recording",
        "/login",
        "/s/abc",
        "/",
    ],
)
def test_nothing_is_sent_to_gradio(site, path, refused) -> None:
    kept = Path(tempfile.gettempdir()) / "gradio"
    before = sorted(kept.glob("*/mark-of-a-test.bin"))
    answer = site.http.post(path, files={"files": ("mark-of-a-test.bin", b"x" * 64)})
    refused(answer, 405)
    assert sorted(kept.glob("*/mark-of-a-test.bin")) == before


@pytest.mark.parametrize(
    "path", ["/gradio_api/queue/join", "/gradio_api/call/query", "/gradio_api/cancel", "/gradio_api/mcp/"]
)
def test_the_doors_to_gradio_open_for_programs_and_our_pages_alone(site, path, refused) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        refused(site.http.post(path, json={"data": []}, headers=headers), 403)
    refused(site.http.post(path, content=b'{"data": NaN}'), 400)
    refused(site.http.post(path, content=b"[" * 100_000), 400)
    refused(site.http.post(path, content=bytes(LIMIT_BYTES + 1)), 413)
    assert site.http.post(path, json={"data": []}).status_code not in (403, 405, 413, 500)


def test_what_is_uploaded_is_an_image_of_the_history_and_no_file_of_gradio(site, photo, refused) -> None:
    kept = Path(tempfile.gettempdir()) / "gradio"
    before = sorted(kept.glob("*/mark-of-a-test.*"))
    for name, data in (("mark-of-a-test.png", photo), ("../../mark-of-a-test.png", photo)):
        (image_hash,) = site.http.post(UPLOAD, files={"files": (name, data)}).json()
        assert site.store.image(image_hash) is not None
    refused(site.http.post(UPLOAD, files={"files": ("mark-of-a-test.bin", b"x" * 64)}), 400)
    refused(site.http.post(UPLOAD, files={"files": ("x.png", photo)}, headers={"Origin": "null"}), 403)
    assert sorted(kept.glob("*/mark-of-a-test.*")) == before


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=pyproject.toml",
        "/gradio_api/proxy=http://127.0.0.1:22/",
        "/gradio_api/proxy=http://169.254.169.254/latest",
        "/gradio_api/proxy=https://huggingface.co/",
        "/gradio_api/vibe-code/",
        "/gradio_api/custom_component/../../../etc/passwd",
    ],
)
def test_gradio_gives_no_files_and_asks_nobody(site, path) -> None:
    assert 400 <= site.http.get(path).status_code < 500
