"""What the engine writes down, as text or as one JSON object in each line, and what it never writes down.

Prompts, answers and images are in no message of ours. They could get in by two other ways, which are closed:
the text of an exception may quote what it stumbled over, so that private logs tell only its type and where it
happened; and the libraries below write down whole frames and headers if they may tell everything, so they may
not.

A record may have `extra={"fields": {...}}`: numbers and short texts, such as the id of a request.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

TALKATIVE = ("asyncio", "h11", "httpcore", "httpx", "PIL", "urllib3", "uvicorn", "websockets")


def configure(level: str, form: str, private: bool, stream: TextIO = sys.stderr) -> None:
    """Send all records from `level` on to `stream`, in the form `text` or `json`. `private`: exceptions are
    told without their texts; in JSON they always are.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines() if form == "json" else Plain(private))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLogger().level))
    logging.getLogger("httpcore").setLevel(logging.WARNING)  # it writes down the headers of endpoints


class JsonLines(logging.Formatter):
    """`time` (UTC, ISO 8601), `level`, `logger`, `message`, the fields of the record, and of an exception
    `error` (its type) and `stack` (the innermost call last).
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line of ASCII."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields_of(record),
        }
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            line |= {"error": type(error).__qualname__, "stack": _calls(error)}
        return json.dumps(line, default=str)


class Plain(logging.Formatter):
    """Level, logger, message and fields, then the traceback if there is one."""

    def __init__(self, private: bool) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")
        self._private = private

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line."""
        fields = "".join(f" {name}={json.dumps(value)}" for name, value in fields_of(record).items())
        return super().formatMessage(record) + fields

    def formatException(self, ei: Any) -> str:
        """The traceback; of a private log without the exception's text."""
        if not self._private or ei[1] is None:
            return super().formatException(ei)
        return "\n".join([*(f"  {call}" for call in _calls(ei[1])), type(ei[1]).__qualname__])


def fields_of(record: logging.LogRecord) -> Mapping[str, Any]:
    """What was given as `extra={"fields": ...}`, without what is `None`."""
    given: Mapping[str, Any] = getattr(record, "fields", {})
    return {name: value for name, value in given.items() if value is not None}


def _calls(error: BaseException) -> list[str]:
    return [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)]
