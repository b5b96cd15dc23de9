"""What a run says of itself in words: its question, who answered and when. Plain text; escape it for HTML."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from dreamscope.engine.wire import CaptionResult, ChatResult, QueryResult
from dreamscope.visualizers import words
from dreamscope.visualizers.record import Part, Record

LONGEST_DESCRIPTION = 300
_SKILLS = {
    "query": "Question",
    "caption": "Caption",
    "chat": "Conversation",
    "point": "Point",
    "detect": "Detect",
    "segment": "Segment",
    "gaze": "Gaze",
}


def question(record: Record) -> str:
    """What was asked, in one line; of requests without words the kind."""
    kind = _SKILLS.get(record.skill, record.skill)
    if record.skill == "query" and record.prompt:
        return record.prompt
    if record.skill == "caption" and record.parts and record.parts[0].create.length:
        return f"{kind}, {record.parts[0].create.length}"
    return f"{kind}: {record.prompt}" if record.prompt else kind


def answer(record: Record) -> str:
    """What came of it, in one line: the text, or what was found."""
    return " ".join(", ".join(text for text in map(_answer, record.parts) if text).split())


def facts(record: Record) -> list[tuple[str, str]]:
    """Who answered, with what settings, and when; names and values."""
    create = record.parts[0].create if record.parts else None
    settings = ", ".join(f"{name} {value}" for name, value in ((create and create.settings) or {}).items())
    known = (
        ("Model", model_name(record)),
        ("Revision", record.revision),
        ("Adapter", record.variant),
        ("Settings", settings),
        ("Time", moment(record.created_at)),
    )
    return [(name, value) for name, value in known if value]


def model_name(record: Record) -> str:
    """The model as people call it; by its id where no name was kept."""
    return (record.answerer and record.answerer.name) or record.model


def moment(written: str) -> str:
    """A timestamp as people read it, in UTC; as it is if it is none."""
    try:
        return f"{datetime.fromisoformat(written):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return written


def description(records: Sequence[Record]) -> str:
    """The answers of one or more runs, for a preview of a link."""
    said = " · ".join(f"{model_name(record)}: {answer(record)}" for record in records)
    return said if len(said) <= LONGEST_DESCRIPTION else f"{said[: LONGEST_DESCRIPTION - 1]}…"


def picture_name(record: Record) -> str:
    """What a picture of the run shows."""
    return f"The image that was asked about: {question(record)}"


def _answer(part: Part) -> str:
    result = part.result
    if isinstance(result, CaptionResult):
        return result.caption
    if isinstance(result, QueryResult | ChatResult):
        return result.answer
    return words.found(result, finished=True)
