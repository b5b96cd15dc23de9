"""What people expect of asking: without an image, with presets of their own, against what they know is true.

The number in a name is the feature's row in the table of `tests/browser/README.md`.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def ended(page: Page, state: str = "done") -> None:
    expect(page.locator("#dreamscope")).to_have_attribute("data-run", state)


def choices(page: Page) -> list[str]:
    """What the list of presets offers."""
    return page.locator("#ds-preset option").all_inner_texts()


def save_preset(page: Page, name: str) -> None:
    """By keyboard, from the button on."""
    page.locator("[aria-controls=ds-presets]").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#ds-preset-name")).to_be_focused()
    page.keyboard.type(name)
    page.keyboard.press("Enter")


def test_u7_presets_of_the_engine_go_with_their_skill(open_page):
    page = open_page()
    assert choices(page) == ["Presets", "Tag the image", "Count the dogs"]
    page.click("[data-tab=detect]")
    assert choices(page) == ["Presets", "Find the stars"]
    page.select_option("#ds-preset", label="Find the stars")
    expect(page.locator("[data-prompt=detect]")).to_have_value("star")
    page.click("[data-tab=caption]")
    expect(page.locator("#ds-preset")).to_be_hidden()


def test_u7_a_preset_of_ones_own(open_page, shoot):
    page = open_page()
    page.click("[data-tab=detect]")
    page.click("[data-prompt=detect]")
    page.keyboard.type("dog, cat")
    page.click("[data-act=settings]")
    page.fill("#ds-max_objects", "7")
    page.locator("[aria-controls=ds-presets]").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")  # without a name
    status = page.locator("#ds-presets [role=status]")
    expect(status).to_have_text("Give it a name.")
    page.keyboard.type("Pets")
    page.keyboard.press("Enter")
    expect(status).to_have_text("Pets is saved.")
    expect(page.locator("main[data-view=playground]")).to_have_attribute("data-run", "idle")
    shoot(page, "u7-saved-light")
    page.keyboard.press("Escape")
    expect(page.locator("[aria-controls=ds-presets]")).to_be_focused()
    expect(page.locator("#ds-preset option:checked")).to_have_text("Pets")

    page.click("[data-tab=query]")
    assert "Pets" not in choices(page)
    page.select_option("#ds-preset", "dogs")
    page.fill("[data-prompt=query]", "How many legs?")
    page.uncheck("#ds-reasoning", force=True)
    save_preset(page, "Legs")
    page.keyboard.press("Escape")
    page.fill("[data-prompt=query]", "Something else")
    expect(page.locator("#ds-preset")).to_have_value("")

    page.goto(page.url.partition("?")[0])  # what the address said of the form is gone
    expect(page.locator(".engine")).to_have_attribute("data-engine", "ready")
    page.click("[data-tab=query]")
    page.locator("#ds-preset").focus()
    page.keyboard.type("Leg")  # a list is chosen from by typing
    expect(page.locator("[data-prompt=query]")).to_have_value("How many legs?")
    expect(page.locator("#ds-format")).to_have_value("schema")
    expect(page.locator("#ds-reasoning")).not_to_be_checked()
    page.click("[data-tab=detect]")
    page.select_option("#ds-preset", label="Pets")
    expect(page.locator(".chip-name")).to_have_text(["dog", "cat"])
    expect(page.locator("#ds-max_objects")).to_have_value("7")

    page.click(".card >> nth=0")
    expect(page.locator(".plate")).to_be_visible()
    page.click("[data-tab=detect]")
    page.select_option("#ds-preset", label="Pets")
    page.click("[data-act=run]")
    ended(page)
    expect(page.locator(".part .part-name")).to_have_text(["dog", "cat"])

    page.click("[aria-controls=ds-presets]")
    page.click("#ds-presets li [aria-label='Delete Pets']")
    expect(status).to_have_text("Pets is deleted.")
    assert choices(page) == ["Presets", "Find the stars"]
    page.reload()
    expect(page.locator(".engine")).to_have_attribute("data-engine", "ready")
    assert "Pets" not in choices(page)


def test_u11_a_question_without_an_image(open_page, shoot):
    page = open_page()
    page.click("[data-tab=detect]")
    page.click(".welcome [data-act=no-image]")
    expect(page.locator(".alone .invite")).to_contain_text("Without an image")
    expect(page.locator(".card >> nth=0")).to_be_hidden()
    prompt = page.locator("[data-prompt=query]")
    expect(prompt).to_be_focused()
    page.keyboard.type("How many legs has a dog?")
    page.keyboard.press("Enter")
    ended(page)
    expect(page.locator("[data-slot=answer] >> nth=0")).to_have_text("I see none.")
    shoot(page, "u11-without-light")
    page.wait_for_function("new URLSearchParams(location.search).get('image') === 'none'")
    asked = page.evaluate("location.search")
    page.reload()
    expect(page.locator("[data-slot=answer] >> nth=0")).to_have_text("I see none.")
    expect(page.locator(".alone")).to_be_visible()
    page.click("[data-act=repeat]")
    page.wait_for_function("before => location.search !== before", arg=asked)
    ended(page)
    expect(page.locator("[data-slot=answer] >> nth=0")).to_have_text("I see none.")
    page.click("[data-tab=detect]")
    page.fill("[data-prompt=detect]", "dog")
    page.click("[data-act=run]")
    expect(page.locator("#ds-image-error")).to_contain_text("Choose an image first")
    page.click("[data-act=with-image]")
    expect(page.locator("[data-act=open]")).to_be_focused()
    expect(page.locator(".card >> nth=0")).to_be_visible()


def test_u11_an_open_image_is_removed(open_page, shoot):
    page = open_page()
    page.click(".card >> nth=0")
    page.click("[data-act=run]")
    ended(page)
    expect(page.locator(".marks .mark")).to_have_count(3)
    shoot(page, "u11-remove-light")
    page.locator("[data-act=remove-image]").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".plate")).to_be_hidden()
    expect(page.locator(".marks .mark")).to_have_count(0)
    expect(page.locator("[data-act=remove-image]")).to_be_hidden()
    expect(page.locator("[data-act=open]")).to_be_focused()
    expect(page.locator(".thumb[aria-current=true]")).to_have_count(0)
    page.wait_for_function("!new URLSearchParams(location.search).has('image')")
    page.click("[data-act=run]")
    expect(page.locator("#ds-image-error")).to_contain_text("Choose an image first")
    page.go_back()  # to the run, with its image
    expect(page.locator(".plate")).to_be_visible()
    expect(page.locator(".marks .mark")).to_have_count(3)


def test_u11_two_models_are_asked_without_an_image(open_page, shoot):
    page = open_page()
    page.click(".welcome [data-act=no-image]")
    page.keyboard.type("How many?")
    page.keyboard.press("Enter")
    ended(page)
    page.click(".deeds [data-act=compare]")
    expect(page.locator("main[data-view=compare]")).to_have_attribute("data-phase", "words")
    page.click(".cmp-ask [data-do=run]")
    answers = page.locator(".cmp-side [data-slot=answer]")
    expect(answers.nth(0)).to_have_text("I see none.")
    expect(answers.nth(1)).to_have_text("I see none.")
    expect(page.locator(".cmp-side .sky >> nth=0")).to_be_hidden()
    expect(page).to_have_url(re.compile("run=[0-9a-f]+&run="))
    shoot(page, "u11-compare-light")
    page.reload()
    expect(answers.nth(1)).to_have_text("I see none.")
    expect(page.locator(".cmp-welcome")).to_be_hidden()
    page.click("[data-go=history]")
    expect(page.locator(".run-row .run-answer", has_text="I see none.").first).to_be_visible()
    expect(page.locator(".run-row span.run-thumb").first).to_be_visible()
    page.locator(".run-row >> nth=0").click()
    expect(page.locator(".hi-figure")).to_be_hidden()
    shoot(page, "u11-history-light")


def drag(page: Page, box: tuple[float, float, float, float]) -> None:
    """Over the image, from corner to corner, in fractions of it."""
    plate = page.locator(".plate").bounding_box()
    assert plate is not None
    x, y = (
        [plate["x"] + plate["width"] * box[n] for n in (0, 2)],
        [plate["y"] + plate["height"] * box[n] for n in (1, 3)],
    )
    page.mouse.move(x[0], y[0])
    page.mouse.down()
    page.mouse.move((x[0] + x[1]) / 2, (y[0] + y[1]) / 2)
    page.mouse.move(x[1], y[1])
    page.mouse.up()


def test_u45_what_is_true_is_drawn_and_missed_things_are_shown(open_page, shoot):
    page = open_page()
    page.click(".card >> nth=0")
    page.click("[data-tab=detect]")
    page.fill("[data-prompt=detect]", "dog")
    page.click("[data-act=run]")
    ended(page)
    page.click("[data-inspect=truth]")
    page.click("[data-act=truth-save]")
    error = page.locator("#ds-truth .field-error")
    expect(error).to_contain_text("Place what is there first")
    drag(page, (0.14, 0.6, 0.36, 0.88))  # the first of the three boxes
    drag(page, (0.05, 0.1, 0.25, 0.35))  # where nothing was found
    expect(page.locator(".ref-truth")).to_have_count(2)
    page.click("[data-act=truth-save]")
    line = page.locator(".truth-line")
    expect(line).to_have_text("Truth: 1 of 2 hit, 1 missed; 2 boxes hit nothing.")
    rows = page.locator(".truth-list .entry")
    expect(rows).to_have_text(
        [
            re.compile(r"Box 1 · hit, IoU (1.00|0.9\d)"),
            "Box 2 · hits nothing",
            "Box 3 · hits nothing",
            re.compile("Missed · x"),
        ]
    )
    expect(page.locator(".truth-badge")).to_have_count(3)
    shoot(page, "u45-truth-light")
    page.click("[data-inspect=truth]")  # closed: the image is what it was
    expect(page.locator(".ref-truth")).to_have_count(0)
    expect(page.locator(".truth-missed")).to_be_visible()
    rows.nth(1).hover()
    expect(page.locator(".mark.lit >> nth=0")).to_have_attribute("data-ground", "b1")
    rows.nth(3).hover()
    expect(page.locator(".truth-missed")).to_have_class(re.compile("lit"))
    shoot(page, "u45-missed-light")
    page.reload()
    expect(line).to_have_text("Truth: 1 of 2 hit, 1 missed; 2 boxes hit nothing.")
    expect(page.locator(".truth-missed")).to_have_count(1)
    page.click("[data-inspect=truth]")
    expect(page.locator(".ref-truth")).to_have_count(2)
    page.click("[data-act=truth-remove]")
    expect(page.locator(".truth")).to_be_hidden()
    expect(page.locator(".truth-missed")).to_have_count(0)


def test_u45_truth_by_keyboard_and_from_a_file(open_page):
    page = open_page()
    page.click(".card >> nth=0")
    page.click("[data-tab=point]")
    page.fill("[data-prompt=point]", "dog")
    page.click("[data-act=run]")
    ended(page)
    expect(page.locator("[data-inspect=truth]")).to_be_visible()  # the history knows the run now
    page.locator("[data-inspect=truth]").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#ds-truth")).to_be_visible()
    page.locator("[data-act=truth-point]").focus()
    page.keyboard.press("Enter")  # in the middle of the image
    expect(page.locator(".ref-truth")).to_be_focused()
    page.locator("[data-act=truth-save]").focus()
    page.keyboard.press("Enter")
    line = page.locator(".truth-line")
    expect(line).to_have_text("Truth: 0 of 1 hit, 1 missed; 3 points hit nothing.")
    choose = page.locator("#ds-truth input[type=file]")
    choose.set_input_files({"name": "x.json", "mimeType": "application/json", "buffer": b"{"})
    expect(page.locator("#ds-truth .field-error")).to_contain_text("This file is not JSON")
    with page.expect_download() as download:
        page.click("[aria-controls=ds-downloads]")
        page.click("[data-download='coco.json']")
    choose.set_input_files(download.value.path())
    expect(line).to_have_text("Truth: 3 of 3 hit, 0 missed.")
    page.click("[data-tab=query]")
    page.fill("[data-prompt=query]", "echo")
    page.click("[data-act=run]")
    ended(page)
    expect(page.locator("[data-inspect=truth]")).to_be_hidden()
    expect(page.locator(".truth")).to_be_hidden()
