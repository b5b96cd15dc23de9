"""The engine server as a process of its own, for the benchmarks that load it from outside."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

STOP_S = 60.0
"""How long it may take to stop; what runs may finish for 20 s of it."""
TROUBLE = re.compile(r"Traceback|^\S* *ERROR|exception", re.MULTILINE)
"""What a server logs that was not well."""
_HELD = {
    "waiting": r"dreamscope_engine_waiting\b",
    "running": r"dreamscope_engine_running\b",
    "pages": r"dreamscope_engine_pages\{.*state=\"private\"",
}


@dataclass(frozen=True, slots=True)
class Server:
    """A `dreamscope serve` that is ready. `pid` is the process of the engine."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def memory(self) -> int:
        """Bytes that it holds."""
        return resident(self.pid)

    def get(self, path: str) -> Any:
        """The JSON at a path."""
        with urllib.request.urlopen(self.url + path, timeout=STOP_S) as answer:
            return json.load(answer)

    def holds(self) -> dict[str, float]:
        """What requests hold, over all models: places in the queue, rows, pages of the KV cache.

        Raises `RuntimeError` if `/metrics` does not tell.
        """
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=STOP_S) as answer:
            samples = [line.rpartition(" ") for line in answer.read().decode().splitlines()]
        held = {}
        for name, pattern in _HELD.items():
            found = [float(value) for labels, _, value in samples if re.match(pattern, labels)]
            if not found:
                raise RuntimeError(f"/metrics does not tell about {name}")
            held[name] = sum(found)
        return held


@contextmanager
def serving(flags: Sequence[str]) -> Iterator[Server]:
    """A server on a free port, with keys and accounts of its own, until the block ends.

    Raises `RuntimeError` if it does not start, if it ends too early or not well, or if its log tells of
    trouble.
    """
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w+") as log:
        command = [sys.executable, "-m", "dreamscope.engine", "serve", "--port=0", f"--data={folder}", *flags]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None
        try:
            facts = _ready(process.stdout)
            if facts is None:
                raise RuntimeError(f"the server did not start: {_text(log)[-2000:]}")
            yield Server(facts["port"], facts["pid"])
            if process.poll() is not None:
                raise RuntimeError(f"the server ended early, with status {process.returncode}")
            process.terminate()
            status = process.wait(STOP_S)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        told = _text(log)
        if status or TROUBLE.search(told):
            raise RuntimeError(f"the server ended with status {status} and said: {told[-4000:]}")


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)
    return int(shown.stdout) * 1024


def _ready(lines: Iterable[str]) -> dict[str, Any] | None:
    for line in lines:
        if line.startswith("ready {"):
            facts: dict[str, Any] = json.loads(line.removeprefix("ready "))
            return facts
    return None


def _text(log: TextIO) -> str:
    log.seek(0)
    return log.read()
