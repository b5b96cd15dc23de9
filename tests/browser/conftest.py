from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import uvicorn
from axe_core_python.sync_playwright import Axe
from fastapi import FastAPI
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from dreamscope.app import up
from dreamscope.app.context import Context
from dreamscope.app.hub import Hub
from dreamscope.app.routes import replay, share
from dreamscope.app.store.kinds import StoredImage
from dreamscope.app.store.store import Store
from dreamscope.app.supervisor import RemoteEngine
from dreamscope.visualizers.record import Record

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
        f"sys.exit(cli.main(['up', '--no-browser', '--port', '7960', '--data', {str(folder / 'data')!r}]))"
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
    folder = tmp_path_factory.mktemp("real")
    arguments = ["up", "--no-browser", "--data", str(folder / "data")]
    program = f"import sys; from dreamscope.app import cli; sys.exit(cli.main({arguments!r}))"
    with running(program, folder) as program_running:
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

    def open_it(
        ready: bool = True, path: str = "", elsewhere: tuple[str, ...] = (), said: str = "", **options: object
    ) -> Page:
        """`elsewhere`: addresses that may be asked; `said`: a pattern of what the console may say."""
        local = (app.url, *elsewhere)
        options = {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light", **options}
        page = chromium.new_context(**options).new_page()
        pages.append(page)
        page.on("console", lambda message: _expected(said, message.text) or trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda request: _is_local(local, request.url) or trouble.append(request.url))
        page.goto(app.url + path)
        if ready:
            expect(page.locator(".engine")).to_have_attribute("data-engine", "ready")
        return page

    yield open_it
    for page in pages:
        page.context.close()
    assert trouble == []


def _is_local(here: tuple[str, ...], url: str) -> bool:
    return url.startswith((*here, "data:", "blob:"))


def _expected(said: str, text: str) -> bool:
    return bool(said) and re.search(said, text) is not None


@pytest.fixture
def camera_page(chromium: Browser, chromium_path: str, app: App) -> Iterator[Page]:
    """The page in a browser with a camera that shows a test picture, and that may be used."""
    camera = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    kind = chromium.browser_type
    browser = kind.launch(executable_path=chromium_path, args=[*FLAGS, *camera])
    page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
    page.goto(app.url)
    expect(page.locator(".engine")).to_have_attribute("data-engine", "ready")
    yield page
    browser.close()


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


@dataclass(frozen=True)
class Site:
    """Shared pages and files of runs, served without an engine and without Gradio."""

    url: str
    store: Store
    files: Path

    def share(self, **subject: str) -> str:
        """The address of a new share of a run (`run_id`) or a comparison (`comparison_id`)."""
        return f"{self.url}/s/{self.store.add_share(**subject).slug}"

    def file(self, path: str) -> str:
        """The address on disk of the one file that `/api/PATH/page.html` gives."""
        with urllib.request.urlopen(f"{self.url}/api/{path}/page.html") as answer:
            file = self.files / f"{path.replace('/', '-')}.html"
            file.write_bytes(answer.read())
        return file.as_uri()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A `Site` with an empty history."""
    store = Store.open(None)
    app, context = FastAPI(), Context(RemoteEngine("ws://127.0.0.1:9"), store, Hub())
    for routes in (share, replay):
        app.include_router(routes.router(context))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    listener = up.bind("127.0.0.1", 7990)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield Site(f"http://127.0.0.1:{listener.getsockname()[1]}", store, tmp_path_factory.mktemp("files"))
    server.should_exit = True
    thread.join()
    store.close()


@pytest.fixture(scope="module")
def keep_run(site: Site) -> Callable[[Record], Record]:
    """Writes a run to the site's history, on an image of its own size."""
    image = Image.linear_gradient("L").convert("RGB").resize((640, 480))
    written = io.BytesIO()
    image.save(written, "PNG")
    data = written.getvalue()
    picture = site.store.put_image(StoredImage(hashlib.sha256(data).hexdigest(), "image/png", 640, 480, data))

    def keep(record: Record) -> Record:
        kept = replace(record, picture=picture)
        site.store.begin(kept)
        site.store.flush()
        return kept

    return keep


@pytest.fixture
def open_shared(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a shared page or a file. Afterwards the console must be empty, no dialog may have opened and no
    other host been asked, unless it is not `watched`. `clock`: time stands still until a test moves it, and
    replays take the time of the run."""
    pages: list[Page] = []
    trouble: list[str] = []

    def open_it(url: str, clock: bool = False, watched: bool = True, **options: object) -> Page:
        options = {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light", **options}
        page = chromium.new_context(**options).new_page()
        pages.append(page)
        if clock:
            page.clock.install(time=0)
            page.clock.pause_at(1000)
        if watched:
            here = url if url.startswith("file:") else url.partition("/s/")[0]
            page.on("console", lambda message: trouble.append(f"{message.type}: {message.text}"))
            page.on("pageerror", lambda error: trouble.append(str(error)))
            page.on("dialog", lambda dialog: trouble.append(dialog.message))
            page.on("request", lambda request: _is_local(here, request.url) or trouble.append(request.url))
        page.goto(url)
        if options.get("java_script_enabled", True) and page.locator(".shared-columns").count():
            expect(page.locator(".replay-time")).not_to_be_empty()
            speed = page.get_by_label("Speed of the replay")
            if clock and speed.is_visible():
                speed.select_option("1")
        return page

    yield open_it
    for page in pages:
        page.context.close()
    assert trouble == []


@pytest.fixture
def accessible() -> Callable[[Page], None]:
    """Lets axe-core look at the page as it is: nothing serious, and nothing critical."""

    def look(page: Page) -> None:
        found = Axe().run(page)["violations"]
        grave = [row for row in found if row["impact"] in ("serious", "critical")]
        told = [(row["id"], [node["html"][:160] for node in row["nodes"]]) for row in grave]
        assert told == []

    return look


@pytest.fixture
def compare(open_page, app) -> Callable[..., Page]:
    """Opens the compare view, with the meadow in it unless told otherwise."""

    def open_it(scene: bool = True, query: str = "", **options: object) -> Page:
        page = open_page(**options)
        page.goto(f"{app.url}/?view=compare{query}")
        expect(page.locator(".engine")).to_have_attribute("data-engine", "ready")
        if scene:
            page.click("main[data-view=compare] .card >> nth=0")
            expect(page.locator(".cmp-side >> nth=1").locator(".plate img")).to_be_visible()
        return page

    return open_it
