"""Asking an endpoint what it is and which models it has. All of it blocks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any

from dreamscope.engine import errors
from dreamscope.engine.remote.checked import is_count, parse_object, short_text
from dreamscope.engine.remote.endpoints import KIND_SKILLS, Endpoint
from dreamscope.engine.remote.link import Link
from dreamscope.engine.remote.models import UNNAMED, RemoteModel, named
from dreamscope.engine.remote.reading import raise_told_error

PATIENCE_S = 10.0
LOADING_S = 1800.0
MOST_MODELS = 500
Entry = dict[str, Any]
Tell = Callable[[str], None]


def known_models(endpoint: Endpoint) -> tuple[RemoteModel, ...] | None:
    """The models of an endpoint that need not be asked for; `None` if it has to be asked."""
    if endpoint.kind is None or endpoint.models is None:
        return None
    return tuple(named(endpoint, model_id) for model_id in endpoint.models)


def discover(endpoint: Endpoint, seconds: float | None = None) -> tuple[RemoteModel, ...]:
    """The models that the endpoint has, or those of its settings with what it tells of them.

    It has so many seconds for that, by default `PATIENCE_S`. Raises `RemoteFailed`, `RemoteBusy` or
    `ModelUnavailable`.
    """
    return asyncio.run(_within(endpoint, _discover, seconds))


def check(model: RemoteModel, tell: Tell = lambda text: None) -> None:
    """Whether the endpoint answers and has this model, which a server of ours may have to load first.

    `tell` hears how that goes. Raises as `discover`, and `RemoteRefused`.
    """
    entries = asyncio.run(_within(model.endpoint, _entries))
    entry = next((entry for entry in entries if entry["id"] == model.id), None)
    if entry is not None and model.live and entry.get("loaded") is False:
        asyncio.run(_within(model.endpoint, partial(_load_there, model, tell), LOADING_S))
    if entries and entry is None and model.endpoint.kind == "openai":  # the others fall back and have aliases
        there = ", ".join(each["id"] for each in entries[:20])
        raise errors.ModelUnavailable(f"{model.endpoint.name} has no model {model.id!r:.80}; it has {there}.")


async def _load_there(model: RemoteModel, tell: Tell, link: Link, endpoint: Endpoint) -> None:
    body = {"model": model.id, "stream": True}
    async with link.ask("/load", body) as reply, aclosing(reply.events()) as batches:
        async for batch in batches:
            for step in map(parse_object, batch):
                raise_told_error(step)
                if step.get("completed") is True:
                    return
                tell(f"{endpoint.name}: {short_text(step.get('detail'))}")
    raise errors.RemoteFailed(f"{endpoint.name} did not finish loading {model.id}.")


async def _within(
    endpoint: Endpoint, work: Callable[[Link, Endpoint], Any], seconds: float | None = None
) -> Any:
    """What `work` returns, if that does not take longer than `seconds`, otherwise `PATIENCE_S`."""
    seconds = PATIENCE_S if seconds is None else seconds
    key = endpoint.key.read(endpoint.name)
    try:
        async with asyncio.timeout(seconds), Link(endpoint, key) as link:
            return await work(link, endpoint)
    except TimeoutError:
        raise errors.RemoteFailed(f"{endpoint.name} did not answer within {seconds:g} seconds.") from None


async def _discover(link: Link, endpoint: Endpoint) -> tuple[RemoteModel, ...]:
    entries = await _entries(link, endpoint)
    endpoint = replace(endpoint, kind=endpoint.kind or await _kind(link, endpoint, entries))
    told = {entry["id"]: entry for entry in entries}
    names = endpoint.models or tuple(told) or (UNNAMED,)
    return tuple(_described(named(endpoint, name), told.get(name, {})) for name in names)


async def _entries(link: Link, endpoint: Endpoint) -> list[Entry]:
    """What can be asked, from the model list in either of its shapes; empty if the endpoint has none."""
    listed = await link.get("/models") or {}
    for name in ("data", "models"):
        items = listed.get(name)
        usable = [item for item in items if _usable(item)] if isinstance(items, list) else []
        if usable:
            return usable[:MOST_MODELS]
    if not listed:
        await link.get("/health", at_root=True)  # it is up, or this raises
    return []


async def _kind(link: Link, endpoint: Endpoint, entries: list[Entry]) -> str:
    """What it speaks: Moondream servers tell of skills, of their maker, or of their state in JSON."""
    if any(
        "skills" in entry or entry.get("owned_by") == "moondream" or "version" in entry for entry in entries
    ):
        return "moondream"
    if entries:
        return "openai"
    health = await link.get("/health", at_root=True)
    if health is not None and "status" in health:
        return "moondream"
    raise errors.ModelUnavailable(
        f"{endpoint.name} answers at {endpoint.url} but tells no models; say in a file of endpoints which "
        "kind it is and which models it has."
    )


def _described(model: RemoteModel, entry: Entry) -> RemoteModel:
    """With what the entry of the endpoint's list says, as far as it can be believed."""
    assert model.endpoint.kind is not None
    possible = KIND_SKILLS[model.endpoint.kind]
    told = tuple(skill for skill in possible if skill in _strings(entry.get("skills")))
    context = entry.get("context_length", entry.get("max_model_len"))
    title = short_text(entry.get("name"), 80) or model.id
    info = replace(
        model.info,
        name=f"{title} at {model.endpoint.name}",
        skills=model.info.skills if model.endpoint.skills else told or model.info.skills,
        context_length=context if is_count(context) else 0,
        revision=short_text(entry.get("revision"), 80),
    )
    return replace(model, info=info, live=bool(told) and model.endpoint.kind == "moondream")


def _usable(item: Any) -> bool:
    """Whether it is an entry whose id can be shown, and of a model that can do something there."""
    if not isinstance(item, dict) or item.get("state") == "unavailable" or item.get("skills") == []:
        return False
    model_id = item.get("id")
    return isinstance(model_id, str) and 0 < len(model_id) <= 200 and model_id == short_text(model_id)


def _strings(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
