"""What the audit says goes with a run wherever it is shown, and what detect adds to it is seen and linked."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

SAID = "The answer says 3; the reasoning makes 3 points at dogs."
PLAYGROUND = "main[data-view=playground] "
PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}


def asked(page: Page, skill: str = "query") -> Page:
    """A run on the meadow that has ended."""
    page.click(f"{PLAYGROUND}.card >> nth=0")
    page.click(f"{PLAYGROUND}[data-tab={skill}]")
    page.click(f"{PLAYGROUND}[data-act=run]")
    expect(page.locator(f"{PLAYGROUND}.after")).to_be_visible()
    return page


@pytest.mark.parametrize("look", [{}, PHONE], ids=["desk", "phone"])
def test_the_finding_stands_in_history_comparison_share_and_file(open_page, app, shoot, look):
    page = asked(open_page(**look))
    lines = page.locator(f"{PLAYGROUND}.verdict-line .check-text")
    expect(lines).to_have_text([SAID])
    run = re.search(r"run=(\w+)", page.url)[1]
    size = "phone" if look else "desk"

    page.goto(f"{app.url}/?view=history")
    if look:
        page.locator(".hi-rows .run-link").first.click()
    expect(page.locator(".hi-peek .verdict-line")).to_have_text(SAID)
    expect(page.locator(".hi-marks")).to_be_visible()
    picture, marks = page.locator(".hi-picture").bounding_box(), page.locator(".hi-marks").bounding_box()
    assert marks["width"] == pytest.approx(picture["width"], abs=0.1)
    assert marks["height"] == pytest.approx(picture["height"], abs=0.1)
    shoot(page, f"finding-history-{size}")

    page.goto(f"{app.url}/?view=compare")
    expect(page.locator(".engine")).to_have_attribute("data-engine", "ready")
    page.click("main[data-view=compare] .card >> nth=0")
    expect(page.locator(".cmp-side").nth(1).locator(".plate img")).to_be_visible()
    page.fill("#cmp-prompt", "How many dogs are there?")
    page.keyboard.press("Enter")
    expect(page.locator(".cmp-side .verdict-line")).to_have_text([SAID, SAID])
    page.locator(".cmp-side .verdict-line").first.hover()
    expect(page.locator(".cmp-side").nth(1).locator(".mark.lit")).to_have_count(3)
    shoot(page, f"finding-compare-{size}")

    address = page.request.post(f"{app.url}/api/shares", data={"run": run}).json()["url"]
    page.goto(address)
    expect(page.locator(".verdict-line")).to_have_text(SAID)
    assert SAID in page.request.get(f"{app.url}/api/runs/{run}/page.html").text()


@pytest.mark.parametrize("look", [{}, PHONE], ids=["desk", "phone"])
def test_what_detect_found_is_drawn_and_linked_both_ways(open_page, app, shoot, look):
    page = open_page(**look)
    assert page.request.delete(f"{app.url}/api/history", data={"confirm": "delete"}).ok
    asked(page)
    page.click("[data-inspect=audit]")
    page.click(".audit-detect")
    settled = page.locator("#ds-inspect .audit > .audit-checks [data-check=outside-boxes]")
    expect(settled).to_have_attribute("data-verdict", "fine")
    expect(settled).to_be_visible()
    boxes = page.locator(".detected-layer .detected-line")
    expect(boxes).to_have_count(3)
    expect(boxes.first).to_be_visible()
    assert boxes.first.evaluate("e => getComputedStyle(e).strokeDasharray") != "none"
    shoot(page, f"finding-detect-{'phone' if look else 'desk'}")
    chip = page.locator(".detected-legend button")
    expect(chip).to_have_text("detected dogs3")
    chip.click()
    expect(boxes.first).to_be_hidden()
    page.click("[data-inspect=notes]")
    page.click("[data-inspect=audit]")
    here = page.url
    settled.get_by_role("link", name="Open the detect run").click()
    expect(page.locator(f"{PLAYGROUND}.marks .mark.box")).to_have_count(3)
    expect(page.locator(".detected-legend")).to_be_hidden()
    page.locator(".audit-uses a").first.click()
    expect(page).to_have_url(here)
    expect(chip).to_have_attribute("aria-pressed", "false")


def test_a_replay_keeps_the_finding_back_and_steps_by_event(open_page, shoot):
    page = asked(open_page())
    page.locator(".brand").click()
    expect(page.locator(".replay-speed")).to_have_value("0.25")
    line, words = (
        page.locator(f"{PLAYGROUND}.verdict-line"),
        page.locator(f"{PLAYGROUND}[data-slot=reasoning]"),
    )
    expect(line).to_be_visible()
    page.keyboard.press(",")
    expect(line).to_be_hidden()
    for _ in range(12):
        page.keyboard.press(",")
    before = words.inner_text()
    shoot(page, "finding-replay")
    page.keyboard.press(".")
    page.keyboard.press(".")
    expect(words).not_to_have_text(before)
    page.locator(".replay-at").fill("500")
    expect(line).to_be_visible()


def test_what_was_deleted_can_be_restored_after_the_note_is_gone(open_page, app, shoot):
    page = asked(open_page(**PHONE))
    run = re.search(r"run=(\w+)", page.url)[1]
    packed = page.request.get(f"{app.url}/api/runs/{run}/export").body()
    for _ in range(10):  # more rows than fit, none of which may push the foot away
        page.request.post(f"{app.url}/api/import", data=packed)
    page.goto(app.url)
    page.request.post(f"{app.url}/api/runs/delete", data={"ids": [run]})
    page.goto(f"{app.url}/?view=history")
    row = page.locator(".hi-deleted li").first
    expect(row).to_contain_text("How many dogs are there?” is deleted; it can be restored until")
    expect(row).to_be_in_viewport()
    shoot(page, "history-restore-phone")
    row.get_by_role("button", name=re.compile("^Restore")).click()
    expect(page.locator(f".hi-rows [data-id='{run}']")).to_be_visible()
    expect(page.locator(".toast")).to_contain_text("The run is back.")


def test_the_id_of_a_run_is_copied(open_page):
    page = asked(open_page(permissions=["clipboard-read", "clipboard-write"]))
    page.click("[data-inspect=notes]")
    page.click("[data-act=copy-id]")
    expect(page.locator(".said")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == re.search(r"run=(\w+)", page.url)[1]
