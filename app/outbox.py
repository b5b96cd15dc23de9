"""What goes to one browser: collected, merged, and sent at most once per animation frame."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from dreamscope.visualizers.fragment import Fragment, merged

FRAME_S = 0.016


class Outbox:
    """Messages in the order they were put. The first leaves at once, what follows within a frame leaves
    together: one websocket message is a JSON list."""

    def __init__(self, send: Callable[[str], Awaitable[None]], frame_s: float = FRAME_S) -> None:
        self._send = send
        self._frame_s = frame_s
        self._waiting: list[dict[str, Any] | list[Fragment]] = []
        self._wake = asyncio.Event()

    def put(self, **message: Any) -> None:
        """Queue one message."""
        self._waiting.append(message)
        self._wake.set()

    def put_fragments(self, fragments: Sequence[Fragment]) -> None:
        """Queue changes of the page; neighbouring ones travel as one message."""
        if not fragments:
            return
        if self._waiting and isinstance(self._waiting[-1], list):
            self._waiting[-1].extend(fragments)
        else:
            self._waiting.append(list(fragments))
        self._wake.set()

    async def run(self) -> None:
        """Send what is put, until cancelled or until `send` raises."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch, self._waiting = self._waiting, []
            await self._send(json.dumps([_to_json(item) for item in batch]))
            await asyncio.sleep(self._frame_s)


def _to_json(item: dict[str, Any] | list[Fragment]) -> dict[str, Any]:
    if isinstance(item, dict):
        return item
    return {"fragments": [fragment.to_json() for fragment in merged(item)]}
