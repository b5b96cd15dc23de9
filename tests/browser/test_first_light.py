"""The whole product as a new user meets it: `dreamscope`, the page, Sprite 2, the mouse. Nothing is faked."""

from __future__ import annotations

import os
import signal

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def app(real_app):
    """These tests meet the product itself."""
    return real_app


def ask_example(page: Page, number: int) -> None:
    """Open an example scene and run what it suggests."""
    page.click(f".card >> nth={number}")
    expect(page.locator(".plate img")).to_be_visible()
    page.click("[data-act=run]")
    expect(page.locator("#dreamscope")).to_have_attribute("data-run", "done")


def test_three_dogs_are_found_and_each_word_lights_its_place(open_page, shoot):
    page = open_page()
    ask_example(page, 0)
    words = page.locator("[data-slot=reasoning] .ground")
    expect(words).to_have_count(3)
    expect(words.first).to_contain_text("dog")
    expect(page.locator("[data-slot=answer]")).to_have_text("3")
    shoot(page, "first-light")

    page.hover(".ground[data-ground=g1]")
    expect(page.locator(".mark[data-ground=g1]")).to_have_css("opacity", "1")
    expect(page.locator(".mark[data-ground=g0]")).to_have_css("opacity", "0.25")
    shoot(page, "first-light-hover")
    plate = page.locator(".plate").bounding_box()
    dots = page.locator(".marks .dot")
    places = [dots.nth(i).bounding_box() for i in range(3)]
    shares = [(p["x"] + p["width"] / 2 - plate["x"]) / plate["width"] for p in places]
    assert sorted(shares) == shares  # left to right, as the dogs stand
    for found, true in zip(shares, (0.27, 0.53, 0.80), strict=True):
        assert abs(found - true) < 0.12


def test_boats_are_boxed_and_stars_are_pointed_at(open_page, shoot):
    page = open_page()
    ask_example(page, 1)
    expect(page.locator(".marks .mark")).to_have_count(2)
    shoot(page, "first-light-boats")
    page = open_page()
    ask_example(page, 2)
    expect(page.locator(".marks .mark")).to_have_count(4)
    shoot(page, "first-light-stars")


def test_a_killed_engine_comes_back_and_answers(open_page, app):
    page = open_page()
    ask_example(page, 0)
    os.kill(app.engine_pid(), signal.SIGKILL)
    expect(page.locator(".engine")).not_to_have_attribute("data-engine", "ready")
    expect(page.locator(".engine")).to_have_attribute("data-engine", "ready", timeout=60_000)
    page.click("[data-act=run]")
    expect(page.locator("#dreamscope")).to_have_attribute("data-run", "done")
    expect(page.locator("[data-slot=answer]")).to_have_text("3")
