"""How fast tokens reach the screen: our websocket path against Gradio's own generators.

An engine that only tells the time (`ui_engine.py`) hands out the same tokens to both. In one browser the
page of Dreamscope and a Gradio page (`ui_gradio.py`) show them, one after the other, round by round:

  websocket        Dreamscope as it is shipped: engine, relay, history, fragments, page
  HTML, box        a Gradio generator that yields after every token, into an HTML component or a Textbox
  coalesced        a Gradio generator that yields at most 30 times a second, into a Textbox

Paced, 500 tokens a second are handed out, and the age of every token is taken right after the first animation
frame that shows it. Unpaced, they come as fast as they are taken, and the time until the last one is on the
page counts. A token is late if it is older than 100 ms, dropped if it never shows. Server CPU is that of the
process which serves the page. Dreamscope asks for probabilities, wraps every token in an element and writes
every event to its history; the Gradio pages do none of that.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from page import chromium, program
from playwright.sync_api import Browser, Page
from report import Series, build_report, finish, load_average
from ui_engine import CYCLE_MS, WIDTH, births

HERE = Path(__file__).resolve().parent
LATE_MS = 100
PACE = 500
PATIENCE_MS = 240_000
VARIANTS = ("websocket", "HTML", "box", "coalesced")

# Notes after every animation frame how many tokens the page shows, until all do or nothing has come for long.
WATCH = """([selector, width, count, quiet]) => {
    const shown = () => {
        const all = [...document.querySelectorAll(selector)];
        return Math.max(0, ...all.map((e) => (e.value ?? e.textContent).length));
    };
    window.watched = new Promise((resolve) => {
        const seen = [];
        let last = Date.now();
        const drawn = new MessageChannel();  // its messages come after the frame in which they were sent
        const next = () => requestAnimationFrame(() => drawn.port2.postMessage(null));
        const look = () => {
            const now = Date.now(), known = Math.ceil(shown() / width - 0.3);
            if (known > seen.length) last = now;
            while (seen.length < Math.min(known, count)) seen.push(now);
            if (seen.length === count || now - last > quiet) resolve(seen);
            else next();
        };
        drawn.port1.onmessage = look;
        next();
    });
}"""
TEXT = """(selector) => [...document.querySelectorAll(selector)]
    .map((e) => e.value ?? e.textContent).sort((a, b) => b.length - a.length)[0]"""


@dataclass(frozen=True, slots=True)
class Shown:
    """One run: the age of every token when it was seen, ms; the time for all of them, s; server CPU, s."""

    ages: list[float]
    dropped: int
    seconds: float
    cpu_seconds: float


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All rounds, after one that does not count."""
    load = load_average()
    with contextlib.ExitStack() as stack:
        engine, _ = stack.enter_context(program([str(HERE / "ui_engine.py")], r"at (\S+)"))
        data = stack.enter_context(tempfile.TemporaryDirectory())
        ours = ["-m", "dreamscope.app", "web", "--port=7990", f"--engine={engine}", f"--data={data}"]
        page_url, page_pid = stack.enter_context(program(ours))
        gradio = [str(HERE / "ui_gradio.py"), engine]
        gradio_url, gradio_pid = stack.enter_context(program(gradio, r"at (\S+)"))
        browser = stack.enter_context(chromium())
        rounds: dict[tuple[str, int], list[Shown]] = {}
        for index in range(options.rounds + 1):
            for rate in (PACE, 0):
                for variant in VARIANTS:
                    ours_now = variant == "websocket"
                    shown = _run(
                        browser,
                        variant,
                        page_url if ours_now else gradio_url,
                        page_pid if ours_now else gradio_pid,
                        options.tokens,
                        rate,
                    )
                    if index:
                        rounds.setdefault((variant, rate), []).append(shown)
    subject = {
        "model": "a clock",
        "dtype": "text",
        "device": "chromium",
        "threads": None,
        "load_before": load,
    }
    settings = {"tokens": options.tokens, "paced_per_second": PACE, "late_ms": LATE_MS}
    return build_report("page", subject, settings, list(_series(rounds, options.tokens)))


def _series(rounds: dict[tuple[str, int], list[Shown]], count: int) -> Iterator[Series]:
    for variant in VARIANTS:
        paced, unpaced = rounds[variant, PACE], rounds[variant, 0]
        yield Series(f"{variant}: paced, age p50", "ms", [statistics.median(run.ages) for run in paced])
        yield Series(f"{variant}: paced, age p95", "ms", [_p95(run.ages) for run in paced])
        yield Series(
            f"{variant}: paced, late", "tokens", [sum(a > LATE_MS for a in run.ages) for run in paced]
        )
        yield Series(f"{variant}: dropped", "tokens", [run.dropped for run in paced + unpaced])
        yield Series(
            f"{variant}: paced, server CPU", "ms/token", [run.cpu_seconds * 1000 / count for run in paced]
        )
        yield Series(f"{variant}: unpaced", "tokens/s", [count / run.seconds for run in unpaced])
    for other in VARIANTS[1:]:
        pairs = zip(rounds["websocket", 0], rounds[other, 0], strict=True)
        yield Series(f"unpaced, websocket / {other}", "x", [b.seconds / a.seconds for a, b in pairs])


def _run(browser: Browser, variant: str, url: str, pid: int, count: int, rate: int) -> Shown:
    """One answer of `count` tokens on a fresh page."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    try:
        question = f"{count} tokens at {rate}"
        selector = (
            _open_ours(page, url, question)
            if variant == "websocket"
            else _open_gradio(page, url, variant, question)
        )
        page.evaluate(WATCH, [selector, WIDTH, count, 8_000])
        page.set_default_timeout(PATIENCE_MS)
        before = _cpu_seconds(pid)
        page.click('[data-act="run"]' if variant == "websocket" else f"#run-{_ids(variant)}")
        seen = page.evaluate("window.watched")
        used = _cpu_seconds(pid) - before
        born = births(page.evaluate(TEXT, selector))
    finally:
        page.context.close()
    ages = [float((at - birth) % CYCLE_MS) for at, birth in zip(seen, born, strict=False)]
    whole = (seen[-1] - born[0]) % CYCLE_MS / 1000
    return Shown(ages, count - len(ages), whole, used)


def _open_ours(page: Page, url: str, question: str) -> str:
    page.goto(url)
    page.wait_for_selector('.engine[data-engine="ready"]')
    page.locator("[data-example]:visible").first.click()
    page.wait_for_selector(".plate:not([hidden])")
    page.fill("#ds-prompt-query", question)
    page.locator("#ds-reasoning").set_checked(False, force=True)
    return '[data-slot="answer"]'


def _open_gradio(page: Page, url: str, variant: str, question: str) -> str:
    page.goto(url)
    page.fill("#question textarea", question)
    name = _ids(variant)
    page.wait_for_selector(f"#run-{name}")
    return "#html .prose, #html .html-container" if name == "html" else f"#{name} textarea"


def _ids(variant: str) -> str:
    return {"HTML": "html", "box": "box", "coalesced": "calm"}[variant]


def _cpu_seconds(pid: int) -> float:
    """Processor time that a process has used, in user and system mode (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, default=2_000, help="tokens of an answer (2000)")
    parser.add_argument("--rounds", type=int, default=4, help="rounds that count (4)")
    parser.add_argument("--save", type=Path, metavar="FILE", help="store the result as JSON")
    options = parser.parse_args(argv)
    finish(measure(options), options.save)
    return 0


if __name__ == "__main__":
    sys.exit(main())
