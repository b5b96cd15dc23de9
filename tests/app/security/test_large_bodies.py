"""Bodies without an end, forms, and zips that are more than they seem."""

from __future__ import annotations

import io
import json
import tracemalloc
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from dreamscope.app.config import IMAGE_LIMIT_BYTES
from dreamscope.app.routes.answers import JSON_LIMIT_BYTES
from dreamscope.app.store.portable import FILE_LIMIT_BYTES, RUN
from dreamscope.app.zips import BadZip, files_of


class Endless:
    """A body without an end, of which it is known how much was taken."""

    def __init__(self, most: int) -> None:
        self.taken = 0
        self._most = most

    def __iter__(self) -> Iterator[bytes]:
        piece = bytes(2**16)
        while self.taken < self._most:
            self.taken += len(piece)
            yield piece


LIMITS = {
    "POST /api/images": IMAGE_LIMIT_BYTES,
    "POST /api/import": FILE_LIMIT_BYTES,
    "POST /api/shares": JSON_LIMIT_BYTES,
    "POST /api/batches": JSON_LIMIT_BYTES,
    "PATCH /api/runs/{run_id}": JSON_LIMIT_BYTES,
}


@pytest.mark.parametrize("route", sorted(LIMITS))
async def test_a_body_is_read_no_further_than_its_limit(site, run, route) -> None:
    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 2**18
        return {"type": "http.request", "body": bytes(2**18), "more_body": True}

    sent: list[dict[str, Any]] = []

    async def keep(message: dict[str, Any]) -> None:
        sent.append(message)

    method, path = route.split(" ")
    path = path.format(run_id="run1")
    headers = [(b"host", b"localhost:7860"), (b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "scheme": "http",
        "server": ("localhost", 7860),
        "client": ("127.0.0.1", 1),
    }
    tracemalloc.start()
    await site.app({**scope, "http_version": "1.1", "root_path": ""}, receive, keep)  # type: ignore[arg-type]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sent[0]["status"] == 413
    assert "error" in json.loads(sent[1]["body"])
    assert taken <= LIMITS[route] + 2**19
    assert peak < 2.5 * LIMITS[route] + 2**22


def test_a_zip_that_is_too_large_is_refused(site, monkeypatch, refused) -> None:
    monkeypatch.setattr("dreamscope.app.routes.batches.ZIP_LIMIT_BYTES", 2**20)
    body = Endless(2**23)
    refused(site.http.post("/api/zip", content=iter(body)), 413)


@pytest.mark.parametrize("route", ["POST /api/images", "POST /api/import"])
def test_a_form_says_how_long_it_is(site, route, refused) -> None:
    path = route.split(" ")[1]
    kind = "multipart/form-data; boundary=x"
    refused(site.http.post(path, content=iter(Endless(2**20)), headers={"Content-Type": kind}), 413)
    long = {"Content-Type": kind, "Content-Length": str(10**10)}
    refused(site.http.post(path, content=b"", headers=long), 413)
    refused(site.http.post(path, content=b"--y\r\n", headers={"Content-Type": kind}), 400)
    refused(site.http.post(path, content=b"", headers={"Content-Type": "multipart/form-data"}), 400)
    refused(site.http.post(path, files=[("a", b"1"), ("b", b"2")]), 400)
    refused(site.http.post(path, files=[("a", b"1")], data={"note": "x" * 4000}), 400)


@pytest.mark.parametrize("path", ["/api/zip", "/api/import"])
def test_a_list_of_a_million_files_is_not_made(site, path, refused) -> None:
    entry = zipfile.ZipInfo("a")
    header = b"PK\x01\x02" + bytes(42)
    directory = header * 400_000
    end = b"PK\x05\x06" + bytes(4) + b"\xff\xff" * 2 + len(directory).to_bytes(4, "little") + bytes(6)
    tracemalloc.start()
    answer = site.http.post(path, content=directory + end)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "too long" in refused(answer, 400)
    assert peak < 5 * len(directory), entry


def test_a_long_list_of_files_is_refused_in_either_form() -> None:
    """The two places in which a zip says how long its list is."""
    directory = (b"PK\x01\x02" + bytes(42)) * 200_000
    size = len(directory)
    record = b"PK\x06\x06" + (44).to_bytes(8, "little") + bytes(20) + (10**5).to_bytes(8, "little")
    record += size.to_bytes(8, "little") + bytes(8)
    locator = b"PK\x06\x07" + bytes(4) + size.to_bytes(8, "little") + (1).to_bytes(4, "little")
    end = b"PK\x05\x06" + bytes(4) + b"\xff\xff" * 2 + b"\xff" * 8 + bytes(2)
    with pytest.raises(BadZip):
        list(files_of(io.BytesIO(directory + record + locator + end)))


def test_a_zip_bomb_is_skipped_or_refused(site, refused) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(60_000_000))
        archive.writestr(RUN, bytes(60_000_000))
    tracemalloc.start()
    answer = site.http.post("/api/zip", content=out.getvalue())
    refused(site.http.post("/api/import", content=out.getvalue()), 400)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer.json()["images"] == []
    assert peak < 120_000_000
