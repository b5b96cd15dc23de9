"""`GET /openapi.json`: the HTTP side described, from the tables and types that serve it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dreamscope.engine import wire
from dreamscope.engine.server import schema
from dreamscope.engine.server.http import AsciiJson
from dreamscope.engine.server.prometheus import MEDIA_TYPE
from dreamscope.engine.server.routes import chat
from dreamscope.engine.server.routes.fields import SKILL_ROUTES, SkillRoute

Schema = schema.Schema
_NULL_OR_TEXT: Schema = {"type": ["string", "null"]}
_FAILURES = {
    "400": "The request is wrong; param names the field.",
    "401": "The API key is missing, wrong or revoked.",
    "403": "A page of this origin may not ask, or not by this name of the server.",
    "404": "No such model, adapter or path.",
    "413": "The body is too large.",
    "429": "Too many requests wait, or the key asks too often; try again soon.",
    "503": "The model is being loaded, or the server stops.",
    "504": "The request ran into its deadline.",
}


def routes() -> list[BaseRoute]:
    """The route."""

    async def openapi(request: Request) -> Response:
        return AsciiJson(document())

    return [Route("/openapi.json", openapi)]


def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Dreamscope engine", "version": version("dreamscope")},
        "paths": {
            **{route.path: {"post": _skill(route)} for route in SKILL_ROUTES},
            chat.PATH: {"post": _chat()},
            **_models(),
            **_status(),
        },
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-Moondream-Auth"},
            },
        },
        "security": [{}, {"bearer": []}, {"header": []}],
    }


def _skill(route: SkillRoute) -> dict[str, Any]:
    body = schema.of_object({name: schema.of_field(name) for name in route.fields}, route.required)
    return _operation(route.skill, body, _ref(f"{route.skill.title()}Answer"), streams=route.streams)


def _chat() -> dict[str, Any]:
    knobs = {name: schema.of_knob(name) for name in ("temperature", "top_p", "max_tokens")}
    turn = schema.of_object({"role": {"enum": ["system", "developer", "user", "assistant"]}, "content": {}})
    body = schema.of_object(
        {
            "model": {"type": "string"},
            "messages": {"type": "array", "items": turn, "minItems": 1},
            **knobs,
            "max_completion_tokens": knobs["max_tokens"],
            "reasoning": {"type": ["boolean", "object"]},
            "reasoning_effort": {"type": "string"},
            "response_format": _ref("ResponseFormat"),
            "stream": schema.of_field("stream"),
            "stream_options": schema.of_object({"include_usage": {"type": "boolean"}}),
        },
        ["messages"],
    )
    return _operation("chat", body, _ref("Completion"), streams=True)


def _models() -> dict[str, Any]:
    listing = schema.of_object(
        {
            "object": {"const": "list"},
            "data": {"type": "array", "items": _ref("Model")},
            "models": {"type": "array"},
        },
        ["object", "data", "models"],
    )
    named = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    wanted = schema.of_object({"model": {"type": "string"}, "stream": schema.of_field("stream")}, ["model"])
    changed = schema.of_object({"status": {"const": "ok"}, "model": {"type": "string"}}, ["status", "model"])
    changes = {
        path: {"post": _operation(name, wanted, changed, streams=True)}
        for name, path in (
            ("switch", "/v1/models/switch"),
            ("load", "/v1/load"),
            ("unload", "/v1/unload"),
        )
    }
    return {
        "/v1/models": {"get": _reading("models", _json(listing))},
        "/v1/models/{id}": {"get": {**_reading("model", _json(_ref("Model"))), "parameters": [named]}},
        **changes,
    }


def _status() -> dict[str, Any]:
    anything: Schema = {"type": "object"}
    return {
        "/": {"get": _reading("index", _json(anything))},
        "/v1": {"get": _reading("version", _json(anything))},
        "/health": {"get": _reading("health", _json(anything))},
        "/v1/stats": {"get": _reading("stats", _json(_ref("Stats")))},
        "/metrics": {"get": _reading("metrics", {MEDIA_TYPE: {"schema": {"type": "string"}}})},
        "/openapi.json": {"get": _reading("openapi", _json(anything))},
    }


def _operation(name: str, body: Schema, answer: Schema, streams: bool) -> dict[str, Any]:
    content = _json(answer)
    if streams:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    return {**_reading(name, content), "requestBody": {"required": True, "content": _json(body)}}


def _reading(name: str, content: Mapping[str, Any]) -> dict[str, Any]:
    failures = {
        status: {"description": text, "content": _json(_ref("Error"))} for status, text in _FAILURES.items()
    }
    return {
        "operationId": name,
        "responses": {"200": {"description": "Done.", "content": dict(content)}, **failures},
    }


def _schemas() -> dict[str, Schema]:
    finish = {"enum": ["stop", "length"]}
    metrics = schema.of_dataclass(wire.Metrics)
    answers = {}
    for route in SKILL_ROUTES:
        answer = schema.of_dataclass(wire.RESULTS[route.skill])
        answer["properties"] |= {
            "request_id": {"type": "string"},
            "finish_reason": finish,
            "metrics": metrics,
        }
        answer["required"] = [*answer["required"], "request_id", "finish_reason", "metrics"]
        answers[f"{route.skill.title()}Answer"] = answer
    answers["SegmentAnswer"]["properties"]["bbox"] = {
        "anyOf": [schema.of_dataclass(wire.Box), {"type": "null"}]
    }
    model = schema.of_dataclass(wire.ModelInfo)
    model["properties"]["created"] = {"type": "integer"}
    stats = schema.of_dataclass(wire.Stats)
    stats["properties"]["account"] = _account()
    return {
        **answers,
        "Completion": _completion(),
        "Error": _error(),
        "Model": model,
        "Stats": stats,
        "Settings": schema.of_settings(),
        "ResponseFormat": schema.of_response_format(),
    }


def _account() -> Schema:
    """What the key that asks has used; absent without one of `dreamscope keys`."""
    count: Schema = {"type": "integer"}
    text: Schema = {"type": ["string", "null"]}
    price: Schema = {"type": ["number", "null"]}
    counts = {"requests": count, "input_tokens": count, "output_tokens": count, "usd": price}
    known = {
        "name": {"type": "string"},
        "requests_per_second": price,
        **dict.fromkeys(("created", "last_used", "revoked"), text),
        **counts,
        "usage": {"type": "object", "additionalProperties": schema.of_object(counts, counts)},
    }
    return schema.of_object(known, known)


def _completion() -> Schema:
    text: Schema = {"type": "string"}
    properties = {"id": text, "object": {"const": "chat.completion"}, "created": {"type": "integer"}}
    rest = {
        "model": text,
        "choices": {"type": "array", "minItems": 1, "maxItems": 1},
        "usage": {"type": "object"},
    }
    return schema.of_object({**properties, **rest}, (*properties, *rest))


def _error() -> Schema:
    fields = {"message": {"type": "string"}, "type": {"type": "string"}, "code": {"type": "string"}}
    error = schema.of_object({**fields, "param": _NULL_OR_TEXT}, (*fields, "param"))
    return schema.of_object({"error": error, "request_id": {"type": "string"}}, ("error", "request_id"))


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(content: Schema) -> dict[str, Any]:
    return {"application/json": {"schema": content}}
