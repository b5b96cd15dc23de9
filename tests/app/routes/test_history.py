"""The history over HTTP, through the application that is served."""

from __future__ import annotations

import html.parser
import io
import zipfile
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from dreamscope.app.main import build_routes
from dreamscope.app.store.kinds import Search
from dreamscope.app.store.store import Store
from dreamscope.app.supervisor import RemoteEngine
from dreamscope.visualizers import record_json
from dreamscope.visualizers.answerer import Answerer
from dreamscope.visualizers.record import Record

HOSTILE = "<script>alert(1)</script>\"'&${x}`{{y}}"


@pytest.fixture
async def http(store: Store) -> AsyncIterator[httpx.AsyncClient]:
    """A client of our routes, without an engine."""
    app = build_routes(RemoteEngine("ws://127.0.0.1:1"), (), store)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        yield client


@pytest.fixture
def keep(store: Store, make_query: Callable[..., Record]) -> Callable[..., Record]:
    """Records a whole run."""
    numbers = iter(range(100))

    def keep_it(**fields: Any) -> Record:
        record = make_query(id=f"run{next(numbers)}", picture=None, **fields)
        store.begin(record)
        store.flush()
        return record

    return keep_it


class Rows(html.parser.HTMLParser):
    """The elements and texts of some rows; `open` is what was not closed."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(markup)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in ("img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


async def test_runs_are_listed_as_json_and_as_rows(http, keep):
    older, newer = (
        keep(title="older", created_at="2026-01-01T00:00:00.000Z"),
        keep(title="newer", tags=("x",), answerer=Answerer("Sprite 2")),
    )
    found = (await http.get("/api/runs")).json()
    assert [run["id"] for run in found["runs"]] == [newer.id, older.id]
    assert (found["total"], found["next"], found["facets"]["tag"]) == (2, "", {"x": 1})
    rows = Rows(found["html"])
    assert rows.open == []
    assert [attrs["data-id"] for tag, attrs in rows.seen if tag == "li"] == [newer.id, older.id]
    assert [attrs["href"] for tag, attrs in rows.seen if tag == "a"] == [
        f"/?run={newer.id}",
        f"/?run={older.id}",
    ]
    assert {"newer", "older", "x", "Sprite 2", "sprite-2"} <= set(rows.texts)
    assert [run["model_name"] for run in found["runs"]] == ["Sprite 2", "sprite-2"]
    assert (await http.get(f"/api/runs/{newer.id}")).json()["model_name"] == "Sprite 2"


async def test_the_address_filters_and_pages(http, keep):
    for n in range(5):
        keep(title=f"run {n}", pinned=n == 3, tags=(f"t{n}",))
    first = (await http.get("/api/runs", params={"limit": 2})).json()
    rest = (await http.get("/api/runs", params={"limit": 9, "cursor": first["next"]})).json()
    assert [run["title"] for run in first["runs"] + rest["runs"]] == [f"run {n}" for n in (4, 3, 2, 1, 0)]
    for params in ({"q": "3"}, {"pinned": "1"}, {"tag": "t3"}):
        found = (await http.get("/api/runs", params=params)).json()
        assert [run["title"] for run in found["runs"]] == ["run 3"]
    assert (await http.get("/api/runs", params={"skill": "caption"})).json()["total"] == 0


@pytest.mark.parametrize(
    "params", [{"limit": "0"}, {"limit": "x"}, {"limit": "9999"}, {"pinned": "maybe"}, {"cursor": "x"}]
)
async def test_addresses_that_mean_nothing_are_refused(http, params):
    answer = await http.get("/api/runs", params=params)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].endswith(".")


async def test_one_run(http, keep, make_query):
    kept = keep()
    told = (await http.get(f"/api/runs/{kept.id}")).json()
    assert told["answer"] == "There are 2."
    assert told["reasoning"] == kept.parts[0].result.reasoning.text
    assert told["parts"][0]["metrics"]["input_tokens"] == 740
    assert "events" not in told["parts"][0]
    whole = (await http.get(f"/api/runs/{kept.id}", params={"events": 1})).json()
    assert record_json.from_json(whole) == kept
    assert (await http.get("/api/runs/nobody")).status_code == 404


async def test_a_run_is_changed(http, keep, store):
    kept = keep()
    change = {"title": "New", "notes": "n", "tags": ["b", "a"], "pinned": True, "rating": -1}
    told = (await http.patch(f"/api/runs/{kept.id}", json=change)).json()
    assert told["tags"] == ["a", "b"]
    changed = store.record(kept.id)
    assert (changed.title, changed.notes, changed.pinned, changed.rating) == ("New", "n", True, -1)
    assert (await http.patch("/api/runs/nobody", json=change)).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"title": 1}, "title"),
        ({"tags": "x"}, "tags"),
        ({"tags": [1]}, "tags"),
        ({"pinned": 1}, "pinned"),
        ({"rating": True}, "rating"),
        ({"state": "done"}, "state"),
        ({"rating": 5}, None),
        ({"title": "x" * 301}, None),
        ([], None),
    ],
)
async def test_changes_that_do_not_fit_are_refused(http, keep, store, body, field):
    kept = keep()
    answer = await http.patch(f"/api/runs/{kept.id}", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"].get("field") == field
    assert store.record(kept.id) == kept


async def test_deleting_and_undoing(http, keep, store):
    one, two, three = keep(), keep(), keep()
    first = (await http.delete(f"/api/runs/{one.id}")).json()["undo"]
    second = (await http.post("/api/runs/delete", json={"ids": [two.id, three.id]})).json()["undo"]
    assert (await http.get("/api/runs")).json()["total"] == 0
    assert (await http.delete(f"/api/runs/{one.id}")).status_code == 404
    answer = (await http.get("/api/deletions")).json()
    assert {each["token"]: each["runs"] for each in answer["deletions"]} == {first: 1, second: 2}
    rows = Rows(answer["html"])
    assert rows.open == []
    assert [fields["data-token"] for tag, fields in rows.seen if tag == "li"] == [
        each["token"] for each in answer["deletions"]
    ]
    assert (await http.post("/api/undo", json={"token": second})).json() == {"restored": 2}
    assert (await http.post("/api/undo", json={"token": first})).json() == {"restored": 1}
    for token in (first, "", None, 5):
        assert (await http.post("/api/undo", json={"token": token})).status_code == 404
    assert (await http.post("/api/runs/delete", json={"ids": "all"})).status_code == 400
    assert store.record(one.id) == one


async def test_everything_is_deleted_only_when_it_is_meant(http, keep):
    keep()
    refused = await http.request("DELETE", "/api/history", json={"confirm": True})
    assert (refused.status_code, refused.json()["error"]["field"]) == (400, "confirm")
    assert (await http.get("/api/storage")).json()["runs"] == 1
    assert (await http.request("DELETE", "/api/history", json={"confirm": "delete"})).json() == {
        "deleted": True
    }
    assert (await http.get("/api/storage")).json()["runs"] == 0


async def test_images(http, png):
    answer = await http.post("/api/images", content=png)
    picture = answer.json()
    assert (answer.status_code, picture["width"], picture["height"]) == (201, 64, 48)
    image = await http.get(f"/api/images/{picture['hash']}")
    assert (image.headers["content-type"], image.content[:4]) == ("image/png", b"\x89PNG")
    assert "immutable" in image.headers["cache-control"]
    thumb = await http.get(f"/api/images/{picture['hash']}/thumb")
    assert thumb.headers["content-type"] == "image/webp"
    form = await http.post("/api/images", files={"file": ("a.png", png)})
    assert form.json() == picture
    bad = await http.post("/api/images", content=b"<svg onload=alert(1)>")
    assert (bad.status_code, bad.json()["error"]["field"]) == (400, "image")
    for name in ("0" * 64, "..%2f..%2fhistory.db", "x/thumb"):
        assert (await http.get(f"/api/images/{name}")).status_code == 404


async def test_too_much_is_not_read(http):
    read = []

    async def endless():
        for _ in range(1000):
            read.append(1)
            yield bytes(1_000_000)

    assert (await http.post("/api/images", content=endless())).status_code == 413
    assert len(read) < 30
    announced = {"content-type": "multipart/form-data; boundary=x", "content-length": "99999999999"}
    assert (await http.post("/api/import", content=b"--x--", headers=announced)).status_code == 413


async def test_a_run_is_exported_and_imported(http, keep, store):
    kept = keep(title="Dogs")
    answer = await http.get(f"/api/runs/{kept.id}/export")
    assert answer.headers["content-disposition"] == 'attachment; filename="run-run0.dreamscope"'
    assert zipfile.ZipFile(io.BytesIO(answer.content)).namelist() == ["run.json"]
    as_body = await http.post("/api/import", content=answer.content)
    as_form = await http.post("/api/import", files={"file": ("x.dreamscope", answer.content)})
    for imported in (as_body, as_form):
        assert imported.status_code == 201
        assert store.record(imported.json()["id"]).parts == kept.parts
    bad = await http.post("/api/import", content=b"PK nonsense")
    assert (bad.status_code, "message" in bad.json()["error"]) == (400, True)
    assert (await http.get("/api/runs/nobody/export")).status_code == 404


async def test_comparisons(http, keep, store):
    store.add_comparison("c", "Two", "compare")
    assert (await http.get("/api/comparisons/c")).status_code == 404
    right, left = keep(comparison="c", column=1), keep(comparison="c")
    told = (await http.get("/api/comparisons/c")).json()
    assert (told["title"], told["kind"], told["runs"]) == ("Two", "compare", [left.id, right.id])


async def test_storage(http, keep):
    keep()
    told = (await http.get("/api/storage")).json()
    assert told["folder"].endswith("data")
    assert (told["runs"], told["images"], told["limit"], told["trouble"]) == (1, 0, 5000, None)
    assert told["bytes"] > 4096


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/api/runs/run0"),
        ("DELETE", "/api/runs/run0"),
        ("POST", "/api/runs/delete"),
        ("POST", "/api/undo"),
        ("DELETE", "/api/history"),
        ("POST", "/api/import"),
        ("POST", "/api/images"),
    ],
)
@pytest.mark.parametrize("origin", ["http://elsewhere", "http://here:81", "https://here:81", "null"])
async def test_other_sites_cannot_change_anything(http, keep, store, method, path, origin):
    kept = keep()
    body = {"confirm": "delete", "ids": [kept.id], "title": "theirs"}
    answer = await http.request(method, path, json=body, headers={"origin": origin})
    assert answer.status_code == 403
    assert store.record(kept.id) == kept


async def test_our_own_page_can(http, keep):
    kept = keep()
    answer = await http.patch(
        f"/api/runs/{kept.id}", json={"title": "ours"}, headers={"origin": "http://here"}
    )
    assert answer.json()["title"] == "ours"


async def test_no_text_of_a_run_becomes_markup(http, keep):
    keep(
        question=HOSTILE,
        answer=HOSTILE,
        title=HOSTILE,
        notes=HOSTILE,
        tags=(HOSTILE,),
        model=HOSTILE,
        variant=HOSTILE,
        revision=HOSTILE,
        comparison="c",
    )
    found = (await http.get("/api/runs")).json()
    rows = Rows(found["html"])
    assert rows.open == []
    ours = {"li", "label", "input", "a", "span", "div", "time", "button", "svg", "path", "bdi"}
    assert {tag for tag, _ in rows.seen} <= ours
    assert not [name for _, attrs in rows.seen for name in attrs if name.startswith("on")]
    assert HOSTILE in rows.texts
    assert "${" not in found["html"]


async def test_words_in_a_search_are_never_commands(http, keep):
    keep(title="here")
    for text in ('"', "a OR", "'; DROP TABLE runs; --", "title:x", "\x00", "NEAR("):
        assert (await http.get("/api/runs", params={"q": text})).status_code == 200
    assert (await http.get("/api/runs", params={"q": "here"})).json()["total"] == 1


async def test_pages_hear_of_what_changes(store, keep, monkeypatch):
    heard: list[tuple[str, ...]] = []
    monkeypatch.setattr("dreamscope.app.hub.Hub.changed", lambda hub, ids=(): heard.append(tuple(ids)))
    app = build_routes(RemoteEngine("ws://127.0.0.1:1"), (), store)
    kept = keep()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
        await client.patch(f"/api/runs/{kept.id}", json={"pinned": True})
        undo = (await client.delete(f"/api/runs/{kept.id}")).json()["undo"]
        await client.post("/api/undo", json={"token": undo})
        packed = (await client.get(f"/api/runs/{kept.id}/export")).content
        imported = (await client.post("/api/import", content=packed)).json()["id"]
        await client.request("DELETE", "/api/history", json={"confirm": "delete"})
    assert heard == [(kept.id,), (kept.id,), (kept.id,), (imported,), ()]
    assert store.search(Search()).total == 0
