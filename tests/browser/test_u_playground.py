"""What people expect of the playground, feature by feature, by mouse and keyboard.

The number in a name is the feature's row in the table of `tests/browser/README.md`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

HERE = "main[data-view=playground]"
PICTURES = "https://pictures.example/"
COVERED = """() => [...document.querySelectorAll('button, a[href]')].filter((e) => {
    const {x, y, width, height} = e.getBoundingClientRect();
    const there = document.elementFromPoint(x + width / 2, y + height / 2);
    return width && !e.closest('.toast') && there?.closest('.toast');
}).map((e) => e.outerHTML)"""
"""What is to be pressed and lies below a note."""
SIZES = """() => {
    const answer = document.querySelector('[data-slot=answer]');
    window.sizes = new Set();
    const note = () => answer.textContent && window.sizes.add(getComputedStyle(answer).fontSize);
    new MutationObserver(note).observe(answer, {childList: true, subtree: true, characterData: true});
}"""
"""Notes the sizes that the answer is written in."""


def opened(page: Page, skill: str = "query", prompt: str | None = None) -> Page:
    """The first example scene, and a skill with its prompt."""
    page.click(".card >> nth=0")
    expect(page.locator(".plate img")).to_be_visible()
    page.click(f"[data-tab={skill}]")
    if prompt is not None:
        page.fill(f"[data-prompt={skill}]", prompt)
    return page


def ended(page: Page, state: str = "done") -> None:
    expect(page.locator("#dreamscope")).to_have_attribute("data-run", state)


def run(page: Page) -> Page:
    page.click("[data-act=run]")
    ended(page)
    expect(page.locator(".replay")).to_be_visible()
    return page


def origin(page: Page) -> str:
    return str(page.evaluate("location.origin"))


def add_objects(page: Page, *names: str) -> None:
    """Typed with commas, as people do."""
    page.click("[data-prompt]:visible")
    page.keyboard.press("Control+A")
    page.keyboard.type(", ".join(names))


# ------------------------------------------------------------------------------------------------- input


def test_u01_an_image_by_its_address(open_page, shoot):
    page = open_page(elsewhere=(PICTURES,), said="pictures.example|Failed to load")
    scene = page.request.get(page.locator(".card img >> nth=0").evaluate("e => e.src")).body()
    allowed = {"Access-Control-Allow-Origin": "*"}
    page.route(
        f"{PICTURES}dogs.png",
        lambda route: route.fulfill(body=scene, content_type="image/png", headers=allowed),
    )
    page.route(
        f"{PICTURES}page", lambda route: route.fulfill(body="<p>", content_type="text/html", headers=allowed)
    )
    page.route(f"{PICTURES}closed.png", lambda route: route.abort("failed"))
    page.click("[data-act=link]")
    expect(page.locator("#ds-link-url")).to_be_focused()
    error = page.locator("#ds-link-error")
    for typed, answer in (
        ("dogs.png", "Give the address of an image"),
        ("file:///etc/passwd", "Give the address of an image"),
        (f"{PICTURES}closed.png", "its site does not allow"),
        (f"{PICTURES}page", "is not an image: text/html"),
    ):
        page.fill("#ds-link-url", typed)
        page.keyboard.press("Enter")
        expect(error).to_contain_text(answer)
    shoot(page, "u01-address-light")
    page.fill("#ds-link-url", f"{PICTURES}dogs.png")
    expect(error).to_be_empty()
    page.keyboard.press("Enter")
    expect(page.locator(".plate img")).to_have_attribute("alt", "dogs.png")
    expect(page.locator("#ds-link")).to_be_hidden()
    page.fill("[data-prompt=query]", "How many?")
    run(page)


def test_u02_every_scene_is_reached_by_the_wheel(open_page):
    page = opened(open_page())
    row = page.locator(f"{HERE} .thumbs")
    last = row.locator(".thumb").last
    expect(row).to_have_attribute("data-more", "after")
    row.hover()
    page.mouse.wheel(0, 600)
    expect(row).to_have_attribute("data-more", "before")
    last.click()
    expect(last).to_have_attribute("aria-current", "true")


def test_u06_a_caption_keeps_its_size(open_page):
    page = opened(open_page(), "caption")
    page.evaluate(SIZES)
    run(page)
    expect(page.locator("[data-slot=asked]")).to_have_text("A caption")
    assert page.evaluate("[...window.sizes]") == ["18px"]


# The marks once they stay the same: what is around the image moves it, and they follow its size.
MARKS_AT_REST = """() => new Promise((done) => {
  let before = "", same = 0;
  const look = () => {
    const marks = document.querySelector(".marks").innerHTML.replaceAll(" enter", "");
    same = marks === before ? same + 1 : 0;
    before = marks;
    if (same === 10) done(marks);
    else requestAnimationFrame(look);
  };
  look();
})"""
NO_PICTURE = "() => document.querySelector('.camera video').srcObject === null"
# Holds what the browser answers when it is asked for a camera, until `release()`; `tracks` are all it gave.
HELD_CAMERA = """() => {
  const media = navigator.mediaDevices, ask = media.getUserMedia.bind(media);
  const held = [];
  window.tracks = [];
  media.getUserMedia = async (wanted) => {
    const stream = await ask(wanted);
    window.tracks.push(...stream.getTracks());
    await new Promise((release) => held.push(release));
    return stream;
  };
  window.release = () => held.splice(0).forEach((one) => one());
}"""


def test_u03_a_still_from_a_camera(camera_page, shoot):
    page = camera_page
    page.click("[data-act=camera]")
    still = page.locator("[data-act=still]")
    expect(still).to_be_enabled()
    expect(page.locator(".camera-list option")).not_to_have_count(0)
    shoot(page, "u03-camera-light")
    still.click()
    expect(page.locator(".plate img")).to_have_attribute("alt", "Picture from the camera")
    page.wait_for_function(NO_PICTURE)
    page.click("[data-act=camera]")
    expect(still).to_be_enabled()
    page.keyboard.press("Escape")
    page.wait_for_function(NO_PICTURE)


def test_u03_a_camera_that_nobody_waits_for_goes_off(camera_page):
    page = camera_page
    page.evaluate(HELD_CAMERA)
    page.click("[data-act=camera]")
    page.wait_for_function("tracks.length === 1")
    page.keyboard.press("Escape")
    expect(page.locator("#ds-camera")).to_be_hidden()
    page.click("[data-act=camera]")
    page.wait_for_function("tracks.length === 2")
    page.evaluate("release()")
    expect(page.locator("[data-act=still]")).to_be_enabled()
    assert page.evaluate("tracks.map((track) => track.readyState)") == ["ended", "live"]
    page.keyboard.press("Escape")
    page.wait_for_function("tracks[1].readyState === 'ended'")


def test_u08_several_objects_at_once(open_page, shoot):
    page = opened(open_page(), "detect")
    add_objects(page, "dog", "cat", "dog,")
    expect(page.locator("#ds-prompt-error")).to_have_text("dog is named already.")
    expect(page.locator(".chip")).to_have_count(2)
    page.keyboard.type("bird")
    page.click(".chip[data-name=cat] .chip-name")  # off
    run(page)
    expect(page.locator(".part .part-name")).to_have_text(["dog", "bird"])
    expect(page.locator(".part .part-answer")).to_have_text(["3 boxes", "3 boxes"])
    expect(page.locator("[data-slot=status]")).to_have_text("2 of 2 done")
    expect(page.locator(".marks [data-part] .mark")).to_have_count(6)
    colours = page.locator(".part .label-dot").evaluate_all(
        "all => all.map(e => getComputedStyle(e).backgroundColor)"
    )
    assert len(set(colours)) == 2
    expect(page.locator(".chip")).to_have_count(3)  # what was typed last is one now, too
    expect(page.locator("[data-prompt=detect]")).to_have_value("")
    assert (
        page.locator(".chip[data-name=dog] .label-dot").evaluate("e => getComputedStyle(e).backgroundColor")
        == (colours[0])
    )
    page.hover(".part[data-part='1'] .entry >> nth=0")
    expect(page.locator(".mark.lit")).to_have_attribute("data-ground", "1.b0")
    shoot(page, "u08-objects-light")
    page.click("[data-prompt=detect]")
    page.keyboard.press("Home")
    page.keyboard.press("Backspace")  # the last chip goes back into the field
    expect(page.locator("[data-prompt=detect]")).to_have_value("bird")
    page.click(".chip[data-name=dog] .chip-remove")
    expect(page.locator(".chip")).to_have_count(1)
    add_objects(page, *"abcdefghijk")  # more than there is room for at once: none is lost
    expect(page.locator("#ds-prompt-error")).to_have_text("Up to 8 objects can be looked for at once.")
    expect(page.locator("[data-prompt=detect]")).to_have_value(re.compile("j, k$"))


def test_u22_one_object_that_fails_spares_the_rest(open_page, shoot):
    page = opened(open_page(), "point")
    add_objects(page, "dog", "invalid", "star")
    page.keyboard.press("Enter")
    ended(page, "failed")
    expect(page.locator(".part [data-state]")).to_have_count(3)
    states = page.locator(".part [data-state]").evaluate_all("all => all.map(e => e.dataset.state)")
    assert states == ["done", "failed", "done"]
    expect(page.locator(".marks .mark")).to_have_count(6)
    shoot(page, "u22-one-fails-light")


# ----------------------------------------------------------------------------------------------- running


def test_u20_again_and_edited(open_page):
    page = opened(open_page(), "query", "How many dogs?")
    page.click("[data-act=settings]")
    page.fill("#ds-temperature", "0.7")
    run(page)
    first = page.url
    page.fill("[data-prompt=query]", "something else")
    page.fill("#ds-temperature", "")
    page.click("[data-act=repeat]")
    page.wait_for_function("url => location.href !== url", arg=first)
    ended(page)
    expect(page.locator("[data-slot=asked]")).to_have_text("How many dogs?")
    runs = page.request.get(origin(page) + "/api/runs?limit=2").json()["runs"]
    asks = [page.request.get(origin(page) + f"/api/runs/{one['id']}").json()["ask"] for one in runs]
    assert asks[0] == asks[1]
    assert asks[0]["settings"]["temperature"] == 0.7
    assert "seed" in asks[0]["settings"]
    page.keyboard.press("Escape")
    page.locator(".brand").click()
    page.keyboard.press("e")
    expect(page.locator("[data-prompt=query]")).to_be_focused()
    expect(page.locator("[data-prompt=query]")).to_have_value("How many dogs?")
    expect(page.locator("#ds-temperature")).to_have_value("0.7")
    seed = page.locator(".run-seed")
    expect(seed).to_contain_text(f"Seed of this run: {asks[0]['settings']['seed']}")
    expect(page.locator(f"{HERE} .changed")).to_have_text("1")  # the temperature alone
    page.keyboard.type("Which dogs?")
    expect(seed).to_be_hidden()
    page.keyboard.press("Enter")
    expect(page.locator("[data-slot=asked]")).to_have_text("Which dogs?")


# ----------------------------------------------------------------------------------------------- inspect


def test_u53_u57_the_address_restores_everything(open_page, shoot):
    page = opened(open_page(), "detect", "dog")
    page.click("[data-act=settings]")
    page.fill("#ds-max_objects", "20")
    run(page)
    marks = page.evaluate(MARKS_AT_REST)
    page.reload()
    expect(page.locator(".mark.box")).to_have_count(3)
    expect(page.locator("[data-prompt=detect]")).to_have_value("dog")
    expect(page.locator(f"{HERE} [data-tab=detect]")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#ds-max_objects")).to_have_value("20")
    expect(page.locator("[data-slot=answer]")).to_have_text("3 boxes")
    expect(page.locator("[data-slot=metrics]")).to_contain_text("61 tokens")
    assert page.evaluate(MARKS_AT_REST) == marks
    shoot(page, "u53-restored-light")
    other = open_page(path=f"/?{page.url.partition('?')[2]}")  # another browser
    expect(other.locator(".mark.box")).to_have_count(3)
    other.click("[data-act=run]")
    other.wait_for_function("url => location.href !== url", arg=page.url)
    ended(other)
    other.go_back()
    expect(other.locator(".replay")).to_be_visible()
    assert other.url == page.url


def test_u57_a_run_that_is_gone_is_said_to_be(open_page):
    page = open_page(path="/?skill=point&q=cat&run=nothing", said="404")
    expect(page.locator(".toast.bad")).to_contain_text("not in the history any more")
    assert page.evaluate(COVERED) == []
    expect(page.locator("[data-prompt=point]")).to_have_value("cat")


def test_replay_plays_the_run_again(open_page, shoot):
    page = run(opened(open_page()))
    page.locator(".brand").click()
    page.keyboard.press("r")
    expect(page.locator(".marks .mark")).to_have_count(1)
    shoot(page, "replay-light")
    expect(page.locator(".marks .mark")).to_have_count(3)
    expect(page.locator("[data-slot=answer]")).to_have_text("Three.")
    page.locator(".replay-at").fill("0")
    expect(page.locator(".marks .mark")).to_have_count(0)
    page.locator(".replay-at").fill("500")
    expect(page.locator(".marks .mark")).to_have_count(3)


def test_u56_a_link_is_made_opened_and_revoked(open_page, shoot):
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    run(opened(page))
    page.locator(".brand").click()
    page.keyboard.press("s")
    page.select_option("[name=expiry]", "604800")
    page.click("#ds-share [type=submit]")
    field = page.locator(".share-address")
    expect(field).to_be_visible()
    link = field.input_value()
    expect(page.locator(".toast")).to_contain_text("copied")
    assert page.evaluate("navigator.clipboard.readText()") == link
    shoot(page, "u56-share-light")
    assert page.request.get(link).status == 200
    with page.expect_download() as download:
        page.click("[data-slot=share-file]")
    assert "Three." in Path(download.value.path()).read_text("utf-8")
    page.click(".share-link [data-do=revoke]")
    expect(page.locator(".share-none")).to_be_visible()
    assert page.request.get(link).status == 410


def test_u63_u70_privacy_says_what_is_kept_and_deletes_it(open_page, shoot):
    page = run(opened(open_page()))
    page.locator(".brand").click()
    page.keyboard.press("?")
    page.click("#ds-sheet [data-dialog=privacy]")
    expect(page.locator("[data-slot=storage]")).to_contain_text("Kept now")
    expect(page.locator("#ds-privacy")).to_contain_text("no telemetry")
    shoot(page, "u70-privacy-light")
    page.click("[data-act=delete-all]")
    expect(page.locator("[data-act=keep]")).to_be_focused()
    page.click("[data-act=delete-sure]")
    expect(page.locator(".toast")).to_contain_text("Everything is deleted")
    assert page.request.get(origin(page) + "/api/runs").json()["total"] == 0
    assert page.evaluate("Object.keys(localStorage).filter(k => k.startsWith('dreamscope')).length") == 0


def test_u65_choices_are_remembered(open_page):
    page = opened(open_page(), "caption")
    page.click(".lengths[data-only=caption] label >> nth=2")
    page.goto(page.url.partition("?")[0])
    expect(page.locator(f"{HERE} [data-tab=caption]")).to_have_attribute("aria-selected", "true")
    expect(page.locator(f"{HERE} [name=length][value=long]")).to_be_checked()


def test_the_views_are_places_to_come_back_to(open_page):
    page = run(opened(open_page()))
    here = page.url
    page.click(".nav [data-go=history]")
    expect(page.locator(".view[data-view=history]")).to_be_visible()
    expect(page.locator(".view[data-view=playground]")).to_be_hidden()
    assert "view=history" in page.url
    page.go_back()
    expect(page.locator("[data-slot=answer]")).to_have_text("Three.")
    assert page.url == here
    page.keyboard.press("g")
    expect(page.locator(".view[data-view=compare]")).to_be_visible()
