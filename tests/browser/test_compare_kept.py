"""Comparisons that come from elsewhere and are kept: addresses, runs, remote models, presets."""

from __future__ import annotations

import csv
import json
import re

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser

VIEW = "main[data-view=compare] "


def side(page: Page, index: int) -> Locator:
    return page.locator(".cmp-side").nth(index)


def ask(page: Page, skill: str, prompt: str) -> None:
    page.click(f"{VIEW}[data-tab={skill}]")
    page.fill("#cmp-prompt", prompt)
    page.keyboard.press("Enter")


def compared(page: Page) -> None:
    page.locator("#cmp-prompt").blur()
    expect(page.locator(".compare.compared")).to_be_visible()
    expect(page.locator(f"{VIEW}[data-do=run]")).to_be_visible()


def test_a_comparison_is_kept_and_its_address_restores_it(compare, app, shoot):
    page = compare()
    ask(page, "point", "dog, cat")
    compared(page)
    expect(page).to_have_url(re.compile("comparison=[0-9a-f]+"))
    page.reload()
    compared(page)
    expect(page.locator("#cmp-prompt")).to_have_value("dog, cat")
    for index in range(2):
        expect(side(page, index).locator(".marks .mark")).to_have_count(6)
    page.click("[data-go=history]")
    page.click(".hi-group-link >> nth=0")
    expect(page).to_have_url(re.compile("comparison=[0-9a-f]+"))
    compared(page)
    files = {}
    for name in ("One HTML file", "CSV", "JSON"):
        page.get_by_role("button", name="Download this comparison").click()
        with page.expect_download() as download:
            page.get_by_role("link", name=name, exact=True).click()
        files[name] = download.value
        expect(page.locator("#cmp-downloads")).to_be_hidden()
    assert "<html" in files["One HTML file"].path().read_text("utf-8")
    rows = list(csv.DictReader(files["CSV"].path().read_text("utf-8-sig").splitlines()))
    assert [(row["column"], row["model"], row["count"], row["matched"]) for row in rows] == [
        ("A", "sprite-2", "6", ""),
        ("B", "sprite-3", "6", "6"),
    ]
    (between,) = json.loads(files["JSON"].path().read_text("utf-8"))["between"]
    assert len(between["pairs"]) == 6
    page.get_by_role("button", name="Download this comparison").click()
    shoot(page, "compare-downloads")
    page.keyboard.press("Escape")
    page.click(f"{VIEW}[data-do=share]")
    expect(page.locator("#ds-share")).to_be_visible()


def test_the_address_holds_what_is_to_be_asked(compare):
    page = compare(
        scene=False,
        query="&skill=detect&q=boat&s.max_objects=3&c0=sprite-2&c1=sprite-3%2Bdogs@20&c1.prompt=ship",
    )
    expect(page.locator(f"{VIEW}[data-tab=detect]")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#cmp-prompt")).to_have_value("boat")
    expect(side(page, 1).locator(".side-variant")).to_have_value("dogs@20")
    expect(side(page, 1).locator("[name=prompt]")).to_have_value("ship")
    page.fill("#cmp-prompt", "whale")
    expect(page).to_have_url(re.compile("q=whale"))
    page.reload()
    expect(page.locator("#cmp-prompt")).to_have_value("whale")


def test_the_places_of_a_question_are_drawn_and_stay_in_the_address(compare, app):
    page = compare()
    expect(page).to_have_url(re.compile("image=[0-9a-f]{64}"))
    image = page.locator(f"{VIEW}.cmp-side .plate img >> nth=0")
    found = re.search("image=([0-9a-f]{64})", page.url)[1]
    page.goto(f"{app.url}/?view=compare&skill=query&q=What&ref=0.2,0.3&ref=0.5,0.1,0.9,0.6&image={found}")
    expect(image).to_be_visible()
    for index in (0, 1):
        expect(side(page, index).locator(".ref-point")).to_be_visible()
        expect(side(page, index).locator(".ref-box")).to_have_css("pointer-events", "none")
    page.click(f"{VIEW}[data-tab=caption]")  # a caption refers to none
    expect(page.locator(f"{VIEW}.ref")).to_have_count(0)


def test_the_playground_hands_its_question_over(open_page):
    page = open_page()
    page.click(".card:visible >> nth=0")
    page.click("main[data-view=playground] [data-tab=detect]")
    page.fill("[data-prompt=detect]", "tree")
    page.locator("[data-prompt=detect]").blur()
    expect(page).to_have_url(re.compile("image=[0-9a-f]{64}"))
    page.click("[data-go=compare]")  # the tab does what the key does, while nothing is begun there
    expect(page.locator("#cmp-prompt")).to_have_value("tree")
    expect(side(page, 1).locator(".plate img")).to_be_visible()
    page.click(f"{VIEW}[data-do=run]")
    compared(page)


def test_a_run_of_the_playground_is_compared_without_asking_again(open_page, shoot):
    page = open_page()
    page.click(".card:visible >> nth=0")
    page.click("main[data-view=playground] [data-act=run]")
    expect(page.locator("main[data-view=playground]")).to_have_attribute("data-run", "done")
    run = re.search("run=([0-9a-f]{32})", page.url)[1]
    page.locator("main[data-view=playground] .stream").focus()
    page.keyboard.press("c")
    expect(side(page, 0).locator("[data-slot=answer]")).to_have_text("Three.")
    expect(side(page, 0).locator(".side-note")).to_have_text("Ran before; kept as it is")
    expect(side(page, 1).locator(".side-model")).to_have_value("sprite-3")
    asks = page.locator(f"{VIEW}[data-do=run]")
    expect(asks).to_have_text("Run B")
    expect(asks).to_be_focused()
    expect(page.locator(f"{VIEW}.cmp-ask .changed")).to_be_hidden()  # the seed is the run's, not one's own
    shoot(page, "compare-brought")
    page.keyboard.press("Enter")
    compared(page)
    expect(page).to_have_url(re.compile(f"run={run}&run="))
    expect(asks).to_have_text("Run")
    page.get_by_role("button", name="Keep").click()
    expect(page).to_have_url(re.compile("comparison=[0-9a-f]+"))
    page.reload()
    compared(page)
    expect(side(page, 0).locator("[data-slot=answer]")).to_have_text("Three.")
    expect(page.locator(f"{VIEW}[data-do=keep]")).to_be_hidden()


def test_a_remote_model_says_that_it_is_one_and_what_it_charges(compare, shoot):
    page = compare()
    side(page, 1).locator(".side-model").select_option("cloud/moondream3.1")
    expect(side(page, 1).locator(".side-badge")).to_be_visible()
    expect(side(page, 0).locator(".side-badge")).to_be_hidden()
    page.click(f"{VIEW}[data-tab=segment]")
    page.fill("#cmp-prompt", "dog")
    side(page, 0).locator(".side-model").select_option("sprite-3")
    page.keyboard.press("Control+Enter")
    expect(side(page, 1).locator(".side-error")).to_have_text("moondream3.1 at cloud has no segment.")
    ask(page, "query", "How many dogs?")
    compared(page)
    expect(side(page, 1).locator(".facts")).to_contain_text("$0.00028")
    expect(side(page, 0).locator(".facts")).to_contain_text("no charge")
    expect(page.locator(".compare-strip .only-right")).to_have_text("0 only in moondream3.1 at cloud")
    shoot(page, "compare-remote")


def test_a_preset_fills_the_form(compare):
    page = compare(scene=False)
    page.evaluate(
        """() => localStorage.setItem('dreamscope-presets', JSON.stringify(
            {list: [{skill: 'detect', name: 'Ships', ask: {objects: ['boat', 'ship']}}]}))"""
    )
    preset = page.locator(f"{VIEW}[name=preset]")
    preset.select_option("Count the dogs")
    expect(page.locator("#cmp-prompt")).to_have_value("How many dogs?")
    expect(page.locator(f"{VIEW}[name=format]")).to_have_value("schema")
    page.click(f"{VIEW}[data-tab=detect]")
    preset.select_option("Ships")
    expect(page.locator("#cmp-prompt")).to_have_value("boat, ship")
    page.fill("#cmp-prompt", "whale")
    expect(preset).to_have_value("")
