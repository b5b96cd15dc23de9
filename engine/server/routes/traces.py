"""`GET /v1/trace`: the last steps of an engine as a file that ui.perfetto.dev and chrome://tracing open."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dreamscope.engine import errors
from dreamscope.engine.runtime.perfetto import chrome_trace
from dreamscope.engine.server.http import AsciiJson
from dreamscope.engine.server.hub import Hub
from dreamscope.engine.server.traces import veiled

SECONDS = 10.0
LONGEST_S = 600.0


def routes(hub: Hub) -> list[BaseRoute]:
    """The route. Query: `model`, else the default one, and `seconds`, 10 unless told."""

    async def trace(request: Request) -> Response:
        return _trace(hub, request)

    return [Route("/v1/trace", trace)]


def _trace(hub: Hub, request: Request) -> Response:
    seconds = _seconds(request.query_params.get("seconds"))
    model, engine = hub.traces.loaded(request.query_params.get("model") or None)
    since = hub.clock.now() - seconds
    records = [record for record in engine.steps() if record.commit[1] >= since]
    headers = {"Content-Disposition": f'attachment; filename="{model}-trace.json"'}
    return AsciiJson(chrome_trace(veiled(records, hub.owned_by(request.scope["owner"]))), headers=headers)


def _seconds(text: str | None) -> float:
    """Raises `InvalidParameter`."""
    try:
        seconds = SECONDS if text is None else float(text)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds <= LONGEST_S:
        raise errors.InvalidParameter(
            f"seconds must be more than 0 and at most {LONGEST_S:g}, not {text!r:.40}.", "seconds"
        )
    return seconds
