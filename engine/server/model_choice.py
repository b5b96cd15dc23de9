"""Which model answers an HTTP request."""

from __future__ import annotations

from dataclasses import replace

from dreamscope.engine import errors, wire
from dreamscope.engine.models.registry import MODELS
from dreamscope.engine.server.adapter_choice import split_name
from dreamscope.engine.server.shelf import Shelf

FIRST_PARTY = "moondream"
"""`owned_by` of the models whose names callers have written into their code."""


def answering_model(shelf: Shelf, message: wire.RequestCreate) -> wire.RequestCreate:
    """The request with the model that answers it.

    A first-party name whose model is not loaded means the default: clients send one that nobody has chosen.
    Any other model is loaded when it is named.
    """
    base, adapter = split_name(message.model)
    if base is None or not _first_party(base):
        return message
    model = _loaded(shelf, base) or shelf.default.id
    return replace(message, model=model if adapter is None else f"{model}/{adapter}")


def _loaded(shelf: Shelf, name: str) -> str | None:
    """The id of the model of this name, if requests for it run at once."""
    try:
        info = shelf.find(name)
    except errors.ModelNotFound:
        return None
    return info.id if info.loaded else None


def _first_party(name: str) -> bool:
    wanted = name.strip().lower()
    return any(
        wanted in (other.lower() for other in (spec.id, *spec.aliases))
        for spec in MODELS.values()
        if spec.owned_by == FIRST_PARTY
    )
