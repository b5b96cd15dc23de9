"""`dreamscope up` and `dreamscope web`: one process that serves the page, with or without its own engine."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import sys
import webbrowser
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import uvicorn

from dreamscope.app import words
from dreamscope.app.auth import Access, Gate
from dreamscope.app.client import socket_url
from dreamscope.app.data import open_history
from dreamscope.app.store.store import Store
from dreamscope.app.supervisor import Engine, EngineFailed, RemoteEngine, Supervisor, engine_command
from dreamscope.app.tunnel import Tunnel, TunnelFailed
from dreamscope.engine.settings import SettingError, Values

PORTS_TRIED = 50
GRACEFUL_SECONDS = 3
_MESSAGE_BYTES = 32 * 2**20
Print = Callable[[str], None]


def up(values: Values, engine_flags: Sequence[str], environ: Mapping[str, str], say: Print) -> int:
    """Engine and page together until a signal; returns the exit status.

    `engine_flags` go to the engine as they are. Raises `SettingError` when no port is free.
    """
    listener = bind(values["host"], values["port"])
    engine: RemoteEngine | Supervisor
    if values["engine"]:
        engine = RemoteEngine(_checked_url(values["engine"]), values["engine_key"])
    else:
        flags = [f"--model={values['model']}", "--host=127.0.0.1", "--exit-with-parent", "--drain=0"]
        if "engine_port" in values.explicit:
            flags.append(f"--port={values['engine_port']}")
        if "data" in values.explicit:
            flags.append(f"--data={values['data']}")
        if not values["retention"]:
            flags.append("--no-retention")
        engine = Supervisor(
            engine_command("serve", *flags, *engine_flags), lambda line: say(f"engine: {line}")
        )
    opens = values["browser"] and has_display(environ)
    with contextlib.closing(open_history(values, environ)) as store:
        return asyncio.run(_serve(engine, store, listener, Reach.of(values, opens), say))


def web(values: Values, environ: Mapping[str, str], say: Print) -> int:
    """The page alone, for an engine that somebody else runs; returns the exit status."""
    listener = bind(values["host"], values["port"])
    engine = RemoteEngine(_checked_url(values["engine"] or "ws://127.0.0.1:2020"), values["engine_key"])
    with contextlib.closing(open_history(values, environ)) as store:
        return asyncio.run(_serve(engine, store, listener, Reach.of(values, False), say))


def bind(host: str, port: int) -> socket.socket:
    """A bound TCP socket on `port` or the first free one after it. Raises `SettingError`."""
    for candidate in range(port, min(port + PORTS_TRIED, 65536)):
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, candidate, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
        except socket.gaierror as error:
            raise SettingError(f"--host {host!r}: {error.strerror}.") from None
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen()
        except OSError as error:
            listener.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise SettingError(f"--host {host} --port {candidate}: {error.strerror}.") from None
        else:
            return listener
    raise SettingError(
        f"No free port from {port} to {min(port + PORTS_TRIED, 65536) - 1}; choose another --port."
    )


def page_url(host: str, port: int) -> str:
    """The address to open; an any-address is shown as the loopback one."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def has_display(environ: Mapping[str, str]) -> bool:
    """Whether opening a browser here makes sense."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def _checked_url(engine: str) -> str:
    try:
        socket_url(engine)
    except ValueError as error:
        raise SettingError(f"--engine: {error}") from None
    return engine


@dataclass(frozen=True, slots=True)
class Reach:
    """Where the page is and for whom: the address it listens on, who may use it, whether it is made public
    through a tunnel, whether a browser opens it, whether what is done there is kept.
    """

    host: str
    access: Access
    public: bool
    opens: bool
    retention: bool

    @classmethod
    def of(cls, values: Values, opens: bool) -> Reach:
        """What the settings ask for."""
        return cls(values["host"], Access.of(values), values["share"], opens, values["retention"])


async def _serve(engine: Engine, store: Store, listener: socket.socket, reach: Reach, say: Print) -> int:
    """Start what there is to start; serve until a signal, or until the engine turns out not to start."""
    stop, closing = _stop_on_signals(), contextlib.ExitStack()
    supervisor = engine if isinstance(engine, Supervisor) else None
    if supervisor:
        supervisor.start()
    try:
        app = Gate(await asyncio.to_thread(_build, engine, store, reach.retention), reach.access)
        server = _Server(_uvicorn_config(app))
        logging.getLogger("uvicorn.error").addFilter(_is_news)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        host, port = listener.getsockname()[:2]
        tunnel = closing.enter_context(Tunnel(host, port)) if reach.public else None
        telling = asyncio.create_task(_tell(server, supervisor, reach, port, tunnel, say))
        telling.add_done_callback(lambda task: stop.set() if not task.cancelled() and task.result() else None)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await asyncio.gather(serving, *([supervisor.stop()] if supervisor else []))
        for task in (telling, stopping):
            task.cancel()
        await asyncio.wait({telling, stopping})
        return 0 if telling.cancelled() else telling.result()
    finally:
        closing.close()
        if supervisor:
            await supervisor.stop()


async def _tell(
    server: _Server,
    supervisor: Supervisor | None,
    reach: Reach,
    port: int,
    tunnel: Tunnel | None,
    say: Print,
) -> int:
    """Tell the address once the page answers; 1 when the engine could not start, so that all should end."""
    await server.listening.wait()
    url = reach.access.address(page_url(reach.host, port))
    say(f"Dreamscope is at {url}")
    if reach.opens:
        await asyncio.to_thread(webbrowser.open, url)
    if tunnel is not None:
        await _publish(tunnel, reach.access, say)
    if supervisor is None:
        return 0
    try:
        await supervisor.wait_ready()
    except EngineFailed as error:
        print(f"error: the engine could not start: {error}", file=sys.stderr)
        return 1
    say("The engine is ready. Stop with Ctrl-C.")
    return 0


async def _publish(tunnel: Tunnel, access: Access, say: Print) -> None:
    """Make the page public and say what that means; if that fails, say so and go on without."""
    try:
        address = await tunnel.open()
    except TunnelFailed as error:
        say(f"{error} {words.SHARE_OFF}")
        return
    say(f"Public address: {access.address(address)}")
    say(f"Warning: {words.SHARE_WARNING}")


def _build(engine: Engine, store: Store, retention: bool) -> Any:
    from dreamscope.app.main import build_app  # Gradio takes seconds to import; the engine loads meanwhile

    return build_app(engine, store, retention)


def _stop_on_signals() -> asyncio.Event:
    """An event that Ctrl-C and a polite kill set, from now on."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    return stop


class _Server(uvicorn.Server):
    """uvicorn without its signal handling, which would end the process before the engine is stopped."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then tell."""
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def _is_news(record: logging.LogRecord) -> bool:
    """False for what uvicorn says of every websocket that was refused with an answer, as those of a page are
    that was left open from before the key changed."""
    return record.getMessage() != "ASGI callable returned without completing handshake."


def _uvicorn_config(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_max_size=_MESSAGE_BYTES,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
        lifespan="on",
    )
