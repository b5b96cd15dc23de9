"""What the benchmarks of the page share: the programs that they start, and the browser."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence

from playwright.sync_api import Browser, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")


@contextlib.contextmanager
def program(command: Sequence[str], said: str = r"Dreamscope is at (\S+)") -> Iterator[tuple[str, int]]:
    """A Python program until the block ends: what it says that it is at, by the pattern `said`, and its
    process id. Raises `RuntimeError` if it ends without saying so.
    """
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(said, line):
                yield found[1].strip(), process.pid
                return
        raise RuntimeError(f"{' '.join(command)} did not start.")
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The installed browser. Raises `RuntimeError` if there is none."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        raise RuntimeError(f"There is none of {', '.join(BROWSERS)} on this machine.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()
