"""Shared pages, and who may make them.

    POST   /api/shares                       {"run" | "comparison": id, "expires_in_s"?} -> share
    GET    /api/shares?run= | ?comparison=   {"shares": [share, ...]}, newest first
    DELETE /api/shares/{slug}                {"revoked": true}
    GET    /api/runs/{id}/page.html, /api/comparisons/{id}/page.html     one file that holds everything

    share: {"slug", "url", "created_at", "expires_at": null for never, "live"}

    GET /s/{slug}, /s/{slug}/image/{n}, /s/{slug}/timeline/{n}, /s/{slug}/preview.png     for anybody

Addresses below `/s/` ask for no key: the slug is one. Nothing there lists or changes anything.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from dreamscope.app import words
from dreamscope.app.context import Context
from dreamscope.app.previews import Previews
from dreamscope.app.routes.answers import Answering, Refused, from_our_page, json_of
from dreamscope.app.routes.packed import packed, packed_json
from dreamscope.app.share import (
    Exhibit,
    dress,
    exhibit_of_comparison,
    exhibit_of_run,
    exhibit_of_share,
    file_page,
    heading_of,
    served_page,
)
from dreamscope.app.store.kinds import Share
from dreamscope.app.store.store import Store
from dreamscope.visualizers.page import notice, play_json, width_of
from dreamscope.visualizers.timeline import timeline

LONGEST_S = 10 * 365 * 86_400
_SLUG = re.compile(r"[A-Za-z0-9_-]{22,64}")
_PRIVATE = {
    "Cache-Control": "private, no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
    "X-Content-Type-Options": "nosniff",
}
"""A share ends at once, so nothing of it is shown without asking again."""
_NOTHING = "default-src 'none'; frame-ancestors 'none'"
_OURS = [Depends(from_our_page)]


def router(context: Context) -> APIRouter:
    """The routes above. Handlers that are no coroutines run in threads."""
    routes = APIRouter(route_class=Answering)
    _managing(routes, context.store)
    _files(routes, context.store)
    _showing(routes, context.store)
    return routes


def _managing(routes: APIRouter, store: Store) -> None:
    @routes.post("/api/shares", dependencies=_OURS)
    async def share(request: Request) -> Response:
        asked = await json_of(request)
        run_id, comparison_id = _subject(asked)
        expires_in_s = _expiry(asked.get("expires_in_s"))
        made = await asyncio.to_thread(_share, store, run_id, comparison_id, expires_in_s)
        return JSONResponse(_share_json(made, request), 201)

    @routes.get("/api/shares")
    def shares(request: Request, run: str = "", comparison: str = "") -> Response:
        found = store.shares(run_id=run or None, comparison_id=comparison or None)
        return JSONResponse({"shares": [_share_json(each, request) for each in found]})

    @routes.delete("/api/shares/{slug}", dependencies=_OURS)
    def revoke(slug: str) -> Response:
        if not store.revoke(slug):
            raise Refused(404, words.NO_SUCH_SHARE)
        return JSONResponse({"revoked": True})


def _files(routes: APIRouter, store: Store) -> None:
    @routes.get("/api/runs/{run_id}/page.html")
    def run_file(request: Request, run_id: str) -> Response:
        return _file(request, store, exhibit_of_run(store, run_id), words.NO_SUCH_RUN)

    @routes.get("/api/comparisons/{comparison_id}/page.html")
    def comparison_file(request: Request, comparison_id: str) -> Response:
        found = exhibit_of_comparison(store, comparison_id)
        return _file(request, store, found, words.NO_SUCH_COMPARISON)


def _showing(routes: APIRouter, store: Store) -> None:
    previews = Previews(store)

    @routes.get("/s/{slug}")
    def page(request: Request, slug: str) -> Response:
        exhibit = _shown(store, slug, _notice)
        if isinstance(exhibit, Response):
            return exhibit
        made = served_page(exhibit, str(request.base_url), slug, store)
        policy = f"{made.policy}; frame-ancestors 'none'"
        return packed(request, made.html, "text/html", {**_PRIVATE, "Content-Security-Policy": policy})

    @routes.get("/s/{slug}/image/{nth}")
    def image(slug: str, nth: str) -> Response:
        exhibit = _shown(store, slug)
        if isinstance(exhibit, Response):
            return exhibit
        record = _nth(exhibit.records, nth)
        found = store.image(record.picture.hash) if record and record.picture else None
        if found is None:
            return _plain(404, words.NO_SUCH_PAGE)
        return Response(found.data, media_type=found.media_type, headers=_bare())

    @routes.get("/s/{slug}/timeline/{nth}")
    def frames(request: Request, slug: str, nth: str) -> Response:
        exhibit = _shown(store, slug)
        if isinstance(exhibit, Response):
            return exhibit
        record = _nth(exhibit.records, nth)
        if record is None:
            return _plain(404, words.NO_SUCH_PAGE)
        played = timeline(record, width_of(len(exhibit.records)))
        return packed_json(request, play_json(record, heading_of(record), played), _bare())

    @routes.get("/s/{slug}/preview.png")
    def preview(slug: str) -> Response:
        exhibit = _shown(store, slug)
        if isinstance(exhibit, Response):
            return exhibit
        return Response(previews.of(exhibit), media_type="image/png", headers=_bare())

    @routes.get("/s/{rest:path}")
    def nothing(rest: str) -> Response:
        return _notice(404, words.NO_SUCH_PAGE)


def _bare() -> dict[str, str]:
    return {**_PRIVATE, "Content-Security-Policy": _NOTHING}


def _plain(status: int, text: str) -> Response:
    return PlainTextResponse(text + "\n", status, headers=_bare())


def _notice(status: int, text: str) -> Response:
    """The same for people, as a page in the look of those that are shown."""
    made = notice(text, dress())
    policy = f"{made.policy}; frame-ancestors 'none'"
    return HTMLResponse(made.html, status, headers={**_PRIVATE, "Content-Security-Policy": policy})


def _shown(store: Store, slug: str, refuse: Callable[[int, str], Response] = _plain) -> Exhibit | Response:
    """What the slug shows, or why it shows nothing, as `refuse` says it."""
    share = store.share(slug) if _SLUG.fullmatch(slug) else None
    if share is None:
        return refuse(404, words.NO_SUCH_PAGE)
    return exhibit_of_share(store, share) or refuse(410, words.SHARE_OVER)


def _share(store: Store, run_id: str | None, comparison_id: str | None, expires_in_s: float | None) -> Share:
    if comparison_id is not None and exhibit_of_comparison(store, comparison_id) is None:
        if store.comparison(comparison_id) is None:
            raise Refused(404, words.NO_SUCH_COMPARISON, "comparison")
        raise Refused(400, words.SHARE_TOO_WIDE, "comparison")
    if run_id is not None and exhibit_of_run(store, run_id) is None:
        raise Refused(404, words.NO_SUCH_RUN, "run")
    return store.add_share(run_id=run_id, comparison_id=comparison_id, expires_in_s=expires_in_s)


def _subject(asked: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The id of a run or of a comparison: one of them. Raises `Refused`."""
    run_id, comparison_id = asked.get("run"), asked.get("comparison")
    if [isinstance(run_id, str), isinstance(comparison_id, str)].count(True) != 1:
        raise Refused(400, words.SHARE_OF_WHAT, "run")
    return (run_id, None) if isinstance(run_id, str) else (None, comparison_id)


def _expiry(given: Any) -> float | None:
    """Seconds from now, `None` for never. Raises `Refused`."""
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given <= LONGEST_S:
        raise Refused(400, words.EXPIRY_STRANGE, "expires_in_s")
    return float(given)


def _share_json(share: Share, request: Request) -> dict[str, Any]:
    return {
        "slug": share.slug,
        "url": f"{str(request.base_url).rstrip('/')}/s/{share.slug}",
        "created_at": share.created_at,
        "expires_at": share.expires_at,
        "live": share.live,
    }


def _file(request: Request, store: Store, exhibit: Exhibit | None, missing: str) -> Response:
    if exhibit is None:
        raise Refused(404, missing)
    made = file_page(exhibit, store)
    headers = {
        "Content-Disposition": f'attachment; filename="dreamscope-{exhibit.records[0].id[:8]}.html"',
        "Content-Security-Policy": f"{made.policy}; frame-ancestors 'none'",
        "Cache-Control": "private, no-cache",
    }
    return packed(request, made.html, "text/html", headers)


def _nth(records: tuple[Any, ...], nth: str) -> Any | None:
    return records[int(nth)] if len(nth) == 1 and nth.isdecimal() and int(nth) < len(records) else None
