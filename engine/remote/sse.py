"""Server-sent events from bytes that may be cut anywhere."""

from __future__ import annotations

import re

_LINE_END = re.compile(rb"\r\n|\n|\r(?!$)")  # a CR at the very end may be half of a CR LF


class EventStream:
    """The `data` of each event, in order; other fields and comments are passed over."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> list[str]:
        """The events that `piece` completes."""
        *lines, self._rest = _LINE_END.split(self._rest + piece)
        return [data for line in lines if (data := self._line(line)) is not None]

    def close(self) -> list[str]:
        """The event whose blank line never came, if any."""
        return [data for line in (self._rest, b"") if (data := self._line(line.rstrip(b"\r"))) is not None]

    @property
    def pending(self) -> int:
        """Bytes and characters held back."""
        return len(self._rest) + sum(map(len, self._data))

    def _line(self, line: bytes) -> str | None:
        if not line:
            data, self._data = self._data, []
            return "\n".join(data) if data else None
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" ").decode("utf-8", "replace"))
        return None
