from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

FAKE_ENGINE = Path(__file__).parents[1] / "app" / "fake_engine.py"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
expect.set_options(timeout=15_000)

# Every outline that was put into the page, also where a slow machine draws several in one frame.
NOTE_PATHS = """() => {
    window.paths = [];
    const note = (node) => {
        const d = node.querySelector?.('.mask-fill')?.getAttribute('d');
        if (d && d !== window.paths.at(-1)) window.paths.push(d);
    };
    const seen = new MutationObserver((all) => all.forEach(({addedNodes}) => addedNodes.forEach(note)));
    seen.observe(document.querySelector('.marks'), {childList: true});
}"""
COVERS = """([x, y]) => {
    const plate = document.querySelector('.plate').getBoundingClientRect();
    const path = document.querySelector('.marks .mask-fill');
    const place = new DOMPoint(plate.x + x * plate.width, plate.y + y * plate.height);
    return path.isPointInFill(place.matrixTransform(path.getScreenCTM().inverse()));
}"""


@dataclass(frozen=True)
class App:
    """The running program: its address, and the file that it prints to."""

    url: str
    output: Path
    gate: Path | None = None
    """Something that is written to it lets the fake engine load its model."""

    def let_load(self) -> None:
        """The fake engine's model is loaded, as soon as it asks."""
        assert self.gate is not None
        self.gate.write_bytes(b"load")

    def engine_pid(self) -> int:
        """Process id of the engine that was ready last."""
        return int(re.findall(r'ready \{.*"pid": (\d+)', self.output.read_text())[-1])


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The page with a fake engine in the engine's place, as `dreamscope up` runs it."""
    folder = tmp_path_factory.mktemp("app")
    os.mkfifo(folder / "gate")
    command = [sys.executable, str(FAKE_ENGINE), "--delay=0.015", f"--gate={folder / 'gate'}"]
    program = (
        "import sys; from dreamscope.app import cli, up; "
        f"up.engine_command = lambda *words: {command!r}; "
        "sys.exit(cli.main(['up', '--no-browser', '--port', '7960']))"
    )
    with running(program, folder) as program_running:
        program_running = replace(program_running, gate=folder / "gate")
        program_running.let_load()
        yield program_running


@contextlib.contextmanager
def running(program: str, folder: Path) -> Iterator[App]:
    """A Python program that serves the page, from when it answers until the block ends."""
    output = folder / "output.txt"
    with output.open("w") as printed:
        process = subprocess.Popen([sys.executable, "-c", program], stdout=printed, start_new_session=True)
    yield App(_address(process, output), output)
    process.terminate()
    process.wait(timeout=20)


@pytest.fixture(scope="module")
def real_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The product as it is: engine, Sprite 2, page."""
    program = "import sys; from dreamscope.app import cli; sys.exit(cli.main(['up', '--no-browser']))"
    with running(program, tmp_path_factory.mktemp("real")) as program_running:
        yield program_running


def _address(process: subprocess.Popen[bytes], output: Path) -> str:
    """What the program says that it is at, once the page answers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"Dreamscope is at (\S+)\n", output.read_text()):
            return found[1]
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.1)
    process.kill()
    raise RuntimeError(f"The program did not start:\n{output.read_text()}")


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The installed browser. Without one the tests are skipped, or fail where one was promised."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None and os.environ.get("DREAMSCOPE_NEEDS_BROWSER"):
        pytest.fail(f"DREAMSCOPE_NEEDS_BROWSER is set, but there is none of {', '.join(BROWSERS)}.")
    if found is None:
        pytest.skip("There is no Chromium on this machine.")
    return found


@pytest.fixture(scope="module")
def chromium(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser, app: App) -> Iterator[Callable[..., Page]]:
    """Opens the page with the given context options. Afterwards the console must be empty and nothing may
    have been asked from anywhere else."""
    pages: list[Page] = []
    trouble: list[str] = []

    def open_it(ready: bool = True, **options: object) -> Page:
        options = {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light", **options}
        page = chromium.new_context(**options).new_page()
        pages.append(page)
        page.on("console", lambda message: trouble.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda request: _is_local(app.url, request.url) or trouble.append(request.url))
        page.goto(app.url)
        if ready:
            expect(page.locator(".engine")).to_have_attribute("data-engine", "ready")
        return page

    yield open_it
    for page in pages:
        page.context.close()
    assert trouble == []


def _is_local(here: str, url: str) -> bool:
    return url.startswith((here, "data:", "blob:"))


@pytest.fixture
def shoot() -> Callable[[Page, str], None]:
    """Keeps a screenshot among the artefacts of the run."""
    folder = Path(os.environ.get("DREAMSCOPE_ARTIFACTS", "artifacts"))
    folder.mkdir(parents=True, exist_ok=True)
    return lambda page, name: page.screenshot(path=folder / f"{name}.png")


class Outline:
    """The mask on a page, watched from when this is made."""

    def __init__(self, page: Page) -> None:
        self._page = page
        page.evaluate(NOTE_PATHS)

    def paths(self) -> list[str]:
        """Every outline that the page has had, in order."""
        paths: list[str] = self._page.evaluate("window.paths")
        return paths

    def covers(self, x: float, y: float) -> bool:
        """Whether a place of the image, in fractions, is inside the outline."""
        return bool(self._page.evaluate(COVERS, [x, y]))


@pytest.fixture
def outline_of() -> Callable[[Page], Outline]:
    return Outline
