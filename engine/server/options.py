"""What the operator and the protocol allow, in one frozen object that is passed down."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from dreamscope.engine import wire
from dreamscope.engine.server.log import MAX_EVENTS
from dreamscope.engine.server.outbox import LIMIT_BYTES
from dreamscope.engine.server.registry import REPLAY_SECONDS

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Sizes in bytes, times in seconds. The defaults are those of the protocol."""

    api_keys: tuple[str, ...] = field(default=(), repr=False)
    parent_key: str | None = field(default=None, repr=False)
    """Of the process that has started this one: let in beside all others, and no reason to ask for keys."""
    keys_folder: Path | None = None
    """Where the keys of `dreamscope keys` are, if any are used."""
    allowed_hosts: tuple[str, ...] = ()
    """Names that a server without keys may be reached by, besides those of this machine."""
    allowed_origins: tuple[str, ...] = ()
    retention: bool = True
    """Whether the events of a request are kept for a while after its end."""
    deadline: float = 300.0
    upload_bytes: int = 256 * MIB
    max_connections: int = 64
    max_message_bytes: int = 24 * MIB
    max_in_flight: int = 16
    max_undecoded: int = 8
    max_http_requests: int = 128
    max_body_bytes: int = 32 * MIB
    http_body_bytes: int = 512 * MIB
    """Of all HTTP requests that are being served together."""
    load_patience: float = 10.0
    """How long an HTTP request waits for a model that is being loaded; a websocket waits to its deadline."""
    keep_alive: float = 10.0
    """Silence in a stream of events after which a comment is sent."""
    outbox_bytes: int = LIMIT_BYTES
    hello_seconds: float = 5.0
    stall_seconds: float = 30.0
    close_seconds: float = 10.0
    finish_seconds: float = 0.0
    """How long running requests may go on once the server is to stop."""
    drain_seconds: float = 3.0
    """How long the farewells of what was cut off may take."""

    def limits(self) -> wire.Limits:
        """What `ready` tells the client."""
        return wire.Limits(self.max_message_bytes, self.max_in_flight, self.replay_seconds, MAX_EVENTS)

    @property
    def replay_seconds(self) -> float:
        """How long the events of a request are kept after its end."""
        return REPLAY_SECONDS if self.retention else 0.0
