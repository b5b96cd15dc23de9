"""Pointing at the image: references are placed, moved, resized and removed, and what is sent of them."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


class Image:
    """The shown picture, addressed by fractions."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.runs: list[dict] = []
        page.on("websocket", lambda socket: socket.on("framesent", self._sent))

    def _sent(self, frame: str | bytes) -> None:
        message = json.loads(frame) if isinstance(frame, str) else {}
        if "run" in message:
            self.runs.append(message["run"])

    def open(self, skill: str = "query") -> Image:
        self.page.goto(self.page.url.partition("?")[0])  # so that its socket is heard from the start
        expect(self.page.locator(".engine")).to_have_attribute("data-engine", "ready")
        self.page.click(".card >> nth=0")
        expect(self.page.locator(".plate img")).to_be_visible()
        self.page.click(f"[data-tab={skill}]")
        return self

    def at(self, x: float, y: float) -> tuple[float, float]:
        box = self.page.locator(".plate").bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def click(self, x: float, y: float) -> None:
        self.page.mouse.click(*self.at(x, y))

    def drag(self, start: tuple[float, float], end: tuple[float, float], button: str = "left") -> None:
        self.page.mouse.move(*self.at(*start))
        self.page.mouse.down(button=button)
        self.page.mouse.move(*self.at((start[0] + end[0]) / 2, (start[1] + end[1]) / 2))
        self.page.mouse.move(*self.at(*end))
        self.page.mouse.up(button=button)

    def run(self) -> dict:
        """Run, wait for the end, and tell what the page sent."""
        self.page.click("[data-act=run]")
        expect(self.page.locator("#dreamscope")).to_have_attribute("data-run", "done")
        return self.runs[-1]


@pytest.fixture
def image(open_page) -> Image:
    return Image(open_page())


def close(values: list[float], wanted: list[float]) -> bool:
    return values == pytest.approx(wanted, abs=0.006)


def test_click_and_drag_reach_the_engine(image, shoot):
    page = image.open().page
    image.click(0.25, 0.7)
    image.drag((0.64, 0.9), (0.42, 0.63))  # any corner may come first
    expect(page.locator(".ref")).to_have_count(2)
    expect(page.locator(".refs-count")).to_have_text("2 placed")
    page.fill("[data-prompt=query]", "echo")
    page.click(".switch:has(#ds-reasoning)")
    shoot(page, "references-light")
    image.run()
    received = json.loads(page.locator("[data-slot=answer]").inner_text())
    assert [len(reference) for reference in received["spatial_refs"]] == [2, 4]
    assert close(received["spatial_refs"][0], [0.25, 0.7])
    assert close(received["spatial_refs"][1], [0.42, 0.63, 0.64, 0.9])


def test_references_move_and_go_by_keyboard(image):
    page = image.open("point").page
    page.fill("[data-prompt=point]", "dog")
    image.click(0.5, 0.5)
    image.drag((0.1, 0.1), (0.3, 0.4))
    point, box = page.locator(".ref-point"), page.locator(".ref-box")
    said = "Point 1, at x 0.50, y 0.50. Arrow keys move it, with Shift in larger steps. Delete removes it."
    expect(point).to_have_attribute("aria-label", said)
    point.focus()
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowUp"):
        page.keyboard.press(key)
    expect(page.locator("[data-slot=refs-said]")).to_have_text("Point 1, at x 0.52, y 0.45")
    box.focus()
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Tab")  # to the first corner
    expect(page.locator(".ref-handle.ref-nw")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    sent = image.run()["refs"]
    assert close(sent[0], [0.52, 0.45])
    assert close(sent[1], [0.09, 0.15, 0.3, 0.45])

    point.focus()
    page.keyboard.press("Delete")
    expect(page.locator(".ref")).to_have_count(1)
    expect(box).to_be_focused()
    page.keyboard.press("Backspace")
    expect(page.locator(".ref")).to_have_count(0)
    expect(page.locator("[data-act=add-point]")).to_be_focused()
    assert image.run()["refs"] == []


def test_references_move_and_go_by_mouse(image):
    page = image.open().page
    page.fill("[data-prompt=query]", "How many?")
    image.click(0.5, 0.5)
    image.drag((0.5, 0.5), (0.7, 0.6))  # takes hold of the point instead of drawing
    image.drag((0.1, 0.1), (0.3, 0.4))
    page.mouse.move(*image.at(0.2, 0.2))
    image.drag((0.3, 0.4), (0.35, 0.5))  # its lower right corner
    sent = image.run()["refs"]
    assert close(sent[0], [0.7, 0.6])
    assert close(sent[1], [0.1, 0.1, 0.35, 0.5])
    page.hover(".ref-point")
    page.click(".ref-point .ref-remove")
    expect(page.locator(".ref")).to_have_count(1)
    page.click("[data-act=clear-refs]")
    expect(page.locator(".ref")).to_have_count(0)


def test_a_reference_can_be_placed_without_pointing(image):
    page = image.open("point").page
    page.focus("[data-act=add-box]")
    page.keyboard.press("Enter")
    expect(page.locator(".ref-box")).to_be_focused()
    page.fill("[data-prompt=point]", "dog")
    assert close(image.run()["refs"][0], [0.4, 0.4, 0.6, 0.6])


def test_the_image_still_moves(image):
    page = image.open().page
    page.mouse.move(*image.at(0.5, 0.5))
    page.keyboard.press("+")
    page.keyboard.press("+")

    def left() -> float:
        return page.locator(".plate").bounding_box()["x"]

    before = left()
    image.drag((0.5, 0.5), (0.55, 0.5), "middle")
    middle = left()
    assert middle > before
    page.keyboard.down(" ")
    image.drag((0.5, 0.5), (0.55, 0.5))
    page.keyboard.up(" ")
    spaced = left()
    assert spaced > middle
    page.keyboard.press("p")
    expect(page.locator("[data-act=hand]")).to_have_attribute("aria-pressed", "true")
    image.drag((0.5, 0.5), (0.45, 0.5))
    assert left() < spaced
    expect(page.locator(".ref")).to_have_count(0)
    page.keyboard.press("p")
    image.click(0.5, 0.5)
    expect(page.locator(".ref")).to_have_count(1)
    page.click("[data-tab=detect]")  # takes no references
    expect(page.locator(".ref")).to_have_count(0)
    page.click("[data-tab=query]")
    expect(page.locator(".ref")).to_have_count(1)
    page.click(".thumb >> nth=1")
    expect(page.locator(".ref")).to_have_count(0)


def test_a_mark_keeps_its_click(image):
    page = image.open().page
    image.run()
    page.locator(".mark[data-ground=g1] .dot").click()
    expect(page.locator(".mark[data-ground=g0]")).to_have_css("opacity", "0.25")
    expect(page.locator(".ref")).to_have_count(0)
    image.click(0.05, 0.05)  # lets go of it
    expect(page.locator(".mark[data-ground=g0]")).to_have_css("opacity", "1")
    expect(page.locator(".ref")).to_have_count(0)
    image.click(0.05, 0.05)
    expect(page.locator(".ref")).to_have_count(1)


def test_the_inside_of_an_old_box_is_free(image):
    page = image.open("detect").page
    page.fill("[data-prompt=detect]", "dog")
    image.run()
    page.click("[data-tab=gaze]")
    image.click(0.25, 0.7)
    expect(page.locator(".ref-eye")).to_have_count(1)
    expect(page.locator(".mark.lit")).to_have_count(0)
    page.locator(".mark[data-ground=b1] .tag").click()
    expect(page.locator(".mark[data-ground=b1]")).to_have_css("opacity", "1")
    expect(page.locator(".mark[data-ground=b0]")).to_have_css("opacity", "0.25")
    expect(page.locator(".ref")).to_have_count(1)


def test_gaze_takes_an_eye_or_a_face(image, shoot):
    page = image.open("gaze").page
    page.click("[data-act=run]")
    expect(page.locator("#ds-refs-error")).to_have_text(
        "Click an eye in the image, or drag a box around the face."
    )
    image.click(0.3, 0.65)
    expect(page.locator("#ds-refs-error")).to_be_empty()
    sent = image.run()
    assert close(sent["eye"], [0.3, 0.65])
    assert "face" not in sent
    assert sent["force"] is False
    line = page.locator(".mark.gaze .gaze-line").bounding_box()
    assert (line["x"], line["y"]) == pytest.approx(image.at(0.3, 0.65), abs=6)
    end = (line["x"] + line["width"], line["y"] + line["height"])
    assert end == pytest.approx(image.at(0.79, 0.74), abs=6)
    expect(page.locator("[data-slot=answer]")).to_contain_text("0.790")
    shoot(page, "gaze-light")

    image.click(0.32, 0.66)  # another eye, not a second
    expect(page.locator(".ref")).to_have_count(1)
    image.drag((0.1, 0.5), (0.3, 0.75))
    expect(page.locator("[name=source][value=face]")).to_be_checked()
    expect(page.locator(".ref-eye")).to_have_class("ref ref-point ref-eye unused")
    page.click(".switch:has(#ds-force)")
    sent = image.run()
    assert close(sent["face"], [0.1, 0.5, 0.3, 0.75])
    assert "eye" not in sent
    assert sent["force"] is True
