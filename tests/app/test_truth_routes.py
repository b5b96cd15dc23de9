"""Truth of a run over HTTP, and where it is told: the run, its files, its shared page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from dreamscope.app import words
from dreamscope.app.asks import parse_ask
from dreamscope.app.background import ask_recorded
from dreamscope.app.images import normalise

FIRST = [0.14, 0.6, 0.36, 0.88]  # where the fake engine finds its first dog
ELSEWHERE = [0.0, 0.0, 0.1, 0.1]
TRUTH = [{"at": FIRST, "label": "dog"}, {"at": ELSEWHERE, "label": ""}]


@pytest.fixture
async def http(engine, store, serve_routes) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serve_routes(engine, store) as address,
        httpx.AsyncClient(base_url=f"http://{address}", trust_env=False, timeout=30) as client,
    ):
        yield client


@pytest.fixture
async def found(engine, store, png):
    """A run that has found three dogs."""
    picture = await asyncio.to_thread(store.put_image, normalise(png))
    record = await ask_recorded(engine, store, parse_ask({"skill": "detect", "object": "dog"}), picture)
    await asyncio.to_thread(store.flush)
    return record


async def test_truth_is_kept_and_told(http, found, store):
    path = f"/api/runs/{found.id}/truth"
    assert (await http.get(path)).json() == {
        "truth": None,
        "found": None,
        "line": "",
        "layer": "",
        "entries": "",
    }
    said = (await http.put(path, json={"truth": TRUTH})).json()
    assert said["truth"] == TRUTH
    assert [hit["ground"] for hit in said["found"]["hit"]] == ["b0"]
    assert (said["found"]["wrong"], said["found"]["missed"]) == (["b1", "b2"], [1])
    assert "Truth: 1 of 2 hit, 1 missed; 2 boxes hit nothing." in said["line"]
    assert (await http.get(path)).json() == said
    assert (await http.get(f"/api/runs/{found.id}")).json()["truth"] == TRUTH
    assert (await http.get(f"/api/runs/{found.id}/raw.json")).json()["truth"] == TRUTH
    result = (await http.get(f"/api/runs/{found.id}/download/result.json")).json()
    assert result["truth"] == said["found"]
    packed = await http.get(f"/api/runs/{found.id}/export")
    copied = (await http.post("/api/import", content=packed.content)).json()["id"]
    assert store.record(copied).truth == store.record(found.id).truth
    assert (await http.put(path, json={"truth": None})).json()["truth"] is None
    assert store.record(found.id).truth is None


async def test_a_shared_page_tells_it(http, found):
    await http.put(f"/api/runs/{found.id}/truth", json={"truth": TRUTH})
    slug = (await http.post("/api/shares", json={"run": found.id})).json()["slug"]
    for page in (
        (await http.get(f"/s/{slug}")).text,
        (await http.get(f"/api/runs/{found.id}/page.html")).text,
    ):
        assert "Truth: 1 of 2 hit, 1 missed; 2 boxes hit nothing." in page
        assert 'class="truth-badge hit" data-ground="b0"' in page
        assert "Box 2 · hits nothing" in page


async def test_a_coco_file_of_the_run_itself_is_all_hits(http, found):
    """What one run exports can be the truth of another."""
    data = (await http.get(f"/api/runs/{found.id}/download/coco.json")).json()
    said = (await http.put(f"/api/runs/{found.id}/truth", json={"file": data})).json()
    assert "Truth: 3 of 3 hit, 0 missed." in said["line"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, words.TRUTH_OF_WHAT),
        ({"truth": [], "file": []}, words.TRUTH_OF_WHAT),
        ({"truth": "x"}, "truth must be a list"),
        ({"file": None}, "truth must be a list"),
        ({"truth": [{"at": [0.5, 0.5]}]}, "must be boxes"),
        ({"truth": [{"at": FIRST, "label": "cat"}]}, "looked for dog"),
        ({"truth": [{"at": [2, 0, 3, 1]}]}, "numbers from 0 to 1"),
    ],
)
async def test_what_does_not_fit_is_refused(http, found, store, body, said):
    answer = await http.put(f"/api/runs/{found.id}/truth", json=body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]
    assert store.record(found.id).truth is None


async def test_truth_is_for_our_own_page_and_for_runs_that_are_kept(http, found):
    foreign = {"Origin": "https://evil.example"}
    answer = await http.put(f"/api/runs/{found.id}/truth", json={"truth": TRUTH}, headers=foreign)
    assert answer.status_code == 403
    assert (await http.put("/api/runs/nothing/truth", json={"truth": TRUTH})).status_code == 404
    assert (await http.get("/api/runs/nothing/truth")).status_code == 404
