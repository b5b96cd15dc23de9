"""What tells how the server is: `/`, `/v1`, `/health`, `/v1/stats`, `/metrics`; and what it does not have."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dreamscope.engine import errors, wire
from dreamscope.engine.server.charges import account_json
from dreamscope.engine.server.engine_metrics import engine_metrics
from dreamscope.engine.server.http import AsciiJson, error_response
from dreamscope.engine.server.hub import Hub
from dreamscope.engine.server.prometheus import MEDIA_TYPE, Metric, Sample, render

NAME = "dreamscope"
_GAUGES = {
    "queue_size": "Requests that wait for an engine.",
    "processing": "Requests that are being answered.",
    "workers": "Models in memory.",
    "tokens_per_second": "Tokens decoded per second, over all engines.",
    "batch_size": "Requests that are decoded together.",
    "kv_pages_used": "Pages of the KV cache that are taken.",
    "kv_pages_total": "Pages of the KV cache.",
    "uptime_s": "Seconds since the server started.",
}
_ALL = ("GET", "POST", "PUT", "PATCH", "DELETE")


def routes(hub: Hub) -> list[BaseRoute]:
    """The routes."""
    shelf = hub.shelf

    async def index(request: Request) -> Response:
        paths = {"websocket": "/v1/ws", "openapi": "/openapi.json"}
        return AsciiJson({"server": NAME, "version": version("dreamscope"), **paths})

    async def health(request: Request) -> Response:
        if hub.stopping:
            running = len(hub.registry.running())
            return AsciiJson({"status": "draining", "running": running}, 503, {"Retry-After": "1"})
        if shelf.status != "ok":
            return AsciiJson({"status": shelf.status, "model": shelf.default.id}, 503, {"Retry-After": "1"})
        return AsciiJson(
            {
                "status": "ok",
                "server": NAME,
                "version": version("dreamscope"),
                "model": shelf.default.id,
                "device": shelf.device,
                "loaded": [info.id for info in shelf.infos() if info.loaded],
                "retention": hub.options.retention,
            }
        )

    async def stats(request: Request) -> Response:
        key = await hub.account(request.scope["owner"])
        own = {} if key is None else {"account": account_json(key)}
        return AsciiJson(wire.to_json(hub.stats()) | own)

    async def metrics(request: Request) -> Response:
        page = render((*hub.tally.metrics(), *gauges(hub.stats()), *engine_metrics(shelf.servings())))
        return Response(page, media_type=MEDIA_TYPE)

    async def needs_upgrade(request: Request) -> Response:
        error = errors.InvalidRequest(f"Open {request.url.path} as a websocket with {wire.SUBPROTOCOL}.")
        return error_response(error, request.scope["request_id"])

    async def tuning(request: Request) -> Response:
        # Of all answers this is one that the tuning client does not repeat for minutes.
        raise errors.NotImplementedYet("This server does not tune models.")

    return [
        Route("/", index),
        Route("/v1", index),
        Route("/health", health),
        Route("/v1/stats", stats),
        Route("/metrics", metrics),
        Route("/v1/ws", needs_upgrade),
        Route("/v1/tuning", tuning, methods=_ALL),
        Route("/v1/tuning/{rest:path}", tuning, methods=_ALL),
    ]


def gauges(stats: wire.Stats) -> Iterator[Metric]:
    """What can be read off at any time; nothing for what is not measured."""
    for name, text in _GAUGES.items():
        value = getattr(stats, name)
        if value is not None:
            unit = name.removesuffix("_s") + "_seconds" if name.endswith("_s") else name
            yield Metric(f"dreamscope_{unit}", text, "gauge", (Sample(value),))
