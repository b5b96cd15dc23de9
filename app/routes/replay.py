"""GET /api/runs/{id}/timeline?width=&part=: a run as `static/replay.js` plays it.

    {"view_box", "duration_ms", "frames": [[t_ms, [fragment, ...]], ...],
     "title", "reasoning", "parts": [{"name", "colour", "halo"}], "state", "image": picture or null}

`width` is how wide the page shows the image, in CSS pixels; `part` plays only that request of several.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from dreamscope.app import words
from dreamscope.app.context import Context
from dreamscope.app.routes.answers import Answering, Refused
from dreamscope.app.routes.packed import packed_json
from dreamscope.app.share import heading_of
from dreamscope.engine import wire
from dreamscope.visualizers.fragment import DISPLAY_WIDTH
from dreamscope.visualizers.page import play_json
from dreamscope.visualizers.timeline import timeline

_WIDEST = 20_000.0
_LONGEST_NUMBER = 9


def router(context: Context) -> APIRouter:
    """The route above; it runs in a thread."""
    routes = APIRouter(route_class=Answering)
    store = context.store

    @routes.get("/api/runs/{run_id}/timeline")
    def frames(request: Request, run_id: str, width: str = "", part: str = "") -> Response:
        record = store.record(run_id)
        if record is None:
            raise Refused(404, words.NO_SUCH_RUN)
        only = _part(part, len(record.parts))
        played = timeline(record, _width(width), only)
        image = wire.to_json(record.picture) if record.picture else None
        return packed_json(request, {**play_json(record, heading_of(record), played), "image": image})

    return routes


def _width(given: str) -> float:
    if not given:
        return DISPLAY_WIDTH
    try:
        width = float(given)
    except ValueError:
        width = 0.0
    if not 1 <= width <= _WIDEST:
        raise Refused(400, words.width_strange(_WIDEST), "width")
    return width


def _part(given: str, parts: int) -> int | None:
    if not given:
        return None
    if len(given) > _LONGEST_NUMBER or not given.isdecimal() or int(given) >= parts:
        raise Refused(400, words.part_strange(parts), "part")
    return int(given)
