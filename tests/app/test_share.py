"""Shared pages over HTTP: who can make, see and end them, and what is left of them afterwards."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient

from dreamscope.app import previews
from dreamscope.app.context import Context
from dreamscope.app.hub import Hub
from dreamscope.app.preview import preview_png
from dreamscope.app.routes import replay, share
from dreamscope.app.share import Exhibit
from dreamscope.app.store.kinds import StoredImage
from dreamscope.app.store.store import Store
from dreamscope.app.supervisor import RemoteEngine
from dreamscope.visualizers.record import Picture


@dataclass
class Desk:
    """Routes on a history of their own, without an engine."""

    store: Store
    web: TestClient
    picture: Picture

    def keep(self, *records: Any) -> None:
        for record in records:
            self.store.begin(record)
        self.store.flush()

    def share(self, **body: Any) -> str:
        answer = self.web.post("/api/shares", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["slug"])


@pytest.fixture
def desk() -> Iterator[Desk]:
    store = Store.open(None)
    written = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").resize((640, 480)).save(written, "PNG")
    data = written.getvalue()
    picture = store.put_image(StoredImage(hashlib.sha256(data).hexdigest(), "image/png", 640, 480, data))
    app, context = FastAPI(), Context(RemoteEngine("ws://127.0.0.1:9"), store, Hub())
    for routes in (share, replay):
        app.include_router(routes.router(context))
    yield Desk(store, TestClient(app), picture)
    store.close()


@pytest.fixture
def kept(desk: Desk, make_query: Callable[..., Any]) -> Desk:
    desk.store.add_comparison("cmp", "Two models")
    for column, answer in enumerate(("There are 2.", "There are 3.")):
        desk.keep(
            make_query(answer=answer, id=f"c{column}", picture=desk.picture, comparison="cmp", column=column)
        )
    desk.keep(make_query(id="run1", picture=desk.picture))
    return desk


def test_a_page_with_all_that_belongs_to_it(kept: Desk) -> None:
    slug = kept.share(run="run1")
    page = kept.web.get(f"/s/{slug}")
    assert page.status_code == 200
    assert "There are 2." in page.text
    assert f'content="http://testserver/s/{slug}/preview.png"' in page.text
    assert 'href="/?run=run1"' in page.text
    image = kept.web.get(f"/s/{slug}/image/0")
    assert image.headers["content-type"] == "image/png"
    assert hashlib.sha256(image.content).hexdigest() == kept.picture.hash
    played = kept.web.get(f"/s/{slug}/timeline/0").json()
    assert played["duration_ms"] == 440
    assert played["title"] == "Answer"
    assert played["reasoning"] is True
    preview = kept.web.get(f"/s/{slug}/preview.png")
    assert preview.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(preview.content)).size == (1200, 630)
    for part in ("/image/1", "/image/-1", "/image/0x", "/timeline/1", "/timeline/²", "/else"):
        assert kept.web.get(f"/s/{slug}{part}").status_code == 404


def test_nothing_of_a_share_may_run_frame_or_stay(kept: Desk) -> None:
    slug = kept.share(run="run1")
    for path in ("", "/image/0", "/timeline/0", "/preview.png"):
        headers = kept.web.get(f"/s/{slug}{path}").headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe-inline" not in policy.replace("style-src-attr 'unsafe-inline'", "")
        assert "unsafe-eval" not in policy
        assert headers["cache-control"] == "private, no-cache"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-robots-tag"] == "noindex"


def test_slugs_cannot_be_guessed(kept: Desk) -> None:
    slugs = {kept.share(run="run1") for _ in range(20)}
    assert len(slugs) == 20
    assert all(
        re.fullmatch(r"[A-Za-z0-9_-]{22,}", slug) for slug in slugs
    )  # 22 letters of 6 bits: 128 and more


def test_a_comparison_side_by_side(kept: Desk) -> None:
    slug = kept.share(comparison="cmp")
    page = kept.web.get(f"/s/{slug}").text
    assert "Two models" in page
    assert "There are 2." in page
    assert "There are 3." in page
    assert page.count(f'src="/s/{slug}/image/0"') == 2
    assert f'data-timeline="/s/{slug}/timeline/1"' in page
    assert "comparison=cmp" in page
    assert kept.web.get(f"/s/{slug}/preview.png").status_code == 200


def test_a_run_that_is_deleted_takes_its_page_with_it(kept: Desk) -> None:
    slug = kept.share(run="run1")
    token = kept.store.delete(["run1"])
    for path in ("", "/image/0", "/timeline/0", "/preview.png"):
        gone = kept.web.get(f"/s/{slug}{path}")
        assert gone.status_code == 410
        assert gone.headers["content-type"].startswith("text/plain" if path else "text/html")
        assert "This page is not shared any more." in gone.text
    kept.store.restore(token)
    assert kept.web.get(f"/s/{slug}").status_code == 200


def test_a_preview_is_rendered_once_for_each_state(kept: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[str] = []
    real = previews.preview_png
    monkeypatch.setattr(
        previews, "preview_png", lambda shown, title: rendered.append(title) or real(shown, title)
    )
    slug, same = kept.share(run="run1"), kept.share(run="run1")
    first = kept.web.get(f"/s/{slug}/preview.png").content
    assert kept.web.get(f"/s/{same}/preview.png").content == first
    assert len(rendered) == 1
    kept.store.change("run1", title="Renamed")
    assert kept.web.get(f"/s/{slug}/preview.png").content != first
    assert rendered[1:] == ["Renamed"]


def test_previews_that_nobody_asks_for_are_forgotten(kept: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[str] = []
    monkeypatch.setattr(previews, "preview_png", lambda shown, title: rendered.append(title) or b"png")
    record = kept.store.record("run1")
    assert record is not None
    shelf = previews.Previews(kept.store, most=2)
    for title in ("a", "b", "a", "c", "a", "b"):
        shelf.of(Exhibit(title, (record,), ""))
    assert rendered == ["a", "b", "c", "b"]


def test_a_comparison_shows_what_is_left_of_it(kept: Desk) -> None:
    slug = kept.share(comparison="cmp")
    kept.store.delete(["c0"])
    page = kept.web.get(f"/s/{slug}").text
    assert "There are 3." in page
    assert "There are 2." not in page
    kept.store.delete(["c1"])
    assert kept.web.get(f"/s/{slug}").status_code == 410


def test_a_share_can_be_ended(kept: Desk) -> None:
    slug, other = kept.share(run="run1"), kept.share(run="run1")
    assert kept.web.delete(f"/api/shares/{slug}").json() == {"revoked": True}
    assert kept.web.get(f"/s/{slug}").status_code == 410
    assert kept.web.get(f"/s/{slug}/image/0").status_code == 410
    assert kept.web.get(f"/s/{other}").status_code == 200
    assert kept.web.delete(f"/api/shares/{slug}").status_code == 404
    listed = kept.web.get("/api/shares", params={"run": "run1"}).json()["shares"]
    assert {each["slug"]: each["live"] for each in listed} == {slug: False, other: True}


def test_a_share_expires(kept: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    slug = kept.share(run="run1", expires_in_s=3600)
    assert kept.web.get(f"/s/{slug}").status_code == 200
    monkeypatch.setattr(
        "dreamscope.app.store.kinds.timestamp", lambda after_s=0.0: "2999-01-01T00:00:00.000Z"
    )
    assert kept.web.get(f"/s/{slug}").status_code == 410


@pytest.mark.parametrize(
    "path",
    [
        "A" * 22,
        "short",
        "A" * 500,
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e",
        "..%5c..%5cwindows",
        "%00",
        "a%0d%0ab",
        "'; DROP TABLE shares;--",
        "",
    ],
)
def test_what_is_no_slug_is_not_found(kept: Desk, path: str) -> None:
    kept.share(run="run1")
    for end in ("", "/image/0", "/timeline/0", "/preview.png"):
        answer = kept.web.get(f"/s/{path}{end}")
        assert answer.status_code == 404
        assert "There is no such page." in answer.text


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 400, "run"),
        ({"run": "run1", "comparison": "cmp"}, 400, "run"),
        ({"run": 7}, 400, "run"),
        ({"run": "nothing"}, 404, "run"),
        ({"comparison": "nothing"}, 404, "comparison"),
        ({"run": "run1", "expires_in_s": 0}, 400, "expires_in_s"),
        ({"run": "run1", "expires_in_s": True}, 400, "expires_in_s"),
        ({"run": "run1", "expires_in_s": "soon"}, 400, "expires_in_s"),
        ({"run": "run1", "expires_in_s": 1e12}, 400, "expires_in_s"),
    ],
)
def test_what_cannot_be_shared_is_said(kept: Desk, body: Any, status: int, field: str) -> None:
    answer = kept.web.post("/api/shares", json=body)
    assert answer.status_code == status
    assert answer.json()["error"]["field"] == field


def test_more_than_four_columns_are_too_many(desk: Desk, make_query: Callable[..., Any]) -> None:
    desk.store.add_comparison("wide", "")
    desk.keep(*(make_query(id=f"w{n}", picture=desk.picture, comparison="wide", column=n) for n in range(5)))
    answer = desk.web.post("/api/shares", json={"comparison": "wide"})
    assert answer.status_code == 400
    assert "four" in answer.json()["error"]["message"]


def test_pages_of_other_sites_share_and_end_nothing(kept: Desk) -> None:
    slug = kept.share(run="run1")
    foreign = {"Origin": "https://evil.example"}
    assert kept.web.post("/api/shares", json={"run": "run1"}, headers=foreign).status_code == 403
    assert kept.web.delete(f"/api/shares/{slug}", headers=foreign).status_code == 403
    assert kept.web.get(f"/s/{slug}").status_code == 200


def test_a_page_is_small_without_its_image(desk: Desk, make_detect: Callable[..., Any]) -> None:
    from dreamscope.engine import wire

    run = make_detect("dog", id="many", picture=desk.picture)
    grid = [(x / 15, y / 10) for x in range(15) for y in range(10)]
    boxes = [wire.Box(x, y, x + 0.05, y + 0.08) for x, y in grid]
    output = wire.result_to_json(wire.DetectResult(tuple(boxes)))
    last = wire.RequestDone(
        request_id="r", seq=0, t=9.0, finish_reason="stop", output=output, metrics=wire.Metrics()
    )
    part = run.parts[0]
    desk.keep(run.with_parts([type(part)(part.create, "done", (last,))]))
    slug = desk.share(run="many")
    sizes = [int(desk.web.get(f"/s/{slug}{path}").headers["content-length"]) for path in ("", "/timeline/0")]
    assert sum(sizes) < 100_000
    plain = desk.web.get(f"/s/{slug}", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.text.count('class="mark box"') == 150


def test_one_file_holds_everything(kept: Desk) -> None:
    for path, images in (("runs/run1", 1), ("comparisons/cmp", 2)):
        answer = kept.web.get(f"/api/{path}/page.html")
        assert answer.status_code == 200
        assert answer.headers["content-disposition"].startswith('attachment; filename="dreamscope-')
        assert answer.text.count("data:image/png;base64,") == images
        assert not re.findall(r'(?:src|href|data-timeline)="(?!data:)[^"]', answer.text)
        assert "connect-src 'none'" in answer.headers["content-security-policy"]
    for path in ("runs/none", "comparisons/none"):
        assert kept.web.get(f"/api/{path}/page.html").status_code == 404


def test_a_share_outlives_its_image(desk: Desk, make_query: Callable[..., Any]) -> None:
    desk.keep(make_query(id="bare", picture=None))
    slug = desk.share(run="bare")
    assert desk.web.get(f"/s/{slug}").status_code == 200
    assert desk.web.get(f"/s/{slug}/image/0").status_code == 404
    assert desk.web.get(f"/s/{slug}/preview.png").status_code == 200


def test_the_preview_shows_image_marks_and_title(make_detect: Callable[..., Any]) -> None:
    written = io.BytesIO()
    Image.new("RGB", (320, 240), "#ffffff").save(written, "PNG")
    run = make_detect("dog", picture=Picture("0" * 64, 320, 240, "image/png"))
    drawn = Image.open(io.BytesIO(preview_png([(run, written.getvalue())], "grüne Hügel"))).convert("RGB")
    colours = {colour for _, colour in drawn.getcolors(1 << 24) or ()}
    assert (255, 255, 255) in colours
    assert (193, 171, 253) in colours  # of the family of "dog"
    untitled = Image.open(io.BytesIO(preview_png([(run, written.getvalue())], "犬"))).convert("RGB")
    corner = (24, 560, 300, 620)
    assert len(drawn.crop(corner).getcolors()) > 1
    assert len(untitled.crop(corner).getcolors()) == 1


def test_the_timeline_of_a_run(kept: Desk, make_detect: Callable[..., Any]) -> None:
    kept.keep(make_detect("dog", "cat", id="two", picture=kept.picture))
    played = kept.web.get("/api/runs/two/timeline").json()
    assert [part["name"] for part in played["parts"]] == ["dog", "cat"]
    assert played["state"] == "done"
    assert played["image"]["hash"] == kept.picture.hash
    one = kept.web.get("/api/runs/two/timeline", params={"part": "1", "width": "360"}).json()
    assert {change["part"] for _, changes in one["frames"] for change in changes} == {1}
    json.dumps(played)
    for query, field in (
        ("width=0", "width"),
        ("width=nan", "width"),
        ("width=x", "width"),
        ("part=2", "part"),
        ("part=-1", "part"),
    ):
        answer = kept.web.get(f"/api/runs/two/timeline?{query}")
        assert answer.status_code == 400
        assert answer.json()["error"]["field"] == field
    assert kept.web.get("/api/runs/none/timeline").status_code == 404
