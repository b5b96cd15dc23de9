"""What can be known of a run and taken from it, through the mouse: audit, events, code, notes, downloads."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

HERE = "main[data-view=playground]"


def opened(page: Page, skill: str = "query", prompt: str | None = None) -> Page:
    """The first example scene, and a skill with its prompt."""
    page.click(".card >> nth=0")
    expect(page.locator(".plate img")).to_be_visible()
    page.click(f"[data-tab={skill}]")
    if prompt is not None:
        page.fill(f"[data-prompt={skill}]", prompt)
    return page


def ended(page: Page, state: str = "done") -> None:
    expect(page.locator("#dreamscope")).to_have_attribute("data-run", state)


def run(page: Page) -> Page:
    page.click("[data-act=run]")
    ended(page)
    expect(page.locator(".replay")).to_be_visible()
    return page


def origin(page: Page) -> str:
    return str(page.evaluate("location.origin"))


def test_u36_the_audit_runs_by_itself_and_lights_its_evidence(open_page, shoot):
    page = run(opened(open_page()))
    verdict = page.locator(".verdict-line")
    expect(verdict.first).to_contain_text("3")
    page.click("[data-inspect=audit]")
    evidence = page.locator("#ds-inspect .evidence[data-ground=g1]").first
    page.locator("#ds-inspect details").evaluate_all("all => all.forEach(e => e.open = true)")
    evidence.hover()
    expect(page.locator(".mark[data-ground=g0]")).to_have_css("opacity", "0.25")
    expect(page.locator(".mark[data-ground=g1]")).to_have_css("opacity", "1")
    shoot(page, "u36-audit-light")


def test_u39_u40_u41_events_json_code_and_metrics(open_page, shoot):
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    run(opened(page))
    panel = page.locator("#ds-inspect")
    page.click("[data-inspect=events]")
    expect(panel).to_contain_text("request.accepted")
    shoot(page, "u39-events-light")
    page.click("[data-inspect=json]")
    expect(panel.locator("pre")).to_contain_text('"type": "request.done"')
    page.click("[data-inspect=code]")
    for language in ("python", "curl", "openai", "websocket"):
        expect(panel).to_contain_text(re.compile(language, re.IGNORECASE))
    shoot(page, "u41-code-light")
    panel.locator("button").filter(has_text="Copy").first.click()
    expect(page.locator(".said")).to_have_text("Copied.")
    assert "How many dogs are there?" in page.evaluate("navigator.clipboard.readText()")
    page.focus("[data-inspect=code]")
    page.keyboard.press("ArrowRight")
    expect(page.locator("[data-inspect=metrics]")).to_have_attribute("aria-selected", "true")
    expect(panel).to_contain_text("84")
    page.click("[data-inspect=metrics]")
    expect(panel).to_be_hidden()


def test_u37_u38_u42_u43_numbers_copy_and_collapse(open_page):
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    run(opened(page))
    for text in ("ttft 84 ms", "112 tok/s", "61 tokens"):
        expect(page.locator(".metrics")).to_contain_text(text)
    page.click("[data-act=copy]")
    expect(page.locator(".said")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == "Three."
    page.click(".reasoning summary")
    expect(page.locator(f"{HERE} .prose")).to_be_hidden()


def test_u44_notes_rating_and_pin_are_kept(open_page, shoot):
    page = run(opened(open_page()))
    page.click("[data-act=rate-up]")
    page.click("[data-act=pin]")
    page.click("[data-inspect=notes]")
    page.fill("#ds-run-title", "Three dogs")
    page.fill("#ds-run-tags", "dogs, park, dogs")
    page.fill("#ds-run-notes", "The one in the middle sits.")
    page.press("#ds-run-notes", "Tab")
    expect(page.locator("[data-slot=note-said]")).to_have_text("Saved.")
    shoot(page, "u44-notes-light")
    page.reload()
    expect(page.locator("[data-act=rate-up]")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("[data-act=pin]")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#ds-run-title")).to_have_value("Three dogs")
    expect(page.locator("#ds-run-tags")).to_have_value("dogs, park")
    expect(page.locator("#ds-run-notes")).to_have_value("The one in the middle sits.")


# --------------------------------------------------------------------------------------- history, sharing


def test_u58_u59_u60_downloads(open_page, shoot):
    page = run(opened(open_page(), "detect", "dog"))
    page.click("[aria-controls=ds-downloads]")
    mask = page.locator("[data-download='mask.png']")
    expect(mask).to_have_attribute("aria-disabled", "true")
    expect(page.locator(".download-why >> visible=true")).to_have_text(
        "This run has no outline; ask segment for one."
    )
    shoot(page, "u58-downloads-light")
    page.uncheck("#ds-downloads [name=uncertainty]")
    with page.expect_download() as download:
        page.click("[data-download='annotated.svg']")
    assert 'class="spread"' not in Path(download.value.path()).read_text("utf-8")
    page.click("[aria-controls=ds-downloads]")
    page.check("#ds-downloads [name=uncertainty]")
    starts = {"annotated.png": b"\x89PNG", "annotated.svg": b"<svg", "coco.json": b"{", "places.csv": b""}
    for name, start in starts.items():
        if page.locator("#ds-downloads").is_hidden():
            page.click("[aria-controls=ds-downloads]")
        with page.expect_download() as download:
            page.click(f"[data-download='{name}']")
        data = Path(download.value.path()).read_bytes()
        assert start in data[:400], name
        if name == "coco.json":
            assert len(json.loads(data)["annotations"]) == 3
    with page.expect_download() as download:
        page.click("[aria-controls=ds-downloads]")
        page.click("[data-download='yolo.zip']")
    assert zipfile.is_zipfile(download.value.path())


# ------------------------------------------------------------------------------------------------- shell
