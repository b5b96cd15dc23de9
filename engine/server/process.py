"""One engine process: listen at once, load the model in a thread, stop cleanly on a signal.

    bind -> print url -> "listening {json}" -> load -> "ready {json}" -> serve -> signal -> farewells -> exit

The lines with JSON are for a supervisor that reads standard output; `/health` tells the same.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from dreamscope.engine import errors
from dreamscope.engine.config import PORTS_TRIED
from dreamscope.engine.server.app import build_app
from dreamscope.engine.server.auth import is_loopback
from dreamscope.engine.server.keystore import KeyStore
from dreamscope.engine.server.listen import bind, url_of
from dreamscope.engine.server.options import MIB, ServerOptions
from dreamscope.engine.server.shelf import Shelf
from dreamscope.engine.settings import SettingError, Values, data_folder

GRACEFUL_SECONDS = 5
BESIDE_THE_QUEUE = 64
"""HTTP requests that may be read, decoded or answered while as many wait as may."""
HARD_MESSAGE_BYTES = 32 * MIB
"""Above this the transport itself hangs up. It is more than the protocol allows, so that a message slightly
too big gets a proper close frame with the reason."""


class EngineServer(uvicorn.Server):
    """uvicorn, which says goodbye to the clients before it tears the sockets down."""

    def __init__(
        self,
        config: uvicorn.Config,
        farewell: Callable[[], Any],
        started: Callable[[], None],
        hurry: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(config)
        self._farewell = farewell
        self._started = started
        self._hurry = hurry
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then tell."""
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self._started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal stops politely; Ctrl-C after it does not wait for what runs."""
        if sig == signal.SIGINT and self.should_exit and self._loop is not None:
            self._loop.call_soon_threadsafe(self._hurry)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Farewells first: afterwards the transport would close with a code of its own."""
        await self._farewell()
        await super().shutdown(sockets)


def serve(values: Values, shelf: Shelf) -> int:
    """Serve the models of `shelf`, beginning with the default. Returns the exit status.

    Raises `SettingError` for an address that cannot or must not be used.
    """
    host, port = values["host"], values["port"]
    check_exposure(values)
    chosen = "port" in values.explicit
    listener = bind(host, port, 1 if chosen else PORTS_TRIED)
    url = url_of(host, listener)
    facts = {"url": url, "host": host, "port": listener.getsockname()[1], "pid": os.getpid()}
    failures: list[int] = []
    loading: list[asyncio.Task[None]] = []

    def announce(word: str) -> None:
        print(word, json.dumps({**facts, "model": shelf.default.id}), flush=True)

    async def load_default() -> None:
        try:
            (await shelf.wait(shelf.default.id)).release()
        except errors.DreamscopeError as error:
            failures.append(1)
            print(f"Cannot serve {shelf.default.id}: {error.message}", file=sys.stderr, flush=True)
            server.should_exit = True
        else:
            announce("ready")

    def started() -> None:
        print(f"Dreamscope engine at {url} with {shelf.default.id}", flush=True)
        announce("listening")
        loading.append(asyncio.create_task(load_default()))

    app = build_app(shelf, server_options(values))
    # At its lower levels the transport would write down every frame, prompts and pictures included.
    config = uvicorn_config(app, "info" if values["log_level"] == "debug" else values["log_level"])
    server = EngineServer(config, app.door.close, started, app.door.hurry)
    _exit_quietly_after_signals()
    if values["exit_with_parent"]:
        threading.Thread(target=_stop_at_end_of_input, name="parent", daemon=True).start()
    server.run(sockets=[listener])
    shelf.close()
    return 1 if failures else 0


def server_options(values: Values) -> ServerOptions:
    """The part of the settings that the server needs."""
    return ServerOptions(
        api_keys=values["api_key"],
        parent_key=values["parent_key"],
        keys_folder=keys_folder(values),
        allowed_hosts=(*values["allowed_hosts"], values["host"]),
        allowed_origins=values["allowed_origins"],
        retention=values["retention"],
        finish_seconds=values["drain"],
        deadline=values["deadline"],
        upload_bytes=values["upload_mb"] * MIB,
        max_connections=values["max_connections"],
        max_http_requests=values["max_queue"] + BESIDE_THE_QUEUE,
    )


def check_exposure(values: Values) -> None:
    """Raises `SettingError` when anyone on the network could use the model without having been let in."""
    if is_loopback(values["host"]) or values["api_key"] or values["allow_anonymous"]:
        return
    if KeyStore(keys_folder(values)).exists():
        return
    raise SettingError(
        f"--host {values['host']} can be reached from other machines. Make a key with `dreamscope keys "
        "create NAME`, or set DREAMSCOPE_API_KEY, or say --allow-anonymous if anyone may use it."
    )


def keys_folder(values: Values) -> Path:
    """Where the keys are that `dreamscope keys` makes."""
    folder: Path = values["data"] or data_folder(os.environ)
    return folder


def uvicorn_config(app: Any, log_level: str) -> uvicorn.Config:
    """How uvicorn runs the application. Messages are not compressed: base64 pictures do not shrink, and
    compressing delays the deltas.
    """
    return uvicorn.Config(
        app,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_max_size=HARD_MESSAGE_BYTES,
        log_config=None,
        log_level=log_level,
        access_log=False,
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
        lifespan="on",
    )


def _exit_quietly_after_signals() -> None:
    """uvicorn repeats the signal after its clean shutdown; the exit status should say that all is well."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)


def _stop_at_end_of_input() -> None:
    """Ends this process politely when standard input ends: whoever held its other end is gone."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
