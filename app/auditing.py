"""The detect runs that an audit asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

from dreamscope.app import words
from dreamscope.app.asks import Ask, parse_ask
from dreamscope.app.background import ask_recorded
from dreamscope.app.config import MOST_OBJECTS
from dreamscope.app.context import Context
from dreamscope.app.detections import detected
from dreamscope.visualizers.audit.checks import found_by_noun, nouns_to_detect
from dreamscope.visualizers.record import Record

TAG = "audit"
"""On the detect runs that an audit has asked for."""


class AuditError(Exception):
    """The boxes cannot be had; the text is a sentence for people."""


async def detect_nouns(context: Context, record: Record) -> None:
    """Run detect for every noun of the spans or the caption that it was not run for yet; keep these runs.

    Raises `AuditError` if there is no image or a run fails, `EngineGone`, `EngineRefused` or `Invalid` as
    `ask_recorded` does.
    """
    if record.picture is None:
        raise AuditError(words.AUDIT_NO_IMAGE)
    known = found_by_noun(record, await asyncio.to_thread(detected, context.store, record))
    for ask in asks_of(record, [noun for noun in nouns_to_detect(record) if noun not in known]):
        run = await ask_recorded(
            context.engine, context.store, ask, record.picture, tags=(TAG,), changed=context.hub.changed
        )
        for part in run.parts:
            if part.state != "done":
                raise AuditError(part.error.message if part.error else words.ENGINE_ENDED)


def asks_of(record: Record, nouns: Sequence[str]) -> Iterator[Ask]:
    """Detect runs for all nouns, by the model and adapter of `record`, as few as possible."""
    for start in range(0, len(nouns), MOST_OBJECTS):
        some = list(nouns[start : start + MOST_OBJECTS])
        what: dict[str, Any] = {"objects": some} if len(some) > 1 else {"object": some[0]}
        yield parse_ask({"skill": "detect", "model": record.model, "variant": record.variant, **what})
