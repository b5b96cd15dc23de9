"""Binding the port before anything slow happens."""

from __future__ import annotations

import errno
import socket

from dreamscope.engine.settings import SettingError


def bind(host: str, port: int, tries: int) -> socket.socket:
    """A listening-ready TCP socket on `port`, or on the first free one of the next `tries - 1`.

    Raises `SettingError` when none is free or the address does not exist here.
    """
    family, address = _resolve(host, port)
    for candidate in range(port, min(port + tries, 65536)) if port else (0,):
        # Without its protocol asyncio does not know it for TCP, and leaves Nagle's algorithm on: what follows
        # a small write then waits for the peer's delayed acknowledgement, which is 40 ms.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, candidate))
            listener.listen()
        except OSError as error:
            listener.close()
            if error.errno != errno.EADDRINUSE:
                raise SettingError(f"--host {host} --port {candidate}: {error.strerror}.") from None
        else:
            listener.setblocking(False)
            return listener
    last = min(port + tries, 65536) - 1
    if last == port:
        raise SettingError(f"--port {port} is taken. Stop what listens there, or choose another port.")
    raise SettingError(f"The ports {port} to {last} are all taken. Choose another one with --port.")


def url_of(host: str, listener: socket.socket) -> str:
    """Address for people and browsers; an any-address is shown as the loopback one."""
    port = listener.getsockname()[1]
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def _resolve(host: str, port: int) -> tuple[int, str]:
    try:
        found = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise SettingError(f"--host {host!r}: {error.strerror}.") from None
    family, _, _, _, address = found[0]
    return family, str(address[0])
