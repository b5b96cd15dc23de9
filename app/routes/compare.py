"""Two to four runs side by side.

GET  /api/compare        ?run=a&run=b[&run=c[&run=d]], in column order, or ?comparison=ID: what they share and
                         where they differ, as `visualizers.comparison`
POST /api/comparisons    {"runs": [ids in column order], "title"?} -> {"id", "runs"}: they are kept as one; a
                         run of another comparison joins as a copy, which has an id of its own
GET  /api/comparisons/{id}/export.csv|export.json    attachments: `visualizers.comparison_export`

404 for a run or a comparison that is not kept, 400 for fewer than two or more than four.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import JSONResponse, Response

from dreamscope.app import words
from dreamscope.app.context import Context
from dreamscope.app.routes.answers import Answering, Refused, from_our_page, json_of
from dreamscope.app.routes.history_answers import strings_of
from dreamscope.app.store.store import Store
from dreamscope.engine.wire import WireError
from dreamscope.visualizers.comparison import COLUMNS, compare
from dreamscope.visualizers.comparison_export import comparison_csv, comparison_json
from dreamscope.visualizers.exports.naming import disposition
from dreamscope.visualizers.record import Record


def router(context: Context) -> APIRouter:
    """The routes above; comparing runs in a thread, because long texts and many marks take a moment."""
    routes = APIRouter(route_class=Answering)
    store, hub = context.store, context.hub

    @routes.get("/api/compare")
    def compared(run: list[str] = Query(default=[]), comparison: str = "") -> Response:  # noqa: B008
        known = _kept(store, comparison) if comparison else _records(store, run)
        with _readable():
            return JSONResponse(compare(known).to_json())

    @routes.get("/api/comparisons/{comparison_id}/export.csv")
    def as_csv(comparison_id: str) -> Response:
        known = _kept(store, comparison_id)
        with _readable():
            # The mark at the beginning is how spreadsheets know that the text is UTF-8.
            text = "\ufeff" + comparison_csv(known)
        return _attachment(text, "text/csv; charset=utf-8", known[0], "csv")

    @routes.get("/api/comparisons/{comparison_id}/export.json")
    def as_json(comparison_id: str) -> Response:
        known = _kept(store, comparison_id)
        with _readable():
            text = json.dumps(comparison_json(known), indent=1, ensure_ascii=False)
        return _attachment(text, "application/json", known[0], "json")

    @routes.post("/api/comparisons", dependencies=[Depends(from_our_page)])
    async def keep(request: Request) -> Response:
        body = await json_of(request)
        ids, title = strings_of(body, "runs"), body.get("title", "")
        _check_count(ids, "runs")
        if not isinstance(title, str):
            raise Refused(400, "title must be a string.", "title")
        kept = await asyncio.to_thread(store.keep_comparison, ids, title)
        found = await asyncio.to_thread(store.comparison, kept)
        runs = found.runs if found else ()
        hub.changed(runs)
        return JSONResponse({"id": kept, "runs": runs}, 201)

    return routes


def _kept(store: Store, comparison_id: str) -> list[Record]:
    kept = store.comparison(comparison_id)
    if kept is None:
        raise Refused(404, words.NO_SUCH_COMPARISON)
    return _records(store, kept.runs)


def _records(store: Store, ids: Sequence[str]) -> list[Record]:
    _check_count(ids, "run")
    records = [store.record(run_id) for run_id in ids]
    known = [record for record in records if record is not None]
    if len(known) < len(records):
        raise Refused(404, words.NO_SUCH_RUN)
    return known


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except WireError as error:
        raise Refused(422, f"A run cannot be read as a result: {error}") from None


def _attachment(text: str, media_type: str, first: Record, ending: str) -> Response:
    headers = {
        "Content-Disposition": disposition(first, f"comparison.{ending}"),
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-store",
    }
    return Response(text.encode("utf-8", "replace"), media_type=media_type, headers=headers)


def _check_count(ids: Sequence[str], field: str) -> None:
    fewest, most = COLUMNS
    if not fewest <= len(ids) <= most:
        raise Refused(400, f"{fewest} to {most} runs can be compared, not {len(ids)}.", field)
