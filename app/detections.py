"""Detect runs of the history as evidence: which ones an audit compares with, and whose audits those are."""

from __future__ import annotations

from dreamscope.app.store.kinds import MOST_AT_ONCE, Search
from dreamscope.app.store.store import Store
from dreamscope.visualizers.audit.checks import found_by_noun, nouns_to_detect
from dreamscope.visualizers.record import Record

MOST_USERS = 12
"""Runs whose audits a detect run says it is used in; the newest on its image are looked at."""


def detected(store: Store, record: Record) -> list[Record]:
    """The detect runs of the same model on the image of `record`, newest first, if it has use for any."""
    return _detected(store, record) if record.picture and nouns_to_detect(record) else []


def users_of(store: Store, record: Record) -> list[Record]:
    """The runs whose audits compare with the boxes of the detect run `record`, newest first."""
    if record.skill != "detect" or record.picture is None or record.state != "done":
        return []
    boxes = _detected(store, record)
    others = [one for skill in ("query", "caption") for one in _on_image(store, record, skill, MOST_USERS)]
    return [
        one for one in others if any(found.run == record.id for found in found_by_noun(one, boxes).values())
    ]


def _detected(store: Store, record: Record) -> list[Record]:
    return _on_image(store, record, "detect", MOST_AT_ONCE, state="done")


def _on_image(store: Store, record: Record, skill: str, limit: int, state: str = "") -> list[Record]:
    assert record.picture is not None
    found = store.search(
        Search(skill=skill, model=record.model, image=record.picture.hash, state=state, limit=limit)
    )
    return [known for known in (store.record(run.id) for run in found.runs) if known is not None]
