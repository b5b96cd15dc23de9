"""What a result looks like while it comes and after: outlines, uncertainty, probabilities, structure."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def start(page: Page, skill: str, prompt: str) -> None:
    page.click(".card >> nth=0")
    expect(page.locator(".plate img")).to_be_visible()
    page.click(f"[data-tab={skill}]")
    page.fill(f"[data-prompt={skill}]", prompt)


def run(page: Page) -> None:
    page.click("[data-act=run]")
    expect(page.locator("#dreamscope")).to_have_attribute("data-run", "done")


def with_sprite_3(page: Page) -> None:
    page.click("#ds-model")
    page.click("[data-model=sprite-3]")
    expect(page.locator("main[data-view=playground] [data-tab=segment]")).to_be_visible()


def test_an_outline_grows_and_covers_the_object(open_page, outline_of, shoot):
    page = open_page(color_scheme="dark", viewport={"width": 1440, "height": 900})
    with_sprite_3(page)
    start(page, "segment", "dog")
    outline = outline_of(page)
    run(page)
    paths = outline.paths()
    assert len(paths) >= 2
    assert sorted(paths, key=len) == paths
    for place in ((0.25, 0.74), (0.2, 0.8), (0.3, 0.7)):
        assert outline.covers(*place), place
    for place in ((0.1, 0.74), (0.25, 0.5), (0.145, 0.61)):
        assert not outline.covers(*place), place
    fill = page.locator(".mask-fill")
    expect(fill).to_have_css("fill-opacity", "0.35")
    page.click("[aria-controls=ds-display]")
    page.fill("#ds-opacity", "80")
    page.keyboard.press("Escape")
    expect(fill).to_have_css("fill-opacity", "0.8")
    page.hover(".entry >> nth=0")
    expect(page.locator(".mark.mask")).to_have_class("mark mask lit")
    shoot(page, "segment-dark")
    page.reload()
    expect(page.locator("#ds-opacity")).to_have_value("80")


@pytest.mark.parametrize(("skill", "count"), [("point", 3), ("detect", 3)])
def test_uncertainty_is_shown_or_not(open_page, shoot, skill, count):
    page = open_page()
    start(page, skill, "dog")
    expect(page.locator("[data-act=spread]")).to_be_hidden()
    run(page)
    spreads = page.locator(".marks .mark .spread")
    expect(spreads).to_have_count(count)
    expect(spreads.first).to_be_visible()
    expect(page.locator("[data-act=spread]")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".spread-note")).to_contain_text("where the model wavers")
    shoot(page, f"uncertainty-{skill}-light")
    page.click("[data-act=spread]")
    expect(spreads.first).to_be_hidden()
    expect(page.locator(".spread-note")).to_be_hidden()
    expect(page.locator(".marks .mark").first).to_be_visible()
    page.goto(page.url.partition("?")[0])
    expect(page.locator(".engine")).to_have_attribute("data-engine", "ready")
    start(page, skill, "dog")
    run(page)
    expect(spreads.first).to_be_hidden()
    page.click("[data-act=spread]")
    expect(spreads.first).to_be_visible()


def test_probabilities_tint_the_tokens(open_page, shoot):
    page = open_page()
    page.click(".card >> nth=0")
    expect(page.locator(".plate img")).to_be_visible()
    page.click("[data-tab=caption]")
    run(page)
    words = page.locator("[data-slot=answer] .tok")
    expect(words.first).to_have_text("Three")
    clear = "rgba(0, 0, 0, 0)"
    expect(words.nth(8)).to_have_css("background-color", clear)
    page.click("[data-act=probs]")
    expect(words.nth(8)).not_to_have_css("background-color", clear)
    expect(words.nth(8)).to_have_attribute("title", "Probability 0.17")
    expect(page.locator("[data-slot=answer]")).to_contain_text("Three dogs stand in a green meadow")
    shoot(page, "probabilities-light")


def test_json_is_a_tree_with_its_text_one_click_away(open_page, shoot):
    page = open_page()
    start(page, "query", "Which dogs?")
    page.select_option("#ds-format", "json")
    page.click(".switch:has(#ds-reasoning)")
    run(page)
    view, raw = page.locator(".structured-view"), page.locator("pre.raw")
    expect(view.locator("td").first).to_have_text("by the tree")
    expect(raw).to_be_hidden()
    shoot(page, "json-light")
    toggle = page.locator(".raw-toggle")
    toggle.focus()
    page.keyboard.press("Enter")
    expect(toggle).to_have_attribute("aria-pressed", "true")
    expect(view).to_be_hidden()
    assert json.loads(raw.inner_text())["count"] == 3
    toggle.click()
    expect(raw).to_be_hidden()
    expect(view).to_be_visible()


def test_csv_is_a_table(open_page):
    page = open_page()
    start(page, "query", "Which dogs?")
    page.select_option("#ds-format", "csv")
    run(page)
    expect(page.locator(".structured-table th")).to_have_text(["where", "x"])
    expect(page.locator(".structured-table tbody tr")).to_have_count(2)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("{", "The schema is not JSON"),
        ("", "The schema is not JSON"),
        ("[1]", 'A JSON schema is an object, for example {"type": "object"}.'),
    ],
)
def test_a_schema_that_is_none_is_named_beside_the_field(open_page, schema, said):
    page = open_page()
    start(page, "query", "Which dogs?")
    page.select_option("#ds-format", "schema")
    page.fill("#ds-schema", schema)
    page.click("[data-act=run]")
    expect(page.locator("#ds-schema-error")).to_contain_text(said)
    expect(page.locator("#ds-schema")).to_be_focused()
    expect(page.locator("#ds-schema")).to_have_attribute("aria-invalid", "true")
    page.fill("#ds-schema", '{"type": "object"}')
    expect(page.locator("#ds-schema-error")).to_be_empty()
    run(page)
    expect(page.locator(".structured-view")).to_be_visible()


def test_a_preset_fills_the_form(open_page, shoot):
    page = open_page()
    page.click(".card >> nth=0")
    expect(page.locator(".plate img")).to_be_visible()
    page.select_option("#ds-preset", "dogs")
    expect(page.locator("[data-prompt=query]")).to_have_value("How many dogs?")
    expect(page.locator("#ds-format")).to_have_value("schema")
    assert json.loads(page.locator("#ds-schema").input_value())["properties"] == {
        "count": {"type": "integer"}
    }
    shoot(page, "schema-light")
    page.select_option("#ds-preset", "tags")
    expect(page.locator("#ds-format")).to_have_value("json")
    expect(page.locator("#ds-schema")).to_be_hidden()
    expect(page.locator("#ds-reasoning")).not_to_be_checked()
    page.fill("[data-prompt=query]", "echo")  # is a question of one's own from here on
    expect(page.locator("#ds-preset")).to_have_value("")
    run(page)
    page.click(".raw-toggle")
    sent = json.loads(page.locator("pre.raw").inner_text())
    assert sent["response_format"] == {"type": "json_object"}
    assert "preset" not in sent


NOTE_OPEN_WORDS = """() => {
    window.looks = [];
    const note = (node) => {
        if (!node.isConnected) return;  // it was closed before anybody saw it, and looks like nothing
        if (node.matches?.('.ground.open')) window.looks.push(getComputedStyle(node).display);
    };
    const seen = new MutationObserver((all) => all.forEach(({addedNodes}) => addedNodes.forEach(note)));
    seen.observe(document.querySelector('[data-slot=reasoning]'), {childList: true, subtree: true});
}"""


def test_a_grounded_word_stays_in_its_line_while_it_is_written(open_page):
    page = open_page()
    start(page, "query", "How many dogs?")
    page.evaluate(NOTE_OPEN_WORDS)
    run(page)
    looks = page.evaluate("window.looks")
    assert looks
    assert set(looks) == {"inline"}
