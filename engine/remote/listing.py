"""The models of endpoints for a list that somebody waits for: what answers quickly, and what does not."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dreamscope.engine import wire
from dreamscope.engine.errors import DreamscopeError, RemoteFailed
from dreamscope.engine.remote.discovery import discover, known_models
from dreamscope.engine.remote.endpoints import Endpoint

PATIENCE_S = 3.0
NOT_REACHABLE = "not reachable"
_AT_ONCE = 8


def remote_entries(endpoints: Sequence[Endpoint]) -> list[dict[str, Any]]:
    """One JSON object per model of `endpoints`, shaped like those of `engine.catalog.entries`. Blocks.

    All are asked at once. Of one that does not answer in `PATIENCE_S`, what was said of it without asking is
    listed, at least its name, with the state `not reachable`, or `unavailable` if it answers with a refusal.
    """
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="endpoint") as pool:
        return [entry for entries in pool.map(_entries, endpoints) for entry in entries]


def _entries(endpoint: Endpoint) -> list[dict[str, Any]]:
    try:
        return [_entry(endpoint, model.info, "ready", None) for model in discover(endpoint, PATIENCE_S)]
    except DreamscopeError as error:
        state = NOT_REACHABLE if isinstance(error, RemoteFailed) else "unavailable"
        unasked = wire.ModelInfo(endpoint.name, endpoint.skills or (), description="An endpoint.")
        known = [model.info for model in known_models(endpoint) or ()] or [unasked]
        return [_entry(endpoint, info, state, error.message) for info in known]


def _entry(endpoint: Endpoint, info: wire.ModelInfo, state: str, reason: str | None) -> dict[str, Any]:
    return {
        "id": info.id,
        "name": info.name or info.id,
        "description": info.description,
        "state": state,
        "reason": reason,
        "skills": list(info.skills),
        "aliases": list(info.aliases),
        "context_length": info.context_length,
        "revision": info.revision,
        "bytes": None,
        "where": endpoint.url,
    }
