"""Shared pages and files of their own, as those see them who only have the link."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from axe_core_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from dreamscope.engine import wire

pytestmark = pytest.mark.browser
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
EVIL = (
    "</script><script>window.evil = 1</script><img src=x onerror='window.evil = 2'>\u2028${window.evil = 3}"
)


@pytest.fixture(scope="module")
def shared(site: Any, keep_run: Callable[..., Any], make_query: Callable[..., Any], make_detect: Any) -> Any:
    """One run, one of several objects, and a comparison of both and one more."""
    site.store.add_comparison("three", "Two models and a search")
    keep_run(make_query(id="one"))
    keep_run(make_detect("dog", "cat", id="objects"))
    keep_run(make_query(id="left", comparison="three", column=0))
    keep_run(
        make_query(
            answer="I count three of them.", id="right", model="sprite-3", comparison="three", column=1
        )
    )
    keep_run(make_detect("dog", id="search", comparison="three", column=2))
    return site


def no_serious_violation(page: Page) -> None:
    found = Axe().run(page)["violations"]
    serious = [each["id"] for each in found if each["impact"] in ("serious", "critical")]
    assert serious == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_run_and_what_lights_up_in_it(shared, open_shared, shoot, scheme) -> None:
    page = open_shared(shared.share(run_id="one"), color_scheme=scheme)
    for text in (
        "Dogs by the fence",
        "How many dogs?",
        "There are 2.",
        "sprite-2",
        "abc1234",
        "2026-03-01 10:20 UTC",
    ):
        expect(page.get_by_text(text, exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="Open in Dreamscope")).to_have_attribute("href", "/?run=one")
    expect(page.locator(".marks .mark")).to_have_count(2)
    page.locator(".ground").hover()
    expect(page.locator(".marks .mark.lit")).to_have_count(2)
    page.mouse.move(1, 1)
    expect(page.locator(".lit")).to_have_count(0)
    page.locator(".ground").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".marks .mark.lit")).to_have_count(2)
    shoot(page, f"share-{scheme}")
    no_serious_violation(page)


def test_without_scripts_it_is_a_still(shared, open_shared, shoot) -> None:
    page = open_shared(shared.share(run_id="objects"), java_script_enabled=False)
    expect(page.locator(".marks .mark")).to_have_count(4)
    expect(page.locator(".part-name")).to_have_text(["dog", "cat"])
    expect(page.locator(".entry")).to_have_count(4)
    expect(page.locator("main .replay")).to_be_hidden()
    shoot(page, "share-still")


@pytest.mark.parametrize("width", [390, 860, 1280, 2560])
@pytest.mark.parametrize("subject", ["run", "comparison"])
def test_it_fits_every_window(shared, open_shared, shoot, width, subject) -> None:
    link = shared.share(run_id="objects") if subject == "run" else shared.share(comparison_id="three")
    page = open_shared(link, viewport={"width": width, "height": 844}, color_scheme="dark")
    assert page.evaluate(OVERFLOW) <= 0
    columns = page.locator("article.column")
    boxes = [column.bounding_box() for column in columns.all()]
    for plate in page.locator(".plate").all():
        box = plate.bounding_box()
        assert box is not None
        assert box["height"] <= 844 * 0.8
        assert box["width"] / box["height"] == pytest.approx(640 / 480, rel=0.02)
    if subject == "comparison":
        assert (boxes[0]["y"] < boxes[1]["y"]) == (width < 860)
    shoot(page, f"share-{subject}-{width}")


def test_marks_keep_their_size_at_any_width(shared, open_shared) -> None:
    for width in (390, 1600):
        page = open_shared(shared.share(run_id="one"), viewport={"width": width, "height": 900})
        expect(page.locator(".marks")).not_to_have_attribute("style", "--k:1.389")
        dot = page.locator(".mark .dot").first.bounding_box()
        assert dot is not None
        assert dot["width"] == pytest.approx(10, abs=0.6)


def test_a_comparison_plays_all_its_runs_at_once(shared, open_shared) -> None:
    page = open_shared(shared.share(comparison_id="three"), clock=True)
    page.get_by_role("button", name="Play").click()
    page.clock.run_for(130)
    texts = page.locator("[data-slot=reasoning]").all_inner_texts()
    assert [text.strip() for text in texts[:2]] == ["I see"] * 2
    page.clock.run_for(500)
    expect(page.locator("[data-slot=answer]").nth(1)).to_have_text("I count three of them.")


def test_hostile_words_run_nothing(shared, open_shared, keep_run, make_query) -> None:
    run = make_query(EVIL, EVIL, id="evil", title=EVIL, model=EVIL, revision=EVIL)
    part = run.parts[0]
    events = [replace(e, delta=EVIL) if isinstance(e, wire.TextDelta) else e for e in part.events]
    keep_run(run.with_parts([replace(part, events=tuple(events))]))
    for address in (shared.share(run_id="evil"), shared.file("runs/evil")):
        page = open_shared(address, clock=True)
        page.get_by_role("button", name="Play").click()
        page.clock.run_for(600)
        expect(page.locator("[data-slot=answer]")).to_contain_text("<script>window.evil = 1</script>")
        assert page.evaluate("window.evil") is None


def test_the_policy_holds_in_the_browser(shared, open_shared) -> None:
    page = open_shared(shared.share(run_id="one"), watched=False)
    refused = page.evaluate(
        """async () => {
            const blocked = [];
            const note = (event) => blocked.push(event.violatedDirective);
            document.addEventListener('securitypolicyviolation', note);
            const script = document.createElement('script');
            script.textContent = 'window.evil = 1';
            document.body.append(script);
            await fetch('https://example.invalid/').catch(() => null);
            const image = new Image();
            image.src = 'https://example.invalid/a.png';
            await new Promise((done) => (image.onerror = done));
            return blocked;
        }"""
    )
    assert page.evaluate("window.evil") is None
    assert {directive.split("-")[0] for directive in refused} == {"script", "connect", "img"}


@pytest.mark.parametrize("path", ["runs/objects", "comparisons/three"])
def test_one_file_opens_from_disk_and_asks_nobody(shared, open_shared, shoot, path) -> None:
    page = open_shared(shared.file(path), clock=True, offline=True)
    marks = page.locator(".marks .mark").count()
    assert marks >= 4
    image = page.locator(".plate img").first
    assert image.evaluate("(image) => image.naturalWidth") == 640
    page.get_by_role("button", name="Play").click()
    page.clock.run_for(30)
    assert page.locator(".marks .mark").count() < marks
    page.clock.run_for(800)
    expect(page.locator(".marks .mark")).to_have_count(marks)
    page.locator(".marks .mark").last.hover()
    assert page.locator(".lit").count() >= 2
    shoot(page, f"file-{path.replace('/', '-')}")


def test_what_is_not_shared_any_more_says_so(shared, open_shared, shoot) -> None:
    link = shared.share(run_id="one")
    shared.store.revoke(link.rpartition("/")[2])
    with pytest.raises(urllib.error.HTTPError) as gone:
        urllib.request.urlopen(link)
    assert gone.value.code == 410
    page = open_shared(link, watched=False)
    expect(page.get_by_role("heading")).to_have_text("This page is not shared any more.")
    expect(page.locator(".brand")).to_have_text("Dreamscope")
    shoot(page, "share-over")
