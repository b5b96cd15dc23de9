"""Runs of which every word means harm, in every view that shows them: nothing runs, nothing falls apart."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from dreamscope.app.batches import pair_id
from dreamscope.app.store.kinds import Batch, BatchImage, StoredImage, timestamp
from dreamscope.app.store.store import Store
from dreamscope.engine import wire
from dreamscope.visualizers.record import Part, Picture, Record

pytestmark = pytest.mark.browser

MARKUP = (
    "\"'><img src=x onerror=window.evil=1></script></title></style></textarea><script>window.evil=2</script>"
    "<svg onload=window.evil=3><a href='javascript:window.evil=4'>javascript:window.evil=4</a>"
    "${window.evil=5}`${window.evil=6}`{{constructor.constructor('window.evil=7')()}}<%window.evil=8%>"
    "&lt;img src=x onerror=window.evil=9&gt;&#60;img src=x onerror=window.evil=10&#62;--><!--]]>%3Cimg%3E"
)
SIGNS = "\u2028\u2029\u202eRTL\u2066\u200f\u061c" + "z" + "\u0310\u0324\u0354" * 40
EVIL = MARKUP + SIGNS
LONG = EVIL + "W" * 100_000
NAME = '"><img src=x onerror=window.evil=11>${1}{{2}}.png'
BATCH = "b" * 32
SIZES = {
    "wide": {"viewport": {"width": 1280, "height": 800}},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
}
TOO_WIDE = """() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    if (scrollWidth <= clientWidth) return [];
    const all = [...document.querySelectorAll("body *")];
    const wide = all.filter((one) => one.getBoundingClientRect().right > clientWidth);
    return [scrollWidth, ...wide.slice(0, 12).map((one) => `${one.localName}.${one.getAttribute("class")}`)];
}"""
MADE = (
    "[onerror], [onload], [onclick], [href*='javascript:' i], img[src=x], iframe, object, embed, "
    "svg script, [data-slot] script, [data-slot] style"
)
"""What the texts would become if they were read as markup; no page of ours has any of it."""


def query(said: str = LONG, form: str = "text", **create: Any) -> Part:
    """A reasoning with one grounded span, an answer, and probabilities; all of it hostile."""
    asked = wire.RequestCreate(
        request_id=EVIL,
        skill="query",
        question=EVIL,
        reasoning=True,
        uncertainty=True,
        response_format={"type": form},
        **create,
    )
    ground = wire.Ground(0, len(MARKUP), ((0.25, 0.5), (0.75, 0.5)))
    thought = MARKUP + SIGNS + "W" * 100_000 + " 7 "
    return Part(
        asked,
        "done",
        events(
            (wire.RequestAccepted, {"model": EVIL, "skill": "query"}),
            (wire.SpanOpen, {"index": 0, "start": 0}),
            *((wire.SpanPoint, {"index": 0, "x": x, "y": y}) for x, y in ground.points),
            (wire.ReasoningDelta, {"delta": MARKUP}),
            (wire.SpanClose, {"index": 0, "end": len(MARKUP), "points": ground.points}),
            (wire.ReasoningDelta, {"delta": thought[len(MARKUP) :]}),
            (wire.ReasoningDone, {"text": thought, "grounding": (ground,)}),
            (wire.TextDelta, {"delta": said, "probs": ((len(said), 0.2),)}),
            (
                wire.RequestDone,
                {
                    "finish_reason": EVIL,
                    "output": wire.result_to_json(wire.QueryResult(said, wire.Reasoning(thought, (ground,)))),
                    "metrics": wire.Metrics(740, 9, ttft_ms=84.0, decode_time_ms=400.0),
                },
            ),
        ),
    )


def detect(name: str, nth: int) -> Part:
    box = wire.Box(0.1, 0.1 + nth / 9, 0.3, 0.4 + nth / 9)
    corners = {edge: getattr(box, edge) for edge in ("x_min", "y_min", "x_max", "y_max")}
    asked = wire.RequestCreate(request_id=f"{EVIL}{nth}", skill="detect", object=name)
    output = wire.result_to_json(wire.DetectResult((box,)))
    return Part(
        asked,
        "done",
        events(
            (wire.RequestAccepted, {"model": EVIL, "skill": "detect"}),
            (wire.BoxEvent, {"index": 0, **corners}),
            (wire.RequestDone, {"finish_reason": "stop", "output": output, "metrics": wire.Metrics(1, 2)}),
        ),
    )


def failed() -> Part:
    error = wire.ErrorInfo(LONG, EVIL, EVIL, EVIL)
    asked = wire.RequestCreate(request_id="f", skill="caption", length=EVIL)
    return Part(asked, "failed", events((wire.RequestFailed, {"error": error})))


def outline() -> Part:
    """The path of a mask is written by the model too."""
    path = f"M 0 0 L 1 0 L 1 1 {MARKUP} Z"
    box = wire.Box(0.2, 0.2, 0.6, 0.6)
    asked = wire.RequestCreate(request_id="s", skill="segment", object=EVIL)
    deltas = [(wire.MaskDelta, {"delta": path, "n": 3})]
    return Part(asked, "stopped", events((wire.MaskBox, {"bbox": box}), *deltas))


def events(*told: tuple[Any, dict[str, Any]]) -> tuple[wire.RequestEvent, ...]:
    return tuple(cls(request_id=EVIL, seq=n, t=20.0 * n, **fields) for n, (cls, fields) in enumerate(told))


def structured(form: str) -> Part:
    said = {
        "json_object": json.dumps({EVIL: [EVIL, {MARKUP: LONG}], "__proto__": {"evil": 1}}),
        "csv": f"{MARKUP},b\n=cmd|' /C calc'!A0,{'W' * 5000}\n",
        "markdown": f"# {MARKUP}\n\n[a](javascript:window.evil=12) ![x](x){{onerror=window.evil=13}}",
        "xml": f"<a onclick='window.evil=14'>{MARKUP}</a>",
    }[form]
    return query(said, form)


@dataclass(frozen=True)
class Trap:
    """The history with the hostile runs, in the program that serves it."""

    store: Store
    runs: tuple[str, ...]


@pytest.fixture(scope="module")
def trap(app) -> Iterator[Trap]:
    """Written by another process than the page's, as `Store` allows."""
    store = Store.open(app.output.parent / "data")
    picture = _picture(store)
    parts: dict[str, tuple[Part, ...]] = {
        "words": (query(),),
        "objects": (detect(EVIL, 0), detect(LONG[:2000], 1)),
        "failed": (failed(),),
        "outline": (outline(),),
        **{form: (structured(form),) for form in ("json_object", "csv", "markdown", "xml")},
    }
    for name, made in parts.items():
        store.begin(_record(name, made, picture))
    _pair(store, "pair", picture)
    store.add_comparison("pair", EVIL)
    ask = {"skill": "query", "question": EVIL, "model": EVIL, "variant": EVIL, "reasoning": True}
    images = (BatchImage(picture.hash, NAME),)
    store.add_batch(
        Batch(id=BATCH, title=EVIL, created_at=timestamp(), state="done", asks=(ask, ask), images=images)
    )
    pair = pair_id(BATCH, 0, 0)
    store.add_comparison(pair, EVIL, "batch")
    _pair(store, pair, picture)
    store.flush()
    for run in parts:
        for part, told in enumerate(parts[run]):
            store.finish(run, part, told.state)
    store.flush()
    assert store.trouble is None
    yield Trap(store, tuple(parts))
    store.close()


def _record(name: str, parts: tuple[Part, ...], picture: Picture, **more: Any) -> Record:
    known: dict[str, Any] = {
        "id": name,
        "created_at": timestamp(),
        "skill": parts[0].create.skill,
        "model": EVIL,
        "revision": EVIL,
        "variant": EVIL,
        "picture": picture,
        "title": EVIL,
        "notes": LONG,
        "tags": (EVIL, "W" * 60, "<b>"),
    }
    return Record(**{**known, **more}, parts=parts)


def _pair(store: Store, comparison: str, picture: Picture) -> None:
    for column, said in enumerate((LONG, EVIL + " other words " + MARKUP)):
        more = {"comparison": comparison, "column": column}
        record = _record(f"{comparison}-{column}", (query(said),), picture, **more)
        store.begin(record)
        store.finish(record.id, 0, "done")


def _picture(store: Store) -> Picture:
    out = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").resize((640, 480)).save(out, "PNG")
    data = out.getvalue()
    return store.put_image(StoredImage(hashlib.sha256(data).hexdigest(), "image/png", 640, 480, data))


@pytest.fixture
def visit(open_page: Callable[..., Page], trap: Trap) -> Callable[..., Page]:
    """Opens a view of the page; a dialog that opens is written down like an error of the console."""

    def open_it(path: str, size: str, **options: Any) -> Page:
        page = open_page(ready=False, path=path, **SIZES[size], **options)
        page.on("dialog", lambda dialog: page.evaluate("window.evil = 'dialog'"))
        return page

    return open_it


def unharmed(page: Page, scroll: bool = True, title: str | None = "Dreamscope") -> None:
    """Nothing has run, and nothing is wider than the window."""
    assert page.evaluate("window.evil") is None
    assert page.evaluate("({}).evil") is None
    if title is not None:
        assert page.title() == title
    assert page.locator(MADE).evaluate_all("(all) => all.map((one) => one.outerHTML.slice(0, 200))") == []
    if scroll:
        assert page.evaluate(TOO_WIDE) == []


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "run", ["words", "objects", "failed", "outline", "json_object", "csv", "markdown", "xml"]
)
def test_a_run_in_the_playground(trap, visit, shoot, run, size) -> None:
    page = visit(f"/?run={run}", size)
    main = page.locator("main[data-view=playground]")
    expect(main).to_have_attribute("data-run", re.compile("done|failed|stopped"))
    expect(main.locator(".asked")).to_be_visible()
    unharmed(page)
    for tab in page.locator("[data-inspect]:visible").all() if run in ("words", "objects") else []:
        tab.click()
        expect(page.locator(".inspect-panel[aria-busy=true]")).to_have_count(0)
        unharmed(page)
    if run == "words" and size == "wide":
        main.locator(".ground").first.hover()
        unharmed(page)
    shoot(page, f"hostile-{run}-{size}")


@pytest.mark.parametrize("size", SIZES)
def test_the_history(trap, visit, shoot, size) -> None:
    page = visit("/?view=history", size)
    rows = page.locator(".hi-rows .run-row")
    expect(rows.first).to_be_visible()
    for title in page.locator(".hi-rows .run-title").all()[:3]:
        assert (title.bounding_box() or {"width": 0})["width"] > 100
    unharmed(page)
    shoot(page, f"hostile-history-{size}")
    for row in range(min(rows.count(), 3)):
        rows.nth(row).locator(".run-title").click()
        expect(page.locator(".hi-peek")).to_be_visible()
        unharmed(page)
        if row == 0:
            shoot(page, f"hostile-history-peek-{size}")
        if size == "phone":
            page.get_by_role("button", name="Back to the list").click()


@pytest.mark.parametrize("size", SIZES)
def test_a_comparison(trap, visit, shoot, size) -> None:
    page = visit("/?view=compare&comparison=pair", size)
    expect(page.locator(".compare.compared")).to_be_visible()
    unharmed(page)
    shoot(page, f"hostile-compare-{size}")


@pytest.mark.parametrize("size", SIZES)
def test_a_batch(trap, visit, shoot, size) -> None:
    page = visit(f"/?view=compare&batch={BATCH}", size)
    expect(page.locator(".batch-image")).to_have_count(1)
    unharmed(page)
    shoot(page, f"hostile-batch-{size}")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("subject", ["words", "objects", "failed", "json_object", "pair"])
def test_a_shared_page_and_its_file(app, trap, open_page, tmp_path, shoot, subject, size) -> None:
    kind = "comparison" if subject == "pair" else "run"
    slug = trap.store.add_share(**{f"{kind}_id": subject}).slug
    page = open_page(ready=False, path=f"/s/{slug}", **SIZES[size])
    expect(page.locator(".replay-time").first).not_to_be_empty()
    unharmed(page, title=None)
    shoot(page, f"hostile-share-{subject}-{size}")
    if subject != "failed":  # which has nothing to play
        page.get_by_role("button", name="Play").first.click()
    unharmed(page, title=None)
    assert page.request.get(f"{app.url}/s/{slug}/preview.png").headers["content-type"] == "image/png"
    if size == "wide":
        file = tmp_path / "run.html"
        file.write_bytes(page.request.get(f"{app.url}/api/{kind}s/{subject}/page.html").body())
        alone = open_page(ready=False, elsewhere=("file:",), **SIZES[size], offline=False)
        alone.goto(file.as_uri())
        expect(alone.locator(".replay-time").first).not_to_be_empty()
        unharmed(alone, title=None)


def test_drawings_are_only_drawings(app, trap, open_page) -> None:
    """A download opens as a document of its own when somebody finds out its address on disk."""
    page = open_page(ready=False)
    for run in ("words", "objects"):
        answer = page.request.get(f"{app.url}/api/runs/{run}/download/annotated.svg")
        assert answer.ok
        page.evaluate(
            """(text) => {
                const made = new DOMParser().parseFromString(text, "image/svg+xml");
                if (made.querySelector("parsererror, script, foreignObject, a, [onload]")) throw text;
            }""",
            answer.text(),
        )


def test_what_is_typed_and_dropped(open_page, shoot, tmp_path: Path) -> None:
    """The same by hand: a file with a hostile name, a hostile question, a hostile answer as it streams."""
    page = open_page()
    page.on("dialog", lambda dialog: page.evaluate("window.evil = 'dialog'"))
    file = tmp_path / NAME
    Image.new("RGB", (64, 48), "#8ac").save(file)
    page.set_input_files("#ds-file", file)
    expect(page.locator("main[data-view=playground] .plate img")).to_be_visible()
    page.fill("main[data-view=playground] [data-prompt=query]", f"markup {EVIL}")
    page.click("main[data-view=playground] [data-act=run]")
    expect(page.locator("main[data-view=playground]")).to_have_attribute("data-run", "done")
    expect(page.locator("main[data-view=playground] [data-slot=answer]")).to_contain_text("<img src=x")
    unharmed(page)
    page.click("[data-go=compare]")
    unharmed(page)
    page.click("[data-go=history]")
    expect(page.locator(".hi-rows .run-row").first).to_be_visible()
    unharmed(page)
    shoot(page, "hostile-typed")


@pytest.mark.parametrize(
    "address",
    [
        "/?view={evil}",
        "/?run={evil}",
        "/?view=history&q={evil}&tag={evil}&model={evil}&skill={evil}",
        "/?q={evil}&skill=query&model={evil}&s.temperature={evil}&variant={evil}&format={evil}&image={evil}",
        "/?view=compare&c0={evil}&c1={evil}&mode={evil}",
        "/?view=compare&comparison={evil}",
        "/?view=compare&batch={evil}",
        "/#{evil}",
    ],
)
def test_an_address_is_no_program(open_page, address) -> None:
    """What a link from elsewhere puts into the address is text as well."""
    page = open_page(path=address.format(evil=quote(EVIL)), said="404|400|Failed to load resource")
    page.on("dialog", lambda dialog: page.evaluate("window.evil = 'dialog'"))
    page.wait_for_load_state("networkidle")
    unharmed(page, title=None)
