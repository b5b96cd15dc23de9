"""Columns over one image, by mouse and keyboard, with a fake engine whose models can disagree."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser

VIEW = "main[data-view=compare] "
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


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


PLATE_AT_REST = """(side) => new Promise((done) => {
    let before = "", same = 0;
    const look = () => {
        const [sky, plate] = [".sky", ".plate"].map((of) => side.querySelector(of).getBoundingClientRect());
        const now = [plate.x - sky.x, plate.y - sky.y, plate.width].map((at) => at.toFixed(1)).join(" ");
        same = now === before ? same + 1 : 0;
        before = now;
        if (same === 10) done(now);
        else requestAnimationFrame(look);
    };
    look();
})"""


def plate_of(page: Page, index: int) -> str:
    """Where the image lies in its column, and how wide it is, once that no longer changes."""
    return str(side(page, index).evaluate(PLATE_AT_REST))


def test_two_models_stream_one_prompt_at_once(compare, shoot):
    page = compare(scene=False)
    shoot(page, "compare-empty")
    page.click(f"{VIEW}.card >> nth=0")
    expect(page.locator("#cmp-prompt")).to_have_value("How many dogs are there?")
    expect(side(page, 0).locator(".side-model")).to_have_value("sprite-2")
    expect(side(page, 1).locator(".side-model")).to_have_value("sprite-3")
    page.evaluate(
        """() => {
            window.together = 0;
            const runs = () => [...document.querySelectorAll('.cmp-side')].map((side) => side.dataset.run);
            const note = () => { if (runs().every((run) => run === 'running')) window.together += 1; };
            const seen = new MutationObserver(note);
            seen.observe(document.querySelector('.cmp-columns'), {attributes: true, subtree: true});
        }"""
    )
    page.click(f"{VIEW}[data-do=run]")
    expect(page.locator(f"{VIEW}[data-do=stop]")).to_be_visible()
    compared(page)
    assert page.evaluate("window.together") > 0
    for index in range(2):
        expect(side(page, index).locator("[data-slot=answer]")).to_have_text("Three.")
        expect(side(page, index).locator(".reasoning .ground")).to_have_count(3)
        facts = side(page, index).locator(".facts")
        expect(facts).to_contain_text("First token83 ms")  # 84, of which it waited one
        expect(facts).to_contain_text("61")
        expect(facts).to_contain_text("112")
    expect(page.locator(".compare-strip .matched")).to_have_text("3 matched")
    shoot(page, "compare")


def test_zoom_pan_and_hover_are_linked(compare, shoot):
    page = compare()
    ask(page, "query", "How many dogs?")
    compared(page)
    before = plate_of(page, 1)
    box = side(page, 0).locator(".sky").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.6)
    page.mouse.wheel(0, -600)
    page.wait_for_function("document.querySelectorAll('.cmp-side .plate')[1].offsetWidth > 600")
    assert plate_of(page, 0) == plate_of(page, 1) != before
    zoomed = plate_of(page, 1)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.4 + 60, box["y"] + box["height"] * 0.6 + 20, steps=4)
    page.mouse.up()
    assert plate_of(page, 0) == plate_of(page, 1) != zoomed
    page.keyboard.press("0")
    assert plate_of(page, 0) == plate_of(page, 1) == before

    side(page, 0).locator(".prose .ground").nth(1).hover()
    expect(side(page, 1).locator(".mark.lit")).to_have_count(1)
    expect(side(page, 1).locator(".mark[data-ground=g1]")).to_have_class(re.compile("lit"))
    expect(side(page, 1).locator(".mark[data-ground=g0]")).to_have_css("opacity", "0.25")
    shoot(page, "compare-hover")
    side(page, 1).locator(".mark[data-ground=g2]").hover()
    expect(side(page, 0).locator(".prose .ground.lit")).to_have_text(re.compile("one"))
    page.mouse.move(5, 5)
    expect(page.locator(".cmp-side .lit")).to_have_count(0)


def test_what_only_one_side_found_is_told_and_can_be_shown_alone(compare, shoot):
    page = compare()
    ask(page, "detect", "differ")
    compared(page)
    strip = page.locator(".compare-strip")
    expect(strip.locator(".matched")).to_have_text("2 matched")
    expect(strip.locator(".only-left")).to_have_text("1 only in Sprite 2")
    expect(strip.locator(".only-right")).to_have_text("1 only in Sprite 3")
    alone = side(page, 1).locator(".mark[data-match=only]")
    expect(alone).to_have_count(1)
    side(page, 1).locator("[data-slot=list] .entry").nth(2).hover()
    expect(side(page, 1).locator(".mark.lit")).to_have_count(1)
    expect(side(page, 0).locator(".lit")).to_have_count(0)  # it has no partner there
    page.mouse.move(5, 5)
    page.keyboard.press("d")
    expect(page.locator("[data-do=differ][aria-pressed]")).to_have_attribute("aria-pressed", "true")
    expect(side(page, 0).locator("[data-slot=list] .entry:visible")).to_have_count(1)
    expect(side(page, 0).locator(".mark[data-match=pair]").first).to_have_css("opacity", "0.12")
    expect(alone).to_have_css("opacity", "1")
    expect(page.locator(".cmp-filter")).to_contain_text("Only what one side alone shows")
    shoot(page, "compare-differences")
    page.get_by_role("button", name="Show all").click()
    expect(side(page, 0).locator("[data-slot=list] .entry:visible")).to_have_count(3)
    page.click("[data-do=differ][aria-pressed]")
    page.click(f"{VIEW}[data-do=run]")
    compared(page)
    expect(page.locator(".cmp-filter")).to_be_hidden()  # another comparison shows all again
    expect(side(page, 0).locator("[data-slot=list] .entry:visible")).to_have_count(3)


def test_masks_tell_their_overlap(compare, shoot):
    page = compare()
    side(page, 0).locator(".side-model").select_option("sprite-3")
    ask(page, "segment", "dog")
    compared(page)
    expect(page.locator(".compare-strip .mask-iou")).to_contain_text("1.00")
    shoot(page, "compare-masks")


def test_words_that_differ_are_marked_when_asked_for(compare, shoot):
    page = compare()
    ask(page, "query", "differ")
    compared(page)
    answer = side(page, 1).locator(".result > .differing")
    expect(answer).to_be_hidden()
    page.keyboard.press("w")
    expect(answer).to_be_visible()
    expect(side(page, 1).locator("[data-slot=answer]")).to_be_hidden()
    expect(answer.locator("ins").first).to_be_visible()
    expect(side(page, 0).locator("[data-slot=answer]")).to_have_text("Three.")
    shoot(page, "compare-words")
    page.click("[data-do=words]")
    expect(side(page, 1).locator("[data-slot=answer]")).to_have_text("Only two of them are dogs.")
    page.goto(page.url.partition("?")[0] + "?view=history&q=only")
    expect(page.locator(".hi-group-link").first).to_have_text("Comparison: 1 of 2 match")
    expect(page.locator(".run-answer mark").first).to_have_text("Only")
    shoot(page, "history-part")


def test_partners_have_one_colour_also_among_words_that_differ(compare, shoot):
    page = compare()
    ask(page, "query", "reword")
    compared(page)
    assert text_colour(page, 1, "g0") == text_colour(page, 0, "g1") != text_colour(page, 0, "g0")
    assert mark_colour(page, 1, "g0") == mark_colour(page, 0, "g1")
    expect(side(page, 0).locator(".prose .ground[data-match=only]")).to_have_count(1)
    page.keyboard.press("w")
    differing = side(page, 1).locator(".prose.differing")
    expect(differing.locator(".ground")).to_have_count(2)
    expect(differing.locator(".ground[data-ground=g0] ins")).to_have_text("cat")
    differing.locator(".ground[data-ground=g0]").hover()
    expect(side(page, 0).locator(".mark.lit")).to_have_attribute("data-ground", "g1")
    shoot(page, "compare-colours")


def text_colour(page: Page, index: int, ground: str) -> str:
    word = side(page, index).locator(f".prose:not(.differing) [data-ground={ground}]")
    return word.evaluate("(word) => getComputedStyle(word).textDecorationColor")


def mark_colour(page: Page, index: int, ground: str) -> str:
    dot = side(page, index).locator(f".mark[data-ground={ground}] .dot")
    return dot.evaluate("(dot) => getComputedStyle(dot).fill")


def test_a_base_stands_beside_its_fine_tune(compare, shoot):
    page = compare()
    side(page, 0).locator(".side-model").select_option("sprite-3")
    side(page, 1).locator(".side-variant").select_option("dogs@20")
    ask(page, "detect", "dog")
    compared(page)
    page.goto(page.url)
    expect(side(page, 1).locator(".side-variant")).to_have_value("dogs@20")
    expect(side(page, 0).locator(".side-variant")).to_have_value("")
    expect(page.locator(".compare-strip .matched")).to_have_text("3 matched")
    shoot(page, "compare-adapter")


def test_columns_are_added_swapped_and_removed(compare, shoot):
    page = compare()
    ask(page, "detect", "differ")
    compared(page)
    left = side(page, 0).locator("[data-slot=list]").inner_text()
    page.get_by_role("button", name="Swap A and B").click()
    expect(side(page, 1).locator("[data-slot=list]")).to_have_text(left, use_inner_text=True)
    expect(side(page, 1).locator(".side-letter")).to_have_text("B")
    expect(side(page, 1).locator(".side-model")).to_have_value("sprite-2")
    compared(page)
    page.click("[data-do=add]")
    page.click("[data-do=add]")
    expect(page.locator(".cmp-side")).to_have_count(4)
    expect(page.locator("[data-do=add]")).to_be_disabled()
    expect(side(page, 3).locator(".plate img")).to_be_visible()
    side(page, 2).locator(".side-model").select_option("sprite-3")
    side(page, 3).locator(".side-model").select_option("sprite-2")
    page.click(f"{VIEW}[data-do=run]")
    expect(page.locator(".compare-strip .between")).to_have_count(3)
    shoot(page, "compare-four")
    page.get_by_role("button", name="Remove column B").click()
    expect(page.locator(".cmp-side")).to_have_count(3)
    expect(page.locator(".compare-strip .between")).to_have_count(2)


def test_a_column_asks_its_own_prompt(compare, shoot):
    page = compare()
    page.get_by_role("button", name="Prompt and settings of column B alone").click()
    side(page, 1).get_by_role("textbox", name="Prompt").fill("echo this")
    side(page, 1).get_by_label("Temperature").fill("0.7")
    shoot(page, "compare-own")
    ask(page, "query", "How many dogs?")
    compared(page)
    expect(side(page, 0).locator("[data-slot=answer]")).to_have_text("Three.")
    echoed = side(page, 1).locator("[data-slot=answer]")
    expect(echoed).to_contain_text('"question": "echo this"')
    expect(echoed).to_contain_text('"temperature": 0.7')
    page.reload()
    expect(side(page, 1).locator("[name=prompt]")).to_have_value("echo this")
    expect(side(page, 1).locator(".side-head .changed")).to_have_text("2")


def test_one_stop_stops_all_and_keeps_what_was_written(compare):
    page = compare()
    ask(page, "query", "hang")
    for index in range(2):
        expect(side(page, index).locator(".reasoning .ground")).to_have_count(2)
    page.keyboard.press("Escape")
    for index in range(2):
        expect(side(page, index)).to_have_attribute("data-run", "stopped")
        expect(side(page, index).locator(".reasoning")).to_contain_text("I see a dog")
    compared(page)


def test_one_failing_column_spares_the_other(compare):
    page = compare()
    side(page, 1).locator(".side-model").select_option("broken")
    ask(page, "query", "How many dogs?")
    expect(side(page, 0)).to_have_attribute("data-run", "done")
    expect(side(page, 1)).to_have_attribute("data-run", "failed")
    expect(side(page, 1).locator(".run-status")).to_contain_text("Its weights end too early")


def test_results_do_not_change_the_size_of_the_images(compare):
    page = compare()
    page.click(f"{VIEW}[data-do=add]")
    page.click(f"{VIEW}[data-do=add]")  # the counts of four columns take three lines
    before = plate_of(page, 0)
    ask(page, "query", "differ")
    compared(page)
    assert plate_of(page, 0) == before


def test_what_is_missing_is_named(compare):
    page = compare(scene=False)
    page.fill("#cmp-prompt", "How many?")
    page.keyboard.press("Enter")
    expect(page.locator(".cmp-error")).to_contain_text("Choose an image first")
    page.click(f"{VIEW}.card >> nth=0")
    expect(side(page, 1).locator(".plate img")).to_be_visible()
    page.fill("#cmp-prompt", "")
    page.keyboard.press("Enter")
    expect(page.locator("#cmp-prompt-error")).to_have_text("Ask a question about the image.")
    page.click(f"{VIEW}[data-tab=gaze]")
    page.click(f"{VIEW}[data-do=run]")
    expect(page.locator("#cmp-prompt-error")).to_contain_text("Click an eye")
    side(page, 1).locator(".plate").click(position={"x": 90, "y": 120})
    expect(side(page, 0).locator(".ref-eye")).to_be_visible()
    page.click(f"{VIEW}[data-do=run]")
    compared(page)
    expect(side(page, 0).locator(".mark.gaze")).to_be_visible()


def test_markup_in_answers_stays_text(compare):
    page = compare()
    ask(page, "query", "markup")
    compared(page)
    page.keyboard.press("w")
    expect(side(page, 1)).to_contain_text("<img src=x onerror=document.title='owned'>")
    assert page.title() == "Dreamscope"


def test_on_a_phone_the_columns_are_swiped(compare, shoot, accessible):
    page = compare(**PHONE)
    ask(page, "query", "How many dogs?")
    compared(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shoot(page, "compare-phone")
    columns = page.locator(".cmp-columns")
    columns.evaluate("(all) => all.scrollTo({left: all.scrollWidth})")
    expect(side(page, 1).locator(".side-letter")).to_be_in_viewport()
    side(page, 1).locator(".prose .ground").nth(0).tap()
    expect(side(page, 0).locator(".mark.lit")).to_have_count(1)
    accessible(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_for_axe(compare, accessible, shoot, scheme):
    page = compare(color_scheme=scheme)
    ask(page, "detect", "differ")
    compared(page)
    page.get_by_role("button", name="Prompt and settings of column B alone").click()
    accessible(page)
    shoot(page, f"compare-{scheme}")


def test_on_a_wide_screen(compare, shoot):
    page = compare(viewport={"width": 2560, "height": 1440})
    ask(page, "query", "How many dogs?")
    compared(page)
    shoot(page, "compare-wide")
