"""Two to four runs side by side.

GET  /api/compare        ?run=a&run=b[&run=c[&run=d]], in column order, or ?comparison=ID: what they share and
                         where they differ, as `visualizers.comparison`
POST /api/comparisons    {"runs": [ids in column order], "title"?} -> {"id", "runs"}: they are kept as one; a
                         run of another comparison joins as a copy, which has an id of its own

404 for a run that is not kept, 400 for fewer than two or more than four.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import JSONResponse, Response

from dreamscope.app import words
from dreamscope.app.context import Context
from dreamscope.app.routes.answers import Answering, Refused, from_our_page, json_of
from dreamscope.app.routes.history_answers import strings_of
from dreamscope.engine.wire import WireError
from dreamscope.visualizers.comparison import COLUMNS, compare


def router(context: Context) -> APIRouter:
    """The routes above; comparing runs in a thread, because long texts and many marks take a moment."""
    routes = APIRouter(route_class=Answering)
    store, hub = context.store, context.hub

    @routes.get("/api/compare")
    def compared(run: list[str] = Query(default=[]), comparison: str = "") -> Response:  # noqa: B008
        ids = tuple(run)
        if comparison:
            kept = store.comparison(comparison)
            if kept is None:
                raise Refused(404, words.NO_SUCH_COMPARISON)
            ids = kept.runs
        _check_count(ids, "run")
        records = [store.record(run_id) for run_id in ids]
        known = [record for record in records if record is not None]
        if len(known) < len(records):
            raise Refused(404, words.NO_SUCH_RUN)
        try:
            return JSONResponse(compare(known).to_json())
        except WireError as error:
            raise Refused(422, f"A run cannot be read as a result: {error}") from None

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


def _check_count(ids: Sequence[str], field: str) -> None:
    fewest, most = COLUMNS
    if not fewest <= len(ids) <= most:
        raise Refused(400, f"{fewest} to {most} runs can be compared, not {len(ids)}.", field)
