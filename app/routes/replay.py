"""How a run looks: playing, and at its end.

GET /api/runs/{id}/timeline?width=&part=     as `static/replay.js` plays it
GET /api/runs/{id}/marks.svg?width=          its marks alone, to be laid over its image

    timeline: {"view_box", "duration_ms", "frames": [[t_ms, [fragment, ...]], ...],
               "title", "reasoning", "parts": [{"name", "colour", "halo"}], "state", "image": picture or null}

`width` is how wide the page shows the image, in CSS pixels; `part` plays only that request of several.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from dreamscope.app import words
from dreamscope.app.context import Context
from dreamscope.app.routes.answers import Answering, Refused
from dreamscope.app.routes.inspect import record_of
from dreamscope.app.routes.packed import packed_json
from dreamscope.app.share import heading_of
from dreamscope.engine import wire
from dreamscope.visualizers.fragment import DISPLAY_WIDTH
from dreamscope.visualizers.overlay import overlays
from dreamscope.visualizers.page import play_json
from dreamscope.visualizers.timeline import timeline

_WIDEST = 20_000.0
_LONGEST_NUMBER = 9
_INERT = {
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}


def router(context: Context) -> APIRouter:
    """The routes above; they run in threads."""
    routes = APIRouter(route_class=Answering)
    store = context.store

    @routes.get("/api/runs/{run_id}/marks.svg")
    def marks(run_id: str, width: str = "") -> Response:
        record = record_of(store, run_id)
        if record.picture is None:
            raise Refused(404, words.IMAGE_GONE)
        items = [(part.result, asked) for part, asked in zip(record.parts, record.asked, strict=True)]
        drawn = overlays(items, record.picture.size, shown=_width(width))
        return Response(drawn, media_type="image/svg+xml", headers=_INERT)

    @routes.get("/api/runs/{run_id}/timeline")
    def frames(request: Request, run_id: str, width: str = "", part: str = "") -> Response:
        record = record_of(store, run_id)
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
