"""Comparisons and batches over HTTP, as the page uses them."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
import sys
import zipfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from dreamscope.app.asks import parse_ask
from dreamscope.app.background import ask_recorded
from dreamscope.app.images import normalise
from dreamscope.app.routes import batches as batch_routes
from dreamscope.app.supervisor import Supervisor

SERVER = Path(__file__).parent / "history_server.py"
COLUMNS = [{"skill": "detect", "object": "dog", "model": model} for model in ("sprite-2", "sprite-3")]

HANGING = [
    {"skill": "query", "question": "hang", "reasoning": True, "model": column["model"]} for column in COLUMNS
]


def png(shade: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 48), (shade, shade, 200)).save(out, "PNG")
    return out.getvalue()


def packed(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "../").replace("_", "."), data)
    return out.getvalue()


@pytest.fixture
async def http(engine, store, serve_routes) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serve_routes(engine, store) as address,
        httpx.AsyncClient(base_url=f"http://{address}", trust_env=False, timeout=30) as client,
    ):
        yield client


async def until_done(http: httpx.AsyncClient, batch_id: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            state = (await http.get(f"/api/batches/{batch_id}", params={"report": "0"})).json()
            assert "html" not in state
            if state["state"] not in ("queued", "running"):
                return state


async def batch_of(http: httpx.AsyncClient, *shades: int, **more: Any) -> str:
    data = packed(**{f"{shade}_png": png(shade) for shade in shades})
    images = (await http.post("/api/zip", content=data)).json()["images"]
    answer = await http.post("/api/batches", json={"images": images, "columns": COLUMNS, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


async def test_from_a_zip_to_the_exports(http):
    data = packed(a_png=png(1), __b_png=png(2), notes_txt=b"no image", broken_png=png(3)[:60])
    answer = (await http.post("/api/zip", content=data)).json()
    assert [image["name"] for image in answer["images"]] == ["b.png", "a.png"]
    assert {file["name"] for file in answer["skipped"]} == {"notes.txt", "broken.png"}
    assert all("image" in file["reason"] for file in answer["skipped"])
    started = await http.post(
        "/api/batches", json={"title": "Dogs", "images": answer["images"], "columns": COLUMNS}
    )
    batch_id = started.json()["id"]
    state = await until_done(http, batch_id)
    assert (state["state"], state["done"], state["failed"], state["total"]) == ("done", 2, 0, 2)
    assert state["text"] == "2 images compared"
    assert state["columns"] == ["Sprite 2", "Sprite 3"]
    report = (await http.get(f"/api/batches/{batch_id}")).json()["html"]
    assert "Same number of boxes on 2 of 2 images." in report
    assert 'class="matrix"' in report
    assert 'class="bars"' in report
    listed = (await http.get("/api/batches")).json()["batches"]
    assert [(each["id"], each["title"], each["state"], each["total"]) for each in listed] == [
        (batch_id, "Dogs", "done", 2)
    ]
    sheet = await http.get(f"/api/batches/{batch_id}/export.csv")
    assert sheet.headers["content-disposition"] == 'attachment; filename="batch.csv"'
    rows = list(csv.DictReader(io.StringIO(sheet.content.decode("utf-8-sig"), newline="")))
    assert [(row["image"], row["left_count"], row["matched"]) for row in rows] == [
        ("b.png", "3", "3"),
        ("a.png", "3", "3"),
    ]
    data = json.loads((await http.get(f"/api/batches/{batch_id}/export.json")).content)
    assert data["items"][0]["comparison"] in report


async def test_a_pair_of_a_batch_is_a_comparison(http):
    batch_id = await batch_of(http, 1)
    await until_done(http, batch_id)
    data = (await http.get(f"/api/batches/{batch_id}/export.json")).json()
    comparison = data["items"][0]["comparison"]
    kept = (await http.get(f"/api/comparisons/{comparison}")).json()
    assert kept["kind"] == "batch"
    by_comparison = (await http.get("/api/compare", params={"comparison": comparison})).json()
    by_runs = (await http.get("/api/compare", params={"run": kept["runs"]})).json()
    assert by_comparison == by_runs
    assert len(by_runs["pairs"]) == 3
    assert [column["run"] for column in by_runs["columns"]] == kept["runs"]
    assert "3 matched" in by_runs["strip"]
    sheet = await http.get(f"/api/comparisons/{comparison}/export.csv")
    assert sheet.headers["content-disposition"].startswith('attachment; filename="dog.comparison.csv"')
    rows = list(csv.DictReader(io.StringIO(sheet.content.decode("utf-8-sig"), newline="")))
    assert [(row["run"], row["count"]) for row in rows] == [(run_id, "3") for run_id in kept["runs"]]
    data = (await http.get(f"/api/comparisons/{comparison}/export.json")).json()
    assert len(data["between"][0]["pairs"]) == 3
    assert (await http.get("/api/comparisons/none/export.csv")).status_code == 404
    swapped = (await http.get("/api/compare", params={"run": kept["runs"][::-1]})).json()
    assert [column["name"] for column in swapped["columns"]] == ["Sprite 3", "Sprite 2"]


async def test_cancel_and_continue_over_http(http):
    batch_id = await batch_of(http, 1, 2, columns=HANGING)
    cancelled = (await http.post(f"/api/batches/{batch_id}/cancel")).json()
    assert cancelled["state"] == "stopped"
    assert cancelled["text"] == "Cancelled after 0 of 2 images"
    again = (await http.post(f"/api/batches/{batch_id}/continue")).json()
    assert (again["id"], again["state"]) == (batch_id, "running")
    assert (await http.post(f"/api/batches/{batch_id}/cancel")).json()["state"] == "stopped"


async def test_a_batch_goes_on_without_a_page_and_ends_with_the_server(engine, store, serve_routes):
    async with serve_routes(engine, store) as address:
        async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as http:
            batch_id = await batch_of(http, 1, columns=HANGING)
        async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as http:
            state = (await http.get(f"/api/batches/{batch_id}")).json()
            assert state["state"] in ("queued", "running")
    assert store.batch(batch_id).state == "interrupted"


@contextlib.asynccontextmanager
async def process_with(engine_url: str, folder: Path) -> AsyncIterator[tuple[Process, httpx.AsyncClient]]:
    """The page's server as a process of its own, and a client of it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, SERVER, engine_url, folder, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60):
            address = (await process.stdout.readline()).decode().split()[-1]
        async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False, timeout=30) as client:
            yield process, client
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_killed_server_leaves_a_batch_that_can_be_continued(engine_script, tmp_path):
    engine = Supervisor(engine_script("--delay=0.1"))
    engine.start()
    try:
        await engine.wait_ready()
        async with process_with(engine.status.url, tmp_path) as (process, http):
            batch_id = await batch_of(http, *range(6))
            async with asyncio.timeout(60):
                while not (await http.get(f"/api/batches/{batch_id}")).json()["done"]:
                    pass
            process.kill()
            await process.wait()
        async with process_with(engine.status.url, tmp_path) as (_, http):
            left = (await http.get(f"/api/batches/{batch_id}")).json()
            assert left["state"] == "interrupted"
            assert 0 < left["done"] < 6
            assert "can be continued" in left["text"]
            await http.post(f"/api/batches/{batch_id}/continue")
            state = await until_done(http, batch_id)
            assert (state["state"], state["done"], state["failed"]) == ("done", 6, 0)
    finally:
        await engine.stop()


async def test_compare_refuses_what_cannot_be(http, engine, store):
    picture = store.put_image(normalise(png(1)))
    ask = parse_ask({"skill": "caption", "length": "short"})
    await ask_recorded(engine, store, ask, picture)
    for query, status in (
        ([], 400),
        ([("run", ask.id)], 400),
        ([("run", ask.id)] * 5, 400),
        ([("run", ask.id), ("run", "0" * 32)], 404),
        ([("comparison", "0" * 32)], 404),
    ):
        answer = await http.get("/api/compare", params=query)
        assert answer.status_code == status
        assert answer.json()["error"]["message"]
    same = (await http.get("/api/compare", params=[("run", ask.id)] * 2)).json()
    assert 'class="diff same"' in same["diff"]["1"]


@pytest.mark.parametrize(
    "change",
    [
        {"images": []},
        {"images": "all"},
        {"images": [{"hash": "../../etc/passwd", "name": "a"}]},
        {"images": [{"hash": "0" * 64, "name": "a"}]},
        {"columns": COLUMNS[:1]},
        {"columns": "both"},
        {"columns": [COLUMNS[0], {"skill": "dance"}]},
        {"title": 3},
    ],
)
async def test_strange_batches_are_refused(http, store, change):
    picture = store.put_image(normalise(png(1)))
    body = {"images": [{"hash": picture.hash, "name": "a.png"}], "columns": COLUMNS, **change}
    answer = await http.post("/api/batches", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]
    assert store.batches() == ()


async def test_zips_that_are_none_or_too_large(http, monkeypatch):
    assert (await http.post("/api/zip", content=b"hello")).status_code == 400
    monkeypatch.setattr(batch_routes, "ZIP_LIMIT_BYTES", 10)
    assert (await http.post("/api/zip", content=packed(a_png=png(1)))).status_code == 413


async def test_other_sites_may_change_nothing(http, store):
    foreign = {"origin": "https://elsewhere.example"}
    for path in (
        "/api/zip",
        "/api/batches",
        f"/api/batches/{'0' * 32}/cancel",
        f"/api/batches/{'0' * 32}/continue",
    ):
        answer = await http.post(path, content=b"{}", headers=foreign)
        assert answer.status_code == 403, path


async def test_unknown_batches_are_not_found(http):
    for path in ("", "/export.csv", "/export.json"):
        assert (await http.get(f"/api/batches/nothing{path}")).status_code == 404
    for action in ("cancel", "continue"):
        assert (await http.post(f"/api/batches/{'0' * 32}/{action}")).status_code == 404


async def kept_run(engine, store, model: str = "sprite-2") -> str:
    picture = store.put_image(normalise(png(1)))
    ask = parse_ask({"skill": "detect", "object": "dog", "model": model})
    return (await ask_recorded(engine, store, ask, picture)).id


async def test_runs_side_by_side_are_kept_as_one_comparison(http, engine, store):
    runs = [await kept_run(engine, store, model) for model in ("sprite-2", "sprite-3")]
    kept = await http.post("/api/comparisons", json={"runs": runs[::-1], "title": "Dogs"})
    assert kept.status_code == 201
    assert kept.json()["runs"] == runs[::-1]
    told = (await http.get(f"/api/comparisons/{kept.json()['id']}")).json()
    assert (told["title"], told["kind"], told["runs"]) == ("Dogs", "compare", runs[::-1])
    assert (await http.post("/api/comparisons", json={"runs": runs[::-1]})).json() == kept.json()


async def test_a_run_of_another_comparison_joins_as_a_copy(http, engine, store):
    first, second, third = [await kept_run(engine, store) for _ in range(3)]
    before = (await http.post("/api/comparisons", json={"runs": [first, second]})).json()
    after = (await http.post("/api/comparisons", json={"runs": [second, third, third]})).json()
    assert (await http.get(f"/api/comparisons/{before['id']}")).json()["runs"] == [first, second]
    copy, own, again = after["runs"]
    assert own == third
    assert len({first, second, third, copy, again}) == 5
    for made, of in ((copy, second), (again, third)):
        left, right = store.record(made), store.record(of)
        assert (left.parts, left.created_at, left.answerer) == (right.parts, right.created_at, right.answerer)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        *(({"runs": ["a" * 32]}, 400), ({"runs": "both"}, 400), ({"runs": ["a" * 32] * 2}, 400)),
        ({"runs": ["a" * 32] * 2, "title": 3}, 400),
    ],
)
async def test_strange_comparisons_are_refused(http, body, status):
    answer = await http.post("/api/comparisons", json=body)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    foreign = {"origin": "https://elsewhere.example"}
    assert (await http.post("/api/comparisons", json=body, headers=foreign)).status_code == 403


async def test_what_answered_and_its_price_are_kept_with_the_run(engine, store, http):
    runs = [await kept_run(engine, store, model) for model in ("sprite-2", "cloud/moondream3.1")]
    here, there = (store.record(run).answerer for run in runs)
    assert (here.name, here.endpoint, here.price) == ("Sprite 2", "", None)
    assert (there.name, there.endpoint) == ("moondream3.1 at cloud", "cloud")
    local, remote = (await http.get("/api/compare", params={"run": runs})).json()["columns"]
    assert (local["name"], local["cost"]["charged_usd"]) == ("Sprite 2", 0)
    assert remote["cost"] == {
        "endpoint": "cloud",
        "charged_usd": pytest.approx((735 * 0.3 + 61) / 1e6),
        "elsewhere_usd": None,
        "elsewhere": None,
    }
    result = (await http.get(f"/api/runs/{runs[1]}/download/result.json")).json()
    assert result["cost"] == remote["cost"]
