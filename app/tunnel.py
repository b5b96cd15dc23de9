"""A public address for the page, by way of Gradio's tunnel.

Gradio's share server hands out an address, and `frpc`, a program that Gradio fetches once, connects it to the
port here. Nothing of this happens unless `--share` asks for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_PATIENCE_S = 30


class TunnelFailed(Exception):
    """There is no public address; the text is a sentence for people."""


class Tunnel:
    """A tunnel to what listens on `host` and `port`; a context manager, so that it ends with that."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = _ANY.get(host, host), port
        self._closing = ExitStack()

    def __enter__(self) -> Tunnel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    async def open(self) -> str:
        """The public address, once it works; takes seconds. Raises `TunnelFailed`."""
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[str] = loop.create_future()

        def tell(address: str, error: Exception | None) -> None:
            if opened.done():  # nobody waits any more
                return
            if error is None:
                opened.set_result(address)
            else:
                opened.set_exception(TunnelFailed(f"No public address could be made: {_reason(error)}."))

        def work() -> None:
            address, failure = "", None
            try:
                address = self._open()
            except Exception as error:  # Gradio, httpx and frpc fail in many ways; all mean the same here
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(tell, address, failure)

        # A daemon, since nothing stops it while it waits for a server, and Ctrl-C should not wait as well.
        threading.Thread(target=work, name="tunnel", daemon=True).start()
        return await opened

    def _open(self) -> str:
        import httpx
        from gradio import networking, tunneling

        # As `networking.setup_tunnel`, which would leave the certificate in the folder one happens to be in.
        answer = httpx.get(networking.GRADIO_API_SERVER, timeout=_PATIENCE_S).raise_for_status()
        place = answer.json()[0]
        folder = Path(self._closing.enter_context(tempfile.TemporaryDirectory(prefix="dreamscope-")))
        certificate = folder / "certificate.pem"
        certificate.write_text(place["root_ca"], "utf-8")
        tunnel = tunneling.Tunnel(
            place["host"],
            int(place["port"]),
            self._host,
            self._port,
            secrets.token_urlsafe(32),
            str(certificate),
        )
        self._closing.callback(tunnel.kill)
        return tunnel.start_tunnel().strip().rstrip("/")


def _reason(error: Exception) -> str:
    """The first line of what went wrong."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".:")
