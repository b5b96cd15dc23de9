"""What people expect of the image and its marks: colours, sizes, labels, zoom, the original.

The number in a name is the feature's row in the table of `tests/browser/README.md`.
"""

from __future__ import annotations

import re

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


def run(page: Page) -> Page:
    page.click("[data-act=run]")
    expect(page.locator("#dreamscope")).to_have_attribute("data-run", "done")
    expect(page.locator(".replay")).to_be_visible()
    return page


def test_u27_colours_of_labels_are_kept_and_can_be_changed(open_page, shoot):
    page = run(opened(open_page(), "detect", "dog"))
    mark = page.locator(
        ".mark[data-ground=b0] [stroke-width='2'], .mark[data-ground=b0] [stroke-width='2.0']"
    ).first
    own = mark.evaluate("e => getComputedStyle(e).stroke")
    page.fill(".label-colour", "#00ff00")
    expect(mark).to_have_css("stroke", "rgb(0, 255, 0)")
    expect(page.locator(".entry .entry-number >> nth=0")).to_have_css("background-color", "rgb(0, 255, 0)")
    shoot(page, "u27-colour-light")
    page.reload()
    expect(mark).to_have_css("stroke", "rgb(0, 255, 0)")
    expect(page.locator(".label-colour")).to_have_value("#00ff00")
    page.click(".label-reset")
    expect(mark).to_have_css("stroke", own)
    run(page)
    expect(mark).to_have_css("stroke", own)


def test_u28_lines_and_labels_have_a_size(open_page):
    page = run(opened(open_page(), "detect", "dog"))
    line = page.locator(".mark[data-ground=b0] [vector-effect]").nth(2)
    tag = page.locator(".mark[data-ground=b0] .tag")
    before = tag.bounding_box()["height"]
    page.click("[aria-controls=ds-display]")
    page.fill("#ds-line", "200")
    page.fill("#ds-label", "200")
    expect(line).to_have_css("stroke-width", "4px")
    assert tag.bounding_box()["height"] == pytest.approx(2 * before, rel=0.05)
    page.keyboard.press("Escape")
    expect(page.locator("#ds-display")).to_be_hidden()
    expect(page.locator("[aria-controls=ds-display]")).to_be_focused()
    page.reload()
    expect(line).to_have_css("stroke-width", "4px")


def test_u29_labels_are_shown_or_hidden(open_page, shoot):
    page = opened(open_page(), "point")
    page.click("[data-prompt=point]")
    page.keyboard.type("dog, cat")
    run(page)
    chips = page.locator(".label-chip:not(.detected-chip)")
    expect(chips).to_have_count(2)
    page.click(".label-chip[data-name=dog] .label-toggle")
    expect(page.locator(".mark[data-label=dog] >> nth=0")).to_be_hidden()
    expect(page.locator(".mark[data-label=cat] >> nth=0")).to_be_visible()
    shoot(page, "u29-hidden-light")
    page.locator(".brand").click()
    page.keyboard.press("1")  # of those that can be seen
    expect(page.locator(".mark.lit")).to_have_attribute("data-label", "cat")
    page.click(".label-chip[data-name=dog] .label-toggle")
    expect(page.locator(".mark[data-label=dog] >> nth=0")).to_be_visible()


def test_u29_the_words_of_a_reasoning_are_labels(open_page):
    page = run(opened(open_page()))
    expect(page.locator(".label-chip:not(.detected-chip) .label-name")).to_have_text(["dog", "one"])
    page.click(".label-chip[data-name=dog] .label-toggle")
    expect(page.locator(".mark[data-ground=g0]")).to_be_hidden()
    expect(page.locator(".mark[data-ground=g1]")).to_be_hidden()
    expect(page.locator(".mark[data-ground=g2]")).to_be_visible()


def test_u32_zoom_pan_fit_and_coordinates(open_page):
    page = run(opened(open_page()))
    plate = page.locator(".plate")
    box = plate.bounding_box()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    expect(page.locator(".coords")).to_contain_text(re.compile(r"x 0\.2[45]\d  y 0\.(49|50)\d"))
    sky = page.locator(f"{HERE} .sky").bounding_box()
    for told in (".coords", ".sky-hint"):  # beside the image, not over it
        expect(page.locator(told)).to_be_visible()
        assert page.locator(told).bounding_box()["y"] >= sky["y"] + sky["height"]
    page.mouse.wheel(0, -300)
    expect(page.locator(".zoom")).not_to_have_text("100%")
    page.keyboard.press("0")
    expect(page.locator(".zoom")).to_have_text("100%")


def test_u35_original_against_marks(open_page, shoot):
    page = run(opened(open_page(), "detect", "dog"))
    page.locator(".brand").click()
    page.keyboard.press("w")
    slider = page.locator(".wipe-range")
    expect(slider).to_be_focused()
    for _ in range(50):
        page.keyboard.press("ArrowLeft")
    assert page.evaluate("getComputedStyle(document.querySelector('.marks')).clipPath").startswith("inset(")
    shoot(page, "u35-wipe-light")
    page.click("[data-act=wipe]")
    expect(page.locator(".wipe")).to_be_hidden()
