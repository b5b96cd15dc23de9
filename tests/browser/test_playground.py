"""The page in chromium, against a scripted engine: every state, by mouse and by keyboard."""

from __future__ import annotations

import os
import signal

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

FADED = "0.25"


def start(page: Page, prompt: str | None = None, skill: str = "query") -> None:
    """Pick the first example scene, ask, run."""
    page.click(".card >> nth=0")
    expect(page.locator(".plate img")).to_be_visible()
    if skill != "query":
        page.click(f"[data-tab={skill}]")
    if prompt is not None:
        page.fill(f"[data-prompt={skill}]", prompt)
    page.click("[data-act=run]")


def run_to_end(page: Page, prompt: str | None = None, skill: str = "query") -> None:
    start(page, prompt, skill)
    state(page, "done")


def state(page: Page, name: str) -> None:
    expect(page.locator("#dreamscope")).to_have_attribute("data-run", name)


def opacity_of(page: Page, selector: str, value: str) -> None:
    expect(page.locator(selector)).to_have_css("opacity", value)


def test_example_scene_to_grounded_answer_with_the_mouse(open_page, shoot):
    page = open_page()
    expect(page.locator("main[data-view=playground] .welcome")).to_be_visible()
    expect(page.locator("main[data-view=playground] .card")).to_have_count(3)
    shoot(page, "empty-light")
    start(page)
    expect(page.locator(".prose .ground[data-ground=g0]")).to_be_visible()  # streams while it runs
    state(page, "done")
    expect(page.locator("[data-slot=reasoning]")).to_contain_text("so there are three")
    expect(page.locator("[data-slot=answer]")).to_have_text("Three.")
    expect(page.locator("[data-slot=metrics]")).to_contain_text("61 tokens")
    expect(page.locator(".marks .mark")).to_have_count(3)

    page.hover(".ground[data-ground=g1]")
    opacity_of(page, ".mark[data-ground=g1]", "1")
    opacity_of(page, ".mark[data-ground=g0]", FADED)
    opacity_of(page, ".mark[data-ground=g2]", FADED)
    body = page.locator(".mark[data-ground=g1] .mark-body")
    expect(body).to_have_css("animation-name", "ds-pulse")
    shoot(page, "hover-light")

    page.hover(".mark[data-ground=g2] .dot")
    expect(page.locator(".ground.lit")).to_have_count(1)
    expect(page.locator(".ground[data-ground=g2]")).not_to_have_css("background-color", "rgba(0, 0, 0, 0)")
    opacity_of(page, ".mark[data-ground=g1]", FADED)

    page.hover(".bar")
    opacity_of(page, ".mark[data-ground=g1]", "1")
    expect(page.locator(".lit")).to_have_count(0)


def test_image_takes_the_width_and_the_page_does_not_scroll(open_page):
    page = open_page()
    run_to_end(page)
    stage = page.locator(".stage").bounding_box()
    assert stage["width"] >= 0.58 * 1280
    assert page.evaluate("document.documentElement.scrollHeight") == 800
    sizes = page.evaluate(
        "[...document.querySelectorAll('.panel *')].map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert max(sizes) == page.evaluate(
        "parseFloat(getComputedStyle(document.querySelector('.answer')).fontSize)"
    )


def test_stop_keeps_what_was_written(open_page, shoot):
    page = open_page()
    start(page, "hang")
    expect(page.locator(".mark")).to_have_count(2)
    expect(page.locator("[data-act=run]")).to_be_hidden()
    shoot(page, "running-light")
    page.click("[data-act=stop]")
    state(page, "stopped")
    expect(page.locator("[data-slot=status]")).to_contain_text("Stopped after")
    expect(page.locator("[data-slot=reasoning]")).to_contain_text("another dog")
    expect(page.locator("[data-act=run]")).to_be_visible()
    shoot(page, "stopped-light")


def test_queued_says_how_many_are_ahead(open_page, shoot):
    page = open_page()
    start(page, "queue")
    expect(page.locator("[data-slot=status]")).to_have_text("Queued, 2 ahead")
    shoot(page, "queued-light")
    page.keyboard.press("Escape")
    state(page, "stopped")


def test_boxes_light_up_from_the_list_and_back(open_page, shoot):
    page = open_page(color_scheme="dark", viewport={"width": 1440, "height": 900})
    run_to_end(page, "dog", "detect")
    expect(page.locator(".mark.box")).to_have_count(3)
    expect(page.locator("[data-slot=answer]")).to_have_text("3 boxes")
    page.hover(".entry >> nth=1")
    opacity_of(page, ".mark[data-ground=b0]", FADED)
    expect(page.locator(".mark[data-ground=b1] .fill")).to_have_css("fill-opacity", "0.18")
    shoot(page, "detect-dark")
    page.hover(".mark[data-ground=b2] .tag")
    expect(page.locator(".entry.lit")).to_have_attribute("data-ground", "b2")


def test_skills_change_the_form(open_page):
    page = open_page()
    expect(page.locator("[data-prompt=query]")).to_be_visible()
    expect(page.locator("main[data-view=playground] [data-only=query].switch")).to_be_visible()
    page.click("[data-tab=caption]")
    expect(page.locator("main[data-view=playground] .lengths[data-only=caption]")).to_be_visible()
    expect(page.locator(".prompt:visible")).to_have_count(0)
    page.click("[data-tab=point]")
    expect(page.locator("[data-prompt=point]")).to_be_visible()
    expect(page.locator("main[data-view=playground] [data-only=query].switch")).to_be_hidden()
    page.click("[data-act=settings]")
    expect(page.locator("#ds-max_objects")).to_be_visible()
    expect(page.locator("#ds-max_tokens")).to_be_hidden()
    expect(page.locator("#ds-temperature")).to_have_attribute("placeholder", "0")


def test_engine_killed_in_the_middle_says_so_and_comes_back(open_page, app, shoot):
    page = open_page()
    start(page, "hang")
    expect(page.locator(".mark")).to_have_count(2)
    os.kill(app.engine_pid(), signal.SIGKILL)
    state(page, "lost")
    expect(page.locator("[data-slot=status]")).to_contain_text("The engine stopped")
    expect(page.locator("[data-slot=status]")).to_contain_text("Restarting…")
    expect(page.locator("[data-slot=reasoning]")).to_contain_text("another dog")
    shoot(page, "engine-gone-light")
    expect(page.locator("[data-slot=notice]")).to_contain_text("Loading sprite-2")
    shoot(page, "loading-light")
    app.let_load()
    expect(page.locator(".engine")).to_have_attribute("data-engine", "ready")
    expect(page.locator("[data-slot=status]")).to_contain_text("The engine is back")
    page.fill("[data-prompt=query]", "How many dogs are there?")
    page.click("[data-act=run]")
    state(page, "done")
    expect(page.locator("[data-slot=answer]")).to_have_text("Three.")
    assert app.engine_pid() > 0


def test_light_dark_and_the_choice_is_remembered(open_page, shoot):
    def brightness(page: Page) -> int:
        colour = page.evaluate("getComputedStyle(document.querySelector('.ds')).backgroundColor")
        return int(colour.removeprefix("rgb(").split(",")[0])

    page = open_page(color_scheme="dark")
    assert brightness(page) < 40
    shoot(page, "empty-dark")
    run_to_end(page)
    shoot(page, "done-dark")
    page.click("[data-act=theme]")
    assert brightness(page) > 220
    page.reload()
    expect(page.locator(".engine")).to_have_attribute("data-engine", "ready")
    assert brightness(page) > 220


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_is_wide_enough(open_page, shoot, scheme):
    page = open_page(viewport={"width": 390, "height": 844}, color_scheme=scheme, has_touch=True)
    run_to_end(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator(".mark .target >> nth=0").bounding_box()["width"] > 23.9
    shoot(page, f"phone-{scheme}")
    page.tap(".mark[data-ground=g1] .dot")
    opacity_of(page, ".mark[data-ground=g0]", FADED)
    page.locator("[data-slot=metrics]").scroll_into_view_if_needed()
    assert page.locator(".sky").bounding_box()["y"] == pytest.approx(8, abs=1)


def test_everything_by_keyboard(open_page, shoot):
    page = open_page()
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.card')"):
            break
    expect(page.locator(".card >> nth=0")).to_be_focused()
    expect(page.locator(".card >> nth=0")).to_have_css("outline-style", "solid")
    page.keyboard.press("Enter")
    expect(page.locator(".plate")).to_be_visible()
    expect(page.locator("[data-act=run]")).to_be_focused()
    page.keyboard.press("/")
    expect(page.locator("[data-prompt=query]")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("hang 1 h ?")
    expect(page.locator("[data-prompt=query]")).to_have_value("hang 1 h ?")  # shortcuts stay out of typing
    page.keyboard.press("Control+Enter")
    expect(page.locator(".mark")).to_have_count(2)
    page.keyboard.press("Escape")
    state(page, "stopped")
    page.locator("[data-slot=reasoning] .ground >> nth=0").focus()
    page.keyboard.press("2")
    opacity_of(page, ".mark[data-ground=g1]", "1")
    page.keyboard.press("Escape")
    page.keyboard.press("h")
    expect(page.locator(".marks")).to_have_css("visibility", "hidden")
    page.keyboard.press("h")
    expect(page.locator(".marks")).to_have_css("visibility", "visible")
    page.keyboard.press("+")
    expect(page.locator(".zoom")).to_have_text("140%")
    page.keyboard.press("0")
    expect(page.locator(".zoom")).to_have_text("100%")
    page.keyboard.press("?")
    expect(page.locator("#ds-sheet")).to_be_visible()
    shoot(page, "shortcuts-light")
    page.keyboard.press("Escape")
    expect(page.locator("#ds-sheet")).to_be_hidden()
    page.focus("[data-tab=query]")
    page.keyboard.press("ArrowRight")
    expect(page.locator("main[data-view=playground] [data-tab=caption]")).to_be_focused()
    expect(page.locator("main[data-view=playground] .lengths[data-only=caption]")).to_be_visible()


def test_bad_input_is_named_beside_the_field(open_page, shoot):
    page = open_page()
    page.click("[data-act=run]")
    expect(page.locator("#ds-image-error")).to_contain_text("Choose an image first")
    text = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"}
    page.set_input_files("#ds-file", text)
    expect(page.locator("#ds-image-error")).to_contain_text("not an image")
    expect(page.locator("main[data-view=playground] .welcome")).to_be_visible()
    start(page, "")
    expect(page.locator("#ds-prompt-error")).to_have_text("Ask a question about the image.")
    expect(page.locator("[data-prompt=query]")).to_be_focused()
    page.fill("[data-prompt=query]", "How many?")
    expect(page.locator("#ds-prompt-error")).to_be_empty()
    page.click("[data-act=settings]")
    page.fill("#ds-temperature", "7")
    page.click("[data-act=run]")
    expect(page.locator("#ds-temperature-error")).to_have_text("Temperature must be a number from 0 to 2.")
    expect(page.locator("#ds-temperature")).to_have_attribute("aria-invalid", "true")
    shoot(page, "invalid-light")
    page.click("[data-act=reset]")
    page.click("[data-act=run]")
    state(page, "done")


def test_paste_and_drop_bring_an_image(open_page):
    page = open_page()
    carry = """async ([name, type]) => {
        const { example } = document.querySelector('.card').dataset;
        const blob = await (await fetch(`/example/${example}`)).blob();
        const data = new DataTransfer();
        data.items.add(new File([blob], name, {type: 'image/png'}));
        const event = type === 'paste'
            ? new ClipboardEvent('paste', {clipboardData: data, bubbles: true})
            : new DragEvent(type, {dataTransfer: data, bubbles: true, cancelable: true});
        document.body.dispatchEvent(event);
    }"""
    page.evaluate(carry, ["pasted.png", "paste"])
    expect(page.locator(".plate img")).to_have_attribute("alt", "pasted.png")
    page.evaluate(carry, ["dropped.png", "dragover"])
    expect(page.locator("main[data-view=playground] .veil")).to_have_css("opacity", "1")
    page.evaluate(carry, ["dropped.png", "drop"])
    expect(page.locator(".plate img")).to_have_attribute("alt", "dropped.png")
    page.fill("[data-prompt=query]", "How many?")
    page.keyboard.press("Enter")
    state(page, "done")


def test_model_text_is_text(open_page):
    page = open_page()
    run_to_end(page, "markup")
    expect(page.locator("[data-slot=answer]")).to_have_text(
        "<img src=x onerror=document.title='owned'> ${1+1} {{value}} `x`"
    )
    assert page.title() == "Dreamscope"


def test_reduced_motion_stands_still(open_page):
    page = open_page(reduced_motion="reduce")
    run_to_end(page)
    page.hover(".ground[data-ground=g1]")
    opacity_of(page, ".mark[data-ground=g0]", FADED)
    expect(page.locator(".mark[data-ground=g1] .mark-body")).to_have_css("animation-name", "none")
