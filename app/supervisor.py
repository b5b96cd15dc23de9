"""Start, watch and stop a local engine process.

Life of the child: starting -> loading (it listens) -> ready -> (it dies) -> restarting -> loading -> ready
... until `stop`. A child that dies before it was ever ready is not started again: the same start would fail
the same way, so the phase becomes `failed` with the child's last line as the reason.

The child's standard input is a pipe that nobody writes to. It ends with this process, however that ends, and
an engine with `--exit-with-parent` then stops.

The child tells where it is on standard output: `listening {json}` and `ready {json}`, with its `url`.
"""

from __future__ import annotations

import asyncio
import enum
import json
import os
import secrets
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

STOP_TIMEOUT_S = 10.0
RESTART_DELAYS_S = (0.1, 0.5, 1.0, 2.0, 5.0)
_LINE_LIMIT = 2**20
_KEPT_LINES = 40


class Phase(enum.Enum):
    """Where the engine is in its life, as far as this process knows."""

    STARTING = "starting"
    LOADING = "loading"
    READY = "ready"
    RESTARTING = "restarting"
    FAILED = "failed"
    STOPPED = "stopped"
    UNKNOWN = "unknown"  # somebody else runs it


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """What the page needs to know of the engine process.

    `url` is where it listens (`None` while it does not), `detail` its latest line, `restarts` how often it
    was started again, `key` what it lets us in with.
    """

    phase: Phase
    url: str | None = None
    detail: str = ""
    restarts: int = 0
    key: str | None = field(default=None, repr=False)


class Engine(Protocol):
    """An engine that the page talks to."""

    @property
    def status(self) -> EngineStatus:
        """The current state; cheap."""


@dataclass(frozen=True, slots=True)
class RemoteEngine:
    """An engine that somebody else starts and stops; `key` is for one that asks for it."""

    url: str
    key: str | None = field(default=None, repr=False)

    @property
    def status(self) -> EngineStatus:
        """Only the address is known."""
        return EngineStatus(Phase.UNKNOWN, self.url, key=self.key)


class EngineFailed(RuntimeError):
    """The engine ended before it was ready; the text is its last line."""


class Supervisor:
    """Owner of one engine child. All methods belong to one event loop.

    `command` is the child's argument list; `echo` gets every line the child prints.
    """

    def __init__(self, command: Sequence[str], echo: Callable[[str], None] = lambda line: None) -> None:
        self._command = list(command)
        self._echo = echo
        self._status = EngineStatus(Phase.STARTING, key=secrets.token_urlsafe(32))
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()  # first ready, or failed
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)

    @property
    def status(self) -> EngineStatus:
        """The current state; cheap."""
        return self._status

    @property
    def pid(self) -> int | None:
        """Process id of the running child."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the child and keep it alive in the background. Returns at once."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep_alive(), name="engine supervisor")

    async def wait_ready(self) -> None:
        """Wait until the model is loaded. Raises `EngineFailed` when the child ends before that."""
        await self._settled.wait()
        if self._status.phase is Phase.FAILED:
            raise EngineFailed(self._status.detail)

    async def stop(self) -> None:
        """End the child: first politely, then by force. Safe to call twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None
        self._set(Phase.STOPPED, url=None)

    async def _keep_alive(self) -> None:
        failures = 0
        while True:
            was_ready = await self._run_once()
            if not self._settled.is_set():
                self._set(Phase.FAILED, url=None, detail=self._reason())
                self._settled.set()
                return
            failures = 0 if was_ready else failures + 1
            restarts = self._status.restarts + 1
            self._set(Phase.RESTARTING, url=None, detail=self._reason(), restarts=restarts)
            await asyncio.sleep(RESTART_DELAYS_S[min(failures, len(RESTART_DELAYS_S) - 1)])

    async def _run_once(self) -> bool:
        """Run one child to its end; whether it became ready. Ends the child when cancelled."""
        self._lines.clear()
        self._process = process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=_LINE_LIMIT,
            env=os.environ | {"PYTHONUNBUFFERED": "1", "DREAMSCOPE_PARENT_KEY": self._status.key or ""},
            start_new_session=True,  # Ctrl-C reaches this process alone, which then stops the child
        )
        assert process.stdout is not None
        reader = asyncio.create_task(self._read(process.stdout))
        try:
            await process.wait()
            await reader
        finally:
            reader.cancel()
            await _end(process)
            self._process = None
        return reader.result()

    async def _read(self, output: asyncio.StreamReader) -> bool:
        """Follow the child's lines to the end; whether one said that it is ready."""
        was_ready = False
        async for raw in output:
            line = raw.decode("utf-8", "replace").strip()
            word, facts = parse_line(line)
            if word == "listening":
                self._set(Phase.LOADING, url=facts["url"], detail="")
            elif word == "ready":
                was_ready = True
                self._set(Phase.READY, url=facts["url"], detail="")
                self._settled.set()
            elif line:
                self._lines.append(line)
                self._set(self._status.phase, detail=line)
            if line:
                self._echo(line)
        return was_ready

    def _set(self, phase: Phase, **changes: Any) -> None:
        self._status = replace(self._status, phase=phase, **changes)

    def _reason(self) -> str:
        return self._lines[-1] if self._lines else "it printed nothing."


def engine_command(command: str, *arguments: str) -> list[str]:
    """The argument list that runs `command` of the engine package with this interpreter."""
    return [sys.executable, "-m", "dreamscope.engine", command, *arguments]


def parse_line(line: str) -> tuple[str, dict[str, Any]]:
    """A state line of the engine as (`listening` or `ready`, facts); ("", {}) for any other line."""
    word, _, rest = line.partition(" ")
    if word not in ("listening", "ready") or not rest.startswith("{"):
        return "", {}
    try:
        facts = json.loads(rest)
    except ValueError:
        return "", {}
    return (word, facts) if isinstance(facts.get("url"), str) else ("", {})


async def _end(process: asyncio.subprocess.Process) -> None:
    """SIGTERM, a while to finish, then SIGKILL."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
