"""The whole product as a new user meets it: `dreamscope`, the page, Sprite 2, the mouse. Nothing is faked."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

SPRITE_3 = Path(__file__).parents[2] / "engine" / "sprite" / "weights" / "sprite-3"
MODELS = (
    "sprite-2",
    pytest.param(
        "sprite-3",
        marks=pytest.mark.skipif(not SPRITE_3.is_dir(), reason="The weights of Sprite 3 are not here."),
    ),
)
SCHEMA = {
    "type": "object",
    "properties": {
        "animal": {"enum": ["dog", "cat", "crab"]},
        "count": {"type": "integer", "minimum": 0, "maximum": 9},
    },
    "required": ["animal", "count"],
    "additionalProperties": False,
}


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


def choose(page: Page, model: str) -> None:
    page.click("#ds-model")
    page.click(f"[data-model={model}]")
    expect(page.locator("#ds-model .model-name")).to_have_text(model.replace("-", " ").capitalize())


def run(page: Page) -> None:
    page.click("[data-act=run]")
    expect(page.locator("#dreamscope")).to_have_attribute("data-run", "done", timeout=60_000)


def meadow(page: Page, skill: str) -> None:
    page.click(".card >> nth=0")
    expect(page.locator(".plate img")).to_be_visible()
    page.click(f"[data-tab={skill}]")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("skill", ["query", "caption", "point", "detect", "segment", "gaze"])
def test_every_skill_of_both_models(open_page, shoot, model, skill):
    page = open_page()
    choose(page, model)
    if skill == "segment" and model == "sprite-2":
        segment = page.locator("main[data-view=playground] [data-tab=segment]")
        expect(segment).to_have_attribute("title", "Segment needs Sprite 3.")
        return
    meadow(page, skill)
    if skill in ("point", "detect", "segment"):
        page.fill(f"[data-prompt={skill}]", "tree")
    if skill == "gaze":
        page.click(".switch:has(#ds-force)")
        page.locator(".plate").click(position={"x": 200, "y": 300})
    run(page)
    expect(page.locator("[data-slot=answer]")).not_to_be_empty()
    if skill not in ("query", "caption"):
        expect(page.locator(".marks .mark").first).to_be_visible()
        expect(page.locator(".marks .spread").first).to_be_attached()
    shoot(page, f"first-light-{model}-{skill}")


@pytest.mark.parametrize("model", MODELS)
def test_a_schema_is_kept_and_shown_as_a_table(open_page, shoot, model):
    page = open_page()
    choose(page, model)
    meadow(page, "query")
    page.click(".switch:has(#ds-reasoning)")
    page.select_option("#ds-format", "schema")
    page.fill("#ds-schema", json.dumps(SCHEMA))
    run(page)
    expect(page.locator(".structured-table th")).to_have_text(["animal", "count"])
    page.click(".raw-toggle")
    answer = json.loads(page.locator("pre.raw").inner_text())
    assert answer["animal"] in ("dog", "cat", "crab")
    assert 0 <= answer["count"] <= 9
    shoot(page, f"first-light-{model}-schema")


def test_a_schema_that_cannot_be_kept_is_named(open_page):
    page = open_page()
    meadow(page, "query")
    page.select_option("#ds-format", "schema")
    page.fill("#ds-schema", '{"type": "dog"}')
    page.click("[data-act=run]")
    expect(page.locator("#ds-schema-error")).not_to_be_empty()
    expect(page.locator("#dreamscope")).to_have_attribute("data-run", "idle")


@pytest.mark.skipif(not SPRITE_3.is_dir(), reason="The weights of Sprite 3 are not here.")
def test_sprite_3_outlines_the_tree(open_page, outline_of, shoot):
    page = open_page()
    choose(page, "sprite-3")
    meadow(page, "segment")
    page.fill("[data-prompt=segment]", "tree")
    outline = outline_of(page)
    run(page)
    paths = outline.paths()
    assert len(paths) >= 2
    assert sorted(paths, key=len) == paths
    for place in ((0.16, 0.3), (0.1, 0.35), (0.22, 0.38)):  # in its crown
        assert outline.covers(*place), place
    for place in ((0.5, 0.3), (0.16, 0.05), (0.8, 0.4)):
        assert not outline.covers(*place), place
    shoot(page, "first-light-tree")
