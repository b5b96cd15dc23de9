"""Questions without an image, from the page's message to every place that shows a run."""

from __future__ import annotations

import html
import io
import re
from collections.abc import AsyncIterator

import httpx
import pytest
from PIL import Image
from starlette.datastructures import QueryParams

from dreamscope.app import words
from dreamscope.app.asks import Invalid, parse_ask
from dreamscope.app.routes.history_answers import run_json
from dreamscope.app.store.kinds import Search
from dreamscope.app.ui.history_rows import row_html
from dreamscope.engine import wire
from dreamscope.visualizers.exports.formats import FORMATS

ASK = {"skill": "query", "question": "How many dogs?", "reasoning": True, "image": False}
IMAGES = tuple(name for name in FORMATS if name != "result.json")


def readable(page: str) -> str:
    """The body's text as people read it, without what its scripts hold."""
    body = re.sub("<script.*?</script>", "", page.partition("<body")[2], flags=re.DOTALL)
    return html.unescape(re.sub("<[^>]+>", "", body))


@pytest.fixture
async def http(engine, store, serve_routes) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serve_routes(engine, store) as address,
        httpx.AsyncClient(base_url=f"http://{address}", trust_env=False, timeout=30) as client,
    ):
        yield client


@pytest.fixture
async def asked(page, recorded):
    """A question without an image that has been answered."""
    await page.send(run=ASK)
    await page.until_run("done")
    return await recorded(page, "done")


@pytest.fixture
async def compared(page, store, recorded):
    """Two such runs beside each other."""
    columns = [
        {**ASK, "column": name, "model": model} for name, model in (("0", "sprite-2"), ("1", "sprite-3"))
    ]
    await page.send(compare={"columns": columns})
    await page.until_all("done", "0", "1")
    return [await recorded(page, "done", column) for column in ("0", "1")]


async def test_a_question_is_asked_without_an_image(page, asked, store):
    assert page.text("answer") == "I see none."
    assert "No image is shown" in page.text("reasoning")
    assert page.html("marks") == ""
    assert asked.picture is None
    started = next(event for event in asked.parts[0].events if isinstance(event, wire.RequestStarted))
    assert started.image is None
    (row,) = store.search(Search(text="dogs")).runs
    assert row.image is None
    assert '<span class="run-thumb"></span>' in row_html(row)


async def test_the_image_that_is_open_is_left_out(page, png, recorded):
    await page.image("i1", png)
    await page.until(lambda m: "image" in m)
    await page.send(run=ASK)
    await page.until_run("done")
    assert page.text("answer") == "I see none."
    assert (await recorded(page, "done")).picture is None


async def test_it_is_asked_again_as_it_was(page, png, asked, recorded):
    """Also where an image has been opened meanwhile."""
    again = page.begun()["ask"]
    assert again["image"] is run_json(asked)["ask"]["image"] is False
    await page.image("i1", png)
    await page.send(run=again)
    await page.until(lambda m: "begin" in m)
    await page.until_run("done")
    repeated = await recorded(page, "done")
    assert repeated.picture is None
    assert repeated.parts[0].create.settings == asked.parts[0].create.settings


async def test_a_run_on_an_image_does_not_say_so(page, png, recorded):
    await page.image("i1", png)
    await page.ask()
    await page.until_run("done")
    assert "image" not in page.begun()["ask"]


async def test_the_engine_drops_an_image_that_is_removed(page, png):
    await page.image("i1", png)
    await page.until(lambda m: "image" in m)
    await page.send(image=None)
    await page.ask()
    assert (await page.until(lambda m: "invalid" in m))["invalid"]["text"] == words.IMAGE_MISSING


@pytest.mark.parametrize(
    ("more", "field", "text"),
    [
        ({"skill": "point", "object": "dog"}, "image", words.IMAGE_MISSING),
        ({"skill": "caption"}, "image", words.IMAGE_MISSING),
        ({"refs": [[0.5, 0.5]]}, "refs", words.REFERENCE_WITHOUT_IMAGE),
    ],
)
def test_what_needs_an_image_says_so(more, field, text):
    with pytest.raises(Invalid) as refused:
        parse_ask({**ASK, **more})
    assert (refused.value.field, refused.value.text) == (field, text)


@pytest.mark.parametrize("given", [None, True, 0, "", "false"])
def test_only_false_means_none(given):
    assert not parse_ask({**ASK, "image": given}).imageless


@pytest.mark.parametrize(
    "path", ["", "?events=1", "/timeline", "/audit", "/code", "/events.html", "/metrics.html", "/raw.json"]
)
async def test_everything_about_the_run_is_answered(http, asked, path):
    answer = await http.get(f"/api/runs/{asked.id}{path}")
    assert answer.status_code == 200, answer.text


async def test_code_names_no_image(http, asked):
    code = (await http.get(f"/api/runs/{asked.id}/code")).json()
    for name in ("python", "curl", "openai", "websocket"):
        assert "How many dogs?" in code[name]
        assert "image" not in code[name].lower().replace("how many dogs?", ""), name


async def test_its_audit_speaks_of_no_image(http, asked):
    checks = (await http.get(f"/api/runs/{asked.id}/audit")).json()["checks"]
    assert {check["id"] for check in checks}.isdisjoint({"empty-spans", "outside-boxes"})
    refused = await http.post(f"/api/runs/{asked.id}/audit/detect")
    assert (refused.status_code, refused.json()["error"]["message"]) == (503, words.AUDIT_NO_IMAGE)


async def test_its_result_is_downloaded(http, asked):
    answer = await http.get(f"/api/runs/{asked.id}/download/result.json")
    known = answer.json()
    assert (known["image"], known["parts"][0]["result"]["answer"]) == (None, "I see none.")


@pytest.mark.parametrize("name", IMAGES)
async def test_files_with_places_say_that_there_is_no_image(http, asked, name):
    answer = await http.get(f"/api/runs/{asked.id}/download/{name}")
    assert (answer.status_code, answer.json()["error"]["message"]) == (409, "This run has no image.")


async def test_it_is_exported_and_imported(http, asked, store):
    packed = await http.get(f"/api/runs/{asked.id}/export")
    kept = (await http.post("/api/import", content=packed.content)).json()
    record = store.record(kept["id"])
    assert record.picture is None
    assert record.parts == asked.parts


async def test_it_is_shared(http, asked):
    made = (await http.post("/api/shares", json={"run": asked.id})).json()
    page = await http.get(f"/s/{made['slug']}")
    assert page.status_code == 200
    assert "I see none." in readable(page.text)
    assert "<img" not in page.text
    assert (await http.get(f"/s/{made['slug']}/image/0")).status_code == 404
    preview = await http.get(f"/s/{made['slug']}/preview.png")
    assert Image.open(io.BytesIO(preview.content)).format == "PNG"
    alone = await http.get(f"/api/runs/{asked.id}/page.html")
    assert "I see none." in readable(alone.text)


async def test_two_are_compared(http, compared):
    assert {record.picture for record in compared} == {None}
    query = QueryParams([("run", record.id) for record in compared])
    found = (await http.get(f"/api/compare?{query}")).json()
    assert found["pairs"] == []
    assert len(found["sides"]) == 2
    comparison = compared[0].comparison
    page = await http.get(f"/api/comparisons/{comparison}/page.html")
    assert readable(page.text).count("I see none.") == 2
