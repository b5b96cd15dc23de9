"""Every run is kept: found again, named, tagged, deleted and brought back, exported and imported."""

from __future__ import annotations

import re
from collections.abc import Callable
from uuid import uuid4

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser

PLAYGROUND = "main[data-view=playground] "
VIEW = "main[data-view=history] "
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.fixture
def fresh(open_page, app) -> Callable[..., Page]:
    """The playground, with a history that is empty."""

    def open_it(**options: object) -> Page:
        page = open_page(**options)
        assert page.request.delete(f"{app.url}/api/history", data={"confirm": "delete"}).ok
        return page

    return open_it


def run(page: Page, skill: str, prompt: str) -> None:
    """One run on the meadow."""
    if page.locator(f"{PLAYGROUND}.card >> nth=0").is_visible():
        page.click(f"{PLAYGROUND}.card >> nth=0")
        expect(page.locator(f"{PLAYGROUND}.plate img")).to_be_visible()
    page.click(f"{PLAYGROUND}[data-tab={skill}]")
    page.fill(f"{PLAYGROUND}[data-prompt={skill}]", prompt)
    before = page.url
    page.click(f"{PLAYGROUND}[data-act=run]")
    expect(page).not_to_have_url(before)
    expect(page.locator(PLAYGROUND.strip())).to_have_attribute("data-run", re.compile("done|failed"))


def history(page: Page) -> Page:
    page.click("[data-go=history]")
    expect(page.locator(VIEW.strip())).not_to_have_attribute("data-state", "loading")
    return page


def settled(page: Page) -> None:
    """The chosen run is there with its image: what is deleted now is not asked for any more."""
    expect(page.locator(".hi-marks")).to_be_visible()
    page.wait_for_load_state("networkidle")


def rows(page: Page) -> Locator:
    return page.locator(".hi-rows .run-row")


def titled(page: Page, *titles: str) -> None:
    """The rows have these titles, or will have in a moment."""
    expect(page.locator(".hi-rows .run-title")).to_have_text(titles)


def test_an_empty_history_says_how_to_go_on(fresh, shoot, accessible):
    page = history(fresh())
    expect(page.locator(".hi-empty:visible .invite")).to_contain_text("Every run is kept here")
    accessible(page)
    shoot(page, "history-empty")
    page.get_by_role("link", name="Ask the first question").click()
    expect(page.locator(PLAYGROUND.strip())).to_be_visible()


def test_runs_are_kept_and_open_again_after_a_reload(fresh, shoot):
    page = fresh()
    run(page, "query", "How many dogs?")
    run(page, "detect", "tree")
    page.reload()
    history(page)
    expect(rows(page)).to_have_count(2)
    titled(page, "tree", "How many dogs?")
    expect(rows(page).nth(1).locator(".run-answer")).to_have_text("Three.")
    expect(rows(page).nth(1).locator("img.run-thumb")).to_be_visible()
    expect(page.locator(".hi-day")).to_have_text("Today")
    rows(page).nth(1).locator(".run-title").click()
    expect(page.locator(".hi-answer")).to_have_text("Three.")
    shoot(page, "history")
    page.locator(".hi-open").click()
    expect(page.locator(f"{PLAYGROUND}[data-slot=answer]")).to_have_text("Three.")
    expect(page.locator(f"{PLAYGROUND}.mark")).to_have_count(3)


def test_a_search_finds_words_while_they_are_typed(fresh, shoot):
    page = fresh()
    run(page, "query", "How many zebras?")
    run(page, "query", "Is there a fence?")
    history(page)
    page.keyboard.press("/")
    page.keyboard.type("zeb")
    expect(rows(page)).to_have_count(1)
    titled(page, "How many zebras?")
    expect(page).to_have_url(re.compile("q=zeb"))
    shoot(page, "history-search")
    page.reload()
    expect(page.locator("#hi-q")).to_have_value("zeb")
    expect(rows(page)).to_have_count(1)
    page.fill("#hi-q", "middle")  # only the reasoning says it
    expect(rows(page)).to_have_count(2)
    page.fill("#hi-q", "unicorn")
    expect(page.locator(".hi-empty:visible")).to_contain_text("No run fits")
    page.locator(".hi-empty:visible [data-do=clear]").click()
    expect(rows(page)).to_have_count(2)
    expect(page).not_to_have_url(re.compile("q="))


def test_filters_narrow_and_the_address_holds_them(fresh, shoot):
    page = fresh()
    run(page, "query", "How many dogs?")
    run(page, "detect", "tree")
    history(page)
    page.locator(".hi-facets [name=skill]").select_option("detect")
    expect(rows(page)).to_have_count(1)
    expect(page).to_have_url(re.compile("skill=detect"))
    page.locator(".hi-toggle").click()
    expect(page.locator(".hi-empty:visible")).to_contain_text("No run fits")
    page.go_back()
    page.go_forward()
    expect(page.locator(".hi-toggle input")).to_be_checked()
    page.locator(".hi-clear").click()
    expect(rows(page)).to_have_count(2)
    page.get_by_role("button", name="Any date").click()
    page.get_by_label("From", exact=True).fill("2031-01-01")
    expect(page.locator(".hi-empty:visible")).to_contain_text("No run fits")
    page.get_by_label("From", exact=True).fill("2021-01-01")
    expect(rows(page)).to_have_count(2)
    shoot(page, "history-dates")
    page.keyboard.press("Escape")
    expect(page.locator(".hi-calendar")).to_be_hidden()


def test_a_run_is_named_tagged_noted_rated_and_pinned(fresh, shoot):
    page = fresh()
    run(page, "query", "How many dogs?")
    run(page, "query", "Where are they?")
    history(page)
    rows(page).nth(1).locator(".run-title").click()
    page.fill(".hi-title", "Three dogs by the fence")
    page.keyboard.press("Enter")
    page.fill(".hi-tag", "dogs")
    page.keyboard.press("Enter")
    page.fill(".hi-tag", "fence, ")
    page.fill(".hi-notes textarea", "Counts well.")
    page.locator(".hi-notes textarea").blur()
    page.click(".hi-peek [data-do=good]")
    page.click(".hi-peek [data-do=pin]")
    expect(rows(page).nth(1).locator(".run-title")).to_have_text("Three dogs by the fence")
    expect(rows(page).nth(1).locator(".tag")).to_have_text(["dogs", "fence"])
    expect(rows(page).nth(1)).to_have_class(re.compile("pinned"))
    shoot(page, "history-run")
    page.reload()
    rows(page).nth(1).locator(".run-title").click()
    expect(page.locator(".hi-notes textarea")).to_have_value("Counts well.")
    expect(page.locator("[data-do=good]")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Remove the tag fence").click()
    expect(rows(page).nth(1).locator(".tag")).to_have_text(["dogs"])
    page.locator(".hi-facets [name=tag]").select_option("dogs")
    expect(rows(page)).to_have_count(1)
    page.locator(".hi-facets [name=tag]").select_option("")
    page.locator(".hi-toggle").click()
    expect(rows(page)).to_have_count(1)


def test_what_is_deleted_comes_back_by_undo(fresh, shoot):
    page = fresh()
    for prompt in ("first", "second", "third"):
        run(page, "query", prompt)
    history(page)
    page.keyboard.press("j")
    settled(page)
    page.keyboard.press("Delete")
    expect(rows(page)).to_have_count(2)
    titled(page, "third", "first")
    expect(page.locator(".toast")).to_contain_text("The run is deleted.")
    shoot(page, "history-deleted")
    page.locator(".toast-action").click()
    expect(rows(page)).to_have_count(3)
    titled(page, "third", "second", "first")


def test_the_keyboard_walks_selects_and_opens(fresh, shoot):
    page = fresh()
    for prompt in ("first", "second", "third"):
        run(page, "query", prompt)
    history(page)
    expect(rows(page).nth(0)).to_have_class(re.compile("current"))
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("x")
    expect(page.locator(".hi-chosen-count")).to_have_text("2 selected")
    shoot(page, "history-selected")
    page.keyboard.press("k")
    expect(rows(page).nth(1).locator(".run-link")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".hi-chosen")).to_be_hidden()
    page.keyboard.press("Enter")
    expect(page.locator(PLAYGROUND.strip())).to_be_visible()
    expect(page).to_have_url(re.compile("run=[0-9a-f]+"))


def test_selected_runs_are_compared_or_deleted_together(fresh):
    page = fresh(said="404")  # the playground asks for the run that it shows, which is gone
    for prompt in ("first", "second", "third"):
        run(page, "query", prompt)
    history(page)
    rows(page).nth(0).hover()
    rows(page).nth(0).locator(".run-pick").click()
    rows(page).nth(2).locator(".run-pick").click(modifiers=["Shift"])
    expect(page.locator(".hi-chosen-count")).to_have_text("3 selected")
    page.click(".hi-chosen [data-do=compare]")
    expect(page.locator(".cmp-side")).to_have_count(3)
    expect(page.locator(".compare-strip .between")).to_have_count(2)
    history(page)
    settled(page)
    page.click(".hi-chosen [data-do=delete]")
    expect(page.locator(".hi-empty:visible")).to_contain_text("Every run is kept here")
    page.locator(".toast-action").click()
    expect(rows(page)).to_have_count(3)


def test_a_run_is_exported_and_imported_by_button_and_drop(fresh, tmp_path):
    page = fresh(said="400|404")
    run(page, "query", "How many dogs?")
    history(page)
    expect(rows(page)).to_have_count(1)
    with page.expect_download() as download:
        page.click("[data-do=export-one]")
    file = tmp_path / "run.dreamscope"
    download.value.save_as(file)
    settled(page)
    page.click("[data-do=delete-one]")
    expect(rows(page)).to_have_count(0)
    page.set_input_files("#hi-import", file)
    expect(page.locator(".toast", has_text="The run is imported.")).to_be_visible()
    expect(rows(page)).to_have_count(1)
    drop(page, "broken.dreamscope", b"no zip")
    expect(page.locator(".toast.bad")).to_contain_text("broken.dreamscope")
    drop(page, "run.dreamscope", file.read_bytes())
    expect(rows(page)).to_have_count(2)
    titled(page, "How many dogs?", "How many dogs?")


def drop(page: Page, name: str, data: bytes) -> None:
    page.evaluate(
        """([name, bytes]) => {
            const carried = new DataTransfer();
            carried.items.add(new File([new Uint8Array(bytes)], name));
            const place = document.querySelector('.hi-main');
            for (const type of ['dragenter', 'dragover', 'drop']) {
                const kind = {bubbles: true, cancelable: true, dataTransfer: carried};
                place.dispatchEvent(new DragEvent(type, kind));
            }
        }""",
        [name, list(data)],
    )


def test_everything_is_deleted_once_the_word_is_typed(fresh, shoot):
    page = fresh()
    run(page, "query", "How many dogs?")
    history(page)
    expect(page.locator(".hi-storage")).to_contain_text("1 run, ")
    expect(page.locator(".hi-storage")).to_contain_text("data")
    page.get_by_role("button", name="Delete everything").click()
    sure = page.locator(".hi-clear-all [type=submit]")
    expect(sure).to_be_disabled()
    page.keyboard.type("delete")
    expect(sure).to_be_enabled()
    shoot(page, "history-delete-all")
    page.keyboard.press("Enter")
    expect(page.locator(".hi-empty:visible")).to_contain_text("Every run is kept here")
    expect(page.locator(".hi-storage")).to_contain_text("No runs")


def test_a_run_of_another_page_appears_by_itself(fresh, open_page):
    page = history(fresh())
    other = open_page()
    name = f"dogs {uuid4().hex[:8]}"
    run(other, "detect", name)
    expect(rows(page).first.locator(".run-title")).to_have_text(name)
    expect(rows(page).first).to_have_attribute("data-state", "done")


def test_many_runs_load_as_one_goes_down(fresh, tmp_path):
    page = fresh()
    run(page, "query", "How many dogs?")
    base = page.url.partition("?")[0]
    kept = page.request.get(f"{base}api/runs").json()["runs"][0]["id"]
    packed = page.request.get(f"{base}api/runs/{kept}/export").body()
    for _ in range(64):
        page.request.post(f"{base}api/import", data=packed)
    history(page)
    expect(page.locator(".hi-count")).to_have_text("65 runs")
    expect(rows(page)).to_have_count(50)
    page.locator(".hi-scroll").evaluate("(list) => list.scrollTo(0, list.scrollHeight)")
    expect(rows(page)).to_have_count(65)
    expect(page.locator(".hi-more")).to_be_hidden()


def test_markup_stays_text(fresh):
    page = fresh()
    run(page, "query", "markup <b>bold</b>")
    history(page)
    expect(rows(page).first.locator(".run-title")).to_have_text("markup <b>bold</b>")
    expect(page.locator(".hi-answer")).to_contain_text("<img src=x")
    page.fill(".hi-tag", "<script>x</script>")
    page.keyboard.press("Enter")
    expect(rows(page).first.locator(".tag")).to_have_text("<script>x</script>")
    assert page.title() == "Dreamscope"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_for_axe(fresh, accessible, shoot, scheme):
    page = fresh(color_scheme=scheme)
    run(page, "query", "How many dogs?")
    run(page, "detect", "tree")
    history(page)
    rows(page).first.hover()
    page.keyboard.press("x")
    accessible(page)
    shoot(page, f"history-{scheme}")


def test_on_a_phone_a_run_covers_the_list(fresh, shoot, accessible):
    page = fresh(**PHONE)
    run(page, "query", "How many dogs?")
    history(page)
    expect(page.locator(".hi-peek")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shoot(page, "history-phone")
    rows(page).first.locator(".run-title").tap()
    expect(page.locator(".hi-answer")).to_be_visible()
    accessible(page)
    shoot(page, "history-phone-run")
    page.get_by_role("button", name="Back to the list").tap()
    expect(page.locator(".hi-peek")).to_be_hidden()


def test_on_a_wide_screen(fresh, shoot):
    page = fresh(viewport={"width": 2560, "height": 1440})
    run(page, "query", "How many dogs?")
    history(page)
    expect(rows(page)).to_have_count(1)
    shoot(page, "history-wide")


def test_on_a_phone_filters_out_of_sight_are_hinted_at(fresh, shoot):
    page = fresh(**PHONE)
    run(page, "query", "How many dogs?")
    history(page)
    facets = page.locator(".hi-facets")
    expect(facets).to_have_attribute("data-more", "after")
    facets.hover()
    page.mouse.wheel(0, 400)
    expect(facets).to_have_attribute("data-more", "before")
    expect(page.locator(".hi-toggle")).to_be_in_viewport(ratio=1)
    shoot(page, "history-phone-filters")
