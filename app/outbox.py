"""What goes to one browser: collected, merged, and sent at most once per animation frame."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dreamscope.app.config import MAIN_COLUMN
from dreamscope.visualizers.fragment import Fragment, merged

FRAME_S = 0.016


@dataclass(frozen=True, slots=True)
class _Changes:
    """Changes of one column that travel as one message."""

    column: str
    fragments: list[Fragment]


class Outbox:
    """Messages in the order they were put, as far as they are about the same column. The first leaves at
    once, what follows within a frame leaves together: one websocket message is a JSON list."""

    def __init__(self, send: Callable[[str], Awaitable[None]], frame_s: float = FRAME_S) -> None:
        self._send = send
        self._frame_s = frame_s
        self._waiting: list[dict[str, Any] | _Changes] = []
        self._open: dict[str, _Changes] = {}  # by column, what more changes may still join
        self._wake = asyncio.Event()

    def put(self, column: str | None = None, **message: Any) -> None:
        """Queue one message, about a column or about the whole page."""
        if column is not None:
            self._open.pop(column, None)
            message |= _named(column)
        self._waiting.append(message)
        self._wake.set()

    def put_among(self, name: str, value: Any, most: int) -> None:
        """Queue `{name: [value]}`, or add to the list of this name that has not left; it keeps `most`."""
        for item in self._waiting:
            if isinstance(item, dict) and name in item:
                item[name] = [*item[name], value][-most:]
                return
        self._waiting.append({name: [value]})
        self._wake.set()

    def put_fragments(self, fragments: Sequence[Fragment], column: str = MAIN_COLUMN) -> None:
        """Queue changes of a column; those that no other message of it parts travel as one message."""
        if not fragments:
            return
        if column not in self._open:
            self._open[column] = _Changes(column, [])
            self._waiting.append(self._open[column])
        self._open[column].fragments.extend(fragments)
        self._wake.set()

    async def run(self) -> None:
        """Send what is put, until cancelled or until `send` raises."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch, self._waiting, self._open = self._waiting, [], {}
            await self._send(json.dumps([_to_json(item) for item in batch]))
            await asyncio.sleep(self._frame_s)


def _to_json(item: dict[str, Any] | _Changes) -> dict[str, Any]:
    if isinstance(item, dict):
        return item
    return {"fragments": [fragment.to_json() for fragment in merged(item.fragments)], **_named(item.column)}


def _named(column: str) -> dict[str, str]:
    """The page knows the main column as the one that is not named."""
    return {} if column == MAIN_COLUMN else {"column": column}
