"""A run plays again as it was: with its own times, by mouse and keyboard, forwards and backwards."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
LOOKS = """() => [...document.querySelectorAll('[data-slot]')]
    .map((slot) => slot.dataset.slot + ': ' + slot.innerHTML.replaceAll(/ (lit|enter)"/g, '"')
        .replaceAll(/ style="[^"]*"/g, ''))"""


@pytest.fixture
def open_run(
    site: Any, open_shared: Callable[..., Page], keep_run: Callable[..., Any]
) -> Callable[..., Page]:
    """Opens the shared page of a run, with a clock that only tests move."""

    def open_it(record: Any, **options: object) -> Page:
        keep_run(record)
        return open_shared(site.share(run_id=record.id), clock=True, **options)

    return open_it


def at(page: Page, seconds: float) -> None:
    """The position that the controls say."""
    expect(page.locator(".replay-time")).to_have_text(re.compile(rf"^{seconds:.1f}\d* / "))


def test_it_plays_with_the_times_of_the_run(open_run, make_query, shoot) -> None:
    page = open_run(make_query(id="played"))
    before = page.evaluate(LOOKS)
    play = page.get_by_role("button", name="Play")
    at(page, 0.4)
    play.click()
    page.clock.run_for(130)
    expect(page.locator("[data-slot=reasoning]")).to_have_text("I see ")
    expect(page.locator(".marks .mark")).to_have_count(0)
    expect(page.locator("[data-slot=answer]")).to_be_empty()
    page.clock.run_for(75)
    expect(page.locator(".marks .mark")).to_have_count(1)
    shoot(page, "replay")
    page.clock.run_for(100)
    expect(page.locator(".marks .mark")).to_have_count(2)
    expect(page.locator("[data-slot=reasoning]")).to_contain_text("I see 2 dogs")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.clock.run_for(400)
    expect(play).to_be_visible()
    at(page, 0.4)
    assert page.evaluate(LOOKS) == before


def test_pausing_holds_it_and_going_on_ends_it(open_run, make_query) -> None:
    page = open_run(make_query(id="paused"))
    page.get_by_role("button", name="Play").click()
    page.clock.run_for(200)
    page.get_by_role("button", name="Pause").click()
    held = page.locator(".replay-time").inner_text()
    words = page.locator("[data-slot=reasoning]").inner_text()
    page.clock.run_for(2000)
    expect(page.locator(".replay-time")).to_have_text(held)
    expect(page.locator("[data-slot=reasoning]")).to_have_text(words)
    page.get_by_role("button", name="Play").click()
    page.clock.run_for(400)
    expect(page.locator("[data-slot=answer]")).to_have_text("There are 2.")


@pytest.mark.parametrize("speed", ["0.0625", "0.5", "1", "2", "16"])
def test_speeds(open_run, make_query, speed) -> None:
    slow = make_query(id=f"speed{speed}")
    page = open_run(stretched(slow, 100))  # 44 seconds
    page.get_by_label("Speed of the replay").select_option(speed)
    page.get_by_role("button", name="Play").click()
    page.clock.run_for(2000)
    page.get_by_role("button", name="Pause").click()
    shown = float(page.locator(".replay-time").inner_text().split(" ")[0])
    assert shown == pytest.approx(2 * float(speed), rel=0.06, abs=0.06)


def test_a_short_run_plays_slowly_and_says_nothing_of_its_end_before_it_is_there(
    site, open_shared, keep_run, make_query, shoot
) -> None:
    keep_run(stretched(make_query(id="short"), 1))
    keep_run(stretched(make_query(id="long"), 100))
    speed = open_shared(site.share(run_id="long")).get_by_label("Speed of the replay")
    expect(speed).to_have_value("1")
    page = open_shared(site.share(run_id="short"))
    expect(page.get_by_label("Speed of the replay")).to_have_value("0.125")
    verdict = page.locator(".verdict-line")
    expect(verdict).to_be_visible()
    back, on = (
        page.get_by_role("button", name="One event back"),
        page.get_by_role("button", name="One event on"),
    )
    back.click()
    expect(verdict).to_be_hidden()
    expect(page.locator(".replay-time")).to_have_text(re.compile(r"^0\.4\d / 0\.44 s$"))
    shoot(page, "replay-step")
    for _ in range(30):
        page.keyboard.press(",")
    expect(page.locator("[data-slot=reasoning]")).to_be_empty()
    on.click()
    page.keyboard.press(".")
    at_two = page.locator(".replay-time").inner_text()
    page.keyboard.press(".")
    page.keyboard.press(",")
    expect(page.locator(".replay-time")).to_have_text(at_two)
    for _ in range(30):
        page.keyboard.press(".")
    expect(verdict).to_be_visible()


def stretched(record: Any, factor: float) -> Any:
    """The same run, slower."""
    from dataclasses import replace

    parts = [
        replace(part, events=tuple(replace(event, t=event.t * factor) for event in part.events))
        for part in record.parts
    ]
    return record.with_parts(parts)


def test_the_keyboard_moves_it_both_ways(open_run, make_query) -> None:
    page = open_run(make_query(id="keys"))
    whole = page.evaluate(LOOKS)
    position = page.get_by_role("slider", name="Position in the replay")
    position.focus()
    page.keyboard.press("Home")
    at(page, 0.0)
    expect(page.locator("[data-slot=reasoning]")).to_be_empty()
    expect(page.locator(".marks .mark")).to_have_count(0)
    expect(position).to_have_attribute("aria-valuetext", "0.00 / 0.44 s")
    for _ in range(5):
        page.keyboard.press("PageUp")
    page.clock.run_for(20)
    expect(page.locator(".marks .mark")).to_have_count(2)
    halfway = page.evaluate(LOOKS)
    page.keyboard.press("End")
    page.clock.run_for(20)
    assert page.evaluate(LOOKS) == whole
    for _ in range(5):
        page.keyboard.press("PageDown")
    page.clock.run_for(20)
    assert page.evaluate(LOOKS) == halfway
    page.keyboard.press("Tab")
    expect(page.get_by_label("Speed of the replay")).to_be_focused()


def test_dragging_the_thumb_holds_the_time_and_then_goes_on(open_run, make_query) -> None:
    page = open_run(stretched(make_query(id="dragged"), 100))
    page.get_by_role("button", name="Play").click()
    page.clock.run_for(1000)
    slider = page.locator(".replay-at").bounding_box()
    assert slider is not None
    page.mouse.move(slider["x"] + 10, slider["y"] + slider["height"] / 2)
    page.mouse.down()
    page.mouse.move(slider["x"] + slider["width"] / 2, slider["y"] + slider["height"] / 2, steps=4)
    page.clock.run_for(3000)
    at(page, 22.0)
    page.mouse.up()
    page.clock.run_for(2000)
    shown = float(page.locator(".replay-time").inner_text().split(" ")[0])
    assert 23.5 < shown < 24.5


def test_several_objects_play_at_once(open_run, make_detect, shoot) -> None:
    page = open_run(make_detect("dog", "cat", id="objects"))
    whole = page.evaluate(LOOKS)
    page.get_by_role("button", name="Play").click()
    first, second = (page.locator(f".marks [data-part='{part}'] .mark") for part in (0, 1))
    for _ in range(50):  # up to the frame that shows it; when frames come depends on when the page was opened
        page.clock.run_for(4)
        if second.count():
            break
    expect(second).to_have_count(1)
    expect(first).to_have_count(1)
    expect(page.locator(".part[data-part='1'] .part-answer")).to_have_text("1 box")
    page.clock.run_for(300)
    shoot(page, "replay-objects")
    assert page.evaluate(LOOKS) == whole


def test_marks_that_are_sought_do_not_move_and_with_reduced_motion_none_do(open_run, make_query) -> None:
    page = open_run(make_query(id="still"), reduced_motion="reduce")
    expect(page.locator(".replay-time")).to_have_text("0.44 / 0.44 s")  # nothing plays by itself
    page.get_by_role("button", name="Play").click()
    page.clock.run_for(210)
    mark = page.locator(".marks .mark.enter .mark-body").first
    assert mark.evaluate("(element) => getComputedStyle(element).animationName") == "none"
    page.locator(".replay-at").press("ArrowRight")
    page.locator(".replay-at").press("Home")
    page.locator(".replay-at").press("End")
    page.clock.run_for(20)
    expect(page.locator(".marks .mark")).to_have_count(2)
    expect(page.locator(".marks .mark.enter")).to_have_count(0)


def test_what_lights_up_does_so_during_a_replay(open_run, make_query) -> None:
    page = open_run(make_query(id="lights"))
    page.get_by_role("button", name="Play").click()
    page.clock.run_for(300)
    page.get_by_role("button", name="Pause").click()
    page.locator(".ground").hover()
    expect(page.locator(".marks .mark.lit")).to_have_count(2)


def test_a_run_without_events_has_nothing_to_play(open_run, make_query) -> None:
    record = make_query(id="empty")
    from dataclasses import replace

    page = open_run(record.with_parts([replace(record.parts[0], events=(), state="interrupted")]))
    expect(page.locator("main .replay")).to_be_hidden()
