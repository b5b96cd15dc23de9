"""The page for everybody: axe-core finds nothing serious in any view or dialog; widths; live regions."""

from __future__ import annotations

import pytest
from axe_core_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

GRAVE = ("serious", "critical")
SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])


def check(page: Page, within: str | None = None) -> None:
    """Nothing serious in what is seen now, or in the part of it that has changed."""
    page.wait_for_timeout(250)  # colours that are on their way count as what they are
    found = Axe().run(page, within)["violations"]
    grave = [
        (one["id"], [node["html"][:160] for node in one["nodes"]]) for one in found if one["impact"] in GRAVE
    ]
    assert grave == []


def answered(page: Page) -> Page:
    page.click(".card >> nth=0")
    expect(page.locator(".plate img")).to_be_visible()
    page.click("[data-act=run]")
    expect(page.locator("#dreamscope")).to_have_attribute("data-run", "done")
    expect(page.locator(".replay")).to_be_visible()
    return page


@SCHEMES
def test_u71_the_playground_empty_and_answered(open_page, scheme, shoot):
    page = open_page(color_scheme=scheme)
    check(page)
    answered(page)
    check(page)
    page.click("[data-act=settings]")
    page.click("[data-inspect=audit]")
    expect(page.locator("#ds-inspect .audit")).to_be_visible()
    check(page)
    for tab in ("events", "json", "code", "metrics", "notes"):
        page.click(f"[data-inspect={tab}]")
        expect(page.locator("#ds-inspect, #ds-notes").locator("visible=true")).not_to_be_empty()
        check(page, ".inspect")
    shoot(page, f"care-playground-{scheme}")


@SCHEMES
def test_u71_objects_and_their_marks(open_page, scheme):
    page = open_page(color_scheme=scheme)
    page.click(".card >> nth=0")
    expect(page.locator(".plate img")).to_be_visible()
    page.click("[data-tab=detect]")
    page.click("[data-prompt=detect]")
    page.keyboard.type("dog, cat, bird")
    page.keyboard.press("Enter")
    expect(page.locator("#dreamscope")).to_have_attribute("data-run", "done")
    check(page)


@SCHEMES
def test_u71_every_dialog_and_popover(open_page, scheme, shoot):
    page = answered(open_page(color_scheme=scheme))
    page.locator(".brand").click()
    for name, way in (
        ("sheet", lambda: page.keyboard.press("?")),
        ("privacy", lambda: (page.keyboard.press("?"), page.click("#ds-sheet [data-dialog=privacy]"))),
        ("share", lambda: page.keyboard.press("s")),
        ("link", lambda: page.click("[data-act=link]")),
    ):
        way()
        expect(page.locator(f"#ds-{name}")).to_be_visible()
        check(page, f"#ds-{name}")
        shoot(page, f"care-{name}-{scheme}")
        page.keyboard.press("Escape")
        expect(page.locator(f"#ds-{name}")).to_be_hidden()
    for name in ("display", "downloads"):
        page.click(f"[aria-controls=ds-{name}]")
        check(page, f"#ds-{name}")
        page.keyboard.press("Escape")
        expect(page.locator(f"#ds-{name}")).to_be_hidden()


@SCHEMES
@pytest.mark.parametrize("view", ["compare", "history"])
def test_u71_the_other_views(open_page, scheme, view):
    page = open_page(path=f"/?view={view}", color_scheme=scheme)
    expect(page.locator(f".view[data-view={view}]")).to_be_visible()
    check(page)


@pytest.mark.parametrize("width", [390, 860, 1280, 2560])
def test_every_width_has_no_sideways_scroll(open_page, shoot, width):
    height = {390: 844, 2560: 1440}.get(width, 800)
    page = answered(open_page(viewport={"width": width, "height": height}))
    assert page.evaluate("document.documentElement.scrollWidth") == width
    shoot(page, f"width-{width}")
    page.click(".nav [data-go=history]")
    expect(page.locator(".view[data-view=history]")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_live_regions_tell_what_happens(open_page):
    page = open_page()
    assert page.locator(".run-status").first.get_attribute("role") == "status"
    assert page.locator(".toasts").get_attribute("aria-live") == "polite"
    assert page.locator("[data-slot=answer]").first.get_attribute("aria-live") == "polite"
    page.click("[data-act=run]")
    expect(page.get_by_role("alert").filter(has_text="Choose an image first")).to_be_visible()
