"""How smooth the image stays with many marks: the pointer crosses them, the wheel zooms, the image is moved.

The real page in chromium, with the server's own markup for 1,000 boxes and 200 outlines put in over a socket
that is answered here instead of by an engine. A frame is the time between two animation frames: 16.7 ms at
60 Hz when nothing is late. Without a graphics processor the browser draws on the processor, so people see
more frames than this. The time of the main thread is processor time, which a busy machine does not change.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from page import chromium, program
from playwright.sync_api import Browser, CDPSession, Page, WebSocketRoute
from report import Series, build_report, finish, load_average

from dreamscope.engine.wire import Box, DetectResult, SegmentResult
from dreamscope.visualizers.asked import Asked
from dreamscope.visualizers.geometry import View
from dreamscope.visualizers.slots import slots_of

PAGE = ("-m", "dreamscope.app", "web", "--engine=ws://127.0.0.1:9", "--no-history")
"""The page alone; the engine it looks for is not there and not needed."""
IMAGE = (1000, 800)
DISPLAY_WIDTH = 700.0
CORNERS = 48
STEPS = 120
PATIENCE_MS = 120_000
LATE_MS = 34.0
"""More than one frame of 60 Hz was missed."""
READY = {"engine": {"state": "ready", "text": "Ready", "detail": "", "models": [], "presets": []}}
BEGIN = {"begin": {"title": "Boxes", "reasoning": False}, "run": "queued"}
START = """() => {
    window.frames_ms = [];
    let last = null;
    const look = (now) => {
        if (last !== null) window.frames_ms.push(now - last);
        last = now;
        window.looking = requestAnimationFrame(look);
    };
    window.looking = requestAnimationFrame(look);
}"""
STOP = "() => { cancelAnimationFrame(window.looking); return window.frames_ms; }"
Area = tuple[float, float, float, float]
LIT = "document.querySelectorAll('.marks .mark.lit').length"


@dataclass(frozen=True, slots=True)
class Shown:
    """One gesture: the time of every frame in ms, and processor time of the main thread in seconds."""

    frames: list[float]
    busy: float


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Every gesture in every round; the first round only warms up."""
    load = load_average()
    fragments = scene(options.boxes, options.outlines)
    rounds: dict[str, list[Shown]] = {}
    with program(PAGE) as (url, _), chromium() as browser:
        page = _open(browser, url, fragments, options.boxes + options.outlines)
        for index in range(options.rounds + 1):
            for name, gesture in GESTURES.items():
                shown = _frames(page, gesture)
                if index:
                    rounds.setdefault(name, []).append(shown)
    subject = {
        "model": "markup",
        "dtype": "SVG",
        "device": "chromium",
        "threads": None,
        "load_before": load,
    }
    settings = {"boxes": options.boxes, "outlines": options.outlines, "steps": STEPS, "late_ms": LATE_MS}
    return build_report("viewer", subject, settings, list(_series(rounds)))


def scene(boxes: int, outlines: int) -> list[dict[str, str]]:
    """The fragments of a result with so many marks, at fixed random places."""
    draw = random.Random(7)
    view = View.shown(IMAGE, DISPLAY_WIDTH)
    found = DetectResult(tuple(_box(draw, 0.02, 0.06) for _ in range(boxes)))
    slots = slots_of(found, view, Asked("box"))
    marks = [slots["marks"]]
    for nth in range(outlines):
        outlined = SegmentResult(_outline(draw), _box(draw, 0.05, 0.15))
        marks.append(slots_of(outlined, view, Asked("outline", family=1, part=nth + 1))["marks"])
    shown = {"marks": "".join(marks), "list": slots["list"], "answer": slots["answer"]}
    return [{"slot": name, "op": "replace", "html": html, "key": ""} for name, html in shown.items()]


def _box(draw: random.Random, least: float, most: float) -> Box:
    width, height = draw.uniform(least, most), draw.uniform(least, most)
    left, top = draw.uniform(0, 1 - width), draw.uniform(0, 1 - height)
    return Box(left, top, left + width, top + height)


def _outline(draw: random.Random) -> str:
    """A closed path of `CORNERS` corners, fractions of its box."""
    turns = [2 * math.pi * nth / CORNERS for nth in range(CORNERS)]
    radii = [0.5 * draw.uniform(0.75, 1.0) for _ in turns]
    points = [
        (0.5 + r * math.cos(turn), 0.5 + r * math.sin(turn)) for r, turn in zip(radii, turns, strict=True)
    ]
    return "M " + " L ".join(f"{x:.4f} {y:.4f}" for x, y in points) + " Z"


# ------------------------------------------------------------------------------------------- the browser


def _open(browser: Browser, url: str, fragments: list[dict[str, str]], marks: int) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.set_default_timeout(PATIENCE_MS)

    def answer(socket: WebSocketRoute) -> None:
        def take(message: str | bytes) -> None:
            if isinstance(message, str) and "run" in json.loads(message):
                socket.send(json.dumps([BEGIN]))
                socket.send(json.dumps([{"fragments": fragments}, {"run": "done"}]))

        socket.on_message(take)
        socket.send(json.dumps([READY]))

    page.route_web_socket(re.compile(r"/ws$"), answer)
    page.goto(url)
    page.wait_for_selector('.engine[data-engine="ready"]')
    page.locator("[data-example]:visible").first.click()
    page.wait_for_selector(".plate:not([hidden])")
    page.click("[data-tab=detect]")
    page.fill("[data-prompt=detect]", "box")
    page.click("[data-act=run]")
    page.wait_for_function("(n) => document.querySelectorAll('.marks .mark').length === n", arg=marks)
    return page


def _frames(page: Page, gesture: Callable[[Page, Area], None]) -> Shown:
    page.keyboard.press("0")
    page.wait_for_timeout(400)  # what the gesture before left to do
    sky = page.locator(".sky").first.bounding_box()
    assert sky is not None
    inspector = page.context.new_cdp_session(page)
    inspector.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.evaluate(START)
    before = _busy(inspector)
    gesture(page, (sky["x"], sky["y"], sky["width"], sky["height"]))
    after = _busy(inspector)
    frames: list[float] = page.evaluate(STOP)
    inspector.detach()
    return Shown(frames, after - before)


def _busy(inspector: CDPSession) -> float:
    """Seconds of processor time that tasks of the page have used."""
    metrics = inspector.send("Performance.getMetrics")["metrics"]
    return float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))


def hover(page: Page, sky: Area) -> None:
    """In a wave over the image."""
    left, top, width, height = sky
    lit = 0
    for step in range(STEPS):
        at = step / STEPS
        page.mouse.move(
            left + width * (0.1 + 0.8 * at), top + height * (0.5 + 0.35 * math.sin(at * 9 * math.pi))
        )
        lit += step % 10 == 0 and page.evaluate(LIT) > 0
    if not lit:
        raise RuntimeError("The pointer lit no mark.")


def scroll_list(page: Page, sky: Area) -> None:
    """Down the list, entry by entry under the pointer."""
    box = page.locator(".list").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 60, box["y"] + 90)
    for _ in range(STEPS):
        page.mouse.wheel(0, 60)


def zoom(page: Page, sky: Area) -> None:
    """In and out again with the wheel."""
    left, top, width, height = sky
    page.mouse.move(left + width * 0.4, top + height * 0.45)
    for step in range(STEPS):
        page.mouse.wheel(0, -60 if step < STEPS / 2 else 60)


def pan(page: Page, sky: Area) -> None:
    """Zoomed in, along a circle, with the middle button."""
    left, top, width, height = sky
    for _ in range(4):
        page.keyboard.press("+")
    page.mouse.move(left + width / 2, top + height / 2)
    page.mouse.down(button="middle")
    for step in range(STEPS):
        turn = 4 * math.pi * step / STEPS
        page.mouse.move(left + width / 2 + 120 * math.sin(turn), top + height / 2 + 90 * math.sin(2 * turn))
    page.mouse.up(button="middle")


GESTURES = {"hover": hover, "scroll the list": scroll_list, "zoom": zoom, "pan": pan}


def _series(rounds: dict[str, list[Shown]]) -> Iterator[Series]:
    for name, runs in rounds.items():
        times = [run.frames for run in runs]
        yield Series(f"{name}: frame p50", "ms", [statistics.median(frames) for frames in times])
        yield Series(f"{name}: frame p95", "ms", [statistics.quantiles(frames, n=20)[-1] for frames in times])
        late = [100 * sum(frame > LATE_MS for frame in frames) / len(frames) for frames in times]
        yield Series(f"{name}: late frames", "%", late)
        yield Series(f"{name}: main thread per step", "ms", [1000 * run.busy / STEPS for run in runs])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--boxes", type=int, default=1_000, help="boxes on the image (1000)")
    parser.add_argument("--outlines", type=int, default=200, help="outlines on the image (200)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count (3)")
    parser.add_argument("--save", type=Path, metavar="FILE", help="store the result as JSON")
    options = parser.parse_args(argv)
    finish(measure(options), options.save)
    return 0


if __name__ == "__main__":
    sys.exit(main())
