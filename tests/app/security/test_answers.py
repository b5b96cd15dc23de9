"""What every answer says for safety, and addresses, names and titles that lead elsewhere."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from dreamscope.app.auth import Access, Gate

KEY = "correct-horse"
OURS = "http://localhost:7860"
CLIMBING = (
    "../../../etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/history.db",
    "....//history.db",
    "/etc/passwd",
    "..\\..\\history.db",
    "history.db%00.png",
    "C:\\Windows\\win.ini",
    "~",
)


def visited(site: Any, reading: tuple[str, ...], slug: str) -> Iterator[tuple[str, httpx.Response]]:
    """Every address that can be read, with what is there and with what is not."""
    known = {"run_id": "run1", "slug": slug, "nth": "0", "name": "result.json", "comparison_id": "none"}
    for path in reading:
        for values in (known, dict.fromkeys(known, "none")):
            address = path
            for name in ("image_hash", "batch_id", "rest", "rest:path", *values):
                address = address.replace(f"{{{name}}}", values.get(name, "0" * 64))
            yield address, site.http.get(address)
    for address in ("/", "/config", "/ui/main.js", "/ui/none.js", "/none", "/api/none", "/theme.css"):
        yield address, site.http.get(address)


def test_every_answer_has_the_headers_and_tells_no_path(site, run, reading, refused) -> None:
    slug = site.http.post("/api/shares", json={"run": "run1"}).json()["slug"]
    secrets = [str(Path.cwd()), str(Path.home()), str(Path(__file__).parents[2]), tempfile.gettempdir() + "/"]
    seen = 0
    for address, answer in visited(site, reading, slug):
        seen += 1
        if address != "/api/trace":  # which the engine has, and there is none here
            assert answer.status_code < 500, (address, answer.text[:200])
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors" in policy or "sandbox" in policy, address
        assert "default-src" in policy, address
        assert answer.headers["x-content-type-options"] == "nosniff", address
        assert answer.headers["referrer-policy"] in ("same-origin", "no-referrer"), address
        told = answer.text.replace(str(site.folder), "") if address == "/api/storage" else answer.text
        assert [secret for secret in secrets if secret in told] == [], address
        if answer.status_code >= 400 and address.startswith("/api/"):
            refused(answer, answer.status_code)
    assert seen > 60


def test_a_page_connects_to_its_own_server_and_one_worker_elsewhere(site) -> None:
    page = site.http.get("/").headers["content-security-policy"]
    worker = site.http.get("/ui/elsewhere.js").headers["content-security-policy"]
    assert "connect-src 'self';" in page
    assert worker == "default-src 'none'; connect-src http: https:"


def test_answers_of_the_gate_have_them_too(site) -> None:
    for path in ("/", f"/?key={KEY}", "/api/runs"):
        answer = TestClient(Gate(site.app, Access(KEY)), OURS, follow_redirects=False).get(path)
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"


def test_a_download_is_never_a_page(site, run) -> None:
    for path in ("/api/runs/run1/export", "/api/runs/run1/page.html", "/api/runs/run1/download/result.json"):
        assert site.http.get(path).headers["content-disposition"].startswith("attachment;")


@pytest.mark.parametrize("evil", CLIMBING)
def test_nothing_climbs_out_of_its_route(site, run, evil, reading) -> None:
    for path in (path for path in reading if "{" in path):
        before, after = path.partition("{")[0], path.rpartition("}")[2]
        answer = site.http.get(f"{before}{evil}{after}")
        assert answer.status_code < 500, path
        assert b"root:" not in answer.content, path
        assert b"SQLite format" not in answer.content, path


@pytest.mark.parametrize("evil", CLIMBING)
def test_static_files_stay_in_their_folder(site, evil) -> None:
    for base in ("/ui/", "/ui/scenes/", "/static/", "/assets/", "/svelte/"):
        assert site.http.get(base + evil).status_code in (400, 403, 404, 405)


@pytest.mark.parametrize(
    "title",
    [
        'a"; filename="evil.exe',
        "a\r\nSet-Cookie: x=1",
        "../../../.bashrc",
        "..\\x",
        "\u202egnp.exe",
        "C" * 900,
    ],
)
def test_no_title_becomes_a_path_or_a_header(site, run, title) -> None:
    site.store.begin(replace(run, id="named", title=title))
    site.store.flush()
    for path in ("export", "page.html", "download/result.json", "download/annotated.svg"):
        answer = site.http.get(f"/api/runs/named/{path}")
        told = answer.headers["content-disposition"]
        assert told.count('"') == 2
        assert "set-cookie" not in answer.headers
        assert not set(told) & set("\r\n\\/")
        assert ".." not in told
        assert len(told) < 1200


def test_names_in_a_zip_are_only_shown(site, photo) -> None:
    out = io.BytesIO()
    names = ["../../../evil.png", "/etc/evil.png", "..\\..\\evil.png", "C:\\evil.png", "a/../../evil.png"]
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, photo)
    answer = site.http.post("/api/zip", content=out.getvalue())
    assert answer.status_code == 200
    found = [image["name"] for image in answer.json()["images"]]
    assert len(found) == len(names)
    assert not any(".." in name or name.startswith("/") or "\\" in name for name in found)
    assert not list(site.folder.parent.rglob("*evil*"))
