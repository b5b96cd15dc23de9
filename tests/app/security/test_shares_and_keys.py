"""Who sees what: shared pages when what they show has gone, and everything else behind a key."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from dreamscope.app.auth import Access, Gate

KEY = "correct-horse"
OURS = "http://localhost:7860"


def test_a_share_ends_with_what_it_shows(site, run, make_query) -> None:
    def share(**subject: Any) -> str:
        slug: str = site.http.post("/api/shares", json=subject).json()["slug"]
        return slug

    def statuses(slug: str) -> set[int]:
        paths = ("", "/image/0", "/timeline/0", "/preview.png")
        return {site.http.get(f"/s/{slug}{path}").status_code for path in paths}

    slug = share(run="run1")
    assert statuses(slug) == {200}
    undo = site.http.delete("/api/runs/run1").json()["undo"]
    assert statuses(slug) == {410}
    site.http.post("/api/undo", json={"token": undo})
    assert statuses(slug) == {200}
    site.http.delete(f"/api/shares/{slug}")
    assert statuses(slug) == {410}
    brief = share(run="run1", expires_in_s=0.001)
    assert statuses(brief) == {410}
    last = share(run="run1")
    site.http.request("DELETE", "/api/history", json={"confirm": "delete"})
    assert statuses(last) <= {404, 410}
    for slug in ("a" * 22, "a" * 21, "*", "%", "' OR 1=1 --", "..%2f", "a" * 5000):
        assert statuses(slug) == {404}


def test_an_end_tells_nothing_of_what_was_shared(site, run) -> None:
    slug = site.http.post("/api/shares", json={"run": "run1"}).json()["slug"]
    site.http.delete("/api/runs/run1")
    answer = site.http.get(f"/s/{slug}")
    for word in ("run1", run.title, run.prompt, slug):
        assert word not in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy


def test_behind_a_key_only_shared_pages_are_open(site, run) -> None:
    slug = site.http.post("/api/shares", json={"run": "run1"}).json()["slug"]
    locked = TestClient(Gate(site.app, Access(KEY)), OURS, follow_redirects=False)
    for path in ("", "/image/0", "/timeline/0", "/preview.png"):
        assert locked.get(f"/s/{slug}{path}").status_code == 200
    for path in (
        "/",
        "/api/runs",
        "/api/runs/run1",
        "/api/shares",
        f"/api/images/{run.picture.hash}",
        "/ui/main.js",
        "/config",
        "/gradio_api/info",
        "/s",
        "/S/x",
        "//s/x",
        f"/api/shares/../../s/{slug}/../../api/runs",
        "/%73/../api/runs",
    ):
        answer = locked.get(path)
        assert answer.status_code in (401, 404), path
        assert run.prompt not in answer.text
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert locked.request(method, f"/s/{slug}").status_code == 401
    with (
        pytest.raises(WebSocketDisconnect),
        TestClient(Gate(site.app, Access(KEY)), "http://testserver").websocket_connect(f"/s/{slug}"),
    ):
        pass


def test_the_key_is_told_to_nobody(site, run, caplog, capfd) -> None:
    caplog.set_level(0)
    locked = TestClient(Gate(site.app, Access(KEY)), OURS, follow_redirects=True)
    page = locked.get(f"/?view=history&key={KEY}")
    assert page.status_code == 200
    assert KEY not in str(page.url)
    slug = locked.post("/api/shares", json={"run": "run1"}).json()["slug"]
    answers = [page, *(locked.get(path) for path in ("/config", "/api/runs", "/api/runs/run1?events=1"))]
    answers += [locked.get(f"/api/runs/run1/{path}") for path in ("export", "page.html", "code", "raw.json")]
    answers += [locked.get(f"/s/{slug}"), locked.get("/api/storage"), locked.get(f"/none?key={KEY}x")]
    for answer in answers:
        assert KEY.encode() not in answer.content
        assert KEY not in str(answer.headers)
    site.store.flush()
    kept = [file.read_bytes() for file in site.folder.iterdir() if file.is_file()]
    assert not any(KEY.encode() in data for data in kept)
    assert KEY not in "".join(record.getMessage() for record in caplog.records if "httpx" not in record.name)
    assert KEY not in "".join(capfd.readouterr())
