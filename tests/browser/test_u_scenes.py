"""What people expect of example scenes that take a while to arrive.

The number in a name is the feature's row in the table of `tests/browser/README.md`.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

HERE = "main[data-view=playground]"
HELD_SCENES = """() => {
    const ask = window.fetch;
    window.held = [];
    window.fetch = async (...what) => {
        const answer = await ask(...what);
        const scene = String(what[0]).startsWith('/example/');
        if (scene) await new Promise((release) => window.held.push(release));
        return answer;
    };
}"""
"""Holds the images of scenes until `held[n]()`."""
FRAMES = """async () => {
    for (let n = 0; n < 10; n += 1) await new Promise(requestAnimationFrame);
}"""


@pytest.mark.parametrize("view", ["playground", "compare"])
def test_u02_of_two_scenes_the_one_that_was_chosen_last_stays(open_page, view):
    page = open_page(path=f"/?view={view}")
    here = page.locator(f"main[data-view={view}]")
    page.evaluate(HELD_SCENES)
    for nth in (0, 1):
        here.locator(".card").nth(nth).click()
        page.wait_for_function("count => held.length === count", arg=nth + 1)
    page.evaluate("held[1]()")
    shown = here.locator(".plate img").first
    expect(shown).to_have_attribute("src", re.compile("blob:"))
    last = shown.get_attribute("src")
    page.evaluate("held[0]()")
    page.evaluate(FRAMES)
    expect(shown).to_have_attribute("src", last)


def test_u02_a_scene_that_comes_late_leaves_the_words_alone(open_page):
    page = open_page()
    page.evaluate(HELD_SCENES)
    page.click(".card >> nth=0")
    page.wait_for_function("held.length === 1")
    page.click(f"{HERE} [data-tab=detect]")
    page.fill("[data-prompt=detect]", "cat")
    page.evaluate("held[0]()")
    expect(page.locator(".plate img")).to_be_visible()
    expect(page.locator(f"{HERE} [data-tab=detect]")).to_have_attribute("aria-selected", "true")
    expect(page.locator("[data-prompt=detect]")).to_have_value("cat")
    page.click("[data-act=run]")
    expect(page.locator("#dreamscope")).to_have_attribute("data-run", "done")
