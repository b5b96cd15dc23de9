"""A run as a file.

GET /api/runs/{id}/download/{name}   the file; `name` is one of `exports.formats.FORMATS`: annotated.png,
                                     annotated.svg, mask.png, mask.svg, result.json, places.csv, coco.json,
                                     yolo.zip, labelstudio.json. `?uncertainty=0` leaves the spreads of places
                                     out of the annotated ones. 404 for a name that is none, a run that is
                                     not kept, or an image that is gone; 409 with the reason for a run that
                                     has nothing for the format. Attachments, never shown in place of a page
GET /api/runs/{id}/downloads         {"refused": {name: why}}: the formats that the above would refuse
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from dreamscope.app import words
from dreamscope.app.context import Context
from dreamscope.app.routes.answers import Answering, Refused
from dreamscope.app.routes.inspect import record_of
from dreamscope.visualizers.exports.formats import FORMATS
from dreamscope.visualizers.exports.naming import disposition
from dreamscope.visualizers.exports.things import ExportError


def router(context: Context) -> APIRouter:
    """The route above; it runs in a thread."""
    routes = APIRouter(route_class=Answering)
    store = context.store

    @routes.get("/api/runs/{run_id}/downloads")
    def refused(run_id: str) -> dict[str, dict[str, str]]:
        record = record_of(store, run_id)
        gone = record.picture is not None and store.image(record.picture.hash) is None
        reasons = {
            name: words.IMAGE_GONE if gone and made.needs_image else made.refusal(record)
            for name, made in FORMATS.items()
        }
        return {"refused": {name: reason for name, reason in reasons.items() if reason}}

    @routes.get("/api/runs/{run_id}/download/{name}")
    def download(run_id: str, name: str, uncertainty: bool = True) -> Response:
        made = FORMATS.get(name)
        if made is None:
            raise Refused(404, words.no_such_download(tuple(FORMATS)))
        record = record_of(store, run_id)
        image = store.image(record.picture.hash) if record.picture else None
        if made.needs_image and record.picture and image is None:
            raise Refused(404, words.IMAGE_GONE)
        make = made.make if uncertainty else made.certain or made.make
        try:
            data = make(record, image.data if image else b"")
        except ExportError as error:
            raise Refused(409, str(error)) from None
        headers = {
            "Content-Disposition": disposition(record, name),
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-store",
        }
        return Response(data, media_type=made.media_type, headers=headers)

    return routes
