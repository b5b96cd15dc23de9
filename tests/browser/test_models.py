"""The model picker: what it says of each model, what choosing one does, by mouse and by keyboard."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

pytestmark = pytest.mark.browser


def name(page: Page, said: str) -> None:
    expect(page.locator(".model-name")).to_have_text(said)


def test_choosing_a_model_loads_it_and_offers_its_skills(open_page, shoot):
    page = open_page()
    name(page, "Sprite 2")
    segment = page.locator("main[data-view=playground] [data-tab=segment]")
    expect(segment).to_have_attribute("title", "Segment needs Sprite 3.")
    expect(page.locator("#ds-variant")).to_be_hidden()
    page.click("#ds-model")
    option = page.locator("[data-model=sprite-3]")
    expect(option.locator(".model-note")).to_have_text("On this machine")
    shoot(page, "models-light")
    page.evaluate("""() => {
        window.seen = [];
        const bar = document.querySelector('.model-progress');
        const note = () => bar.hidden || window.seen.push(bar.value);
        new MutationObserver(note).observe(bar, {attributes: true});
    }""")
    option.click()
    name(page, "Sprite 3")
    expect(page.locator("#ds-models")).to_be_hidden()
    expect(segment).to_have_attribute("title", "")
    expect(page.locator(".model-progress")).to_be_hidden()  # it is loaded
    seen = page.evaluate("window.seen")
    assert max(seen) > 0
    page.click("#ds-model")
    expect(option.locator(".model-note")).to_have_text("Loaded")
    expect(option).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Escape")

    page.click("[data-tab=segment]")
    page.reload()  # the choice is remembered
    name(page, "Sprite 3")
    expect(segment).to_have_attribute("title", "")
    page.select_option("#ds-variant", "dogs@20")
    page.click(".card >> nth=0")
    expect(page.locator(".plate img")).to_be_visible()
    page.fill("[data-prompt=query]", "echo")
    page.click("[data-act=run]")
    expect(page.locator("#dreamscope")).to_have_attribute("data-run", "done")
    answer = page.locator("[data-slot=answer]")
    expect(answer).to_contain_text('"model": "sprite-3"')
    expect(answer).to_contain_text('"variant": "dogs@20"')
    expect(answer).to_contain_text('"uncertainty": true')

    page.click("[data-tab=segment]")
    page.click("#ds-model")
    page.click("[data-model=sprite-2]")
    expect(segment).to_have_attribute("aria-selected", "false")
    expect(page.locator("main[data-view=playground] [data-tab=query]")).to_have_attribute(
        "aria-selected", "true"
    )
    expect(page.locator("#ds-variant")).to_be_hidden()
    segment.click()  # the skill that it lacks leads back
    expect(page.locator(".lender span")).to_have_text("Segment needs Sprite 3.")
    page.click(".lender button")
    name(page, "Sprite 3")
    expect(segment).to_have_attribute("aria-selected", "true")
    expect(page.locator(".lender")).to_be_hidden()


def test_a_skill_is_chosen_once_its_model_may_be_downloaded(open_page):
    told: list[str] = []  # the last message with the models
    asked: list[str] = []  # for what the page has sent; the engine of the other tests never hears of it

    def far(text: str) -> str:
        """The same message, in which Sprite 3 has to be downloaded until it was asked for."""
        pieces = json.loads(text)
        for message in pieces if isinstance(pieces, list) else [pieces]:
            models = (message.get("engine") or {}).get("models") or ()
            told[:] = [text] if models else told
            for model in models:
                if model["id"] == "sprite-3":
                    model |= {"loaded": bool(asked), "state": "ready" if asked else "download"}
        return json.dumps(pieces)

    def between(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def from_page(said: str | bytes) -> None:
            if isinstance(said, str) and "load" in json.loads(said):
                asked.append(said)
                socket.send(far(told[0]))
            else:
                server.send(said)

        socket.on_message(from_page)
        server.on_message(lambda said: socket.send(far(said) if isinstance(said, str) else said))

    page = open_page()
    page.route_web_socket("**/ws", between)
    page.reload()
    name(page, "Sprite 2")
    segment = page.locator("main[data-view=playground] [data-tab=segment]")
    segment.click()
    page.click(".lender button")
    expect(segment).to_have_attribute("aria-selected", "false")
    assert asked == []
    page.click("#ds-download [data-act=download]")
    name(page, "Sprite 3")
    expect(segment).to_have_attribute("aria-selected", "true")
    assert [json.loads(said) for said in asked] == [{"load": "sprite-3"}]


def test_a_model_that_fails_says_why(open_page):
    page = open_page()
    page.click("#ds-model")
    page.click("[data-model=broken]")
    expect(page.locator("#ds-model-error")).to_have_text("Its weights end too early.")
    page.click("#ds-model")
    option = page.locator("[data-model=broken]")
    expect(option.locator(".model-note")).to_have_text("Could not be loaded")
    expect(option.locator("small")).to_have_text("Its weights end too early.")


def test_by_keyboard(open_page):
    page = open_page()
    page.focus("#ds-model")
    page.keyboard.press("Enter")
    models = page.locator("#ds-models")
    expect(models).to_be_focused()
    expect(models).to_have_attribute("aria-activedescendant", "ds-model-0")
    page.keyboard.press("End")
    last = page.locator("[data-model=giant]")
    expect(last).to_have_class("model-option active")
    expect(last).to_have_attribute("aria-disabled", "true")
    expect(last.locator("small")).to_have_text("It needs 80 GB of memory.")
    page.keyboard.press("Enter")
    name(page, "Sprite 2")
    expect(models).to_be_visible()
    page.keyboard.press("Escape")
    expect(models).to_be_hidden()
    expect(page.locator("#ds-model")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    question = page.locator("#ds-download")
    expect(question).to_contain_text("Download Moondream 2?")
    expect(question).to_contain_text("About 3.9 GB")
    page.keyboard.press("Enter")  # on: Not now
    expect(question).to_be_hidden()
    name(page, "Sprite 2")
    expect(page.locator("#ds-model")).to_be_focused()
    page.click("#ds-model")
    page.click("[data-model=moondream2]")
    page.click("[data-act=download]")
    name(page, "Moondream 2")
