"""Which adapter a request asks for: in the model's name, as `variant`, or in its settings."""

from __future__ import annotations

from dataclasses import replace

from dreamscope.engine import errors, wire
from dreamscope.engine.runtime.adapters import AdapterId

IN_SETTINGS = ("adapter", "variant")


def split_adapter(message: wire.RequestCreate) -> tuple[wire.RequestCreate, AdapterId | None]:
    """The request without its adapter, and the adapter.

    `model` may be `BASE/NAME@STEP`; `variant`, as a field or in `settings`, is the older way and may be
    `NAME` or `NAME/STEP`. Raises `AdapterNotFound` for what is no id, and `InvalidParameter` for a wrong type
    or two different adapters.
    """
    base, named = split_name(message.model)
    settings = dict(message.settings or {})
    given = [("model", named), ("variant", message.variant)]
    given += [(key, settings.pop(key, None)) for key in IN_SETTINGS]
    chosen: AdapterId | None = None
    for param, text in given:
        if text is None:
            continue
        if not isinstance(text, str):
            raise errors.InvalidParameter(f"{param} must be the id of an adapter, a string.", param)
        adapter = AdapterId.parse(text, param)
        if chosen is not None and adapter != chosen:
            raise errors.InvalidParameter(f"The request names two adapters: {chosen} and {adapter}.", param)
        chosen = adapter
    plain = replace(message, model=base, variant=None, settings=settings or None)
    return plain, chosen


def split_name(model: str | None) -> tuple[str | None, str | None]:
    """At the last `/`, if an `@` follows it: other slashes belong to the names of models."""
    base, slash, last = (model or "").rpartition("/")
    return (base, last) if slash and "@" in last else (model, None)
