"""The inspector: the engine's steps as they come, one of them looked at closely, the depth changed live."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

VIEW = "main[data-view=pipeline]"
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
# The share of pixels of a canvas, right of its labels, that have the colour of a custom property.
COLOURED = """([name, property]) => {
    const canvas = document.querySelector(`[data-canvas=${name}]`);
    const copy = document.createElement('canvas');
    [copy.width, copy.height] = [canvas.width, canvas.height];
    const probe = copy.getContext('2d', {willReadFrequently: true});
    probe.fillStyle = getComputedStyle(document.querySelector('.pipeline')).getPropertyValue(property);
    probe.fillRect(0, 0, 1, 1);
    const wanted = probe.getImageData(0, 0, 1, 1).data;
    const left = Math.round(canvas.width * 60 / canvas.clientWidth);
    probe.clearRect(0, 0, 1, 1);
    probe.drawImage(canvas, 0, 0);
    const {data} = probe.getImageData(left, 0, canvas.width - left, canvas.height);
    let count = 0;
    for (let i = 0; i < data.length; i += 4)
        if ([0, 1, 2].every((k) => Math.abs(data[i + k] - wanted[k]) < 4) && data[i + 3] > 250) count += 1;
    return count / (data.length / 4);
}"""
# Three steps of 20 ms; half the rows of the first are zombies, and the last waits for 20 ms.
COUNTED = """async () => {
    const {Steps, between, bins, shares, tokens} = await import('/ui/pipeline_steps.js');
    const step = (index, end, zombies, idle) => ({
        index, kind: 'decode', slot: 0, depth: 1, rows: [0, 0], zombies, positions: 2, idle,
        launch: [end - 20, end - 20], mask: [end, end], wait: [end, end], commit: [end, end],
        device: [end - 20, end],
    });
    const steps = new Steps();
    const all = [step(1, 20, 1, 0), step(2, 40, 0, 0), step(3, 80, 0, 20)];
    steps.take({clock_ms: 100, steps: all, requests: ['a']}, 100);
    const of = ({decode, zombie, bubble}, i) => ({decode: decode[i], zombie: zombie[i], bubble: bubble[i]});
    const kept = steps.all.map(({index}) => index);
    const [first, last] = [bins(all, 0, 20, 1), bins(all.slice(2), 30, 20, 1)];
    const part = shares(all, 0, 80);
    const found = between(all, 25, 60).map(({index}) => index);
    const count = tokens(steps.all, 45);
    steps.take({clock_ms: 200, steps: [step(0, 150, 0, 0)], requests: []}, 200);
    return {
        bins: [of(first, 0), of(last, 0)], shares: part, between: found, kept, tokens: count,
        restarted: steps.all.map(({index}) => index),
    };
}"""
UNTIL = f"([name, property, more]) => (({COLOURED})([name, property]) > 0.001) === more"


@pytest.fixture
def inspector(open_page: Callable[..., Page]) -> Callable[..., Page]:
    """The view, with what it sent in `page.sent`; the engine runs nothing unless a depth was asked for."""

    def open_it(depth: str = "auto", **options: Any) -> Page:
        page = open_page(path="?view=pipeline", **options)
        expect(page.locator(VIEW)).to_have_attribute("data-state", re.compile("ready|idle"))
        page.check(f"[name=pl-depth][value='{depth}']", force=True)
        expect(page.locator(VIEW)).to_have_attribute("data-state", "idle" if depth == "auto" else "ready")
        return page

    return open_it


def drawn(page: Page, canvas: str, colour: str, more: bool = True) -> None:
    """Wait until a canvas has something of this colour, or has nothing of it."""
    page.wait_for_function(UNTIL, arg=[canvas, f"--pl-{colour}", more])


def pictures(page: Page) -> list[str]:
    return page.evaluate("[...document.querySelectorAll('.pipeline canvas')].map((each) => each.toDataURL())")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_bubble_comes_and_goes_with_the_depth(inspector, shoot, accessible, scheme):
    page = inspector(depth="1", color_scheme=scheme)
    for canvas in ("overview", "lens"):
        drawn(page, canvas, "decode")
    drawn(page, "overview", "bubble")
    expect(page.locator("[data-slot=depth]")).to_contain_text("the gaps are bubbles")
    expect(page.locator("[data-slot=busy]")).to_have_text("80 %")
    accessible(page)
    shoot(page, f"inspector-one-{scheme}")
    page.keyboard.press("2")
    expect(page.locator("[name=pl-depth][value='2']")).to_be_checked()
    drawn(page, "lens", "decode-1")
    drawn(page, "overview", "bubble", more=False)
    drawn(page, "overview", "zombie")
    expect(page.locator("[data-slot=busy]")).to_have_text(re.compile("^(100|99.*).%$"))
    expect(page.locator("[data-slot=gain]")).to_have_text("+25 %")
    expect(page.locator("[data-slot=measured-blocking]")).to_have_text("10.10 ms")
    accessible(page)
    shoot(page, f"inspector-two-{scheme}")


def test_what_is_counted_of_steps(open_page):
    counted = open_page().evaluate(COUNTED)
    assert counted["bins"] == [
        {"decode": 0.5, "zombie": 0.5, "bubble": 0},
        {"decode": 0, "zombie": 0, "bubble": 0.5},
    ]
    assert counted["shares"] == {"decode": 0.625, "prefill": 0, "zombie": 0.125, "bubble": 0.25}
    assert counted["between"] == [2, 3]
    assert counted["kept"] == [1, 2, 3]
    assert counted["tokens"] == 3
    assert counted["restarted"] == [0]


def test_a_step_is_looked_at(inspector, shoot):
    page = inspector(depth="2")
    drawn(page, "lens", "decode-1")
    page.hover(".pl-lens", position={"x": 300, "y": 40})
    head = page.locator(".pl-step-head")
    expect(head).to_contain_text(re.compile("(Decode|Prefill) [0-9]+"))
    expect(page.locator(".pl-times")).to_contain_text("10.00 ms")
    expect(page.locator(".pl-riders")).to_contain_text("other-0")
    shoot(page, "inspector-step")
    page.click(".pl-lens", position={"x": 300, "y": 40})
    expect(page.locator("[data-do=pause]")).to_have_attribute("aria-pressed", "true")
    shown = head.inner_text()
    page.locator(".pl-lens").press("ArrowRight")
    expect(head).not_to_have_text(shown)
    expect(page.locator("[data-slot=spoken]")).to_contain_text("milliseconds on the device")
    page.keyboard.press("Escape")
    expect(page.locator("[data-do=pause]")).to_have_attribute("aria-pressed", "false")
    expect(page.locator(".pl-hint")).to_be_visible()


def test_a_step_leads_to_its_run(open_page):
    page = open_page()
    page.click("main[data-view=playground] .card >> nth=0")
    expect(page.locator("main[data-view=playground] .plate img")).to_be_visible()
    page.click("main[data-view=playground] [data-tab=query]")
    page.fill("main[data-view=playground] [data-prompt=query]", "How many dogs?")
    page.click("main[data-view=playground] [data-act=run]")
    expect(page.locator("main[data-view=playground]")).to_have_attribute("data-run", "done")
    run = page.url
    page.click("[data-go=pipeline]")
    expect(page.locator(VIEW)).to_have_attribute("data-state", re.compile("ready|idle"))
    page.check("[name=pl-depth][value='1']", force=True)
    drawn(page, "lens", "decode")
    page.locator(".pl-lens").press("End")
    run_id = run.partition("run=")[2]
    link = page.locator(f".pl-run[href='?run={run_id}']")
    expect(link).to_have_text("How many dogs?")
    link.click()
    expect(page.locator("main[data-view=playground]")).to_be_visible()
    expect(page).to_have_url(re.compile(run_id))


def test_held_it_stands_still_and_can_be_searched(inspector):
    page = inspector(depth="1")
    drawn(page, "overview", "bubble")
    page.keyboard.press("p")
    expect(page.locator("[data-slot=state]")).to_have_text("picture held")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    before = pictures(page)
    page.evaluate("() => new Promise((done) => setTimeout(done, 300))")
    assert pictures(page) == before
    span = page.locator("[data-slot=span]")
    shown = span.inner_text()
    page.click(f"{VIEW} [data-do=zoom-in]")
    expect(span).not_to_have_text(shown)
    page.click("[data-canvas=overview]", position={"x": 200, "y": 30})
    page.wait_for_function(
        "(before) => document.querySelector('[data-canvas=lens]').toDataURL() !== before", arg=before[1]
    )
    page.keyboard.press("p")
    page.wait_for_function(
        "(before) => document.querySelector('[data-canvas=overview]').toDataURL() !== before", arg=before[0]
    )


def test_it_is_asked_for_only_while_it_is_shown(open_page):
    sent: list[dict[str, Any]] = []
    page = open_page()
    page.on("websocket", lambda socket: socket.on("framesent", lambda text: sent.append(json.loads(text))))
    page.goto(page.url.partition("?")[0] + "?view=pipeline")
    expect(page.locator(VIEW)).to_have_attribute("data-state", re.compile("ready|idle"))
    for key in "12":
        page.keyboard.press(key)
    expect(page.locator("[data-slot=depth]")).to_contain_text("before the last one is committed")
    page.click("[data-go=history]")
    expect(page.locator("main[data-view=history]")).to_be_visible()
    assert [message for message in sent if "trace" in message or "depth" in message] == [
        {"trace": {"model": "sprite-2"}},
        {"depth": {"model": "sprite-2", "depth": 1}},
        {"depth": {"model": "sprite-2", "depth": 2}},
        {"trace": None},
    ]


def test_every_state_has_its_words(inspector, shoot, accessible):
    page = inspector()
    veil = page.locator(".pl-veil")
    expect(veil).to_contain_text("Nothing runs.")
    expect(veil.get_by_role("link", name="Ask something")).to_be_visible()
    accessible(page)
    shoot(page, "inspector-idle")
    page.click("#ds-model")
    page.click("[data-model=broken]")
    expect(veil).to_contain_text("Broken is not loaded")
    expect(veil.get_by_role("button", name="Load it")).to_be_visible()
    page.click("#ds-model")
    page.click("[data-model=sprite-3]")
    expect(veil).to_contain_text("The engine stopped: The device is lost.")
    shoot(page, "inspector-dead")
    page.click("#ds-model")
    page.click("[data-model=sprite-2]")


@pytest.mark.parametrize(
    ("name", "options"), [("phone", PHONE), ("wide", {"viewport": {"width": 2560, "height": 1300}})]
)
def test_it_fits_every_screen_and_is_a_table_too(inspector, shoot, accessible, name, options):
    page = inspector(depth="1", **options)
    drawn(page, "lens", "decode")
    shoot(page, f"inspector-{name}")
    page.click(".pl-all summary")
    expect(page.get_by_role("row", name="KV positions cached")).to_contain_text("1,400")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    accessible(page)
